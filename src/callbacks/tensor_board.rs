//! The figures of training for TensorBoard.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::event_file::EventFile;
use super::{Callback, Logs, Run, RunPlan, prepare_folder};
use crate::error::{Error, Result};
use crate::tensor::Float;

/// Writes the figures of every epoch into event files, which `tensorboard --logdir FOLDER` shows.
///
/// Into `FOLDER/train` go `epoch_loss`, `epoch_accuracy` … and `epoch_learning_rate`, into `FOLDER/validation` the figures
/// of the validation under the same names, and `evaluation_loss_vs_iterations` … over batches. Epochs count from
/// 0 and batches from 1. Files are complete at the end of each epoch; every run begins files of its own, so that a resumed one is shown behind
/// the first.
///
/// Defaults: no losses of batches, no histograms of weights. A folder that cannot be written to ends training with
/// [`Error::Io`].
///
/// Keras `TensorBoard` (its default folder is `logs`).
///
/// ```no_run
/// use gradus::prelude::*;
/// let board = TensorBoard::new("logs").update_freq(100).histogram_freq(1);
/// # let _ = board;
/// ```
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    update_freq: Option<u64>,
    histogram_freq: usize,
    clock: fn() -> f64,
    batches: u64,
    train: Option<EventFile>,
    validation: Option<EventFile>,
}

impl Default for TensorBoard {
    fn default() -> Self {
        TensorBoard::new("logs")
    }
}

impl TensorBoard {
    /// A logger into this folder, which is made where there is none.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        TensorBoard {
            folder: folder.into(),
            update_freq: None,
            histogram_freq: 0,
            clock: seconds,
            batches: 0,
            train: None,
            validation: None,
        }
    }

    /// Also writes the loss of a batch, `batch_loss`, every so many batches, at least 1; never by default.
    pub fn update_freq(mut self, batches: u64) -> Self {
        self.update_freq = Some(batches);
        self
    }

    /// Also writes a histogram of every parameter, `dense/kernel/histogram`, every so many epochs; 0, the default, is never.
    pub fn histogram_freq(mut self, epochs: usize) -> Self {
        self.histogram_freq = epochs;
        self
    }

    fn validation_folder(&self) -> PathBuf {
        self.folder.join("validation")
    }

    /// The file in a part of the folder, opened when it is first needed.
    fn open<'a>(slot: &'a mut Option<EventFile>, folder: &Path, now: f64) -> Result<&'a mut EventFile> {
        match slot {
            Some(file) => Ok(file),
            None => {
                let file = EventFile::create(folder, now, &host()).map_err(|e| failed(folder, &e))?;
                Ok(slot.insert(file))
            }
        }
    }

    fn write<T: Float>(&mut self, epoch: usize, logs: &Logs<'_>, run: &Run<'_, T>) -> Result<()> {
        let (now, step) = ((self.clock)(), epoch as u64);
        let train = Self::open(&mut self.train, &self.folder.join("train"), now)?;
        let mut write = || {
            for (name, value) in logs.iter().filter(|(name, _)| !name.starts_with("val_")) {
                train.scalar(now, step, &format!("epoch_{name}"), value)?;
            }
            train.scalar(now, step, "epoch_learning_rate", run.learning_rate())?;
            if self.histogram_freq > 0 && epoch.is_multiple_of(self.histogram_freq) {
                let params = run.params();
                for spec in params.specs().iter().filter(|s| !s.range.is_empty()) {
                    let values = &params.values()[spec.range.clone()];
                    train.histogram(now, step, &format!("{}/histogram", spec.name), values)?;
                }
            }
            train.flush()
        };
        write().map_err(|e| failed(&train.path, &e))?;
        if !logs.iter().any(|(name, _)| name.starts_with("val_")) {
            return Ok(());
        }
        let folder = self.validation_folder();
        let validation = Self::open(&mut self.validation, &folder, now)?;
        let mut write = || {
            for (name, value) in logs.iter().filter_map(|(name, value)| Some((name.strip_prefix("val_")?, value))) {
                validation.scalar(now, step, &format!("epoch_{name}"), value)?;
                validation.scalar(now, self.batches, &format!("evaluation_{name}_vs_iterations"), value)?;
            }
            validation.flush()
        };
        write().map_err(|e| failed(&validation.path, &e))
    }
}

