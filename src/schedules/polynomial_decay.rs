//! Polynomial decay.

use super::{Schedule, ScheduleConfig};
use crate::check::{check_not_negative, check_steps};
use crate::error::Result;

/// (initial − end) · (1 − step/steps)^power + end up to `steps` steps, then `end`.
///
/// With `cycle` the fall is stretched to the next multiple of `steps` each time that its end is passed. Defaults: end
/// 0.0001, power 1. Keras `PolynomialDecay`.
///
/// ```
/// use gradus::prelude::*;
/// let rate = PolynomialDecay::new(0.1, 100).end(0.0).power(2.0);
/// assert!((rate.at(50) - 0.025).abs() < 1e-15);
/// assert_eq!(rate.at(1000), 0.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct PolynomialDecay {
    initial: f64,
    steps: u64,
    end: f64,
    power: f64,
    cycle: bool,
}

impl PolynomialDecay {
    /// A learning rate that falls from `initial` in `steps` steps.
    pub fn new(initial: f64, steps: u64) -> Self {
        PolynomialDecay { initial, steps, end: 1e-4, power: 1.0, cycle: false }
    }

    /// The last learning rate; 0.0001 by default.
    pub fn end(mut self, end: f64) -> Self {
        self.end = end;
        self
    }

    /// The power of the fall: 1, the default, is a line.
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }

    /// Whether the rate rises again after every `steps` steps; no by default.
    pub fn cycle(mut self, cycle: bool) -> Self {
        self.cycle = cycle;
        self
    }
}

impl Schedule for PolynomialDecay {
    fn at(&self, step: u64) -> f64 {
        let (step, mut steps) = (step as f64, self.steps as f64);
        if self.cycle {
            steps *= (step / steps).ceil().max(1.0);
        }
        (self.initial - self.end) * (1.0 - step.min(steps) / steps).powf(self.power) + self.end
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::PolynomialDecay(self.clone())
    }

    fn check(&self) -> Result<()> {
        check_not_negative("PolynomialDecay", "initial", self.initial)?;
        check_steps("PolynomialDecay", "decay_steps", self.steps)?;
        check_not_negative("PolynomialDecay", "end", self.end)?;
        check_not_negative("PolynomialDecay", "power", self.power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_settings() {
        let rate = PolynomialDecay::new(0.1, 50).end(0.02);
        assert!((rate.at(25) - 0.06).abs() < 1e-15);
        assert_eq!(rate.at(51), 0.02);
        let cycle = rate.clone().cycle(true);
        assert_eq!((cycle.at(0), cycle.at(50)), (0.1, 0.02));
        assert!((cycle.at(75) - 0.04).abs() < 1e-15);
        assert!(rate.clone().end(-1.0).check().is_err());
        assert!(rate.power(f64::NAN).check().is_err());
        assert!(PolynomialDecay::new(0.1, 0).check().is_err());
    }
}
