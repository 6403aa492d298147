//! FTRL-proximal.

use super::{Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options};
use crate::check::check_not_negative;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

/// Follow the regularised leader, made for sparse linear models: with n' = n + g² and p the negative power,
/// z += g + 2·shrinkage·w − (n'ᵖ − nᵖ)/lr · w, q = n'ᵖ/lr + 2·l2 + β/lr, w = (clip(z, ±l1) − z)/q, n = n'.
///
/// L1 sets weights to exactly 0. The old weight enters through z only: what was there before the first step is lost to the
/// extent that gradients are small. Defaults: learning rate 0.001, power −0.5 (p = ½), n begins at 0.1, all else 0.
///
/// Keras `Ftrl`. McMahan et al.: "Ad Click Prediction: a View from the Trenches", 2013.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Ftrl::default().learning_rate(0.05).l1_regularization_strength(0.001);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Ftrl {
    options: Options,
    learning_rate_power: f64,
    initial_accumulator_value: f64,
    l1: f64,
    l2: f64,
    l2_shrinkage: f64,
    beta: f64,
}

impl Default for Ftrl {
    fn default() -> Self {
        Ftrl {
            options: Options::default(),
            learning_rate_power: -0.5,
            initial_accumulator_value: 0.1,
            l1: 0.0,
            l2: 0.0,
            l2_shrinkage: 0.0,
            beta: 0.0,
        }
    }
}

impl Ftrl {
    /// The power of the sum of squares by which the learning rate falls, at most 0; −0.5 by default.
    pub fn learning_rate_power(mut self, power: f64) -> Self {
        self.learning_rate_power = power;
        self
    }

    /// The value at which the sum of squares begins; 0.1 by default.
    pub fn initial_accumulator_value(mut self, value: f64) -> Self {
        self.initial_accumulator_value = value;
        self
    }

    /// L1 penalty, which makes weights 0; 0 by default.
    pub fn l1_regularization_strength(mut self, l1: f64) -> Self {
        self.l1 = l1;
        self
    }

    /// L2 penalty on the weights; 0 by default.
    pub fn l2_regularization_strength(mut self, l2: f64) -> Self {
        self.l2 = l2;
        self
    }

    /// L2 penalty added to the gradient, but not to its square; 0 by default.
    pub fn l2_shrinkage_regularization_strength(mut self, l2: f64) -> Self {
        self.l2_shrinkage = l2;
        self
    }

    /// The paper's β, which slows the first steps; 0 by default.
    pub fn beta(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }
}

impl OptimizerOptions for Ftrl {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

impl<T: Float> Optimizer<T> for Ftrl {
    fn name(&self) -> &'static str {
        "ftrl"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Ftrl(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn moments(&self) -> Vec<f64> {
        vec![self.initial_accumulator_value, 0.0]
    }

    fn check(&self) -> Result<()> {
        if !(self.learning_rate_power <= 0.0 && self.learning_rate_power.is_finite()) {
            let (got, hint) = (self.learning_rate_power, "-0.5 is usual");
            return Err(Error::argument("Ftrl", "learning_rate_power", "finite and at most 0", got, hint));
        }
        check_not_negative("Ftrl", "initial_accumulator_value", self.initial_accumulator_value)?;
        check_not_negative("Ftrl", "l1_regularization_strength", self.l1)?;
        check_not_negative("Ftrl", "l2_regularization_strength", self.l2)?;
        check_not_negative("Ftrl", "l2_shrinkage_regularization_strength", self.l2_shrinkage)?;
        check_not_negative("Ftrl", "beta", self.beta)
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Err("a sum that only grows keeps every rounding error")
    }

    fn coefficients(&self, _: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        let penalty = 2.0 * self.l2 + self.beta / lr;
        [lr, -self.learning_rate_power, self.l1, penalty, 2.0 * self.l2_shrinkage, 0.0]
    }

    fn update(&self, c: &Coefficients, _: Shape, w: &mut [T], g: &[T], [n, z, _]: Moments<'_, T>) {
        let [lr, p, l1, penalty, shrinkage, zero] = c.map(T::of);
        // The limit of the rule for a learning rate that goes to 0.
        if lr == zero {
            return;
        }
        let power = |v: T| if self.learning_rate_power == -0.5 { v.sqrt() } else { v.powf(p) };
        for (((w, &g), n), z) in w.iter_mut().zip(g).zip(n).zip(z) {
            let (before, sum) = (power(*n), *n + g * g);
            let after = power(sum);
            let next_z = *z + (g + shrinkage * *w - (after - before) / lr * *w);
            let q = after / lr + penalty;
            // Only with n from 0 and no gradient yet.
            let next_w = if q > zero { (next_z.max(-l1).min(l1) - next_z) / q } else { *w };
            (*n, *z, *w) = (sum, next_z, next_w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        let (before, after) = (0.1f64.sqrt(), 0.35f64.sqrt());
        let z = 0.5 - (after - before) / 0.05 * 2.0;
        let rule = Ftrl::default().learning_rate(0.05);
        close(first_step(&rule, &[2.0], &[0.5])[0], -z * 0.05 / after);
        // |z| below l1 gives 0.
        assert_eq!(first_step(&rule.l1_regularization_strength(20.0), &[2.0], &[0.5])[0], 0.0);
        check_rule(&Ftrl::default().learning_rate(0.5));
        check_rule(&Ftrl::default().learning_rate(0.5).learning_rate_power(-0.4).beta(0.1));
    }

    #[test]
    fn a_learning_rate_of_zero_changes_nothing() {
        assert_eq!(first_step(&Ftrl::default().learning_rate(0.0).beta(1.0), &[2.0], &[0.5])[0], 2.0);
    }

    #[test]
    fn settings() {
        assert!(Optimizer::<f32>::check(&Ftrl::default().learning_rate_power(0.5)).is_err());
        assert!(Optimizer::<f32>::check(&Ftrl::default().l1_regularization_strength(f64::NAN)).is_err());
        assert!(Optimizer::<f32>::check(&Ftrl::default().beta(-1.0)).is_err());
    }
}
