//! Adadelta.

use super::{Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options, check_epsilon};
use crate::check::check_fraction;
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// a = ρa + (1 − ρ)g², Δ = √(d + ε)/√(a + ε) · g, d = ρd + (1 − ρ)Δ², w −= lr·Δ: steps measured in the size of earlier steps.
///
/// Defaults: learning rate 0.001, ρ 0.95, ε 1e-7; the paper's rule has learning rate 1. Keras and PyTorch `Adadelta`
/// (PyTorch: learning rate 1, ρ 0.9, ε 1e-6). Zeiler: "ADADELTA: An Adaptive Learning Rate Method", 2012.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Adadelta::default().learning_rate(1.0).rho(0.9);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Adadelta {
    options: Options,
    rho: f64,
    epsilon: f64,
}

impl Default for Adadelta {
    fn default() -> Self {
        Adadelta { options: Options::default(), rho: 0.95, epsilon: 1e-7 }
    }
}

impl Adadelta {
    /// Decay of both means, in [0, 1); 0.95 by default.
    pub fn rho(mut self, rho: f64) -> Self {
        self.rho = rho;
        self
    }

    /// Added under both roots, which also sets the size of the first steps; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl OptimizerOptions for Adadelta {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl<T: Float> Optimizer<T> for Adadelta {
    fn name(&self) -> &'static str {
        "adadelta"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Adadelta(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    fn check(&self) -> Result<()> {
        check_fraction("Adadelta", "rho", self.rho)?;
        check_epsilon::<T>("Adadelta", "epsilon", self.epsilon)
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Ok(())
    }

    fn coefficients(&self, _: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        [lr, 1.0 - self.rho, self.epsilon, 0.0, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [a, d, _]: Moments<'_, T>) {
        let [lr, keep, epsilon] = [T::of(c[0]), T::of(c[1]), T::of(c[2])];
        for (((w, &g), a), d) in w.iter_mut().zip(g).zip(a).zip(d) {
            let next_a = *a + (g * g - *a) * keep;
            let delta = ((*d + epsilon) / (next_a + epsilon)).sqrt() * g;
            let (next_d, next_w) = (*d + (delta * delta - *d) * keep, *w - lr * delta);
            (*a, *d, *w) = (next_a, next_d, next_w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        let w = first_step(&Adadelta::default(), &[1.0, -2.0], &[0.5, -0.1]);
        close(w[0], 1.0 - 0.001 * 0.5 * (1e-7 / (0.0125f64 + 1e-7)).sqrt());
        close(w[1], -2.0 + 0.001 * 0.1 * (1e-7 / (0.0005f64 + 1e-7)).sqrt());
        check_rule(&Adadelta::default().learning_rate(10.0));
    }

    #[test]
    fn settings() {
        assert!(Optimizer::<f32>::check(&Adadelta::default().rho(-0.5)).is_err());
        assert!(Optimizer::<f32>::check(&Adadelta::default().epsilon(-1e-9)).is_err());
    }
}
