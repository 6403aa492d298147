//! Every metric against Keras's value, in f64 and f32, in one batch and in several.

mod support;

use gradus::prelude::*;
use safetensors::SafeTensors;
use support::{error, read, tensor};

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
