//! The configuration of any optimizer, as a value that serde writes and reads.

use std::sync::Arc;

use super::{
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lion, Muon, Nadam, Optimizer, OptimizerOptions, RmsProp,
    Sgd,
};
use crate::config::config_enum;
use crate::error::Result;
use crate::schedules::Schedule;
use crate::tensor::Float;

/// What a schedule is replaced by.
pub(crate) type OfSchedule<'a> = &'a dyn Fn(Arc<dyn Schedule>) -> Result<Arc<dyn Schedule>>;

config_enum! {
    /// What an optimizer is made from, with its schedule; [`into_optimizer`](Self::into_optimizer) makes it again.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let config = Optimizer::<f32>::config(&Sgd::default().momentum(0.9));
    /// assert_eq!(config.into_optimizer::<f64>()?.name(), "sgd");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    OptimizerConfig: "optimizer" {
        Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lion Muon Nadam RmsProp Sgd
    }
    /// Makes the optimizer with another schedule in the place of its own.
    pub(crate) fn into_optimizer_with<T>(schedule: OfSchedule<'_>) -> Box<dyn Optimizer<T>> {
        |optimizer| {
            let mut optimizer = optimizer;
            let options = optimizer.options_mut();
            options.learning_rate = schedule(options.learning_rate.clone())?;
            optimizer.boxed()
        }
    }
}

impl OptimizerConfig {
    /// Makes the optimizer; its moments begin anew.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a [`Custom`](Self::Custom) one, which only its own crate can make.
    pub fn into_optimizer<T: Float>(self) -> Result<Box<dyn Optimizer<T>>> {
        self.into_optimizer_with(&Ok)
    }
}
