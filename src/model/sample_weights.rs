//! Weights of samples and classes.

use super::checks::weigh;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

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

/// The weight of every sample, for outputs of a shape; empty where all are 1.
pub(crate) fn sample_weights<T: Float>(
    y: &Tensor<T>,
    output: Shape,
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
        weigh(y, output, classes, &mut weights)?;
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
