//! A loss as a metric.

use super::{Mean, Metric, MetricConfig, Outputs, rows};
use crate::error::Result;
use crate::losses::Loss;
use crate::tensor::{Float, Shape, Tensor};

/// The weighted mean of a loss over all rows: Keras's `MeanSquaredError`, `MeanAbsoluteError`, `CategoricalCrossentropy` and
/// other metrics of that kind, under the loss's name. `compile` and `fit` refuse it where they would refuse the loss itself: a
/// cross-entropy of probabilities behind logits, targets out of its range.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([[1.0f32], [2.0]]), Tensor::from([[1.5], [2.0]]));
/// assert_eq!(LossMetric::new(MeanAbsoluteError::default()).score(&y_true, &y_pred, None)?, 0.25);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LossMetric<L> {
    loss: L,
}

impl<L> LossMetric<L> {
    /// The metric of a loss.
    pub fn new(loss: L) -> Self {
        LossMetric { loss }
    }
}

impl<T: Float, L: Loss<T>> Metric<T> for LossMetric<L> {
    fn name(&self) -> String {
        self.loss.name().into()
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::LossMetric(Box::new(self.loss.config()))
    }

    fn sums(&self, _: Shape) -> usize {
        Mean::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let ignored = self.loss.ignored_class().map(T::of);
        for (t, p, w) in rows(y_true, y_pred, weights) {
            if t.len() != p.len() && ignored.is_some_and(|class| t == [class]) {
                continue;
            }
            Mean::add(sums, self.loss.value(t, p).as_f64(), w);
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        Mean::result(sums)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        self.loss.check(y_true, y_pred)
    }

    fn prepare(&mut self, outputs: &Outputs) -> Result<()> {
        outputs.activation.map_or(Ok(()), |activation| self.loss.check_activation(activation, outputs.width))
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        self.loss.check_targets(y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::{CategoricalCrossentropy, MeanSquaredError};

    #[test]
    fn weights() {
        let m = LossMetric::new(MeanSquaredError::default());
        let (t, p) = (Tensor::from([[0.0f64, 0.0], [1.0, 1.0]]), Tensor::from([[1.0, 1.0], [1.0, 3.0]]));
        assert_eq!(m.score(&t, &p, Some(&[3.0, 1.0])).unwrap(), 1.25);
        assert_eq!(Metric::<f64>::name(&m), "mean_squared_error");
    }

    #[test]
    fn shapes_are_the_loss_s() {
        let m = LossMetric::new(CategoricalCrossentropy::default());
        assert!(Metric::<f32>::check(&m, Shape::from([4]), Shape::from([4, 3])).is_ok());
        assert!(Metric::<f32>::check(&m, Shape::from([4, 2]), Shape::from([4, 3])).is_err());
    }
}
