//! Half the squared error.

use super::{Loss, LossConfig};
use crate::tensor::Float;

/// loss = ½ Σ (ŷ − y)² along a row: the textbook's form, whose gradient is the plain error.
///
/// Gradient: dŷ = ŷ − y. Unlike [`MeanSquaredError`](super::MeanSquaredError) it grows with the length of a row; a batch is
/// averaged over its rows as always. Keras has no such loss; Rumelhart, Hinton, Williams 1986.
///
/// ```
/// use gradus::prelude::*;
/// let loss = HalfSquaredError::default();
/// assert_eq!(loss.value(&[1.0f64, 2.0], &[2.0, 5.0]), 5.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct HalfSquaredError {}

impl<T: Float> Loss<T> for HalfSquaredError {
    fn name(&self) -> &'static str {
        "half_squared_error"
    }

    fn config(&self) -> LossConfig {
        LossConfig::HalfSquaredError(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        if y_true.len() != y_pred.len() {
            return T::nan();
        }
        T::of(0.5) * y_true.iter().zip(y_pred).map(|(&t, &p)| (p - t) * (p - t)).sum::<T>()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        if y_true.len() != y_pred.len() {
            return dy.fill(T::nan());
        }
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
        let (t, p) = (Tensor::from([[0.3, -1.0], [1.0, 0.5]]), Tensor::from([[0.1, 0.2], [2.0, -3.0]]));
        gradcheck::check_loss(&HalfSquaredError::default(), &t, &p).unwrap();
        let mut dy = [f32::NAN; 2];
        let value = HalfSquaredError::default().value_and_gradient(&[1.0, 2.0], &[3.0, 2.0], 1.0, &mut dy);
        assert_eq!((value, dy), (2.0, [2.0, 0.0]));
    }
}
