//! The model in a file, after every epoch or only after better ones.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::file_name::FileName;
use super::monitor::{Monitor, monitored};
use super::{Callback, Logs, Run, RunPlan, prepare_file, prepare_folder};
use crate::error::{Error, Result};
use crate::io::check_regular;
use crate::state::State;
use crate::tensor::Float;

/// Saves the model after epochs, under a name that may tell the epoch and its figures.
///
/// In the name `{epoch}` stands for the epoch's number from 1, `{epoch:03d}` for three digits of it, `{val_loss}` for that figure
/// with four decimals, `{val_loss:.2f}` with two, `{val_loss:.2e}` with an exponent: Python's formats of the kinds d, e, f and g,
/// with a width, zeros in front and a precision. Without a kind a precision counts decimals. `{{` and `}}` are braces.
/// [`Model::load`](crate::Model::load) reads the files. Folders are made where there are none.
///
/// NaN is never the best figure, which a line of the run says.
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
    /// Whether an epoch was one of those after which the model is saved.
    was_due: bool,
    /// Files of this run, oldest first.
    saved: VecDeque<String>,
    /// Those of them that a checkpoint names; it may be anyone's.
    named: Vec<String>,
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
            was_due: false,
            saved: VecDeque::new(),
            named: Vec::new(),
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

    /// Saves after every so many epochs, whose number from 1 is a multiple of that; 1 by default. More than the run has is an error.
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
}

impl<T: Float> Callback<T> for ModelCheckpoint {
    fn check(&self, plan: &RunPlan<'_>) -> Result<()> {
        let zero = [(self.every == 0, "every"), (self.keep_last == Some(0), "keep_last")];
        if let Some((_, name)) = zero.into_iter().find(|(zero, _)| *zero) {
            return Err(Error::argument("ModelCheckpoint", name, "at least 1", 0, "leave it out for the default"));
        }
        if self.every > plan.epochs() && plan.epochs() > 0 {
            let expected = format!("at most {}, the epochs of the run", plan.epochs());
            let hint = "nothing would be saved; save after fewer epochs or train for more";
            return Err(Error::argument("ModelCheckpoint", "every", expected, self.every, hint));
        }
        if let Some(value) = self.initial_value_threshold.filter(|v| v.is_nan()) {
            let hint = "leave it out for none";
            return Err(Error::argument("ModelCheckpoint", "initial_value_threshold", "a number", value, hint));
        }
        FileName::parse(&self.name)?.check(plan)?;
        if self.save_best_only { self.monitor.check_figure(plan) } else { self.monitor.check() }
    }

    fn rank_0_only(&self) -> bool {
        true
    }

