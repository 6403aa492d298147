//! Every metric against Keras's value, in f64 and f32, in one batch and in several.

use gradus::prelude::*;
use safetensors::SafeTensors;
use support::fixtures::{error, read, tensor};

fn all<T: Float>(tolerance: f64) {
    let bytes = read("keras/metrics/metrics.safetensors");
    let case = SafeTensors::deserialize(&bytes).unwrap();
    let get = |name: &str| tensor::<T>(&case, name).unwrap();
    let f1 = |average| Box::new(F1Score::default().average(average));
    let metrics: Vec<(&str, &str, Box<dyn Metric<T>>)> = vec![
        ("binary", "auc_roc", Box::new(Auc::default())),
        ("binary", "auc_pr", Box::new(Auc::default().curve(Curve::PrecisionRecall))),
        ("binary", "binary_accuracy", Box::new(BinaryAccuracy::default())),
        ("binary", "binary_accuracy", Box::new(Accuracy::default())),
        ("binary", "precision", Box::new(Precision::default())),
        ("binary", "recall", Box::new(Recall::default())),
        ("multi", "categorical_accuracy", Box::new(CategoricalAccuracy::default())),
        ("multi", "sparse_categorical_accuracy", Box::new(SparseCategoricalAccuracy::default())),
        ("multi", "categorical_accuracy", Box::new(Accuracy::default())),
        ("multi", "categorical_crossentropy", Box::new(LossMetric::new(CategoricalCrossentropy::default()))),
        ("multi", "top2", Box::new(TopKAccuracy::default().k(2))),
        ("multi", "f1_macro", f1(Average::Macro)),
        ("multi", "f1_micro", f1(Average::Micro)),
        ("multi", "f1_weighted", f1(Average::Weighted)),
        ("regression", "mae", Box::new(LossMetric::new(MeanAbsoluteError::default()))),
        ("regression", "mse", Box::new(LossMetric::new(MeanSquaredError::default()))),
        ("regression", "rmse", Box::new(RootMeanSquaredError::default())),
        ("regression", "r2", Box::new(R2Score::default())),
        ("regression", "cosine_similarity", Box::new(CosineScore::default())),
    ];
    for (kind, name, metric) in metrics {
        let (t, mut p) = (get(&format!("{kind}_true")), get(&format!("{kind}_pred")));
        if kind == "binary" {
            let n = p.len();
            p = p.reshape([n, 1]).unwrap();
        }
        let mut forms = vec![t.clone()];
        if kind == "multi" {
            let width = p.shape().last();
            let one_hot = |i: usize| if t.as_slice()[i / width] == T::of((i % width) as f64) { 1.0 } else { 0.0 };
            forms.push(Tensor::from_fn(p.shape(), |i| T::of(one_hot(i))));
        }
        let expected = tensor::<f64>(&case, &format!("value.{name}")).unwrap().as_slice()[0];
        for t in forms {
            metric.check(t.shape(), p.shape()).unwrap();
            for part in [t.samples(), 2] {
                let mut sums = vec![0.0; metric.sums(p.shape())];
                let mut start = 0;
                while start < t.samples() {
                    let end = (start + part).min(t.samples());
                    let ones = vec![T::one(); end - start];
                    let weights = (part == 2).then_some(&ones[..]);
                    let (t, p) = (t.rows(start..end).unwrap(), p.rows(start..end).unwrap());
                    metric.update(&mut sums, &t, &p, weights);
                    start = end;
                }
                let got = metric.result(&sums);
                assert!(error(got, expected) <= tolerance, "{name}: {got} {expected}");
            }
        }
        assert_eq!(metric.result(&vec![0.0; metric.sums(p.shape())]), 0.0, "{name}");
    }
}

#[test]
fn as_keras_in_f64() {
    all::<f64>(1e-9);
}

#[test]
fn as_keras_in_f32() {
    all::<f32>(2e-4);
}

/// Every metric with legal settings.
fn every() -> Vec<Box<dyn Metric<f32>>> {
    vec![
        Box::new(Accuracy::default()),
        Box::new(Auc::default()),
        Box::new(Auc::default().curve(Curve::PrecisionRecall)),
        Box::new(BinaryAccuracy::default()),
        Box::new(CategoricalAccuracy::default()),
        Box::new(CosineScore::default()),
        Box::new(F1Score::default()),
        Box::new(F1Score::default().threshold(0.3)),
        Box::new(LossMetric::new(SparseCategoricalCrossentropy::default())),
        Box::new(LossMetric::new(Huber::default())),
        Box::new(Precision::default()),
        Box::new(Precision::default().class_id(1)),
        Box::new(R2Score::default()),
        Box::new(Recall::default()),
        Box::new(RootMeanSquaredError::default()),
        Box::new(SparseCategoricalAccuracy::default()),
        Box::new(TopKAccuracy::default().k(1)),
    ]
}

