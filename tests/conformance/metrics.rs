//! Figures of predictions.

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
    let (inputs, mut metric): (&str, Box<dyn Metric<T>>) = match name {
        "binary_accuracy" => ("binary", Box::new(Accuracy::default())),
        "categorical_accuracy" | "sparse_categorical_accuracy" => ("multi", Box::new(Accuracy::default())),
        _ => return Ok(None),
    };
    let y_true = case.tensor::<T>(&format!("{inputs}_true"))?;
    let y_pred = case.tensor::<T>(&format!("{inputs}_pred"))?;
    metric.check(y_true.shape(), y_pred.shape()).map_err(|e| e.to_string())?;
    metric.update(&y_true, &y_pred, None);
    Ok(Some(metric.result()))
}