    fn on_train_begin(&mut self, _: &mut Run<'_, T>) -> Result<()> {
        let name = FileName::parse(&self.name)?;
        let beginning = Path::new(name.beginning());
        let prepared = match name.is_plain() {
            true => {
                check_regular(beginning)?;
                prepare_file(beginning)
            }
            // What the folders behind the first field are called only the epochs know.
            false if name.beginning().ends_with(std::path::is_separator) => prepare_folder(beginning),
            false => prepare_folder(beginning.parent().unwrap_or(Path::new(""))),
        };
        prepared.map_err(|source| Error::Write { file: self.name.clone().into(), source })?;
        self.was_due = false;
        self.saved.clear();
        self.named.clear();
        self.monitor.begin();
        self.monitor.best = self.initial_value_threshold;
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &Logs<'_>, run: &mut Run<'_, T>) -> Result<()> {
        if !(epoch + 1).is_multiple_of(self.every) {
            return Ok(());
        }
        self.was_due = true;
        if self.save_best_only {
            let value = self.monitor.value(epoch, logs, run)?;
            if !self.monitor.improves(value) {
                return Ok(());
            }
        }
        let file = FileName::parse(&self.name)?.of(epoch, logs)?;
        if let Some(folder) = Path::new(&file).parent() {
            std::fs::create_dir_all(folder).map_err(|source| Error::Write { file: file.clone().into(), source })?;
        }
        run.save(&file)?;
        self.saved.retain(|saved| *saved != file);
        self.named.retain(|named| *named != file);
        self.saved.push_back(file);
        while self.keep_last.is_some_and(|n| self.saved.len() > n) {
            if let Some(old) = self.saved.pop_front() {
                // What a checkpoint names is removed only where this model's weights are in it.
                if self.named.contains(&old) && !run.is_model(old.as_ref()) {
                    continue;
                }
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

    fn on_train_end(&mut self, run: &mut Run<'_, T>) -> Result<()> {
        let (none, name) = ("ModelCheckpoint: nothing was saved, as no", &self.monitor.name);
        let bound = || self.initial_value_threshold.map_or("none".into(), |v| v.to_string());
        match (self.saved.is_empty(), self.was_due) {
            (true, true) if self.save_best_only => run.note(format!("{none} {name} was better than {}", bound())),
            (true, false) if self.every > 1 => {
                run.note(format!("{none} epoch that was trained is a multiple of {}", self.every));
            }
            _ => {}
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
        let pattern = FileName::parse(&self.name)?;
        self.saved = state.text("saved")?.lines().filter(|name| pattern.fits(name)).map(str::to_owned).collect();
        self.named = self.saved.iter().cloned().collect();
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
        play(checkpoint("{epoch:d}-{loss:.1e}")).unwrap();
        assert_eq!(files(), ["1-1.0e+00", "2-5.0e-01", "3-7.5e-01", "4-2.5e-01"]);
        let bad = [
            (checkpoint("{epoch"), "braces come in pairs"),
            (checkpoint("{val_loss}"), "monitor must be one of loss, got val_loss"),
            (checkpoint("{epoch:x}"), "formats such as 03d"),
            (checkpoint("a").keep_last(0), "keep_last must be at least 1"),
            (checkpoint("a").every(0), "every must be at least 1"),
            (checkpoint("a").every(5), "every must be at most 4, the epochs of the run, got 5; nothing would be saved"),
            (checkpoint("a").initial_value_threshold(f64::NAN), "initial_value_threshold must be a number"),
            (checkpoint("a").monitor("acc").save_best_only(true), "monitor must be one of loss, got acc"),
        ];
        for (bad, expected) in bad {
            let error = play(bad).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(files().is_empty());
        }
        // Without save_best_only nothing is watched.
        play(checkpoint("a").monitor("acc")).unwrap();
        assert_eq!(files(), ["a"]);
        // Folders are made; where they cannot, that is known before the first epoch.
        play(checkpoint("of/{epoch}/model").every(2)).unwrap();
        assert!(folder.join("of/2/model").is_file() && folder.join("of/4/model").is_file());
        std::fs::remove_dir_all(folder.join("of")).unwrap();
        std::fs::write(folder.join("file"), "").unwrap();
        for name in ["file/{epoch}", "file/model", "../"] {
            let mut stage = Stage::new();
            let error = stage.try_play(&mut checkpoint(name), "loss", &losses).unwrap_err().to_string();
            let told = error.contains(": cannot write: ") || error.contains("no regular file");
            assert!(told && stage.rates.is_empty(), "{error}");
        }
        assert_eq!(files(), ["file"]);
        // NaN is never the best.
        let (mut best, mut stage) = (checkpoint("best-{epoch}").save_best_only(true), Stage::new());
        stage.play(&mut best, "loss", &[f64::NAN, 0.5, f64::NAN, 0.75]);
        assert_eq!((files(), stage.notes.len()), (vec!["best-2".to_owned()], 1));
        let (mut none, mut stage) = (checkpoint("none").save_best_only(true), Stage::new());
        stage.play(&mut none, "loss", &[f64::NAN; 2]);
        assert_eq!(stage.notes[1], "ModelCheckpoint: nothing was saved, as no loss was better than none");
        assert!(files().is_empty());
        // A run that ends before an epoch is due.
        let (mut late, mut stage) = (checkpoint("late").every(3), Stage::new());
        stage.ends_after = Some(2);
        stage.play(&mut late, "loss", &losses);
        assert_eq!(
            stage.notes,
            ["ModelCheckpoint: nothing was saved, as no epoch that was trained is a multiple of 3"]
        );
        std::fs::remove_dir(&folder).unwrap();
    }

    /// Files of names with braces, blanks and exponents are known again after a resume.
    #[test]
    fn a_resumed_run_keeps_no_more_files() {
        let folder = std::env::temp_dir().join(format!("gradus_kept_last_{}", std::process::id()));
        let checkpoint = || ModelCheckpoint::new(folder.join("{{run}}-{epoch:3d}-{loss:9.1e}")).keep_last(2);
        let (mut first, mut state) = (checkpoint(), State::default());
        Stage::new().play(&mut first, "loss", &[1.0, 0.5]);
        Callback::<f32>::save(&first, &mut state);
        let mut resumed = checkpoint();
        let mut stage = Stage::new();
        stage.restored = Some(state);
        stage.play(&mut resumed, "loss", &[0.25]);
        // The stage counts from 1 again.
        let names = ["{run}-  1-  2.5e-01", "{run}-  2-  5.0e-01"];
        let mut files: Vec<_> =
            folder.read_dir().unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files, names);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_checkpoint_cannot_name_the_files_of_others() {
        let names = |pattern: &str, name: &str| FileName::parse(pattern).unwrap().fits(name);
        assert!(names("m/{epoch:03}-{loss:.2}.st", "m/012-0.25.st") && names("best", "best"));
        assert!(names("{epoch}{loss}", "12-0.5") && names("a{epoch}.5.b", "a3.5.b") && names("{loss}", "nan"));
        assert!(
            names("{{a}}-{epoch:3d}}}", "{a}-  7}") && names("{epoch:3d}", "1234") && names("ä{loss:G}ö", "ä1E+300ö")
        );
        for (pattern, name) in [
            ("m/{epoch}", "m/notes.txt"),
            ("m/{epoch}", "m/../1"),
            ("m/{epoch}", "n/1"),
            ("m{epoch}.st", "my thesis.st"),
            ("{epoch}-{loss}.st", "1.st"),
            ("{epoch}-{loss}.st", "1-2-x.st"),
            ("best", "best2"),
            ("{{a}}", "{b}"),
            ("{epoch:3d}", " 7"),
            ("{epoch:03d}", "  7"),
            ("{epoch}", " 7"),
            ("{epoch:9d}", "         "),
            ("", "anything"),
        ] {
            assert!(!names(pattern, name), "{pattern} {name}");
        }
        // A name that fits, of a file that is no model of this run.
        let folder = std::env::temp_dir().join(format!("gradus_named_{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        std::fs::write(path("7"), "a diary").unwrap();
        let mut state = State::default();
        let mut checkpoint = ModelCheckpoint::new(path("{epoch}")).keep_last(1);
        Callback::<f32>::save(&checkpoint, &mut state);
        state.put_text("saved", &[path("7"), path("8"), "/etc/passwd".into()].join("\n"));
        let resume = |checkpoint: &mut ModelCheckpoint, state: &State, losses: &[f64]| {
            let mut stage = Stage::new();
            stage.restored = Some(state.clone());
            stage.play(checkpoint, "loss", losses);
        };
        resume(&mut checkpoint, &state, &[0.5, 0.25]);
        assert_eq!(std::fs::read(path("7")).unwrap(), b"a diary");
        assert_eq!(checkpoint.saved().collect::<Vec<_>>(), [path("2")]);
        // A model of this run is removed.
        Callback::<f32>::save(&checkpoint, &mut state);
        assert!(std::path::Path::new(&path("2")).exists());
        resume(&mut checkpoint, &state, &[0.5]);
        assert!(!std::path::Path::new(&path("2")).exists() && std::path::Path::new(&path("1")).exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