/// Since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The machine's name where the environment has it, in letters that file names take.
fn host() -> String {
    let name = std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn failed(file: &Path, source: &io::Error) -> Error {
    let hint = "pass TensorBoard::new a folder that can be made and written to";
    Error::Io { file: file.to_owned(), source: io::Error::new(source.kind(), format!("{source}; {hint}")) }
}

impl<T: Float> Callback<T> for TensorBoard {
    fn check(&self, plan: &RunPlan<'_>) -> Result<()> {
        if self.update_freq == Some(0) {
            let hint = "leave it out for figures of epochs alone";
            return Err(Error::argument("TensorBoard", "update_freq", "at least 1", 0, hint));
        }
        // Where there is none it is made after the first epoch, in a folder that is tried before.
        let validation = self.validation_folder();
        if plan.figures().any(|name| name.starts_with("val_")) && validation.symlink_metadata().is_ok() {
            prepare_folder(&validation).map_err(|e| failed(&validation, &e))?;
        }
        Ok(())
    }

    fn rank_0_only(&self) -> bool {
        true
    }

    fn on_train_begin(&mut self, _: &mut Run<'_, T>) -> Result<()> {
        prepare_folder(&self.folder).map_err(|e| failed(&self.folder, &e))?;
        (self.batches, self.train, self.validation) = (0, None, None);
        let now = (self.clock)();
        Self::open(&mut self.train, &self.folder.join("train"), now).map(|_| ())
    }

    fn on_batch_end(&mut self, _: usize, loss: f64, _: &mut Run<'_, T>) -> Result<()> {
        self.batches += 1;
        let step = self.batches;
        match (self.update_freq, &mut self.train) {
            (Some(n), Some(train)) if step.is_multiple_of(n) => {
                let now = (self.clock)();
                train.scalar(now, step, "batch_loss", loss).map_err(|e| failed(&train.path, &e))
            }
            _ => Ok(()),
        }
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &Logs<'_>, run: &mut Run<'_, T>) -> Result<()> {
        self.write(epoch, logs, run)
    }

    fn on_train_end(&mut self, _: &mut Run<'_, T>) -> Result<()> {
        for file in [self.train.take(), self.validation.take()].iter_mut().flatten() {
            file.flush().map_err(|e| failed(&file.path, &e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("gradus_tensor_board_{name}_{}", std::process::id()))
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
        paths.sort();
        paths
    }

    fn at_a_fixed_time(folder: &Path) -> TensorBoard {
        TensorBoard { clock: || 1_600_000_000.5, ..TensorBoard::new(folder) }
    }

    #[test]
    fn the_bytes_of_a_run() {
        let folder = folder("bytes");
        Stage::new().play(&mut at_a_fixed_time(&folder).histogram_freq(1), "loss", &[0.5, 0.25]);
        let paths = files(&folder.join("train"));
        let name = paths[0].file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("events.out.tfevents.1600000000."), "{name}");
        assert!(!folder.join("validation").exists());
        let bytes = std::fs::read(&paths[0]).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        // The same events made with TensorBoard's own messages and checksums; the stage's one parameter is "/w".
        let expected = [
            "1800000000000000a37f4b22090000200084d7d7411a0d627261696e2e4576656e743a32e202d05d",
            "1e00000000000000d9dc1232090000200084d7d7412a130a110a0a65706f63685f6c6f7373150000003f5a854fdf",
            "2700000000000000bbe1b146090000200084d7d7412a1c0a1a0a1365706f63685f6c6561726e696e675f72617465150000803f8e6e01d6",
            "3a000000000000001295eae2090000200084d7d7412a2f0a2d0a0c2f772f686973746f6772616d2a1d190000000000001840320800000000",
            "000000003a080000000000001840c11595df",
            "200000000000000029eda950090000200084d7d74110012a130a110a0a65706f63685f6c6f7373150000803e074e0f84",
            "290000000000000037ff5f00090000200084d7d74110012a1c0a1a0a1365706f63685f6c6561726e696e675f72617465150000803f0e0497",
            "21",
            "60000000000000002821c6da090000200084d7d74110012a530a510a0c2f772f686973746f6772616d2a4109000000000000f03f11000000",
            "000000f03f1900000000000018402100000000000018402900000000000018403208000000000000f03f3a0800000000000018403c5270f8",
        ];
        assert_eq!(hex, expected.concat());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_run_has_its_own_files() {
        let folder = folder("runs");
        let mut board = at_a_fixed_time(&folder).histogram_freq(1);
        for _ in 0..2 {
            Stage::new().play(&mut board, "val_loss", &[0.5, 0.25]);
        }
        assert_eq!((files(&folder.join("train")).len(), files(&folder.join("validation")).len()), (2, 2));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made() {
        let file = folder("file");
        std::fs::write(&file, "").unwrap();
        let error = Stage::new().try_play(&mut TensorBoard::new(&file), "loss", &[1.0]).unwrap_err();
        assert!(matches!(error, Error::Io { .. }));
        assert!(error.to_string().ends_with("pass TensorBoard::new a folder that can be made and written to"));
        std::fs::remove_file(&file).unwrap();
        // The validation's too is known before the first epoch, and is not asked for where there is none.
        std::fs::create_dir_all(&file).unwrap();
        std::fs::write(file.join("validation"), "").unwrap();
        let mut stage = Stage::new();
        let error = stage.try_play(&mut TensorBoard::new(&file), "val_loss", &[1.0]).unwrap_err().to_string();
        assert!(error.contains("validation: ") && error.contains("pass TensorBoard::new a folder"), "{error}");
        assert!(stage.rates.is_empty() && !file.join("train").exists());
        stage.play(&mut TensorBoard::new(&file), "loss", &[1.0]);
        std::fs::remove_dir_all(&file).unwrap();
        let mut board = TensorBoard::new(&file).update_freq(0);
        assert!(Stage::new().try_play(&mut board, "loss", &[1.0]).is_err());
    }
}
