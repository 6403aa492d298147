//! Watching one figure for improvement.

use super::{Logs, Run, RunPlan};
use crate::error::{Error, Result};
use crate::state::State;
use crate::tensor::Float;

/// Which direction is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Larger for accuracies, precision, recall and the like, else smaller.
    #[default]
    Auto,
    /// Smaller.
    Min,
    /// Larger.
    Max,
}

impl Mode {
    /// Whether larger is better for a figure of this name.
    pub(crate) fn is_max(self, name: &str) -> bool {
        match self {
            Mode::Min => false,
            Mode::Max => true,
            Mode::Auto => {
                let name = name.trim_end_matches(char::is_numeric).trim_end_matches('_');
                MORE_IS_BETTER.iter().any(|end| name.ends_with(end))
            }
        }
    }
}

/// Figures of which more is better, by the end of their names.
const MORE_IS_BETTER: [&str; 8] =
    ["accuracy", "acc", "auc", "precision", "recall", "f1_score", "r2_score", "cosine_similarity"];

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Monitor {
    pub op: &'static str,
    pub name: String,
    pub mode: Mode,
    pub min_delta: f64,
    pub best: Option<f64>,
    /// Whether a line has told of NaN.
    told: bool,
}

impl Monitor {
    pub fn new(op: &'static str, min_delta: f64) -> Self {
        Monitor { op, name: "val_loss".to_owned(), mode: Mode::Auto, min_delta, best: None, told: false }
    }

    pub fn begin(&mut self) {
        (self.best, self.told) = (None, false);
    }

    /// Checks the settings.
    pub fn check(&self) -> Result<()> {
        if self.min_delta.is_finite() {
            return Ok(());
        }
        Err(Error::argument(self.op, "min_delta", "finite", self.min_delta, "0 counts any improvement"))
    }

    /// The same, and that the figure will be there.
    pub fn check_figure(&self, plan: &RunPlan<'_>) -> Result<()> {
        self.check()?;
        plan.check_figure(self.op, &self.name)
    }

    /// The figure of an epoch; the first that is NaN is told of.
    pub fn value<T: Float>(&mut self, epoch: usize, logs: &Logs<'_>, run: &mut Run<'_, T>) -> Result<f64> {
        let value = logs.get(self.op, &self.name)?;
        if value.is_nan() && !self.told {
            self.told = true;
            let Monitor { op, name, .. } = self;
            run.note(format!("{op}: {name} is NaN in epoch {}, which counts as no improvement", epoch + 1));
        }
        Ok(value)
    }

    /// Whether `value` is better than `reference` by more than |min_delta|; anything but NaN is better than nothing.
    pub fn better(&self, value: f64, reference: Option<f64>) -> bool {
        let Some(reference) = reference else { return !value.is_nan() };
        let max = self.mode.is_max(&self.name);
        let delta = self.min_delta.abs();
        if max { value - delta > reference } else { value + delta < reference }
    }

    /// The part of a callback's settings that says what is watched.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let Monitor { name, mode, min_delta, .. } = self;
        vec![("monitor", name.clone()), ("mode", format!("{mode:?}")), ("min_delta", format!("{min_delta:?}"))]
    }

    pub fn save(&self, state: &mut State) {
        state.put("best", self.best.as_slice());
    }

    pub fn restore(&mut self, state: &State) -> Result<()> {
        self.best = state.get("best")?.first().copied();
        Ok(())
    }

    /// Takes `value` as the best so far if it is.
    pub fn improves(&mut self, value: f64) -> bool {
        let better = self.better(value, self.best);
        if better {
            self.best = Some(value);
        }
        better
    }
}

/// The settings that callbacks with a monitor share.
macro_rules! monitored {
    ($name:ident $(<$t:ident>)?) => {
        impl$(<$t>)? $name$(<$t>)? {
            /// The figure to watch; `"val_loss"` by default.
            pub fn monitor(mut self, name: &str) -> Self {
                self.monitor.name = name.to_owned();
                self
            }

            /// Which direction is better; by default told from the figure's name.
            pub fn mode(mut self, mode: super::Mode) -> Self {
                self.monitor.mode = mode;
                self
            }

            /// The least change that counts as an improvement.
            pub fn min_delta(mut self, delta: f64) -> Self {
                self.monitor.min_delta = delta;
                self
            }

            /// The best value so far.
            pub fn best(&self) -> Option<f64> {
                self.monitor.best
            }
        }
    };
}
pub(super) use monitored;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions() {
        let monitor = |name: &str, mode| Monitor { name: name.into(), mode, ..Monitor::new("EarlyStopping", 0.1) };
        assert!(monitor("val_loss", Mode::Auto).better(0.8, Some(1.0)));
        assert!(!monitor("val_loss", Mode::Auto).better(0.95, Some(1.0)));
        assert!(monitor("val_accuracy", Mode::Auto).better(0.8, Some(0.6)));
        assert!(monitor("precision_1", Mode::Auto).better(0.8, Some(0.6)));
        assert!(monitor("precision", Mode::Min).better(0.4, Some(0.6)));
        assert!(!monitor("loss", Mode::Max).better(0.4, Some(0.6)));
        assert!(!monitor("loss", Mode::Auto).better(f64::NAN, Some(0.6)));
        assert!(!monitor("loss", Mode::Auto).better(f64::NAN, None));
    }
}
