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
    for (kind, name, mut metric) in metrics {
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
                metric.reset();
                let mut start = 0;
                while start < t.samples() {
                    let end = (start + part).min(t.samples());
                    let ones = vec![T::one(); end - start];
                    let weights = (part == 2).then_some(&ones[..]);
                    metric.update(&t.rows(start..end).unwrap(), &p.rows(start..end).unwrap(), weights);
                    start = end;
                }
                let got = metric.result();
                assert!(error(got, expected) <= tolerance, "{name}: {got} {expected}");
            }
        }
        assert_eq!(metric.fresh().result(), 0.0, "{name}");
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
    for mut metric in accuracies {
        for y in [Tensor::zeros([3]), Tensor::from([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])] {
            metric.reset();
            metric.update(&y, &rows, None);
            assert_eq!(metric.result(), 1.0 / 3.0, "{}", metric.name());
        }
    }
    let (mut one, mut each) = (Accuracy::default(), BinaryAccuracy::default());
    let (y, p) = (Tensor::from([[0.0], [0.0], [1.0], [nan]]), Tensor::from([[nan], [0.1], [nan], [0.1]]));
    one.update(&y, &p, None);
    each.update(&y, &p, None);
    assert_eq!((Metric::<f32>::result(&one), Metric::<f32>::result(&each)), (0.25, 0.25));
}

#[test]
fn lengths_that_do_not_fit_do_not_panic() {
    let p = Tensor::full([4, 2], 0.6);
    for mut metric in every() {
        let name = metric.name();
        for y in [Tensor::zeros([0]), Tensor::zeros([3]), Tensor::zeros([9])] {
            metric.update(&y, &p, None);
            assert!(metric.result().is_nan() || name.starts_with("auc"), "{name} {}", metric.result());
            metric.reset();
        }
        for n in [0, 3, 8] {
            metric.update(&Tensor::full([4, 2], 1.0), &p, Some(&vec![1.0; n]));
            assert!(metric.result().is_nan() || name.starts_with("auc"), "{name} {}", metric.result());
            metric.reset();
        }
        for y in [Tensor::zeros([4, 3]), Tensor::zeros([4, 1]), Tensor::zeros([4, 2, 5])] {
            metric.update(&y, &p, Some(&[1.0, 2.0]));
            metric.update(&y, &Tensor::zeros([4, 3, 1]), None);
            metric.update(&y, &Tensor::zeros([0, 3]), None);
            metric.update(&y, &Tensor::zeros([5]), None);
            let _ = metric.result();
        }
        metric.reset();
        assert!(metric.result().is_finite(), "{name}");
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
