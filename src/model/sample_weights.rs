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

/// The weights of samples or of their steps, which have been checked, times those of classes, for outputs of a shape; empty where all
/// are 1.
pub(crate) fn sample_weights<T: Float>(
    y: &Tensor<T>,
    output: Shape,
    samples: Option<&[T]>,
    classes: Option<&[f64]>,
) -> Result<Vec<T>> {
    check_classes(classes)?;
    let mut weights = samples.unwrap_or_default().to_vec();
    if let Some(classes) = classes {
        weigh(y, output, classes, &mut weights)?;
    }
    Ok(weights)
}

/// As many weights, or places of a mask, as samples, or as their steps. `output` is the shape of an output sample: its steps are the
/// places along its first axes, of which the loss takes the last for a row.
pub(crate) fn check_steps(op: &'static str, what: &str, n: usize, output: Shape, len: usize, hint: &str) -> Result<()> {
    let axes = output.rank().saturating_sub(1);
    let steps = |axes: usize| output.dims()[..axes].iter().fold(1, |steps: usize, &size| steps.saturating_mul(size));
    if !(0..=axes).any(|axes| n.saturating_mul(steps(axes)) == len) {
        let mut expected = format!("{n} {what}, one for each sample");
        for axes in 1..=axes {
            let sizes: Vec<_> = output.dims()[..axes].iter().map(ToString::to_string).collect();
            let all = n.saturating_mul(steps(axes));
            expected += &format!(", or {all}, one for each of {} steps", sizes.join(" × "));
        }
        return Err(Error::shape(op, expected, len, format!("{hint}; outputs are of shape {}", output.of_samples())));
    }
    Ok(())
}

/// One weight a sample, or one for each of its steps, all of them finite and not negative.
pub(crate) fn check_weights<T: Float>(op: &'static str, n: usize, output: Shape, weights: &[T]) -> Result<()> {
    check_steps(op, "weights", n, output, weights.len(), "pass a weight for every sample of x")?;
    match weights.iter().enumerate().find(|(_, w)| bad(w.as_f64())) {
        None => Ok(()),
        Some((i, w)) => {
            let each = weights.len() / n.max(1);
            let step = if each > 1 { format!(", step {}", i % each) } else { String::new() };
            let hint = format!("correct the weight of sample {}{step}", i / each.max(1));
            Err(Error::argument(op, "sample_weight", "finite and not negative", w, hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_samples_and_of_steps() {
        let check = |n: usize, output: Shape| check_weights("fit", 2, output, &vec![1.0f64; n]);
        let steps = Shape::from([3, 4, 5]);
        for n in [2, 6, 24] {
            check(n, steps).unwrap();
        }
        assert_eq!(
            check(8, steps).unwrap_err().to_string(),
            "fit: expected 2 weights, one for each sample, or 6, one for each of 3 steps, or 24, one for each of 3 × 4 steps, got 8; \
             pass a weight for every sample of x; outputs are of shape [n, 3, 4, 5]"
        );
        assert!(
            check(10, Shape::from([5])).unwrap_err().to_string().contains("2 weights, one for each sample, got 10")
        );
        check(2, Shape::SCALAR).unwrap();
        let error = check_weights("fit", 2, Shape::from([3, 1]), &[1.0, 1.0, 1.0, 1.0, 1.0, -1.0f64]).unwrap_err();
        assert!(error.to_string().contains("correct the weight of sample 1, step 2"), "{error}");
    }
}
