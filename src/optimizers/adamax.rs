//! Adamax.

use super::{BetaOptions, Betas, Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options};
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// m = β₁m + (1 − β₁)g, u = max(β₂u, |g|), w −= lr/(1 − β₁ᵗ) · m/(u + ε): Adam with the largest gradient in place of the
/// mean of squares.
///
/// Defaults: learning rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7. Keras and PyTorch `Adamax` (PyTorch: learning rate 0.002, ε
/// 1e-8 inside the maximum). Kingma, Ba: "Adam: A Method for Stochastic Optimization", 2015, section 7.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Adamax::default().learning_rate(0.002);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Adamax {
    options: Options,
    betas: Betas,
}

impl OptimizerOptions for Adamax {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl BetaOptions for Adamax {
    fn betas_mut(&mut self) -> &mut Betas {
        &mut self.betas
    }
}

impl<T: Float> Optimizer<T> for Adamax {
    fn name(&self) -> &'static str {
        "adamax"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Adamax(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    fn check(&self) -> Result<()> {
        self.betas.check::<T>("Adamax")
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Err("a maximum keeps what was once rounded up")
    }

    fn coefficients(&self, t: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        let Betas { beta_1, beta_2, epsilon } = self.betas;
        [lr / (1.0 - self.betas.powers(t)[0]), 1.0 - beta_1, beta_2, epsilon, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [m, u, _]: Moments<'_, T>) {
        let [alpha, b1, beta_2, epsilon] = [T::of(c[0]), T::of(c[1]), T::of(c[2]), T::of(c[3])];
        for (((w, &g), m), u) in w.iter_mut().zip(g).zip(m).zip(u) {
            let (next_m, next_u) = (*m + (g - *m) * b1, (beta_2 * *u).max(g.abs()));
            let next_w = *w - alpha * next_m / (next_u + epsilon);
            (*m, *u, *w) = (next_m, next_u, next_w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        // m/(1 − β₁) = g and u = |g|: a step of lr.
        let w = first_step(&Adamax::default().beta_1(0.5), &[1.0, -2.0], &[0.5, -0.1]);
        close(w[0], 1.0 - 0.001 * 0.5 / (0.5 + 1e-7));
        close(w[1], -2.0 + 0.001 * 0.1 / (0.1 + 1e-7));
        check_rule(&Adamax::default().learning_rate(0.05));
    }
}
