//! Explanations of trained models: completeness of integrated gradients, saliency against differences, and threads.

use gradus::prelude::*;

fn trained(x: &Tensor, y: &Tensor, classes: usize, hidden: Activation, epochs: usize) -> Sequential {
    let width = x.shape().last();
    let layers = Sequential::new([width]).add(Dense::new(32).activation(hidden)).add(Dropout::new(0.1));
    let layers = layers.add(Dense::new(16).activation(hidden));
    let mut model = layers.add(Dense::new(classes).activation(Activation::Softmax)).build(1).unwrap();
    model.compile(Adam::default().learning_rate(0.01), CategoricalCrossentropy::default(), [Accuracy::default()]).unwrap();
    model.fit(x, y, &Fit::default().epochs(epochs).verbose(Verbose::Silent)).unwrap();
    assert!(model.evaluate(x, y).unwrap().get("accuracy").unwrap() > 0.95);
    model
}

fn tables() -> [(&'static str, Tensor, Tensor, usize, usize); 2] {
    let (iris, digits) = (iris(), digits());
    let x = StandardScaler::fit(&iris.x).unwrap().transform(&iris.x).unwrap();
    let rows: Vec<usize> = (0..600).collect();
    let pixels = digits.x.select(&rows).unwrap().map(|p| p / 16.0);
    [("iris", x, iris.y, 3, 30), ("digits", pixels, digits.y.select(&rows).unwrap(), 10, 12)]
}

/// Part of the samples whose parts sum to f(x) − f(b) within 1%.
fn complete(gaps: &[f64]) -> f64 {
    gaps.iter().filter(|&&gap| gap <= 0.01).count() as f64 / gaps.len() as f64
}

#[test]
fn attributions_sum_to_the_difference_of_outputs() {
    for (name, x, y, classes, epochs) in tables() {
        for hidden in [Activation::Relu, Activation::Tanh] {
            let model = trained(&x, &y, classes, hidden, epochs);
            for activated in [false, true] {
                let target = Target::predicted().activated(activated);
                let plain = IntegratedGradients::default().attribute(&model, &x, target).unwrap();
                let part = complete(&plain.relative_gaps());
                println!("{name} {hidden} activated {activated}: 50 steps {part}");
                let tight = IntegratedGradients::default().tolerance(0.01).attribute(&model, &x, target).unwrap();
                let all = complete(&tight.relative_gaps());
                println!("   tolerance {all}, most steps {:?}", tight.steps.iter().max());
                assert_eq!(plain.targets, model.predict_classes(&x).unwrap());
            }
        }
    }
}
