//! Ends training when a figure no longer improves.

use super::monitor::{Monitor, monitored};
use super::{Callback, Logs, Run, RunPlan};
use crate::error::{Error, Result};
use crate::state::State;
use crate::tensor::Float;

/// Ends training when the monitored figure has not improved for `patience` epochs.
///
/// Defaults: monitor `"val_loss"`, min_delta 0, patience 0, no baseline, weights left as they are, from the first epoch on.
/// One object serves several runs; it begins anew with each.
///
/// NaN is never the best figure and counts as no improvement, which a line of the run says. If patience runs out before any figure
/// was a number, that is an error (Keras stops without a word).
///
/// Keras `EarlyStopping`. Prechelt: "Early Stopping - But When?", 1998.
///
/// ```
/// use gradus::prelude::*;
/// let stopping: EarlyStopping = EarlyStopping::default().monitor("val_accuracy").patience(5).restore_best_weights(true);
/// # let _ = stopping;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping<T = f32> {
    pub(super) monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    restore_best_weights: bool,
    start_from_epoch: usize,
    wait: usize,
    best_epoch: usize,
    stopped_epoch: Option<usize>,
    best_weights: Vec<T>,
    /// How many weights the model has.
    weights: usize,
}

monitored!(EarlyStopping<T>);

impl<T> Default for EarlyStopping<T> {
    fn default() -> Self {
        EarlyStopping {
            monitor: Monitor::new("EarlyStopping", 0.0),
            patience: 0,
            baseline: None,
            restore_best_weights: false,
            start_from_epoch: 0,
            wait: 0,
            best_epoch: 0,
            stopped_epoch: None,
            best_weights: Vec::new(),
            weights: 0,
        }
    }
}

impl<T> EarlyStopping<T> {
    /// Epochs without improvement after which training ends; 0 by default.
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = epochs;
        self
    }

    /// A value that has to be bettered too, or patience runs out; none by default.
    pub fn baseline(mut self, value: f64) -> Self {
        self.baseline = Some(value);
        self
    }

    /// Whether training ends with the weights of the best epoch; no by default.
    pub fn restore_best_weights(mut self, restore: bool) -> Self {
        self.restore_best_weights = restore;
        self
    }

    /// Epochs before this one, counted from 0, are not looked at; 0 by default.
    pub fn start_from_epoch(mut self, epoch: usize) -> Self {
        self.start_from_epoch = epoch;
        self
    }

    /// The epoch, from 0, after which training was stopped, if it was.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped_epoch
    }

    /// The epoch, from 0, of the best figure.
    pub fn best_epoch(&self) -> usize {
        self.best_epoch
    }
}

impl<T: Float> Callback<T> for EarlyStopping<T> {
    fn check(&self, plan: &RunPlan<'_>) -> Result<()> {
        if let Some(baseline) = self.baseline.filter(|b| b.is_nan()) {
            return Err(Error::argument("EarlyStopping", "baseline", "a number", baseline, "leave it out for none"));
        }
        self.monitor.check_figure(plan)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let own = [
            ("patience", self.patience.to_string()),
            ("baseline", format!("{:?}", self.baseline)),
            ("restore_best_weights", self.restore_best_weights.to_string()),
            ("start_from_epoch", self.start_from_epoch.to_string()),
        ];
        self.monitor.settings().into_iter().chain(own).collect()
    }

    fn on_train_begin(&mut self, run: &mut Run<'_, T>) -> Result<()> {
        self.weights = run.params().len();
        self.wait = 0;
        self.best_epoch = 0;
        self.stopped_epoch = None;
        self.best_weights.clear();
        self.monitor.begin();
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &Logs<'_>, run: &mut Run<'_, T>) -> Result<()> {
        let value = self.monitor.value(epoch, logs, run)?;
        // A run that was stopped before may have been told to go on.
        self.stopped_epoch = None;
        if epoch < self.start_from_epoch {
            return Ok(());
        }
        self.wait += 1;
        let improved = self.monitor.improves(value);
        if improved || (self.restore_best_weights && self.best_weights.is_empty()) {
            self.best_epoch = epoch;
            if self.restore_best_weights {
                self.best_weights.clear();
                self.best_weights.extend_from_slice(run.params().values());
            }
        }
        if improved {
            if self.baseline.is_none_or(|baseline| self.monitor.better(value, Some(baseline))) {
                self.wait = 0;
            }
            return Ok(());
        }
        if self.wait >= self.patience && epoch > 0 {
            if self.monitor.best.is_none() {
                let problem =
                    format!("{} was NaN in every epoch up to {}: none is the best", self.monitor.name, epoch + 1);
                let hint = "look for NaN in the validation data, see Fit::check_finite, or monitor another figure";
                return Err(Error::Config { op: "EarlyStopping", problem, hint: hint.into() });
            }
            self.stopped_epoch = Some(epoch);
            run.stop();
        }
        Ok(())
    }

