//! The root of the mean squared error.

use super::{Mean, Metric, pairs, rows};
use crate::error::Result;
use crate::losses::same_shape;
use crate::tensor::{Float, Shape, Tensor};

/// √(mean (ŷ − y)²) over all values of all rows, in the targets' unit. Keras `RootMeanSquaredError`.
///
/// ```
/// use gradus::prelude::*;
/// let mut rmse = RootMeanSquaredError::default();
/// rmse.update(&Tensor::from([[1.0f32], [2.0]]), &Tensor::from([[1.0], [4.0]]), None);
/// assert_eq!(Metric::<f32>::result(&rmse), 2f64.sqrt());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RootMeanSquaredError {
    mean: Mean,
}

impl<T: Float> Metric<T> for RootMeanSquaredError {
    fn name(&self) -> String {
        "root_mean_squared_error".into()
    }

    fn update(&mut self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            for (t, p) in pairs(t, p) {
                self.mean.add((p - t).powi(2), w);
            }
        }
    }

    fn result(&self) -> f64 {
        self.mean.result().sqrt()
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
        same_shape("RootMeanSquaredError", y_true, y_pred)
    }

    fn fresh(&self) -> Box<dyn Metric<T>> {
        Box::new(RootMeanSquaredError::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        let mut m = RootMeanSquaredError::default();
        m.update(&Tensor::from([0.0f64, 0.0]), &Tensor::from([[2.0], [4.0]]), Some(&[3.0, 1.0]));
        assert_eq!(Metric::<f64>::result(&m), 7f64.sqrt());
        assert!(Metric::<f64>::check(&m, Shape::from([2, 2]), Shape::from([2, 1])).is_err());
    }
}
