//! Adam.

use super::{Coefficients, Moments, Optimizer, OptimizerOptions, Options, check_fraction, check_not_negative};
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
#[derive(Clone, Debug)]
pub struct Adam {
    options: Options,
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { options: Options::default(), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, amsgrad: false }
    }
}

impl Adam {
    /// Decay of the mean of gradients, in [0, 1); 0.9 by default.
    pub fn beta_1(mut self, beta: f64) -> Self {
        self.beta_1 = beta;
        self
    }

    /// Decay of the mean of squares, in [0, 1); 0.999 by default.
    pub fn beta_2(mut self, beta: f64) -> Self {
        self.beta_2 = beta;
        self
    }

    /// Added to the root; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

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

impl<T: Float> Optimizer<T> for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![0.0; if self.amsgrad { 3 } else { 2 }]
    }

    fn check(&self) -> crate::Result<()> {
        check_fraction("Adam", "beta_1", self.beta_1)?;
        check_fraction("Adam", "beta_2", self.beta_2)?;
        check_not_negative("Adam", "epsilon", self.epsilon)
    }

    fn coefficients(&self, t: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        let t = t as f64;
        let alpha = lr * (1.0 - self.beta_2.powf(t)).sqrt() / (1.0 - self.beta_1.powf(t));
        [alpha, 1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [m, v, largest]: Moments<'_, T>) {
        let [alpha, b1, b2, epsilon] = [T::of(c[0]), T::of(c[1]), T::of(c[2]), T::of(c[3])];
        if self.amsgrad {
            for ((((w, &g), m), v), top) in w.iter_mut().zip(g).zip(m).zip(v).zip(largest) {
                *m += (g - *m) * b1;
                *v += (g * g - *v) * b2;
                *top = top.max(*v);
                *w -= alpha * *m / (top.sqrt() + epsilon);
            }
            return;
        }
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            *m += (g - *m) * b1;
            *v += (g * g - *v) * b2;
            *w -= alpha * *m / (v.sqrt() + epsilon);
        }
    }
}
