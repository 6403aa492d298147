//! A learning rate for each epoch.

use std::fmt;

use super::{Callback, Run};
use crate::error::Result;
use crate::tensor::Float;

/// Sets the learning rate of each epoch to `f(epoch, rate so far)`; epochs count from 0.
///
/// Keras `LearningRateScheduler`. For a rate that follows the step see [`schedules`](crate::schedules).
///
/// ```
/// use gradus::prelude::*;
/// let later = LearningRateScheduler::new(|epoch, rate| if epoch < 10 { rate } else { rate * 0.9 });
/// # let _ = later;
/// ```
pub struct LearningRateScheduler {
    f: Box<dyn FnMut(usize, f64) -> f64>,
}

impl LearningRateScheduler {
    /// From the rule.
    pub fn new(f: impl FnMut(usize, f64) -> f64 + 'static) -> Self {
        LearningRateScheduler { f: Box::new(f) }
    }
}

impl fmt::Debug for LearningRateScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LearningRateScheduler")
    }
}

impl<T: Float> Callback<T> for LearningRateScheduler {
    /// Which function it is cannot be told.
    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("rule", "a function".into())]
    }

    fn on_epoch_begin(&mut self, epoch: usize, run: &mut Run<'_, T>) -> Result<()> {
        let rate = (self.f)(epoch, run.learning_rate());
        run.set_learning_rate(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    #[test]
    fn rates() {
        let mut stage = Stage::new();
        let mut rule = LearningRateScheduler::new(|epoch, rate| if epoch == 0 { rate } else { rate * 0.5 });
        stage.play(&mut rule, "loss", &[0.0; 4]);
        assert_eq!(stage.rates, [1.0, 0.5, 0.25, 0.125]);
        let mut rule = LearningRateScheduler::new(|_, _| f64::NAN);
        assert!(Stage::new().try_play(&mut rule, "loss", &[0.0]).unwrap_err().to_string().contains("learning_rate"));
    }
}
