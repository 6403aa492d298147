//! Lowers the learning rate when a figure no longer improves.

use super::monitor::{Monitor, monitored};
use super::{Callback, Logs, Run, RunPlan};
use crate::error::{Error, Result};
use crate::state::State;
use crate::tensor::Float;

/// Multiplies the learning rate by `factor` when the monitored figure has not improved for `patience` epochs.
///
/// Defaults: monitor `"val_loss"`, factor 0.1, patience 10, min_delta 1e-4, cooldown 0, min_lr 0. It takes the place of a
/// schedule from the first reduction on. NaN counts as no improvement, which a line of the run says.
///
/// Keras `ReduceLROnPlateau`, PyTorch `ReduceLROnPlateau` (with an absolute threshold).
///
/// ```
/// use gradus::prelude::*;
/// let slower = ReduceLrOnPlateau::default().factor(0.5).patience(3);
/// # let _ = slower;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReduceLrOnPlateau {
    monitor: Monitor,
    factor: f64,
    patience: usize,
    cooldown: usize,
    min_lr: f64,
    wait: usize,
    cooling: usize,
}

monitored!(ReduceLrOnPlateau);

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        ReduceLrOnPlateau {
            monitor: Monitor::new("ReduceLrOnPlateau", 1e-4),
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_lr: 0.0,
            wait: 0,
            cooling: 0,
        }
    }
}

impl ReduceLrOnPlateau {
    /// What the learning rate is multiplied by, from 0 to below 1; 0.1 by default.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Epochs without improvement before a reduction; 10 by default.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// Epochs after a reduction in which nothing is counted; 0 by default.
    pub fn cooldown(mut self, epochs: usize) -> Self {
        self.cooldown = epochs;
        self
    }

    /// The learning rate that is not gone below; 0 by default.
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }
}

impl<T: Float> Callback<T> for ReduceLrOnPlateau {
    fn check(&self, plan: &RunPlan<'_>) -> Result<()> {
        let op = "ReduceLrOnPlateau";
        crate::check::check_fraction(op, "factor", self.factor)?;
        if !self.min_lr.is_finite() || self.min_lr < 0.0 {
            return Err(Error::argument(op, "min_lr", "finite and not negative", self.min_lr, "0 is the default"));
        }
        self.monitor.check_figure(plan)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let own = [
            ("factor", format!("{:?}", self.factor)),
            ("patience", self.patience.to_string()),
            ("cooldown", self.cooldown.to_string()),
            ("min_lr", format!("{:?}", self.min_lr)),
        ];
        self.monitor.settings().into_iter().chain(own).collect()
    }

    fn on_train_begin(&mut self, _: &mut Run<'_, T>) -> Result<()> {
        (self.wait, self.cooling) = (0, 0);
        self.monitor.begin();
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &Logs<'_>, run: &mut Run<'_, T>) -> Result<()> {
        let value = self.monitor.value(epoch, logs, run)?;
        if self.cooling > 0 {
            self.cooling -= 1;
            self.wait = 0;
        }
        if self.monitor.improves(value) {
            self.wait = 0;
        } else if self.cooling == 0 {
            self.wait += 1;
            let rate = run.learning_rate();
            if self.wait >= self.patience && rate > self.min_lr {
                run.set_learning_rate((rate * self.factor).max(self.min_lr))?;
                self.cooling = self.cooldown;
                self.wait = 0;
            }
        }
        Ok(())
    }

    fn save(&self, state: &mut State) {
        self.monitor.save(state);
        state.put("epochs", &[self.wait as u64, self.cooling as u64]);
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        [self.wait, self.cooling] = state.counts("epochs")?;
        self.monitor.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    fn rates(mut slower: ReduceLrOnPlateau, losses: &[f64]) -> Vec<f64> {
        let mut stage = Stage::new();
        stage.play(&mut slower, "val_loss", losses);
        stage.rates
    }

    #[test]
    fn reductions() {
        let slower = || ReduceLrOnPlateau::default().factor(0.5).patience(2).min_lr(0.3);
        assert_eq!(rates(slower(), &[1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.6]), [1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3]);
        // In the two epochs after a reduction nothing counts but the second one's end of cooling.
        let losses = [1.0; 7];
        assert_eq!(rates(slower().cooldown(2), &losses), [1.0, 1.0, 0.5, 0.5, 0.5, 0.3, 0.3]);
        // An improvement below min_delta is none.
        assert_eq!(rates(slower().patience(1), &[1.0, 1.0 - 1e-5]), [1.0, 0.5]);
        // NaN is none either, before and after a number.
        assert_eq!(rates(slower().patience(1), &[f64::NAN, 1.0, f64::NAN]), [0.5, 0.5, 0.3]);
        let mut stage = Stage::new();
        stage.play(&mut slower(), "val_loss", &[f64::NAN, f64::NAN]);
        assert_eq!(stage.notes, ["ReduceLrOnPlateau: val_loss is NaN in epoch 1, which counts as no improvement"]);
    }

    #[test]
    fn settings() {
        let begin = |mut slower: ReduceLrOnPlateau| Stage::new().try_play(&mut slower, "val_loss", &[]).is_err();
        assert!(begin(ReduceLrOnPlateau::default().factor(1.0)) && begin(ReduceLrOnPlateau::default().min_lr(-1.0)));
    }
}
