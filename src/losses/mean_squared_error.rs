//! Mean squared error.

use super::{Loss, LossConfig, mean_of};
use crate::tensor::Float;

/// loss = (1/n) Σ (ŷ − y)², n the length of a row.
///
/// Gradient: dŷ = 2(ŷ − y)/n. Keras `MeanSquaredError`, PyTorch `MSELoss`.
///
/// ```
/// use gradus::prelude::*;
/// let loss = MeanSquaredError::default();
/// assert_eq!(loss.value(&[1.0f64, 2.0], &[1.0, 4.0]), 2.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct MeanSquaredError {}

impl<T: Float> Loss<T> for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean_squared_error"
    }

    fn config(&self) -> LossConfig {
        LossConfig::MeanSquaredError(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        mean_of(y_true, y_pred, |t, p| (p - t) * (p - t))
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        if y_true.len() != y_pred.len() {
            return dy.fill(T::nan());
        }
        let scale = scale * T::of(2.0 / y_pred.len() as f64);
        for ((d, &t), &p) in dy.iter_mut().zip(y_true).zip(y_pred) {
            *d = scale * (p - t);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, gradcheck};

    #[test]
    fn gradient() {
        let (t, p) =
            (Tensor::from([[0.3, -1.0, 2.0], [1.0, 0.0, 0.5]]), Tensor::from([[0.1, 0.2, 0.3], [2.0, 1.0, 0.0]]));
        gradcheck::check_loss(&MeanSquaredError::default(), &t, &p).unwrap();
    }
}
