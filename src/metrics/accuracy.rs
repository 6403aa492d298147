//! The part of samples that are classified rightly.

use super::outputs::{Outputs, Threshold, check_one_class};
use super::{Mean, Metric, MetricConfig, class_hit, rows};
use crate::error::Result;
use crate::losses;
use crate::tensor::{Float, Shape, Tensor};

/// The part of rows whose predicted class is the true one.
///
/// Which form is taken follows from the shapes, as with Keras's `"accuracy"`: several predictions a row compare the position
/// of the largest with the class number or the one-hot row; one prediction a row counts as class 1 above 0.5, in a model compiled
/// with `from_logits(true)` or a hinge loss above 0, and labels above 0.5 are class 1. A prediction of NaN is wrong.
///
/// Keras `Accuracy`, `BinaryAccuracy`, `CategoricalAccuracy`, `SparseCategoricalAccuracy`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([[0.0f32, 1.0], [1.0, 0.0]]), Tensor::from([[0.2, 0.8], [0.4, 0.6]]));
/// assert_eq!(Accuracy::default().score(&y_true, &y_pred, None)?, 0.5);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Accuracy {
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Threshold::is_open"))]
    threshold: Threshold,
}

impl Accuracy {
    /// The prediction above which a single output counts as class 1; by default 0.5, or 0 where `compile` finds logits or margins.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold.given = Some(threshold);
        self
    }
}

impl<T: Float> Metric<T> for Accuracy {
    fn name(&self) -> String {
        "accuracy".into()
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::Accuracy(self.clone())
    }

    fn sums(&self, _: Shape) -> usize {
        Mean::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        // A softmax is of several outputs.
        let (_, threshold) = self.threshold.rule();
        for (t, p, w) in rows(y_true, y_pred, weights) {
            let right = match (t, p) {
                ([t, ..], [p]) => !t.is_nan() && !p.is_nan() && (p.as_f64() > threshold) == (t.as_f64() > 0.5),
                _ => class_hit(t, p),
            };
            Mean::add(sums, f64::from(right), w);
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        Mean::result(sums)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        self.threshold.check("Accuracy")?;
        losses::classes_or_rows("Accuracy", y_true, y_pred)
    }

    fn prepare(&mut self, outputs: &Outputs) -> Result<()> {
        if outputs.width > 1 { Ok(()) } else { self.threshold.prepare("Accuracy", outputs) }
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        if y_pred.last() > 1 {
            return check_one_class("Accuracy", y_true, y_pred);
        }
        self.threshold.check_targets("Accuracy", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_with_weights() {
        let (y, p) = (Tensor::from([1.0, 0.0, 1.0]), Tensor::from([[0.9], [0.8], [0.5f64]]));
        assert_eq!(Accuracy::default().score(&y, &p, Some(&[1.0, 2.0, 1.0])).unwrap(), 0.25);
        assert!(Accuracy::default().score(&y, &p, Some(&[1.0, 2.0])).unwrap_err().is_shape());
    }
}
