//! Kullback–Leibler divergence.

use super::{EPSILON, Loss, LossConfig, check_range, clip};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// loss = Σ yᵢ·ln(yᵢ/ŷᵢ) along a row, with y and ŷ kept in [1e-7, 1]: how far one distribution is from another.
///
/// Gradient: dŷ = −y/ŷ inside the bounds, 0 outside. Targets are rows of probabilities; for one-hot rows use
/// [`CategoricalCrossentropy`](super::CategoricalCrossentropy). Keras `KLDivergence`, PyTorch `KLDivLoss` on logarithms.
/// Kullback, Leibler 1951.
///
/// ```
/// use gradus::prelude::*;
/// let loss = KlDivergence::default();
/// assert_eq!(loss.value(&[0.25f64, 0.75], &[0.25, 0.75]), 0.0);
/// assert!((loss.value(&[0.5f64, 0.5], &[0.25, 0.75]) - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct KlDivergence {}

impl<T: Float> Loss<T> for KlDivergence {
    fn name(&self) -> &'static str {
        "kl_divergence"
    }

    fn config(&self) -> LossConfig {
        LossConfig::KlDivergence(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        if y_true.len() != y_pred.len() {
            return T::nan();
        }
        let bounded = |v| clip(v, T::of(EPSILON), T::one());
        y_true.iter().zip(y_pred).map(|(&t, &p)| bounded(t) * (bounded(t) / bounded(p)).ln()).sum()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        if y_true.len() != y_pred.len() {
            return dy.fill(T::nan());
        }
        let (low, one) = (T::of(EPSILON), T::one());
        for ((d, &t), &p) in dy.iter_mut().zip(y_true).zip(y_pred) {
            *d = if p < low || p > one { T::zero() } else { -scale * clip(t, low, one) / p };
        }
    }

    fn check_targets(&self, y_true: &Tensor<T>, _: Shape) -> Result<()> {
        check_range("KlDivergence", y_true, 0.0, 1.0, "pass rows of probabilities")
    }

    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        if width > 1 && matches!(activation, Activation::Softmax | Activation::Sigmoid | Activation::HardSigmoid) {
            return Ok(());
        }
        let hint = "give the last layer two units or more and Activation::Softmax".to_owned();
        let (loss, activation) = ("KlDivergence".to_owned(), activation.to_string());
        Err(Error::LossMismatch { loss, activation, why: "it needs a row of probabilities", hint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradient() {
        let (t, p) = (Tensor::from([[0.0, 1.0], [0.3, 0.7]]), Tensor::from([[0.1, 0.9], [0.2, -0.1]]));
        gradcheck::check_loss(&KlDivergence::default(), &t, &p).unwrap();
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        let loss = KlDivergence::default();
        assert!(Loss::<f32>::check_targets(&loss, &Tensor::from([[0.5, 1.5]]), Shape::from([1, 2])).is_err());
        assert!(Loss::<f32>::check_activation(&loss, Activation::Tanh, 2).is_err());
        assert!(Loss::<f32>::check_activation(&loss, Activation::Softmax, 2).is_ok());
    }
}