#[test]
fn predictions_of_nan_are_wrong() {
    let nan = f32::NAN;
    let rows = Tensor::from([[nan, nan], [nan, 0.9], [0.9, 0.1]]);
    let accuracies: [Box<dyn Metric<f32>>; 4] = [
        Box::new(Accuracy::default()),
        Box::new(CategoricalAccuracy::default()),
        Box::new(SparseCategoricalAccuracy::default()),
        Box::new(TopKAccuracy::default().k(1)),
    ];
    for metric in accuracies {
        for y in [Tensor::zeros([3]), Tensor::from([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])] {
            assert_eq!(metric.score(&y, &rows, None).unwrap(), 1.0 / 3.0, "{}", metric.name());
        }
    }
    let (y, p) = (Tensor::from([[0.0], [0.0], [1.0], [nan]]), Tensor::from([[nan], [0.1], [nan], [0.1]]));
    assert_eq!(Accuracy::default().score(&y, &p, None).unwrap(), 0.25);
    assert_eq!(BinaryAccuracy::default().score(&y, &p, None).unwrap(), 0.25);
}

#[test]
fn lengths_that_do_not_fit_do_not_panic() {
    let p = Tensor::full([4, 2], 0.6);
    for metric in every() {
        let name = metric.name();
        let zeros = vec![0.0; metric.sums(p.shape())];
        for y in [Tensor::zeros([0]), Tensor::zeros([3]), Tensor::zeros([9])] {
            let mut sums = zeros.clone();
            metric.update(&mut sums, &y, &p, None);
            assert!(metric.result(&sums).is_nan() || name.starts_with("auc"), "{name} {sums:?}");
        }
        for n in [0, 3, 8] {
            let (mut sums, y, w) = (zeros.clone(), Tensor::full([4, 2], 1.0), vec![1.0; n]);
            metric.update(&mut sums, &y, &p, Some(&w));
            assert!(metric.result(&sums).is_nan() || name.starts_with("auc"), "{name} {sums:?}");
            assert!(metric.score(&y, &p, Some(&w)).unwrap_err().is_shape(), "{name}");
        }
        for y in [Tensor::zeros([4, 3]), Tensor::zeros([4, 1]), Tensor::zeros([4, 2, 5])] {
            for n in [0, 1, 2, 3, 7, zeros.len()] {
                let mut sums = vec![0.0; n];
                metric.update(&mut sums, &y, &p, Some(&[1.0, 2.0]));
                metric.update(&mut sums, &y, &Tensor::zeros([4, 3, 1]), None);
                metric.update(&mut sums, &y, &Tensor::zeros([0, 3]), None);
                metric.update(&mut sums, &y, &Tensor::zeros([5]), None);
                let _ = metric.result(&sums);
            }
        }
        assert!(metric.result(&zeros).is_finite(), "{name}");
    }
}

#[test]
fn settings_are_checked_with_the_shapes() {
    for shape in [Shape::from([1, 2]), Shape::from([1, 2, 3])] {
        for metric in every() {
            metric.check(shape, shape).unwrap();
        }
        let bad: Vec<Box<dyn Metric<f32>>> = vec![
            Box::new(Accuracy::default().threshold(f64::NAN)),
            Box::new(Auc::default().num_thresholds(1)),
            Box::new(BinaryAccuracy::default().threshold(f64::NAN)),
            Box::new(BinaryAccuracy::default().threshold(f64::INFINITY)),
            Box::new(F1Score::default().threshold(f64::NAN)),
            Box::new(LossMetric::new(Huber::default().delta(-1.0))),
            Box::new(Precision::default().threshold(f64::NAN)),
            Box::new(Precision::default().class_id(9)),
            Box::new(Recall::default().threshold(f64::NAN)),
            Box::new(TopKAccuracy::default().k(0)),
        ];
        for metric in bad {
            let error = metric.check(shape, shape).unwrap_err();
            assert!(matches!(error, Error::Argument { .. }), "{metric:?}: {error}");
        }
    }
}

