//! Lion.

use super::{Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options};
use crate::check::check_fraction;
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// w −= lr·sign(β₁m + (1 − β₁)g), then m = β₂m + (1 − β₂)g; sign(0) = 0.
///
/// Every weight moves by the learning rate, so that should be a third to a tenth of Adam's. Defaults: learning rate 0.001,
/// β₁ 0.9, β₂ 0.99. Keras `Lion`. Chen et al.: "Symbolic Discovery of Optimization Algorithms", 2023.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Lion::default().learning_rate(1e-4).weight_decay(0.1);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Lion {
    options: Options,
    beta_1: f64,
    beta_2: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Lion { options: Options::default(), beta_1: 0.9, beta_2: 0.99 }
    }
}

impl Lion {
    /// Weight of the mean against the gradient in the step, in [0, 1); 0.9 by default.
    pub fn beta_1(mut self, beta: f64) -> Self {
        self.beta_1 = beta;
        self
    }

    /// Decay of the mean of gradients, in [0, 1); 0.99 by default.
    pub fn beta_2(mut self, beta: f64) -> Self {
        self.beta_2 = beta;
        self
    }
}

impl OptimizerOptions for Lion {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl<T: Float> Optimizer<T> for Lion {
    fn name(&self) -> &'static str {
        "lion"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Lion(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![0.0]
    }

    fn check(&self) -> Result<()> {
        check_fraction("Lion", "beta_1", self.beta_1)?;
        check_fraction("Lion", "beta_2", self.beta_2)
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Ok(())
    }

    fn coefficients(&self, _: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        [lr, self.beta_1, 1.0 - self.beta_1, self.beta_2, 1.0 - self.beta_2, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [m, ..]: Moments<'_, T>) {
        let [lr, beta_1, b1, beta_2, b2, zero] = c.map(T::of);
        for ((w, &g), m) in w.iter_mut().zip(g).zip(m) {
            let direction = *m * beta_1 + g * b1;
            let change = if direction > zero {
                lr
            } else if direction < zero {
                -lr
            } else {
                zero
            };
            (*w, *m) = (*w - change, *m * beta_2 + g * b2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        let w = first_step(&Lion::default(), &[1.0, -2.0, 3.0], &[0.5, -0.1, 0.0]);
        close(w[0], 0.999);
        close(w[1], -1.999);
        assert_eq!(w[2], 3.0);
        check_rule(&Lion::default().learning_rate(0.01));
    }

    #[test]
    fn settings() {
        assert!(Optimizer::<f32>::check(&Lion::default().beta_1(1.5)).is_err());
        assert!(Optimizer::<f32>::check(&Lion::default().beta_2(1.0)).is_err());
    }
}
