//! The configuration of any schedule, as a value that serde writes and reads.

use std::sync::Arc;

use super::{
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, OneCycle, PiecewiseConstantDecay,
    PolynomialDecay, Schedule, Sequence, WarmupStableDecay,
};
use crate::config::config_enum;
use crate::error::Result;

/// A plain number as a schedule.
type Constant = f64;

config_enum! {
    /// What a schedule is made from; [`into_schedule`](Self::into_schedule) makes it again.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let config = ExponentialDecay::new(0.1, 10, 0.5).config();
    /// assert_eq!(config.into_schedule()?.at(10), 0.05);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ScheduleConfig: "schedule" {
        Constant CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay OneCycle PiecewiseConstantDecay
        PolynomialDecay Sequence WarmupStableDecay
    }
    /// Makes the schedule.
    pub fn into_schedule() -> Arc<dyn Schedule> { |schedule| Arc::new(schedule) }
}

/// A schedule that only its own crate can make: what it is configured with, until a registry has made it.
#[derive(Debug)]
struct Unmade(ScheduleConfig);

impl Schedule for Unmade {
    fn at(&self, _: u64) -> f64 {
        f64::NAN
    }

    fn check(&self) -> Result<()> {
        self.config().into_schedule().map(|_| ())
    }

    fn config(&self) -> ScheduleConfig {
        self.0.clone()
    }
}

impl From<ScheduleConfig> for Arc<dyn Schedule> {
    /// The schedule; one from outside this crate does not pass its `check`.
    fn from(config: ScheduleConfig) -> Self {
        config.clone().into_schedule().unwrap_or_else(|_| Arc::new(Unmade(config)))
    }
}

/// How serde writes and reads a schedule that is held by its trait.
#[cfg(feature = "serde")]
pub(crate) mod written {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Schedule, ScheduleConfig};

    pub fn serialize<S: Serializer>(schedule: &Arc<dyn Schedule>, to: S) -> Result<S::Ok, S::Error> {
        schedule.config().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<dyn Schedule>, D::Error> {
        ScheduleConfig::deserialize(from).map(Into::into)
    }
}