/// Figures of predictions at the ends of f32 and f64, and of infinite ones.
#[test]
fn figures_at_the_ends_of_the_type() {
    fn check<T: Float>(big: f64) {
        let max = T::max_value().as_f64();
        let t = |rows: [[f64; 2]; 2]| Tensor::from_fn([2, 2], |i| T::of(rows[i / 2][i % 2]));
        let near = |metric: &dyn Metric<T>, y: [[f64; 2]; 2], p: [[f64; 2]; 2], expected: f64| {
            let got = metric.score(&t(y), &t(p), None).unwrap();
            assert!(
                got == expected || (got / expected - 1.0).abs() < 1e-5,
                "{metric:?} {p:?}: {got:e}, expected {expected:e}"
            );
        };
        let tiny = 1.0 / big;
        let (large, small) = ([3.0 * big, 4.0 * big], [3.0 * tiny, 4.0 * tiny]);
        near(&CosineScore::default(), [large, [4.0, 3.0]], [[4.0 * big, 3.0 * big], large], 0.96);
        near(&CosineScore::default(), [small; 2], [[4.0, 3.0]; 2], 4.8e7 * tiny);
        let rmse = RootMeanSquaredError::default();
        near(&rmse, [[0.0; 2]; 2], [[big, -big], [7.0 * big, 7.0 * big]], 5.0 * big);
        near(&rmse, [[0.0; 2]; 2], [[tiny, -tiny], [7.0 * tiny, 7.0 * tiny]], 5.0 * tiny);
        near(&rmse, [[0.0; 2]; 2], [[max, -max]; 2], max);
        near(&LossMetric::new(MeanAbsoluteError::default()), [[0.0; 2]; 2], [[max, -max], [0.0; 2]], 0.5 * max);
        near(&R2Score::default(), [[tiny; 2], [0.0; 2]], [[tiny; 2], [0.0; 2]], 1.0);
        near(&R2Score::default(), [[big, -max], [0.0; 2]], [[big, -max], [0.0, -0.5 * max]], 0.75);
        let (inf, one_hot) = (f64::INFINITY, [[1.0, 0.0], [0.0, 1.0]]);
        for row in [[big, -big], [max, -max], [inf, -inf], [tiny, 0.0], [0.0, -inf]] {
            let right = [row, [row[1], row[0]]];
            near(&Accuracy::default(), one_hot, right, 1.0);
            near(&CategoricalAccuracy::default(), one_hot, [row, row], 0.5);
            if row[0] > 0.5 {
                near(&BinaryAccuracy::default(), one_hot, right, 1.0);
                near(&F1Score::default(), one_hot, right, 1.0);
                near(&Auc::default(), one_hot, right, 1.0);
                near(&Precision::default(), one_hot, [row, row], 0.5);
                near(&Recall::default(), one_hot, [row, row], 0.5);
            }
        }
        let logits = LossMetric::new(CategoricalCrossentropy::default().from_logits(true));
        near(&logits, one_hot, [[0.0, -inf], [-big, big]], 0.0);
        // What has no weight has no part in a figure.
        let p = t([[1.0, 2.0], [f64::NAN, inf]]);
        for metric in [&rmse as &dyn Metric<T>, &LossMetric::new(MeanSquaredError::default())] {
            let score = metric.score(&t([[0.0, 2.0]; 2]), &p, Some(&[T::one(), T::zero()])).unwrap();
            assert!((score - 0.5f64.sqrt()).abs() < 1e-7 || score == 0.5, "{score}");
        }
    }
    check::<f32>(1e30);
    check::<f64>(1e30);
    check::<f64>(1e200);
}