    fn on_train_end(&mut self, run: &mut Run<'_, T>) -> Result<()> {
        if !self.best_weights.is_empty() {
            run.values_mut().copy_from_slice(&self.best_weights);
        }
        Ok(())
    }

    fn save(&self, state: &mut State) {
        self.monitor.save(state);
        state.put("epochs", &[self.wait as u64, self.best_epoch as u64]);
        state.put("stopped", self.stopped_epoch.map(|e| e as u64).as_slice());
        state.put("weights", &self.best_weights);
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.monitor.restore(state)?;
        let weights = state.get::<T>("weights")?;
        if !weights.is_empty() && weights.len() != self.weights {
            let hint = "resume with the model that the run began with";
            return Err(Error::shape("EarlyStopping", format!("{} best weights", self.weights), weights.len(), hint));
        }
        self.best_weights = weights.to_vec();
        [self.wait, self.best_epoch] = state.counts("epochs")?;
        self.stopped_epoch = state.get::<u64>("stopped")?.first().map(|&e| e as usize);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    #[test]
    fn patience_runs_out() {
        let mut stopping = EarlyStopping::default().patience(2).restore_best_weights(true);
        let mut stage = Stage::new();
        let losses = [1.0, 0.5, 0.6, 0.55, 0.4];
        assert_eq!(stage.play(&mut stopping, "val_loss", &losses), 4);
        assert_eq!((stopping.stopped_epoch(), stopping.best_epoch(), stopping.best()), (Some(3), 1, Some(0.5)));
        // The stage sets all weights to the epoch's number.
        assert!(stage.params.values().iter().all(|&w| w == 1.0));
        // A second run begins anew.
        assert_eq!(stage.play(&mut stopping, "val_loss", &[2.0, 1.0, 0.5]), 3);
        assert_eq!((stopping.stopped_epoch(), stopping.best()), (None, Some(0.5)));
    }

    #[test]
    fn settings() {
        let run = |mut stopping: EarlyStopping, values: &[f64]| Stage::new().play(&mut stopping, "val_loss", values);
        assert_eq!(run(EarlyStopping::default(), &[1.0, 2.0, 0.1]), 2);
        assert_eq!(run(EarlyStopping::default().min_delta(0.5), &[1.0, 0.9, 0.1]), 2);
        assert_eq!(run(EarlyStopping::default().start_from_epoch(3), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 5);
        assert_eq!(run(EarlyStopping::default().mode(super::super::Mode::Max), &[1.0, 2.0, 1.0, 5.0]), 3);
        // Better than before but never than the baseline.
        assert_eq!(run(EarlyStopping::default().patience(3).baseline(0.1), &[1.0, 0.9, 0.8, 0.85, 0.1]), 4);
    }

    #[test]
    fn nan_is_never_the_best() {
        let play = |mut stopping: EarlyStopping, values: &[f64]| {
            let mut stage = Stage::new();
            let played = stage.try_play(&mut stopping, "val_loss", values).map_err(|e| e.to_string());
            (played, stopping.best(), stage.notes)
        };
        let nan = f64::NAN;
        let line =
            |epoch| vec![format!("EarlyStopping: val_loss is NaN in epoch {epoch}, which counts as no improvement")];
        let patient = || EarlyStopping::default().patience(2);
        assert_eq!(play(patient(), &[0.5, nan, nan, 0.1]), (Ok(3), Some(0.5), line(2)));
        assert_eq!(play(patient(), &[nan, 0.5, 0.4, 0.3]), (Ok(4), Some(0.3), line(1)));
        assert_eq!(play(patient(), &[0.5, f64::INFINITY, 0.4]), (Ok(3), Some(0.4), vec![]));
        let error = "EarlyStopping: val_loss was NaN in every epoch up to 2: none is the best; look for NaN in the validation \
            data, see Fit::check_finite, or monitor another figure";
        assert_eq!(play(patient(), &[nan, nan, nan]), (Err(error.into()), None, line(1)));
        assert!(
            play(EarlyStopping::default().baseline(nan), &[0.5]).0.unwrap_err().contains("baseline must be a number")
        );
    }

    #[test]
    fn an_unknown_figure() {
        let mut stopping = EarlyStopping::<f32>::default();
        let error = Stage::new().try_play(&mut stopping, "loss", &[1.0]).unwrap_err().to_string();
        assert_eq!(
            error,
            "EarlyStopping: monitor must be one of loss, got val_loss; val_… figures need validation data"
        );
        let mut stopping = EarlyStopping::<f32>::default().monitor("acc");
        let error = Stage::new().try_play(&mut stopping, "loss", &[1.0]).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "got acc; figures are named after the loss and the metrics of compile, with val_ in front for \
            validation data"
            ),
            "{error}"
        );
        let mut stopping = EarlyStopping::<f32>::default().min_delta(f64::NAN);
        assert!(Stage::new().try_play(&mut stopping, "loss", &[1.0]).is_err());
    }
}
