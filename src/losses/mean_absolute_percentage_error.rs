//! Mean absolute percentage error.

use super::{EPSILON, Loss, LossConfig, mean_gradient, mean_of, sign};
use crate::tensor::Float;

/// loss = (100/n) Σ |ŷ − y| / max(|y|, 1e-7), n the length of a row.
///
/// Gradient: dŷ = 100·sign(ŷ − y) / (n·max(|y|, 1e-7)). Targets near 0 make it enormous. Keras
/// `MeanAbsolutePercentageError`.
///
/// ```
/// use gradus::prelude::*;
/// let loss = MeanAbsolutePercentageError::default();
/// assert_eq!(loss.value(&[2.0f64, 4.0], &[3.0, 4.0]), 25.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct MeanAbsolutePercentageError {}

/// 100 / max(|y|, 1e-7)
fn percent<T: Float>(t: T) -> T {
    T::of(100.0) / t.abs().max(T::of(EPSILON))
}

impl<T: Float> Loss<T> for MeanAbsolutePercentageError {
    fn name(&self) -> &'static str {
        "mean_absolute_percentage_error"
    }

    fn config(&self) -> LossConfig {
        LossConfig::MeanAbsolutePercentageError(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        mean_of(y_true, y_pred, |t, p| percent(t) * (p - t).abs())
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        mean_gradient(y_true, y_pred, scale, dy, |t, p| percent(t) * sign(p - t));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, gradcheck};

    #[test]
    fn gradient() {
        let (t, p) = (Tensor::from([[0.3, -1.0], [1.0, 2.0]]), Tensor::from([[0.1, 0.2], [2.0, -3.0]]));
        gradcheck::check_loss(&MeanAbsolutePercentageError::default(), &t, &p).unwrap();
        assert_eq!(MeanAbsolutePercentageError::default().value(&[4.0f32], &[3.0]), 25.0);
    }
}
