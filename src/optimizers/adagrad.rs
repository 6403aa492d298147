//! Adagrad.

use super::{Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options, check_epsilon};
use crate::check::check_not_negative;
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// a = a + g², w −= lr·g/√(a + ε): steps shrink where gradients have been large.
///
/// Defaults: learning rate 0.001, a begins at 0.1, ε 1e-7. Keras and PyTorch `Adagrad` (PyTorch: learning rate 0.01, a from
/// 0, ε 1e-10 outside the root). Duchi et al.: "Adaptive Subgradient Methods for Online Learning and Stochastic
/// Optimization", 2011.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Adagrad::default().learning_rate(0.5).initial_accumulator_value(0.0);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Adagrad {
    options: Options,
    initial_accumulator_value: f64,
    epsilon: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Adagrad { options: Options::default(), initial_accumulator_value: 0.1, epsilon: 1e-7 }
    }
}

impl Adagrad {
    /// The value at which the sum of squares begins; 0.1 by default.
    pub fn initial_accumulator_value(mut self, value: f64) -> Self {
        self.initial_accumulator_value = value;
        self
    }

    /// Added under the root; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl OptimizerOptions for Adagrad {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl<T: Float> Optimizer<T> for Adagrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Adagrad(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![self.initial_accumulator_value]
    }

    fn check(&self) -> Result<()> {
        check_not_negative("Adagrad", "initial_accumulator_value", self.initial_accumulator_value)?;
        check_epsilon::<T>("Adagrad", "epsilon", self.epsilon)
    }

    fn leaves_zeros(&self) -> bool {
        // Else 0 / 0 where the sum of squares is 0 too.
        T::of(self.epsilon) > T::zero()
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Err("a sum that only grows keeps every rounding error")
    }

    fn coefficients(&self, _: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        [lr, self.epsilon, 0.0, 0.0, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [a, ..]: Moments<'_, T>) {
        let [lr, epsilon] = [T::of(c[0]), T::of(c[1])];
        for ((w, &g), a) in w.iter_mut().zip(g).zip(a) {
            let next_a = *a + g * g;
            let next_w = *w - lr * g / (next_a + epsilon).sqrt();
            (*a, *w) = (next_a, next_w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        let w = first_step(&Adagrad::default(), &[1.0, -2.0], &[0.5, -0.1]);
        close(w[0], 1.0 - 0.001 * 0.5 / (0.35f64 + 1e-7).sqrt());
        close(w[1], -2.0 + 0.001 * 0.1 / (0.11f64 + 1e-7).sqrt());
        check_rule(&Adagrad::default().learning_rate(0.5));
    }

    #[test]
    fn settings() {
        assert!(Optimizer::<f32>::check(&Adagrad::default().initial_accumulator_value(-0.1)).is_err());
        assert!(Optimizer::<f32>::check(&Adagrad::default().epsilon(f64::NAN)).is_err());
    }
}
