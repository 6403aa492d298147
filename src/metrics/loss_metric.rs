//! A loss as a metric.

use super::{Mean, Metric, rows};
use crate::error::Result;
use crate::losses::Loss;
use crate::tensor::{Float, Shape, Tensor};

/// The weighted mean of a loss over all rows: Keras's `MeanSquaredError`, `MeanAbsoluteError`, `CategoricalCrossentropy` and
/// other metrics of that kind, under the loss's name.
///
/// ```
/// use gradus::prelude::*;
/// let mut mae = LossMetric::new(MeanAbsoluteError::default());
/// Metric::<f32>::update(&mut mae, &Tensor::from([[1.0], [2.0]]), &Tensor::from([[1.5], [2.0]]), None);
/// assert_eq!(Metric::<f32>::result(&mae), 0.25);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LossMetric<L> {
    loss: L,
    mean: Mean,
}

impl<L> LossMetric<L> {
    /// The metric of a loss.
    pub fn new(loss: L) -> Self {
        LossMetric { loss, mean: Mean::default() }
    }
}

impl<T: Float, L: Loss<T> + Clone + 'static> Metric<T> for LossMetric<L> {
    fn name(&self) -> String {
        self.loss.name().into()
    }

    fn update(&mut self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            self.mean.add(self.loss.value(t, p).as_f64(), w);
        }
    }

    fn result(&self) -> f64 {
        self.mean.result()
    }

    fn reset(&mut self) {
        self.mean = Mean::default();
    }

    fn totals(&self) -> Vec<f64> {
        self.mean.totals()
    }

    fn set_totals(&mut self, totals: &[f64]) -> bool {
        self.mean.set_totals(totals)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        self.loss.check(y_true, y_pred)
    }

    fn fresh(&self) -> Box<dyn Metric<T>> {
        Box::new(LossMetric::new(self.loss.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::{CategoricalCrossentropy, MeanSquaredError};

    #[test]
    fn weights_and_reset() {
        let mut m = LossMetric::new(MeanSquaredError::default());
        let (t, p) = (Tensor::from([[0.0f64, 0.0], [1.0, 1.0]]), Tensor::from([[1.0, 1.0], [1.0, 3.0]]));
        m.update(&t, &p, Some(&[3.0, 1.0]));
        assert_eq!(Metric::<f64>::result(&m), 1.25);
        assert_eq!(Metric::<f64>::name(&m), "mean_squared_error");
        Metric::<f64>::reset(&mut m);
        assert_eq!(Metric::<f64>::result(&m), 0.0);
    }

    #[test]
    fn shapes_are_the_loss_s() {
        let m = LossMetric::new(CategoricalCrossentropy::default());
        assert!(Metric::<f32>::check(&m, Shape::from([4]), Shape::from([4, 3])).is_ok());
        assert!(Metric::<f32>::check(&m, Shape::from([4, 2]), Shape::from([4, 3])).is_err());
    }
}
