//! Watching one figure for improvement.

use super::Logs;
use crate::error::{Error, Result};
use crate::state::State;

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
}

impl Monitor {
    pub fn new(op: &'static str, min_delta: f64) -> Self {
        Monitor { op, name: "val_loss".to_owned(), mode: Mode::Auto, min_delta, best: None }
    }

    pub fn begin(&mut self) -> Result<()> {
        self.best = None;
        if self.min_delta.is_finite() {
            return Ok(());
        }
        Err(Error::argument(self.op, "min_delta", "finite", self.min_delta, "0 counts any improvement"))
    }

    pub fn value(&self, logs: &Logs<'_>) -> Result<f64> {
        logs.get(self.op, &self.name)
    }

    /// Whether `value` is better than `reference` by more than |min_delta|; anything is better than nothing.
    pub fn better(&self, value: f64, reference: Option<f64>) -> bool {
        let Some(reference) = reference else { return !value.is_nan() };
        let max = match self.mode {
            Mode::Min => false,
            Mode::Max => true,
            Mode::Auto => MORE_IS_BETTER
                .iter()
                .any(|end| self.name.trim_end_matches(char::is_numeric).trim_end_matches('_').ends_with(end)),
        };
        let delta = self.min_delta.abs();
        if max { value - delta > reference } else { value + delta < reference }
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
