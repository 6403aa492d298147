//! Weights of samples and classes.

use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

fn bad(weight: f64) -> bool {
    !weight.is_finite() || weight < 0.0
}

pub(super) fn check_classes(classes: Option<&[f64]>) -> Result<()> {
    match classes.unwrap_or_default().iter().enumerate().find(|(_, w)| bad(**w)) {
        None => Ok(()),
        Some((class, w)) => {
            let hint = format!("correct the weight of class {class}");
            Err(Error::argument("fit", "class_weight", "finite and not negative", w, hint))
        }
    }
}

/// The weight of every sample; empty where all are 1.
pub(crate) fn sample_weights<T: Float>(
    y: &Tensor<T>,
    samples: Option<&[T]>,
    classes: Option<&[f64]>,
) -> Result<Vec<T>> {
    let n = y.samples();
    if let Some(samples) = samples {
        check_weights("fit", n, samples)?;
    }
    check_classes(classes)?;
    let mut weights = samples.unwrap_or_default().to_vec();
    if let Some(classes) = classes {
        weigh(y, classes, &mut weights)?;
    }
    Ok(weights)
}

/// One weight a sample, each of them finite and not negative.
pub(crate) fn check_weights<T: Float>(op: &'static str, n: usize, weights: &[T]) -> Result<()> {
    if weights.len() != n {
        let expected = format!("{n} weights, one for each sample");
        return Err(Error::shape(op, expected, weights.len(), "pass a weight for every sample of x"));
    }
    match weights.iter().enumerate().find(|(_, w)| bad(w.as_f64())) {
        None => Ok(()),
        Some((i, w)) => {
            let hint = format!("correct the weight of sample {i}");
            Err(Error::argument(op, "sample_weight", "finite and not negative", w, hint))
        }
    }
}

/// Multiplies the weight of each sample by that of its class.
pub(super) fn weigh<T: Float>(y: &Tensor<T>, classes: &[f64], weights: &mut Vec<T>) -> Result<()> {
    if weights.is_empty() {
        weights.resize(y.samples(), T::one());
    }
    for (i, weight) in weights.iter_mut().enumerate() {
        let row = y.row(i);
        let largest = || (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best });
        let class = if row.len() == 1 { row[0].as_f64() } else { largest() as f64 };
        let factor = if class.fract() == 0.0 && class >= 0.0 { classes.get(class as usize) } else { None };
        *weight *= T::of(*factor.ok_or_else(|| Error::Label {
            op: "fit",
            row: i,
            expected: format!(
                "a class number from 0 to {}, which class_weight has weights for",
                classes.len().max(1) - 1
            ),
            got: class.to_string(),
            hint: "give every class a weight".into(),
        })?);
    }
    Ok(())
}
