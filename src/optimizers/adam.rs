//! Adam.

use super::{BetaOptions, Betas, Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options};
use crate::kernels::simd::vectorised;
use crate::tensor::{Float, Shape};

/// m = β₁m + (1 − β₁)g, v = β₂v + (1 − β₂)g², w −= lr·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m/(√v + ε).
///
/// AMSGrad divides by the root of the largest v so far instead. Defaults: learning rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7.
///
/// Keras and PyTorch `Adam` (PyTorch: ε 1e-8, added after the correction of v). Kingma, Ba: "Adam: A Method for Stochastic
/// Optimization", 2015; Reddi et al.: "On the Convergence of Adam and Beyond", 2018.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Adam::default().learning_rate(3e-4).beta_2(0.99);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Adam {
    options: Options,
    betas: Betas,
    amsgrad: bool,
}

impl Adam {
    /// Whether the largest mean of squares so far is used; no by default.
    pub fn amsgrad(mut self, amsgrad: bool) -> Self {
        self.amsgrad = amsgrad;
        self
    }
}

impl OptimizerOptions for Adam {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl BetaOptions for Adam {
    fn betas_mut(&mut self) -> &mut Betas {
        &mut self.betas
    }
}

impl<T: Float> Optimizer<T> for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Adam(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![0.0; if self.amsgrad { 3 } else { 2 }]
    }

    fn check(&self) -> crate::Result<()> {
        self.betas.check::<T>("Adam")
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        let why = "the largest mean of squares so far (amsgrad) keeps what was once rounded up";
        if self.amsgrad { Err(why) } else { Ok(()) }
    }

    fn coefficients(&self, t: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        let Betas { beta_1, beta_2, epsilon } = self.betas;
        let [power_1, power_2] = self.betas.powers(t);
        let alpha = lr * (1.0 - power_2).sqrt() / (1.0 - power_1);
        [alpha, 1.0 - beta_1, 1.0 - beta_2, epsilon, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [m, v, largest]: Moments<'_, T>) {
        let [alpha, b1, b2, epsilon] = [T::of(c[0]), T::of(c[1]), T::of(c[2]), T::of(c[3])];
        if self.amsgrad {
            for ((((w, &g), m), v), top) in w.iter_mut().zip(g).zip(m).zip(v).zip(largest) {
                let (next_m, next_v) = (*m + (g - *m) * b1, *v + (g * g - *v) * b2);
                let next_top = top.max(next_v);
                let next_w = *w - alpha * next_m / (next_top.sqrt() + epsilon);
                (*m, *v, *top, *w) = (next_m, next_v, next_top, next_w);
            }
            return;
        }
        vectorised(|| {
            for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                let (next_m, next_v) = (*m + (g - *m) * b1, *v + (g * g - *v) * b2);
                let next_w = *w - alpha * next_m / (next_v.sqrt() + epsilon);
                (*m, *v, *w) = (next_m, next_v, next_w);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        // With betas that single precision holds, m = g/2, v = g²/4: w −= lr·√¼/½ · ½g/(½|g| + ε)
        let rule = Adam::default().beta_1(0.5).beta_2(0.75);
        let w = first_step(&rule, &[1.0, -2.0], &[0.5, -0.1]);
        close(w[0], 1.0 - 0.001 * 0.25 / (0.25 + 1e-7));
        close(w[1], -2.0 + 0.001 * 0.05 / (0.05 + 1e-7));
        check_rule(&Adam::default().learning_rate(0.05));
        check_rule(&Adam::default().learning_rate(0.05).amsgrad(true));
    }

    #[test]
    fn amsgrad_keeps_the_largest() {
        let rule = Adam::default().amsgrad(true).beta_2(0.5);
        let (mut m, mut v, mut top) = ([0.0f64], [0.0], [0.0]);
        let c = Optimizer::<f64>::coefficients(&rule, 1, 0.1, &mut []);
        for g in [2.0, 0.0] {
            rule.update(&c, Shape::from([1]), &mut [0.0], &[g], [&mut m, &mut v, &mut top]);
        }
        assert_eq!((v, top), ([1.0], [2.0]));
    }

    #[test]
    fn settings() {
        assert_eq!(
            Optimizer::<f32>::check(&Adam::default().beta_1(1.0)).unwrap_err().to_string(),
            "Adam: beta_1 must be at least 0 and below 1, got 1; leave it at its default"
        );
        assert!(Optimizer::<f32>::check(&Adam::default().beta_2(f64::NAN)).is_err());
        assert!(Optimizer::<f32>::check(&Adam::default().epsilon(-1.0)).is_err());
    }
}
