//! The Poisson loss, for counts.

use super::{EPSILON, Loss, LossConfig, check_range, mean_gradient, mean_of};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// loss = (1/n) Σ (ŷ − y·ln(ŷ + 1e-7)), n the length of a row: the negative logarithm of the Poisson probability of the
/// count y at the rate ŷ, up to a constant.
///
/// Predictions are rates above 0, as [`Activation::Exponential`] or [`Activation::Softplus`] give them. Gradient:
/// dŷ = (1 − y/(ŷ + 1e-7))/n. Keras `Poisson`, PyTorch `PoissonNLLLoss` with `log_input=False`.
///
/// ```
/// use gradus::prelude::*;
/// let loss = Poisson::default();
/// assert!((loss.value(&[3.0f64], &[2.0]) - (2.0 - 3.0 * 2f64.ln())).abs() < 1e-6);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Poisson {}

impl<T: Float> Loss<T> for Poisson {
    fn name(&self) -> &'static str {
        "poisson"
    }

    fn config(&self) -> LossConfig {
        LossConfig::Poisson(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        mean_of(y_true, y_pred, |t, p| p - t * (p + T::of(EPSILON)).ln())
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        mean_gradient(y_true, y_pred, scale, dy, |t, p| T::one() - t / (p + T::of(EPSILON)));
    }

    fn check_targets(&self, y_true: &Tensor<T>, _: Shape) -> Result<()> {
        check_range("Poisson", y_true, 0.0, f64::MAX, "counts are 0 or more")
    }

    fn check_activation(&self, activation: Activation, _width: usize) -> Result<()> {
        if !matches!(
            activation,
            Activation::Tanh | Activation::HardTanh | Activation::LogSoftmax | Activation::LogSigmoid
        ) {
            return Ok(());
        }
        let (loss, activation) = ("Poisson".to_owned(), activation.to_string());
        let why = "it needs rates above 0, and the activation gives values below";
        let hint = "end the model with Activation::Exponential or Activation::Softplus".to_owned();
        Err(Error::LossMismatch { loss, activation, why, hint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradient() {
        let (t, p) = (Tensor::from([[0.0, 1.0], [3.0, 2.0]]), Tensor::from([[0.1, 0.9], [2.2, 3.0]]));
        gradcheck::check_loss(&Poisson::default(), &t, &p).unwrap();
    }

    #[test]
    fn what_cannot_be_a_count_or_a_rate_is_refused() {
        let loss = Poisson::default();
        assert!(Loss::<f32>::check_targets(&loss, &Tensor::from([[-1.0]]), Shape::from([1, 1])).is_err());
        assert!(Loss::<f32>::check_activation(&loss, Activation::Tanh, 1).is_err());
        assert!(Loss::<f32>::check_activation(&loss, Activation::Exponential, 1).is_ok());
    }
}
