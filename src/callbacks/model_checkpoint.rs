//! The model in a file, after every epoch or only after better ones.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::monitor::{Monitor, monitored};
use super::{Callback, Logs, Run};
use crate::error::{Error, Result};
use crate::state::State;
use crate::tensor::Float;

/// Saves the model after epochs, under a name that may tell the epoch and its figures.
///
/// In the name `{epoch}` stands for the epoch's number from 1, `{epoch:03}` for three digits of it, `{val_loss}` for that figure
/// with four decimals and `{val_loss:.2}` with two. [`Sequential::load`](crate::Sequential::load) reads the files.
///
/// Defaults: after every epoch, whatever its figures; monitor `"val_loss"` where only the best is saved; all files are kept.
///
/// Keras `ModelCheckpoint`. To continue a run that was stopped use [`Fit::checkpoint`](crate::model::Fit::checkpoint) instead.
///
/// ```
/// use gradus::prelude::*;
/// let best: ModelCheckpoint = ModelCheckpoint::new("best.safetensors").save_best_only(true).monitor("val_accuracy");
/// let last = ModelCheckpoint::new("epoch-{epoch:03}-{val_loss:.2}.safetensors").keep_last(3);
/// # let _ = (best, last);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCheckpoint {
    name: String,
    monitor: Monitor,
    save_best_only: bool,
    keep_last: Option<usize>,
    every: usize,
    initial_value_threshold: Option<f64>,
    /// Files of this run, oldest first.
    saved: VecDeque<String>,
}

monitored!(ModelCheckpoint);

impl ModelCheckpoint {
    /// Saves to files of this name.
    pub fn new(name: impl Into<PathBuf>) -> Self {
        ModelCheckpoint {
            name: name.into().to_string_lossy().into_owned(),
            monitor: Monitor::new("ModelCheckpoint", 0.0),
            save_best_only: false,
            keep_last: None,
            every: 1,
            initial_value_threshold: None,
            saved: VecDeque::new(),
        }
    }

    /// Whether the model is saved only when the monitored figure is the best so far; no by default.
    pub fn save_best_only(mut self, only: bool) -> Self {
        self.save_best_only = only;
        self
    }

    /// Removes older files of the run so that at most `n` stay; by default all do.
    pub fn keep_last(mut self, n: usize) -> Self {
        self.keep_last = Some(n);
        self
    }

    /// Saves after every so many epochs; 1 by default.
    pub fn every(mut self, epochs: usize) -> Self {
        self.every = epochs;
        self
    }

    /// A figure that has to be bettered before the first file is written; none by default.
    pub fn initial_value_threshold(mut self, value: f64) -> Self {
        self.initial_value_threshold = Some(value);
        self
    }

    /// The files of the run that are still there, oldest first.
    pub fn saved(&self) -> impl Iterator<Item = &str> {
        self.saved.iter().map(String::as_str)
    }

    /// The file's name for an epoch, counted from 0.
    fn file(&self, epoch: usize, logs: &Logs<'_>) -> Result<String> {
        let mut parts = self.name.split('{');
        let mut name = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((field, rest)) = part.split_once('}') else {
                let hint = "write {epoch} or {val_loss:.2}";
                return Err(Error::argument("ModelCheckpoint", "name", "with every { closed", &self.name, hint));
            };
            let (field, format) = field.split_once(':').unwrap_or((field, ""));
            let digits = format.trim_start_matches(['0', '.']).trim_end_matches(['d', 'f']);
            let digits = match digits.parse() {
                Ok(digits) if digits <= 20 => Some(digits),
                _ if format.is_empty() => None,
                _ => {
                    let hint = "write {epoch:03} or {val_loss:.2}";
                    return Err(Error::argument("ModelCheckpoint", "name", "digits behind the colon", part, hint));
                }
            };
            name += &match field {
                "epoch" => format!("{:0width$}", epoch + 1, width = digits.unwrap_or(1)),
                figure => format!("{:.*}", digits.unwrap_or(4), logs.get("ModelCheckpoint", figure)?),
            };
            name += rest;
        }
        Ok(name)
    }
}

impl<T: Float> Callback<T> for ModelCheckpoint {
    fn on_train_begin(&mut self, _: &mut Run<'_, T>) -> Result<()> {
        let zero = [(self.every == 0, "every"), (self.keep_last == Some(0), "keep_last")];
        if let Some((_, name)) = zero.into_iter().find(|(zero, _)| *zero) {
            return Err(Error::argument("ModelCheckpoint", name, "at least 1", 0, "leave it out for the default"));
        }
        self.saved.clear();
        self.monitor.begin()?;
        self.monitor.best = self.initial_value_threshold;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &Logs<'_>, run: &mut Run<'_, T>) -> Result<()> {
        if !(epoch + 1).is_multiple_of(self.every) {
            return Ok(());
        }
        if self.save_best_only && !self.monitor.improves(self.monitor.value(logs)?) {
            return Ok(());
        }
        let file = self.file(epoch, logs)?;
        run.save(&file)?;
        self.saved.retain(|saved| *saved != file);
        self.saved.push_back(file);
        while self.keep_last.is_some_and(|n| self.saved.len() > n) {
            if let Some(old) = self.saved.pop_front() {
                match std::fs::remove_file(&old) {
                    // Someone else may have tidied up.
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::Io { file: old.into(), source });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn save(&self, state: &mut State) {
        self.monitor.save(state);
        state.put_text("saved", &self.saved.iter().map(String::as_str).collect::<Vec<_>>().join("\n"));
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.monitor.restore(state)?;
        // Files are removed by this list, so nothing gets in that this callback would not have written.
        let (before, rest) = self.name.split_once('{').unwrap_or((&self.name, ""));
        let after = rest.rsplit('}').next().unwrap_or_default();
        let own = |name: &str| {
            let middle = name.strip_prefix(before)?.strip_suffix(after)?;
            (!middle.contains(['/', '\\'])).then(|| name.to_owned())
        };
        self.saved = state.text("saved")?.lines().filter_map(own).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    #[test]
    fn best_and_last() {
        let folder = std::env::temp_dir().join(format!("gradus_model_checkpoint_{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = || {
            let mut names: Vec<_> =
                folder.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names.iter().for_each(|name| std::fs::remove_file(folder.join(name)).unwrap());
            names
        };
        let losses = [1.0, 0.5, 0.75, 0.25];
        let checkpoint = |name: &str| ModelCheckpoint::new(folder.join(name)).monitor("loss");
        let play = |mut checkpoint: ModelCheckpoint| Stage::new().try_play(&mut checkpoint, "loss", &losses);
        play(checkpoint("{epoch:02}-{loss:.2}").save_best_only(true)).unwrap();
        assert_eq!(files(), ["01-1.00", "02-0.50", "04-0.25"]);
        play(checkpoint("{epoch}-{loss}").save_best_only(true).initial_value_threshold(0.5)).unwrap();
        assert_eq!(files(), ["4-0.2500"]);
        play(checkpoint("{epoch}").keep_last(2)).unwrap();
        assert_eq!(files(), ["3", "4"]);
        play(checkpoint("{epoch}").every(3)).unwrap();
        assert_eq!(files(), ["3"]);
        for bad in
            [checkpoint("{epoch"), checkpoint("{val_loss}"), checkpoint("{epoch:x}"), checkpoint("a").keep_last(0)]
        {
            assert!(play(bad).is_err());
        }
        let error = play(ModelCheckpoint::new("/no/such/folder/model")).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/folder/model: cannot write: "), "{error}");
        std::fs::remove_dir(&folder).unwrap();
    }
}
