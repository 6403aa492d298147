//! The squared hinge loss.

use super::{Loss, LossConfig, check_margins, margin_activation, margin_label, mean_gradient, mean_of};
use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = (1/n) Σ max(1 − y·ŷ, 0)² with labels y of −1 or 1, or of 0 or 1, where 0 counts as −1; n the length of a row.
///
/// Gradient: dŷ = −2y·max(1 − y·ŷ, 0)/n. Like [`Hinge`](super::Hinge), but smooth. Keras `SquaredHinge`.
///
/// ```
/// use gradus::prelude::*;
/// let loss = SquaredHinge::default();
/// assert_eq!(loss.value(&[1.0f64, -1.0], &[0.5, 0.5]), (0.25 + 2.25) / 2.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SquaredHinge {}

/// max(1 − y·ŷ, 0); NaN stays NaN.
fn short<T: Float>(t: T, p: T) -> T {
    let short = T::one() - t * p;
    if short < T::zero() { T::zero() } else { short }
}

impl<T: Float> Loss<T> for SquaredHinge {
    fn name(&self) -> &'static str {
        "squared_hinge"
    }

    fn config(&self) -> LossConfig {
        LossConfig::SquaredHinge(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        mean_of(y_true, y_pred, |t, p| short(margin_label(t), p).powi(2))
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        mean_gradient(y_true, y_pred, scale, dy, |t, p| {
            let t = margin_label(t);
            T::of(-2.0) * t * short(t, p)
        });
    }

    fn check_targets(&self, y_true: &Tensor<T>, _: Shape) -> Result<()> {
        check_margins("SquaredHinge", y_true)
    }

    fn check_activation(&self, activation: Activation, _width: usize) -> Result<()> {
        margin_activation("SquaredHinge", activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradient() {
        let (t, p) = (Tensor::from([[1.0, -1.0], [1.0, 1.0]]), Tensor::from([[0.1, 0.9], [2.2, -3.0]]));
        gradcheck::check_loss(&SquaredHinge::default(), &t, &p).unwrap();
        gradcheck::check_loss(&SquaredHinge::default(), &t.map(|v| (v + 1.0) / 2.0), &p).unwrap();
        assert_eq!(SquaredHinge::default().value(&[1.0f32], &[-1.0]), 4.0);
    }

    #[test]
    fn labels_and_activations_that_do_not_fit() {
        let loss = SquaredHinge::default();
        assert!(Loss::<f32>::check_targets(&loss, &Tensor::from([2.0, 1.0]), Shape::from([2, 1])).is_err());
        assert!(Loss::<f32>::check_activation(&loss, Activation::Softmax, 2).is_err());
    }
}
