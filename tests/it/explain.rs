//! Explanations of trained models: completeness of integrated gradients, saliency that follows the model, threads and seeds.

use gradus::prelude::*;

/// Features, labels, the number of classes, and the epochs it takes to learn them.
type Data = (Tensor, Tensor, usize, usize);

fn scaled_iris() -> Data {
    let iris = iris();
    (StandardScaler::fit(&iris.x).unwrap().transform(&iris.x).unwrap(), iris.y, 3, 30)
}

fn scaled_digits() -> Data {
    let digits = digits();
    (digits.x.map(|pixel| pixel / 16.0), digits.y, 10, 8)
}

fn trained((x, y, classes, epochs): &Data, hidden: Activation) -> Model {
    let layers = Sequential::new([x.shape().last()]).add(Dense::new(32).activation(hidden)).add(Dropout::new(0.1));
    let layers = layers.add(Dense::new(16).activation(hidden));
    let mut model = layers.add(Dense::new(*classes).activation(Activation::Softmax)).build(1).unwrap();
    model
        .compile(Adam::default().learning_rate(0.01), CategoricalCrossentropy::default(), [Accuracy::default()])
        .unwrap();
    model.fit(x, y, &Fit::default().epochs(*epochs).verbose(Verbose::Silent)).unwrap();
    assert!(model.evaluate(x, y).unwrap().get("accuracy").unwrap() > 0.95);
    model
}

/// The part of the samples whose attributions sum to f(x) − f(baseline) within 1% of it.
fn complete(gaps: &[f64]) -> f64 {
    gaps.iter().filter(|&&gap| gap <= 0.01).count() as f64 / gaps.len() as f64
}

/// On all samples of both tables, for scores and for probabilities of the predicted class: with the defaults within 1% for at
/// least 99% of the samples (measured: all), with 50 equal steps too where the model is smooth.
#[test]
fn attributions_sum_to_the_difference_of_outputs() {
    for (name, data) in [("iris", scaled_iris()), ("digits", scaled_digits())] {
        for hidden in [Activation::Relu, Activation::Tanh, Activation::Gelu] {
            let model = trained(&data, hidden);
            for activated in [false, true] {
                let case = format!("{name}, {hidden}, after softmax: {activated}");
                let target = Target::predicted().activated(activated);
                let plain = IntegratedGradients::default().tolerance(None).attribute(&model, &data.0, target).unwrap();
                assert_eq!(plain.targets, model.predict_classes(&data.0).unwrap());
                let part = complete(&plain.relative_gaps());
                assert!(part >= 0.99 || hidden == Activation::Relu, "{case}: {part} with 50 steps");
                let tight = IntegratedGradients::default().attribute(&model, &data.0, target).unwrap();
                let part = complete(&tight.relative_gaps());
                assert!(part >= 0.99, "{case}: {part} with the defaults");
                let steps = tight.steps.iter().sum::<usize>() as f64 / tight.steps.len() as f64;
                assert!(steps < 70.0, "{case}: {steps} steps on average");
                // Who is outside has been given all steps.
                let outside = tight.relative_gaps().into_iter().zip(&tight.steps).filter(|(gap, _)| *gap > 0.01);
                assert!(outside.into_iter().all(|(_, &steps)| steps >= 1_999), "{case}");
            }
        }
    }
}

#[test]
fn outputs_of_attributions_are_those_of_the_model() {
    let data = scaled_iris();
    let model = trained(&data, Activation::Tanh);
    let parts = IntegratedGradients::default().attribute(&model, &data.0, Target::predicted().activated(true)).unwrap();
    let (y, b) = (model.predict(&data.0).unwrap(), model.predict(&Tensor::zeros([1, 4])).unwrap());
    for (i, &class) in parts.targets.iter().enumerate() {
        assert_eq!(parts.outputs[i] as f32, y.row(i)[class]);
        assert_eq!(parts.baseline_outputs[i] as f32, b.row(0)[class]);
    }
}

