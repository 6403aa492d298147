//! The part of yes–no outputs that are right.

use super::outputs::{Outputs, Threshold};
use super::{Mean, Metric, MetricConfig, pairs, rows};
use crate::error::Result;
use crate::losses::same_shape;
use crate::tensor::{Float, Shape, Tensor};

/// The mean over all outputs of whether (ŷ > threshold) is the label, each output a yes–no question of its own.
///
/// A label counts as yes above 0.5, so that 0 and 1, −1 and 1, and soft labels all work (Keras counts labels other than 0 and 1 as
/// wrong). The threshold is 0.5, in a model compiled with `from_logits(true)` or a hinge loss 0. A prediction of NaN is wrong.
/// Weights are one a row. Keras `BinaryAccuracy`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([[0.0f32, 1.0], [1.0, 1.0]]), Tensor::from([[0.2, 0.8], [0.4, 0.6]]));
/// assert_eq!(BinaryAccuracy::default().score(&y_true, &y_pred, None)?, 0.75);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct BinaryAccuracy {
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Threshold::is_open"))]
    threshold: Threshold,
}

impl BinaryAccuracy {
    /// The output above which the answer is yes; by default 0.5, or 0 where `compile` finds logits or margins.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold.given = Some(threshold);
        self
    }
}

impl<T: Float> Metric<T> for BinaryAccuracy {
    fn name(&self) -> String {
        "binary_accuracy".into()
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::BinaryAccuracy(self.clone())
    }

    fn sums(&self, _: Shape) -> usize {
        Mean::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let (link, threshold) = self.threshold.rule();
        for (t, p, w) in rows(y_true, y_pred, weights) {
            let link = link.of_row(p);
            let right = pairs(t, p).filter(|(t, p)| !t.is_nan() && !p.is_nan() && (link(*p) > threshold) == (*t > 0.5));
            Mean::add(sums, right.count() as f64 / p.len() as f64, w);
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        Mean::result(sums)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        self.threshold.check("BinaryAccuracy")?;
        same_shape("BinaryAccuracy", y_true, y_pred)
    }

    fn prepare(&mut self, outputs: &Outputs) -> Result<()> {
        self.threshold.prepare("BinaryAccuracy", outputs)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        self.threshold.check_targets("BinaryAccuracy", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_and_weights() {
        let a = BinaryAccuracy::default().threshold(0.7);
        let (y, p) = (Tensor::from([[1.0], [0.0], [1.0]]), Tensor::from([[0.9f64], [0.6], [0.7]]));
        assert_eq!(a.score(&y, &p, Some(&[1.0, 2.0, 1.0])).unwrap(), 0.75);
        assert!(Metric::<f32>::check(&a, Shape::from([2]), Shape::from([2, 2])).is_err());
    }
}
