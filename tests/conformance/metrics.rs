//! Figures of predictions.

use gradus::losses::*;
use gradus::metrics::*;
use gradus::{Float, Metric};

use crate::case::{Case, Errors, Outcome};

pub fn run(case: &mut Case, errors: &mut Errors) -> Outcome {
    let names = case.names("value.");
    if names.is_empty() {
        return Err("no value.NAME".into());
    }
    for name in names {
        let Some(values) = value::<f64>(case, &name)? else { return Err(format!("{name} is not a known metric")) };
        let expected = case.tensor::<f64>(&format!("value.{name}"))?;
        errors.check(&name, &[values], expected.as_slice(), 1e-9)?;
        let single = value::<f32>(case, &name)?.unwrap_or(f64::NAN) as f32;
        errors.check(&name, &[single], expected.as_slice(), 1e-9)?;
    }
    Ok(None)
}

/// The metric of this name over the inputs that it is for.
fn value<T: Float>(case: &Case, name: &str) -> Result<Option<f64>, String> {
    let Some((inputs, metric)) = metric::<T>(name) else { return Ok(None) };
    let y_true = case.tensor::<T>(&format!("{inputs}_true"))?;
    let mut y_pred = case.tensor::<T>(&format!("{inputs}_pred"))?;
    if y_pred.shape().rank() == 1 {
        // One prediction a sample.
        let n = y_pred.len();
        y_pred = y_pred.reshape([n, 1]).map_err(|e| e.to_string())?;
    }
    metric.score(&y_true, &y_pred, None).map(Some).map_err(|e| e.to_string())
}

fn metric<T: Float>(name: &str) -> Option<(&'static str, Box<dyn Metric<T>>)> {
    let f1 = |average| Box::new(F1Score::default().average(average));
    Some(match name {
        "auc_roc" => ("binary", Box::new(Auc::default())),
        "auc_pr" => ("binary", Box::new(Auc::default().curve(Curve::PrecisionRecall))),
        "binary_accuracy" => ("binary", Box::new(BinaryAccuracy::default())),
        "precision" => ("binary", Box::new(Precision::default())),
        "recall" => ("binary", Box::new(Recall::default())),
        "binary_crossentropy" => ("binary", Box::new(LossMetric::new(BinaryCrossentropy::default()))),
        "categorical_accuracy" => ("multi", Box::new(CategoricalAccuracy::default())),
        "sparse_categorical_accuracy" => ("multi", Box::new(SparseCategoricalAccuracy::default())),
        "categorical_crossentropy" | "sparse_categorical_crossentropy" => {
            ("multi", Box::new(LossMetric::new(CategoricalCrossentropy::default())))
        }
        "f1_macro" => ("multi", f1(Average::Macro)),
        "f1_micro" => ("multi", f1(Average::Micro)),
        "f1_weighted" => ("multi", f1(Average::Weighted)),
        "mae" => ("regression", Box::new(LossMetric::new(MeanAbsoluteError::default()))),
        "mape" => ("regression", Box::new(LossMetric::new(MeanAbsolutePercentageError::default()))),
        "mse" => ("regression", Box::new(LossMetric::new(MeanSquaredError::default()))),
        "msle" => ("regression", Box::new(LossMetric::new(MeanSquaredLogarithmicError::default()))),
        "log_cosh" => ("regression", Box::new(LossMetric::new(LogCosh::default()))),
        "rmse" => ("regression", Box::new(RootMeanSquaredError::default())),
        "r2" => ("regression", Box::new(R2Score::default())),
        "cosine_similarity" => ("regression", Box::new(CosineScore::default())),
        // top2, top3 …
        _ => ("multi", Box::new(TopKAccuracy::default().k(name.strip_prefix("top")?.parse().ok()?))),
    })
}