/// A step along the gradient of a score raises it, and erasing the pixels of largest attribution lowers it more than erasing
/// as many of the others.
#[test]
fn maps_point_at_what_counts() {
    let data = scaled_digits();
    let model = trained(&data, Activation::Relu);
    let x = data.0.rows(0..100).unwrap();
    let target = Target::class(3).activated(true);
    let gradient = model.input_gradient(&x, Target::class(3)).unwrap();
    let mut moved = x.clone();
    moved.as_mut_slice().iter_mut().zip(&gradient).for_each(|(x, g)| *x += 1e-3 * g);
    // The same weights without the softmax give the scores.
    let layers = Sequential::new([64]).add(Dense::new(32).activation(Activation::Relu));
    let mut scores = layers.add(Dense::new(16).activation(Activation::Relu)).add(Dense::new(10)).build(0).unwrap();
    scores.values_mut().copy_from_slice(model.params().values());
    let (before, after) = (scores.predict(&x).unwrap(), scores.predict(&moved).unwrap());
    assert!((0..100).all(|i| after.row(i)[3] > before.row(i)[3]));
    let map = saliency(&model, &x, Target::class(3)).unwrap();
    assert!(map.iter().zip(&gradient).all(|(m, g)| *m == g.abs()));

    let threes: Vec<usize> = (0..1797).filter(|&i| data.1.as_slice()[i] == 3.0).take(50).collect();
    let x = data.0.select(&threes).unwrap();
    let parts = IntegratedGradients::default().attribute(&model, &x, target).unwrap();
    let erased = |largest: bool| {
        let mut x = x.clone();
        for i in 0..x.samples() {
            let mut inked: Vec<usize> = (0..64).filter(|&p| x.row(i)[p] > 0.0).collect();
            inked.sort_by(|&a, &b| parts.values.row(i)[b].total_cmp(&parts.values.row(i)[a]));
            if !largest {
                inked.reverse();
            }
            inked.iter().take(6).for_each(|&p| x.row_mut(i)[p] = 0.0);
        }
        model.predict(&x).unwrap().as_slice().chunks(10).map(|y| f64::from(y[3])).sum::<f64>()
    };
    assert!(erased(true) < 0.5 * erased(false), "{} and {}", erased(true), erased(false));
}

#[test]
fn permutation_importance_finds_the_petals() {
    let data = scaled_iris();
    let model = trained(&data, Activation::Tanh);
    let how = PermutationImportance::default().repeats(10).seed(2);
    let by_accuracy = how.of_model(&model, &data.0, &data.1, "accuracy").unwrap();
    let by_loss = how.of_model(&model, &data.0, &data.1, "loss").unwrap();
    for found in [&by_accuracy, &by_loss] {
        let mut first = found.ranking()[..2].to_vec();
        first.sort_unstable();
        assert_eq!(first, [2, 3], "{found}");
        assert!(found.mean(2) > 0.0);
    }
    assert_eq!(by_loss, how.of_model(&model, &data.0, &data.1, "loss").unwrap());
    let error = how.of_model(&model, &data.0, &data.1, "recall").unwrap_err().to_string();
    assert!(error.contains("figure must be one of loss, accuracy, got recall"), "{error}");
    // Both petal columns as one feature lose more than either.
    let groups = how.clone().groups([vec![0, 1], vec![2, 3]]).names(["sepal", "petal"]);
    let grouped = groups.of_model(&model, &data.0, &data.1, "loss").unwrap();
    assert!(grouped.mean(1) > by_loss.mean(2).max(by_loss.mean(3)));
}

#[cfg(feature = "parallel")]
#[test]
fn threads_change_no_bit() {
    let data = scaled_digits();
    let model = Sequential::new([64])
        .add(Dense::new(300).activation(Activation::Gelu))
        .add(Dense::new(10).activation(Activation::Softmax))
        .build(3)
        .unwrap();
    let explain = || {
        let x = data.0.rows(0..20).unwrap();
        let parts = IntegratedGradients::default().steps(300).attribute(&model, &x, Target::predicted()).unwrap();
        (model.input_gradient(&data.0, Target::predicted()).unwrap(), parts)
    };
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let one = pool(1).install(explain);
    for threads in [2, 3, 5] {
        assert_eq!(pool(threads).install(explain), one);
    }
}
