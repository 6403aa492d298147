//! RMSprop.

use super::{Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options, check_epsilon};
use crate::check::check_fraction;
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// v = ρv + (1 − ρ)g², w −= lr·g/√(v + ε).
///
/// Centred, v − a² with a = ρa + (1 − ρ)g, the gradient's variance, takes the place of v. With momentum μ the quotient is
/// gathered first: b = μb + lr·g/√(v + ε), w −= b. Defaults: learning rate 0.001, ρ 0.9, ε 1e-7, no momentum, not centred.
///
/// Keras and PyTorch `RMSprop` (PyTorch: learning rate 0.01, ρ 0.99, ε 1e-8 outside the root). Tieleman, Hinton: "Lecture
/// 6.5, RMSProp", 2012; centred: Graves: "Generating Sequences With Recurrent Neural Networks", 2013.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = RmsProp::default().rho(0.95).momentum(0.9).centered(true);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RmsProp {
    options: Options,
    rho: f64,
    momentum: f64,
    epsilon: f64,
    centered: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp { options: Options::default(), rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }
    }
}

impl RmsProp {
    /// Decay of the mean of squares, in [0, 1); 0.9 by default.
    pub fn rho(mut self, rho: f64) -> Self {
        self.rho = rho;
        self
    }

    /// Part of the last change that is kept, in [0, 1); 0 by default.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Added under the root; 1e-7 by default.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Whether the variance of the gradient is taken instead of its mean square; no by default.
    pub fn centered(mut self, centered: bool) -> Self {
        self.centered = centered;
        self
    }
}

impl OptimizerOptions for RmsProp {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl<T: Float> Optimizer<T> for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::RmsProp(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    /// v, then b with momentum, then a if centred.
    fn moments(&self) -> Vec<f64> {
        vec![0.0; 1 + usize::from(self.momentum != 0.0) + usize::from(self.centered)]
    }

    fn check(&self) -> Result<()> {
        check_fraction("RmsProp", "rho", self.rho)?;
        check_fraction("RmsProp", "momentum", self.momentum)?;
        check_epsilon::<T>("RmsProp", "epsilon", self.epsilon)
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        let why = "a variance (centered) is a small difference of moments, which rounding would swallow";
        if self.centered { Err(why) } else { Ok(()) }
    }

    fn coefficients(&self, _: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        [lr, 1.0 - self.rho, self.momentum, self.epsilon, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [v, second, third]: Moments<'_, T>) {
        let [lr, keep, momentum, epsilon] = [T::of(c[0]), T::of(c[1]), T::of(c[2]), T::of(c[3])];
        let (b, a) = if self.momentum != 0.0 { (second, third) } else { (third, second) };
        for (i, ((w, &g), v)) in w.iter_mut().zip(g).zip(v).enumerate() {
            *v += (g * g - *v) * keep;
            let mut square = *v;
            if self.centered {
                a[i] += (g - a[i]) * keep;
                // Rounding may leave a variance of zero below zero.
                square = (square - a[i] * a[i]).max(T::zero());
            }
            let mut change = lr * g / (square + epsilon).sqrt();
            if self.momentum != 0.0 {
                change += momentum * b[i];
                b[i] = change;
            }
            *w -= change;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        let w = first_step(&RmsProp::default(), &[1.0, -2.0], &[0.5, -0.1]);
        close(w[0], 1.0 - 0.001 * 0.5 / (0.025f64 + 1e-7).sqrt());
        close(w[1], -2.0 + 0.001 * 0.1 / (0.001f64 + 1e-7).sqrt());
        // v − a² = 0.1·0.25 − (0.1·0.5)²
        let w = first_step(&RmsProp::default().centered(true), &[1.0], &[0.5]);
        close(w[0], 1.0 - 0.001 * 0.5 / (0.0225f64 + 1e-7).sqrt());
        check_rule(&RmsProp::default().learning_rate(0.01));
        check_rule(&RmsProp::default().learning_rate(0.01).centered(true));
        check_rule(&RmsProp::default().learning_rate(0.01).momentum(0.5));
        check_rule(&RmsProp::default().learning_rate(0.01).momentum(0.5).centered(true));
    }

    #[test]
    fn settings() {
        assert!(Optimizer::<f32>::check(&RmsProp::default().rho(1.0)).is_err());
        assert!(Optimizer::<f32>::check(&RmsProp::default().momentum(-0.1)).is_err());
        assert!(Optimizer::<f32>::check(&RmsProp::default().epsilon(f64::INFINITY)).is_err());
    }
}
