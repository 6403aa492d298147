//! Mean absolute error.

use super::{Loss, LossConfig, mean_gradient, mean_of, sign};
use crate::tensor::Float;

/// loss = (1/n) Σ |ŷ − y|, n the length of a row.
///
/// Gradient: dŷ = sign(ŷ − y)/n, 0 where they are equal. Less drawn to outliers than the square. Keras `MeanAbsoluteError`,
/// PyTorch `L1Loss`.
///
/// ```
/// use gradus::prelude::*;
/// let loss = MeanAbsoluteError::default();
/// assert_eq!(loss.value(&[1.0f64, 2.0], &[1.5, 0.0]), 1.25);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct MeanAbsoluteError {}

impl<T: Float> Loss<T> for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mean_absolute_error"
    }

    fn config(&self) -> LossConfig {
        LossConfig::MeanAbsoluteError(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        mean_of(y_true, y_pred, |t, p| (p - t).abs())
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        mean_gradient(y_true, y_pred, scale, dy, |t, p| sign(p - t));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, gradcheck};

    #[test]
    fn gradient() {
        let (t, p) = (Tensor::from([[0.3, -1.0], [1.0, 0.0]]), Tensor::from([[0.1, 0.2], [2.0, -3.0]]));
        gradcheck::check_loss(&MeanAbsoluteError::default(), &t, &p).unwrap();
        let mut dy = [f32::NAN; 2];
        MeanAbsoluteError::default().gradient(&[1.0, 2.0], &[1.0, 1.0], 1.0, &mut dy);
        assert_eq!(dy, [0.0, -0.5]);
    }
}
