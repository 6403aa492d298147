//! Nadam.

use super::betas::single;
use super::{BetaOptions, Betas, Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options};
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// Adam with Nesterov's momentum: with μₜ = β₁(1 − 0.96ᵗ/2) and Πₜ = μ₁·…·μₜ,
/// m̂ = μₜ₊₁·m/(1 − Πₜ₊₁) + (1 − μₜ)·g/(1 − Πₜ), v̂ = v/(1 − β₂ᵗ), w −= lr·m̂/(√v̂ + ε).
///
/// Defaults: learning rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7. Keras and PyTorch `Nadam`/`NAdam` (PyTorch: learning rate 0.002,
/// ε 1e-8). Dozat: "Incorporating Nesterov Momentum into Adam", 2016.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Nadam::default().learning_rate(0.002);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Nadam {
    options: Options,
    betas: Betas,
}

impl OptimizerOptions for Nadam {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl BetaOptions for Nadam {
    fn betas_mut(&mut self) -> &mut Betas {
        &mut self.betas
    }
}

impl<T: Float> Optimizer<T> for Nadam {
    fn name(&self) -> &'static str {
        "nadam"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Nadam(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    /// Π, the product of all μ so far.
    fn scalars(&self) -> Vec<f64> {
        vec![1.0]
    }

    fn check(&self) -> Result<()> {
        self.betas.check::<T>("Nadam")
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Ok(())
    }

    fn coefficients(&self, t: u64, lr: f64, scalars: &mut [f64]) -> Coefficients {
        // As Keras has it: the constants in single precision, but not in the product.
        let mu = |beta: f64, decay: f64, t: u64| beta * (1.0 - 0.5 * decay.powf(t as f64));
        let [beta_1, beta_2, decay] = [self.betas.beta_1, self.betas.beta_2, 0.96].map(single);
        let (now, next) = (mu(beta_1, decay, t), mu(beta_1, decay, t + 1));
        let product = scalars.iter().product::<f64>() * mu(self.betas.beta_1, 0.96, t);
        scalars.fill(product);
        let of_m = lr * next / (1.0 - product * next);
        let of_g = lr * (1.0 - now) / (1.0 - product);
        let correction = 1.0 / (1.0 - self.betas.powers(t)[1]);
        [of_m, of_g, 1.0 - beta_1, 1.0 - beta_2, correction, self.betas.epsilon]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [m, v, _]: Moments<'_, T>) {
        let [of_m, of_g, b1, b2, correction, epsilon] = c.map(T::of);
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let (next_m, next_v) = (*m + (g - *m) * b1, *v + (g * g - *v) * b2);
            let next_w = *w - (of_m * next_m + of_g * g) / ((next_v * correction).sqrt() + epsilon);
            (*m, *v, *w) = (next_m, next_v, next_w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, first_step};
    use super::*;

    #[test]
    fn rule() {
        // μ₁ = 0.9·0.52, μ₂ = 0.9·(1 − 0.5·0.9216); v̂ = g²
        let (one, two) = (0.468, 0.9 * 0.5392);
        let m_hat = two * 0.05 / (1.0 - one * two) + 0.5;
        let w = first_step(&Nadam::default(), &[1.0], &[0.5]);
        // Keras's constants in single precision show in the seventh digit.
        assert!((w[0] - (1.0 - 0.001 * m_hat / (0.5 + 1e-7))).abs() < 1e-9);
        check_rule(&Nadam::default().learning_rate(0.05));
    }
}
