//! The hinge loss.

use super::{Loss, LossConfig, check_margins, margin_activation, margin_label, mean_gradient, mean_of};
use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = (1/n) Σ max(1 − y·ŷ, 0) with labels y of −1 or 1, or of 0 or 1, where 0 counts as −1; n the length of a row.
///
/// Gradient: dŷ = −y/n where y·ŷ ≤ 1, else 0. Predictions are scores of either sign (no activation, or tanh). Keras
/// `Hinge`; the rule for 0 and 1 is the same for every batch, and labels that mix −1 and 0 are an error.
///
/// ```
/// use gradus::prelude::*;
/// let loss = Hinge::default();
/// assert_eq!(loss.value(&[1.0f64, -1.0], &[0.25, 0.5]), (0.75 + 1.5) / 2.0);
/// assert_eq!(loss.value(&[1.0f64, 0.0], &[0.25, 0.5]), (0.75 + 1.5) / 2.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Hinge {}

impl<T: Float> Loss<T> for Hinge {
    fn name(&self) -> &'static str {
        "hinge"
    }

    fn config(&self) -> LossConfig {
        LossConfig::Hinge(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        mean_of(y_true, y_pred, |t, p| {
            let short = T::one() - margin_label(t) * p;
            if short < T::zero() { T::zero() } else { short }
        })
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        mean_gradient(y_true, y_pred, scale, dy, |t, p| {
            let t = margin_label(t);
            if T::one() - t * p < T::zero() { T::zero() } else { -t }
        });
    }

    fn check_targets(&self, y_true: &Tensor<T>, _: Shape) -> Result<()> {
        check_margins("Hinge", y_true)
    }

    fn check_activation(&self, activation: Activation, _width: usize) -> Result<()> {
        margin_activation("Hinge", activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradient_and_kink() {
        let (t, p) = (Tensor::from([[1.0, -1.0], [1.0, 1.0]]), Tensor::from([[0.1, 0.9], [2.2, -3.0]]));
        gradcheck::check_loss(&Hinge::default(), &t, &p).unwrap();
        gradcheck::check_loss(&Hinge::default(), &t.map(|v| (v + 1.0) / 2.0), &p).unwrap();
        let mut dy = [f32::NAN];
        Hinge::default().gradient(&[1.0], &[1.0], 1.0, &mut dy);
        assert_eq!(dy, [-1.0]);
    }

    #[test]
    fn labels_and_activations_that_do_not_fit() {
        let check = |y: [f32; 2]| Loss::<f32>::check_targets(&Hinge::default(), &Tensor::from(y), Shape::from([2, 1]));
        assert!(check([1.0, -1.0]).is_ok() && check([0.0, 1.0]).is_ok());
        assert!(check([0.5, 1.0]).unwrap_err().to_string().contains("row 0 is 0.5"));
        assert!(check([-1.0, 0.0]).unwrap_err().to_string().contains("row 1 is 0"));
        let fits = |a| Loss::<f32>::check_activation(&Hinge::default(), a, 2).is_ok();
        assert!(fits(Activation::Linear) && fits(Activation::Tanh));
        assert!(!fits(Activation::Softmax) && !fits(Activation::Sigmoid));
    }
}