/// What the history says and what `predict_classes` says are one thing, whatever the outputs are.
#[test]
fn accuracy_counts_the_classes_that_are_predicted() {
    let x = Tensor::from_fn([40, 1], |i| i as f32 / 10.0 - 1.9);
    let yes = |i: usize| !i.is_multiple_of(3);
    let labels = |no: f32| Tensor::from_fn([40, 1], |i| if yes(i) { 1.0 } else { no });
    let one_hot = Tensor::from_fn([40, 2], |i| f32::from(u8::from(yes(i / 2) == (i % 2 == 1))));
    let logits = || Box::new(BinaryCrossentropy::default().from_logits(true)) as Box<dyn Loss<f32>>;
    let focal = BinaryFocalCrossentropy::default().from_logits(true);
    let cases: Vec<(Activation, Box<dyn Loss<f32>>, Tensor)> = vec![
        (Activation::Sigmoid, Box::new(BinaryCrossentropy::default()), labels(0.0)),
        (Activation::Sigmoid, Box::new(MeanSquaredError::default()), labels(0.0)),
        (Activation::Linear, logits(), labels(0.0)),
        (Activation::Linear, Box::new(focal), labels(0.0)),
        (Activation::Linear, Box::new(Hinge::default()), labels(0.0)),
        (Activation::Linear, Box::new(Hinge::default()), labels(-1.0)),
        (Activation::Tanh, Box::new(SquaredHinge::default()), labels(-1.0)),
        (Activation::Softmax, Box::new(CategoricalCrossentropy::default()), one_hot.clone()),
        (Activation::Linear, Box::new(CategoricalCrossentropy::default().from_logits(true)), one_hot.clone()),
        (Activation::Linear, Box::new(CategoricalHinge::default()), one_hot.clone()),
        (Activation::Softmax, Box::new(MeanSquaredError::default()), one_hot),
    ];
    for (activation, loss, y) in cases {
        let case = format!("{activation} {loss:?}");
        let units = y.dims()[1];
        let mut model = Sequential::new([1]).add(Dense::new(units).activation(activation)).build(0).unwrap();
        // Logits from −1.15 to 2.75: some lie between 0 and 0.5.
        model.set_weight("dense/kernel", &[1.0, -1.0][..units]).unwrap();
        model.set_weight("dense/bias", &[0.75, 0.5][..units]).unwrap();
        model.compile(Sgd::default(), loss, (Accuracy::default(), F1Score::default())).unwrap();
        let right = model.predict_classes(&x).unwrap().into_iter().enumerate();
        let right = right.filter(|(i, class)| {
            let target = if units == 1 { usize::from(yes(*i)) } else { usize::from(y.row(*i)[1] == 1.0) };
            *class == target
        });
        let expected = right.count() as f64 / 40.0;
        assert_eq!(model.evaluate(&x, &y).unwrap().get("accuracy"), Some(expected), "{case}");
        let how = Fit::default().verbose(Verbose::Silent).batch_size(40).validation_data(&x, &y);
        let history = model.fit(&x, &y, &how).unwrap();
        assert_eq!(history.get("accuracy").unwrap(), [expected], "{case}");
    }
}

#[test]
fn metrics_that_have_no_meaning_are_refused() {
    let x = Tensor::from_fn([8, 2], |i| i as f32 / 10.0);
    let model =
        |units: usize, activation| Sequential::new([2]).add(Dense::new(units).activation(activation)).build(0).unwrap();
    let how = Fit::default().verbose(Verbose::Silent);
    // Prices are no classes.
    let mut prices = model(1, Activation::Linear);
    prices.compile(Sgd::default(), MeanSquaredError::default(), [Accuracy::default()]).unwrap();
    let error = |result: Result<History, Error>| result.unwrap_err().to_string();
    let expected = "Accuracy: target in row 1 is 1.5, expected a label, 0 or 1; for numbers to regress on use R2Score, \
                    RootMeanSquaredError or LossMetric";
    let y = Tensor::from_fn([8, 1], |i| 1.0 + i as f32 / 2.0);
    assert_eq!(error(prices.fit(&x, &y, &how)), expected);
    assert_eq!(prices.evaluate(&x, &y).unwrap_err().to_string(), expected);
    let data = Samples::new(x.clone(), y.clone()).unwrap().batch(8);
    assert!(error(prices.fit_dataset(&data, &how, &mut [])).contains("target in row 1 is 1.5"));
    // Labels are, also where the loss takes them for numbers.
    let labels = Tensor::from_fn([8, 1], |i| (i % 2) as f32);
    prices.fit(&x, &labels, &how).unwrap();
    let mut rows = model(3, Activation::Linear);
    rows.compile(Sgd::default(), MeanSquaredError::default(), [Accuracy::default()]).unwrap();
    rows.fit(&x, &one_hot(&Tensor::from_fn([8], |i| (i % 3) as f32), 3).unwrap(), &how).unwrap();
    assert!(error(rows.fit(&x, &Tensor::full([8, 3], 0.7), &how)).contains("expected a row that names one class"));
    // Several labels a sample are no class.
    let mut several = model(3, Activation::Sigmoid);
    several.compile(Sgd::default(), BinaryCrossentropy::default(), [Accuracy::default()]).unwrap();
    assert!(error(several.fit(&x, &Tensor::full([8, 3], 1.0), &how)).contains("use BinaryAccuracy"));
    // A cross-entropy of probabilities on logits.
    let mut logits = model(1, Activation::Linear);
    let metric = LossMetric::new(BinaryCrossentropy::default());
    let loss = || BinaryCrossentropy::default().from_logits(true);
    let refused = logits.compile(Sgd::default(), loss(), [metric]).unwrap_err();
    assert!(matches!(refused, Error::LossMismatch { .. }), "{refused}");
    logits.compile(Sgd::default(), loss(), [LossMetric::new(loss())]).unwrap();
    let refused = prices.compile(Sgd::default(), MeanSquaredError::default(), [Auc::default()]).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("Auc: the outputs are not known to be probabilities (1 output with linear, loss")
    );
}
