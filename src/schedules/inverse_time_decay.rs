//! Decay with the inverse of time.

use super::{Schedule, ScheduleConfig};
use crate::check::{check_not_negative, check_steps};
use crate::error::Result;

/// initial / (1 + rate · step / steps); as a staircase with the quotient rounded down.
///
/// Keras `InverseTimeDecay`.
///
/// ```
/// use gradus::prelude::*;
/// let rate = InverseTimeDecay::new(0.1, 10, 0.5);
/// assert_eq!(rate.at(20), 0.05);
/// assert_eq!(rate.staircase(true).at(9), 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct InverseTimeDecay {
    initial: f64,
    steps: u64,
    rate: f64,
    staircase: bool,
}

impl InverseTimeDecay {
    /// A learning rate that begins at `initial`; its divisor grows by `rate` in every `steps` steps.
    pub fn new(initial: f64, steps: u64, rate: f64) -> Self {
        InverseTimeDecay { initial, steps, rate, staircase: false }
    }

    /// Whether the rate falls at once after every `steps` steps; no by default.
    pub fn staircase(mut self, staircase: bool) -> Self {
        self.staircase = staircase;
        self
    }
}

impl Schedule for InverseTimeDecay {
    fn at(&self, step: u64) -> f64 {
        let part = step as f64 / self.steps as f64;
        self.initial / (1.0 + self.rate * if self.staircase { part.floor() } else { part })
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::InverseTimeDecay(self.clone())
    }

    fn check(&self) -> Result<()> {
        check_not_negative("InverseTimeDecay", "initial", self.initial)?;
        check_steps("InverseTimeDecay", "decay_steps", self.steps)?;
        check_not_negative("InverseTimeDecay", "decay_rate", self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_settings() {
        let rate = InverseTimeDecay::new(0.1, 10, 0.5);
        assert_eq!((rate.at(0), rate.at(5)), (0.1, 0.1 / 1.25));
        assert_eq!(rate.staircase(true).at(15), 0.1 / 1.5);
        assert!(InverseTimeDecay::new(0.1, 10, -0.5).check().is_err());
        assert!(InverseTimeDecay::new(0.1, 0, 0.5).check().is_err());
    }
}
