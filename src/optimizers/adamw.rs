//! Adam with decoupled weight decay.

use super::{Adam, BetaOptions, Betas, Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options};
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// w −= lr·λ·w before the update of [`Adam`].
///
/// Decay spares biases and scales unless [`decay_all`](OptimizerOptions::decay_all) is set (Keras decays everything).
/// Defaults: those of Adam, λ 0.004.
///
/// Keras and PyTorch `AdamW` (PyTorch: λ 0.01). Loshchilov, Hutter: "Decoupled Weight Decay Regularization", 2019.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = AdamW::default().learning_rate(3e-4).weight_decay(0.1).beta_2(0.95);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct AdamW {
    adam: Adam,
}

impl Default for AdamW {
    fn default() -> Self {
        AdamW { adam: Adam::default().weight_decay(0.004) }
    }
}

impl AdamW {
    /// Whether the largest mean of squares so far is used; no by default.
    pub fn amsgrad(mut self, amsgrad: bool) -> Self {
        self.adam = self.adam.amsgrad(amsgrad);
        self
    }
}

impl OptimizerOptions for AdamW {
    fn options_mut(&mut self) -> &mut Options {
        self.adam.options_mut()
    }
}

impl BetaOptions for AdamW {
    fn betas_mut(&mut self) -> &mut Betas {
        self.adam.betas_mut()
    }
}

impl<T: Float> Optimizer<T> for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::AdamW(self.clone())
    }

    fn options(&self) -> &Options {
        Optimizer::<T>::options(&self.adam)
    }

    fn moments(&self) -> Vec<f64> {
        Optimizer::<T>::moments(&self.adam)
    }

    fn check(&self) -> Result<()> {
        Optimizer::<T>::check(&self.adam)
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Optimizer::<T>::check_bf16_moments(&self.adam)
    }

    fn coefficients(&self, t: u64, lr: f64, scalars: &mut [f64]) -> Coefficients {
        Optimizer::<T>::coefficients(&self.adam, t, lr, scalars)
    }

    fn update(&self, c: &Coefficients, shape: Shape, w: &mut [T], g: &[T], m: Moments<'_, T>) {
        self.adam.update(c, shape, w, g, m);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        // The kernel is decayed by 1 − 0.001·0.004 first, then moved as Adam would.
        let adam = first_step(&Adam::default(), &[1.0, -2.0], &[0.5, -0.1]);
        let w = first_step(&AdamW::default(), &[1.0, -2.0], &[0.5, -0.1]);
        close(w[0], adam[0] - 4e-6);
        close(w[1], adam[1] + 8e-6);
        check_rule(&AdamW::default().learning_rate(0.05).weight_decay(1e-4));
    }
}
