//! The categorical hinge loss.

use super::{Loss, LossConfig, check_classes, class_target, classes_or_rows, expected, margin_activation};
use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = max(neg − pos + 1, 0) with pos = Σ yᵢ·ŷᵢ and neg = max (1 − yᵢ)·ŷᵢ over the classes: the true class's score is to
/// lead by 1. Targets are one-hot rows or class numbers.
///
/// Gradient where the loss is not cut off: dŷ = (1 − y)/k at the k places of the largest (1 − y)·ŷ, minus y everywhere.
/// Keras `CategoricalHinge`; PyTorch `MultiMarginLoss` sums over all classes instead.
///
/// ```
/// use gradus::prelude::*;
/// let loss = CategoricalHinge::default();
/// assert_eq!(loss.value(&[0.0f64, 1.0, 0.0], &[0.5, 1.0, 0.25]), 0.5);
/// assert_eq!(loss.value(&[1.0f64], &[0.5, 1.0, 0.25]), 0.5);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CategoricalHinge {}

/// (neg, pos) and the number of places where neg is reached.
fn margins<T: Float>(y_true: &[T], y_pred: &[T]) -> (T, T, usize) {
    let (mut neg, mut pos, mut count) = (T::neg_infinity(), T::zero(), 0);
    for (i, &p) in y_pred.iter().enumerate() {
        let t = class_target(y_true, y_pred.len(), i);
        // Without an infinite score of a class that has no part in the sum.
        let other = expected(T::one() - t, || p);
        if other > neg {
            (neg, count) = (other, 0);
        }
        count += usize::from(other == neg);
        pos += expected(t, || p);
    }
    (neg, pos, count)
}

impl<T: Float> Loss<T> for CategoricalHinge {
    fn name(&self) -> &'static str {
        "categorical_hinge"
    }

    fn config(&self) -> LossConfig {
        LossConfig::CategoricalHinge(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        let (neg, pos, _) = margins(y_true, y_pred);
        let short = neg - pos + T::one();
        if short < T::zero() { T::zero() } else { short }
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        let (neg, pos, count) = margins(y_true, y_pred);
        if neg - pos + T::one() < T::zero() {
            return dy.fill(T::zero());
        }
        // Equals share the slope of the maximum.
        let inv_count = T::of(1.0 / count.max(1) as f64);
        for (i, (d, &p)) in dy.iter_mut().zip(y_pred).enumerate() {
            let t = class_target(y_true, y_pred.len(), i);
            let other = T::one() - t;
            let largest = if expected(other, || p) == neg { inv_count * other } else { T::zero() };
            *d = scale * (largest - t);
        }
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        classes_or_rows("CategoricalHinge", y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        check_classes("CategoricalHinge", y_true, y_pred)
    }

    fn check_activation(&self, activation: Activation, _width: usize) -> Result<()> {
        margin_activation("CategoricalHinge", activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradient() {
        let p = Tensor::from([[0.2, 0.5, 0.4], [-0.6, 0.1, 5.0]]);
        let one_hot = Tensor::from([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        for y in [one_hot, Tensor::from_labels(&[1, 2]), Tensor::from([[0.2, 0.6, 0.2], [0.1, 0.8, 0.1]])] {
            gradcheck::check_loss(&CategoricalHinge::default(), &y, &p).unwrap();
        }
        let mut dy = [f32::NAN; 3];
        CategoricalHinge::default().gradient(&[0.0], &[1.0, 2.0, 2.0], 1.0, &mut dy);
        assert_eq!(dy, [-1.0, 0.5, 0.5]);
    }
}
