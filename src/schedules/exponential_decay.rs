//! Exponential decay.

use super::{Schedule, ScheduleConfig};
use crate::check::{check_not_negative, check_steps};
use crate::error::Result;

/// initial · rate^(step / steps); as a staircase with the quotient rounded down.
///
/// Keras `ExponentialDecay`.
///
/// ```
/// use gradus::prelude::*;
/// let rate = ExponentialDecay::new(0.1, 100, 0.5);
/// assert!((rate.at(200) - 0.025).abs() < 1e-15);
/// assert_eq!(rate.staircase(true).at(99), 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct ExponentialDecay {
    initial: f64,
    steps: u64,
    rate: f64,
    staircase: bool,
}

impl ExponentialDecay {
    /// A learning rate that begins at `initial` and is multiplied by `rate` in every `steps` steps.
    pub fn new(initial: f64, steps: u64, rate: f64) -> Self {
        ExponentialDecay { initial, steps, rate, staircase: false }
    }

    /// Whether the rate falls at once after every `steps` steps; no by default.
    pub fn staircase(mut self, staircase: bool) -> Self {
        self.staircase = staircase;
        self
    }
}

impl Schedule for ExponentialDecay {
    fn at(&self, step: u64) -> f64 {
        // 0 stays 0, also where its factor overflows.
        if self.initial == 0.0 {
            return 0.0;
        }
        let part = step as f64 / self.steps as f64;
        self.initial * self.rate.powf(if self.staircase { part.floor() } else { part })
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::ExponentialDecay(self.clone())
    }

    fn check(&self) -> Result<()> {
        check_not_negative("ExponentialDecay", "initial", self.initial)?;
        check_steps("ExponentialDecay", "decay_steps", self.steps)?;
        check_not_negative("ExponentialDecay", "decay_rate", self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_settings() {
        let rate = ExponentialDecay::new(0.1, 20, 0.9);
        assert!((rate.at(10) - 0.1 * 0.9f64.sqrt()).abs() < 1e-15);
        let stairs = rate.staircase(true);
        assert_eq!((stairs.at(19), stairs.at(20)), (0.1, 0.1 * 0.9));
        // 0 stays 0 when the growth overflows.
        assert_eq!((ExponentialDecay::new(0.0, 1, 10.0).at(400), ExponentialDecay::new(0.0, 1, 0.5).at(3)), (0.0, 0.0));
        assert!(ExponentialDecay::new(0.1, 20, -0.9).check().is_err());
        assert!(ExponentialDecay::new(f64::NAN, 20, 0.9).check().is_err());
        assert!(ExponentialDecay::new(0.1, 0, 0.9).check().is_err());
    }
}
