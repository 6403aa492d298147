//! What the rules of Adam's family have in common.

use super::check_epsilon;
use crate::check::check_fraction;
use crate::error::Result;
use crate::tensor::Float;

/// Decay of the two means and the constant in the denominator; set through [`BetaOptions`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Betas {
    /// Decay of the mean of gradients; 0.9 by default.
    pub beta_1: f64,
    /// Decay of the mean of squares; 0.999 by default.
    pub beta_2: f64,
    /// Keeps the denominator from zero; 1e-7 by default.
    pub epsilon: f64,
}

impl Default for Betas {
    fn default() -> Self {
        Betas { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

impl Betas {
    /// β₁ᵗ and β₂ᵗ. Keras takes them of the betas in single precision, which at β₂ 0.999 shows in the sixth digit of the
    /// first steps; so do we, in order to give its numbers.
    pub(crate) fn powers(&self, t: u64) -> [f64; 2] {
        [self.beta_1, self.beta_2].map(|beta| single(beta).powf(t as f64))
    }

    pub(crate) fn check<T: Float>(&self, op: &'static str) -> Result<()> {
        check_fraction(op, "beta_1", self.beta_1)?;
        check_fraction(op, "beta_2", self.beta_2)?;
        check_epsilon::<T>(op, "epsilon", self.epsilon)
    }
}

/// A number as single precision holds it.
pub(crate) fn single(value: f64) -> f64 {
    f64::from(value as f32)
}

/// Settings of [`Adam`](super::Adam), [`AdamW`](super::AdamW), [`Adamax`](super::Adamax) and [`Nadam`](super::Nadam).
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Nadam::default().beta_1(0.8).beta_2(0.99).epsilon(1e-8);
/// # let _ = optimizer;
/// ```
pub trait BetaOptions: Sized {
    /// The settings to be changed.
    fn betas_mut(&mut self) -> &mut Betas;

    /// Decay of the mean of gradients, in [0, 1); 0.9 by default.
    fn beta_1(mut self, beta: f64) -> Self {
        self.betas_mut().beta_1 = beta;
        self
    }

    /// Decay of the mean of squares (Adamax: of the largest gradient), in [0, 1); 0.999 by default.
    fn beta_2(mut self, beta: f64) -> Self {
        self.betas_mut().beta_2 = beta;
        self
    }

    /// Added to the denominator; 1e-7 by default.
    fn epsilon(mut self, epsilon: f64) -> Self {
        self.betas_mut().epsilon = epsilon;
        self
    }
}
