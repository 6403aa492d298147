//! Cosine similarity as a loss.

use super::{EPSILON, Loss, LossConfig};
use crate::kernels::rows;
use crate::tensor::Float;

/// loss = −Σ uᵢ·vᵢ with u = y/|y|, v = ŷ/|ŷ|: −1 for equal directions, 0 at right angles, 1 for opposite ones.
///
/// Lengths below 1e-7 count as 1e-7, so a row of zeros has loss 0; those whose squares overflow are right. Gradient: dŷ = (v·Σuv − u)/|ŷ|. Keras
/// `CosineSimilarity` (as a loss, so with the sign turned); the metric with Keras's sign is
/// [`CosineScore`](crate::metrics::CosineScore). PyTorch `CosineEmbeddingLoss` − 1 for the target 1.
///
/// ```
/// use gradus::prelude::*;
/// let loss = CosineSimilarity::default();
/// assert!((loss.value(&[0.0f64, 2.0], &[3.0, 4.0]) + 0.8).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CosineSimilarity {}

/// max(|v|, 1e-7), and whether the length is the vector's own.
fn length<T: Float>(v: &[T]) -> (T, bool) {
    let length = rows::norm_from(v.iter().map(|&v| v * v).sum::<T>(), v);
    let low = T::of(EPSILON);
    if length < low { (low, false) } else { (length, true) }
}

impl<T: Float> Loss<T> for CosineSimilarity {
    fn name(&self) -> &'static str {
        "cosine_similarity"
    }

    fn config(&self) -> LossConfig {
        LossConfig::CosineSimilarity(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        if y_true.len() != y_pred.len() {
            return T::nan();
        }
        let [(t_length, _), (p_length, _)] = [length(y_true), length(y_pred)];
        let each = y_true.iter().zip(y_pred);
        if (t_length * p_length).is_finite() {
            return -each.map(|(&t, &p)| t * p).sum::<T>() / t_length / p_length;
        }
        -each.map(|(&t, &p)| t / t_length * (p / p_length)).sum::<T>()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        if y_true.len() != y_pred.len() {
            return dy.fill(T::nan());
        }
        let ((t_length, _), (p_length, own)) = (length(y_true), length(y_pred));
        // A length held at 1e-7 does not change with ŷ.
        let cosine = if own { -self.value(y_true, y_pred) } else { T::zero() };
        for ((d, &t), &p) in dy.iter_mut().zip(y_true).zip(y_pred) {
            *d = scale * (p / p_length * cosine - t / t_length) / p_length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, gradcheck};

    #[test]
    fn gradient_and_zeros() {
        let (t, p) = (Tensor::from([[0.3, -1.0], [0.0, 0.0]]), Tensor::from([[0.1, 0.9], [2.2, -3.0]]));
        gradcheck::check_loss(&CosineSimilarity::default(), &t, &p).unwrap();
        let mut dy = [f32::NAN; 2];
        CosineSimilarity::default().gradient(&[1.0, 0.0], &[0.0, 0.0], 1.0, &mut dy);
        assert!(dy.iter().all(|d| d.is_finite()));
        assert_eq!(CosineSimilarity::default().value(&[1.0f32, 0.0], &[0.0, 0.0]), 0.0);
    }
}
