//! Half a cosine, again and again.

use super::cosine_decay::cosine;
use super::{Schedule, ScheduleConfig};
use crate::check::{check_fraction, check_not_negative, check_steps};
use crate::error::{Error, Result};

/// Periods of half a cosine: period i is `steps`·t_mulⁱ steps long and begins at initial · m_mulⁱ; within it the rate is
/// initial · ((1 − α)·m_mulⁱ·(1 + cos(π·part))/2 + α).
///
/// Defaults: t_mul 2, m_mul 1, α 0. Keras `CosineDecayRestarts`. Loshchilov, Hutter: "SGDR: Stochastic Gradient Descent
/// with Warm Restarts", 2017.
///
/// ```
/// use gradus::prelude::*;
/// let rate = CosineDecayRestarts::new(0.1, 10).m_mul(0.5);
/// assert_eq!((rate.at(0), rate.at(10), rate.at(30)), (0.1, 0.05, 0.025));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CosineDecayRestarts {
    initial: f64,
    steps: u64,
    t_mul: f64,
    m_mul: f64,
    alpha: f64,
}

impl CosineDecayRestarts {
    /// A learning rate that falls from `initial` in the first `steps` steps.
    pub fn new(initial: f64, steps: u64) -> Self {
        CosineDecayRestarts { initial, steps, t_mul: 2.0, m_mul: 1.0, alpha: 0.0 }
    }

    /// How much longer each period is than the one before, at least 1; 2 by default.
    pub fn t_mul(mut self, factor: f64) -> Self {
        self.t_mul = factor;
        self
    }

    /// The height of each period measured by the one before; 1 by default.
    pub fn m_mul(mut self, factor: f64) -> Self {
        self.m_mul = factor;
        self
    }

    /// The part of the initial rate that is left at a period's end, in [0, 1]; 0 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }
}

impl Schedule for CosineDecayRestarts {
    fn at(&self, step: u64) -> f64 {
        let (t, part) = (self.t_mul, step as f64 / self.steps as f64);
        let (period, part) = if t == 1.0 {
            (part.floor(), part.fract())
        } else if t < 1.001 {
            // The same as below, without the cancellation of 1 − t and 1 − tⁱ.
            let (more, log) = (t - 1.0, (t - 1.0).ln_1p());
            let i = ((part * more).ln_1p() / log + 1e-9).floor();
            (i, (part - (i * log).exp_m1() / more) / t.powf(i))
        } else {
            // i periods take (tⁱ − 1)/(t − 1) first periods; rounding must not put off a restart that falls on a step.
            let grown = 1.0 - part * (1.0 - t);
            let log = if grown.is_finite() { grown.ln() } else { part.ln() + t.ln() };
            let i = (log / t.ln() + 1e-9).floor();
            (i, (part - (1.0 - t.powf(i)) / (1.0 - t)) / t.powf(i))
        };
        if self.initial == 0.0 {
            return 0.0;
        }
        let height = self.m_mul.powf(period).min(f64::MAX);
        self.initial * (height * cosine(part, 0.0) * (1.0 - self.alpha) + self.alpha)
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::CosineDecayRestarts(self.clone())
    }

    fn check(&self) -> Result<()> {
        let op = "CosineDecayRestarts";
        check_not_negative(op, "initial", self.initial)?;
        check_steps(op, "first_decay_steps", self.steps)?;
        if !(self.t_mul >= 1.0 && self.t_mul.is_finite()) {
            return Err(Error::argument(op, "t_mul", "finite and at least 1", self.t_mul, "2 is usual"));
        }
        check_not_negative(op, "m_mul", self.m_mul)?;
        if self.alpha == 1.0 { Ok(()) } else { check_fraction(op, "alpha", self.alpha) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_settings() {
        let equal = CosineDecayRestarts::new(0.1, 10).t_mul(1.0).alpha(0.2);
        assert!((equal.at(5) - 0.06).abs() < 1e-15);
        assert_eq!((equal.at(10), equal.at(20)), (0.1, 0.1));
        let longer = CosineDecayRestarts::new(0.1, 15);
        assert_eq!((longer.at(15), longer.at(45)), (0.1, 0.1));
        let longer_by_a_fifth = CosineDecayRestarts::new(0.1, 10).t_mul(1.2);
        assert!((longer_by_a_fifth.at(22) - 0.1).abs() < 1e-15);
        assert!((longer.at(30) - 0.05).abs() < 1e-15);
        assert!(CosineDecayRestarts::new(0.1, 10).t_mul(0.5).check().is_err());
        // A second period that never ends begins at the top and stays there; factors that overflow give no NaN.
        let endless = CosineDecayRestarts::new(0.1, 10).t_mul(1e308);
        assert_eq!((endless.at(10), endless.at(25), endless.at(u64::MAX)), (0.1, 0.1, 0.1));
        assert!((endless.at(5) - 0.05).abs() < 1e-15);
        for t_mul in [1.0, 1.5, 1e200, f64::MAX] {
            for (initial, m_mul) in [(0.0, 1e308), (0.1, 1e308), (0.1, 0.0), (1e-300, 2.0)] {
                let rate = CosineDecayRestarts::new(initial, 1).t_mul(t_mul).m_mul(m_mul);
                for step in [0, 1, 2, 3, 1000, u64::MAX] {
                    assert!(rate.check().is_ok() && rate.at(step) >= 0.0, "{rate:?} {step}");
                }
            }
        }
        assert!(CosineDecayRestarts::new(0.1, 10).m_mul(-1.0).check().is_err());
        assert!(CosineDecayRestarts::new(0.1, 0).check().is_err());
    }
}
