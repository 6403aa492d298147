//! Schedules one after the other.

use std::sync::Arc;

use super::{Schedule, ScheduleConfig};
use crate::check::check_steps;
use crate::error::{Error, Result};

/// One schedule after the other, each for its number of steps; the last goes on for ever.
///
/// Schedule i begins at b_i, the sum of the steps of those before it, and is asked for its rate at step − b_i: each counts
/// its own steps from 0. PyTorch `SequentialLR`, whose milestones are the b_i.
///
/// ```
/// use gradus::prelude::*;
/// let rate = Sequence::new(0.01).after(100, CosineDecay::new(0.1, 1000)).after(1000, 0.001);
/// assert_eq!((rate.at(99), rate.at(100), rate.at(1100)), (0.01, 0.1, 0.001));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "WrittenSequence", into = "WrittenSequence"))]
pub struct Sequence {
    /// Each with the steps that it takes, but for the last.
    earlier: Vec<(Arc<dyn Schedule>, u64)>,
    last: Arc<dyn Schedule>,
}

/// What serde writes of a [`Sequence`].
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSequence {
    earlier: Vec<(ScheduleConfig, u64)>,
    last: ScheduleConfig,
}

#[cfg(feature = "serde")]
impl From<WrittenSequence> for Sequence {
    fn from(written: WrittenSequence) -> Self {
        let earlier = written.earlier.into_iter().map(|(schedule, steps)| (schedule.into(), steps));
        Sequence { earlier: earlier.collect(), last: written.last.into() }
    }
}

#[cfg(feature = "serde")]
impl From<Sequence> for WrittenSequence {
    fn from(sequence: Sequence) -> Self {
        let earlier = sequence.earlier.iter().map(|(schedule, steps)| (schedule.config(), *steps));
        WrittenSequence { earlier: earlier.collect(), last: sequence.last.config() }
    }
}

impl Sequence {
    /// Begins with that schedule; a plain number is a constant rate.
    pub fn new(first: impl Schedule + 'static) -> Self {
        Sequence { earlier: Vec::new(), last: Arc::new(first) }
    }

    /// After `steps` steps of the schedule before, goes on with `next`.
    pub fn after(mut self, steps: u64, next: impl Schedule + 'static) -> Self {
        let before = std::mem::replace(&mut self.last, Arc::new(next));
        self.earlier.push((before, steps));
        self
    }

    /// The same of other schedules.
    #[cfg(any(feature = "files", feature = "keras"))]
    pub(crate) fn try_map(self, f: &dyn Fn(Arc<dyn Schedule>) -> Result<Arc<dyn Schedule>>) -> Result<Self> {
        let earlier = self.earlier.into_iter().map(|(schedule, steps)| Ok((f(schedule)?, steps)));
        Ok(Sequence { earlier: earlier.collect::<Result<_>>()?, last: f(self.last)? })
    }
}

impl Schedule for Sequence {
    fn at(&self, mut step: u64) -> f64 {
        for (schedule, steps) in &self.earlier {
            if step < *steps {
                return schedule.at(step);
            }
            step -= steps;
        }
        self.last.at(step)
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::Sequence(self.clone())
    }

    fn check(&self) -> Result<()> {
        for (_, steps) in &self.earlier {
            check_steps("Sequence", "steps", *steps)?;
        }
        for schedule in self.earlier.iter().map(|(s, _)| s).chain([&self.last]) {
            schedule.check()?;
            // A plain number has no check of its own.
            let first = schedule.at(0);
            if !(first.is_finite() && first >= 0.0) {
                let hint = "pass schedules whose rates are at least 0";
                return Err(Error::argument("Sequence", "learning_rate", "finite and not negative", first, hint));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::{CosineDecay, PolynomialDecay};

    #[test]
    fn each_counts_from_0() {
        let line = PolynomialDecay::new(0.4, 4).end(0.0);
        let rate = Sequence::new(0.5).after(3, line.clone()).after(2, line.clone());
        let expected = [(0, 0.5), (2, 0.5), (3, 0.4), (4, 0.3), (5, 0.4), (8, 0.1), (9, 0.0), (u64::MAX, 0.0)];
        for (step, value) in expected {
            assert!((rate.at(step) - value).abs() < 1e-15, "step {step}");
        }
        assert!((5..9).all(|s| rate.at(s) > rate.at(s + 1)));
        assert_eq!(Sequence::new(line.clone()).at(3), line.at(3));
        let nested = Sequence::new(0.1).after(1, rate.clone());
        assert!((0..12).all(|s| nested.at(s + 1) == rate.at(s)));
        assert_eq!(Sequence::new(0.1).after(u64::MAX, 0.2).after(u64::MAX, 0.3).at(u64::MAX), 0.2);
    }

    #[test]
    fn settings() {
        let message = |rate: Sequence| rate.check().unwrap_err().to_string();
        assert!(Sequence::new(0.1).after(3, CosineDecay::new(0.1, 10)).check().is_ok());
        assert_eq!(
            message(Sequence::new(0.1).after(0, 0.2)),
            "Sequence: steps must be at least 1, got 0; pass the number of steps"
        );
        assert_eq!(
            message(Sequence::new(0.1).after(3, -0.2)),
            "Sequence: learning_rate must be finite and not negative, got -0.2; pass schedules whose rates are at least 0"
        );
        let inner = "CosineDecay: decay_steps must be at least 1, got 0; pass the number of steps";
        assert_eq!(message(Sequence::new(CosineDecay::new(0.1, 0)).after(3, 0.2)), inner);
        assert_eq!(message(Sequence::new(0.1).after(3, CosineDecay::new(0.1, 0))), inner);
        assert!(Sequence::new(f64::NAN).check().is_err());
    }
}
