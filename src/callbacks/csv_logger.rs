//! The figures of every epoch into a CSV file.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::{Callback, Logs, Run};
use crate::error::{Error, Result};
use crate::state::State;
use crate::tensor::Float;

/// Writes a line an epoch: its number and its figures, beneath a header; each line is in the file when the epoch ends.
///
/// Defaults: separated by commas, an existing file is replaced.
///
/// Keras `CSVLogger`.
///
/// ```no_run
/// use gradus::prelude::*;
/// let logger = CsvLogger::new("training.csv").append(true);
/// # let _ = logger;
/// ```
#[derive(Debug)]
pub struct CsvLogger {
    path: PathBuf,
    separator: char,
    append: bool,
    file: Option<File>,
    header: bool,
    /// Bytes in the file.
    len: u64,
}

impl CsvLogger {
    /// A logger into this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CsvLogger { path: path.into(), separator: ',', append: false, file: None, header: true, len: 0 }
    }

    /// What stands between values; a comma by default.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// Whether lines are added to a file that exists, without a second header; no by default.
    pub fn append(mut self, append: bool) -> Self {
        self.append = append;
        self
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io { file: self.path.clone(), source }
    }

    fn open(&mut self, resumed: bool) -> io::Result<()> {
        let keep = self.append || resumed;
        let file = OpenOptions::new().create(true).write(true).truncate(!keep).open(&self.path)?;
        let len = file.metadata()?.len();
        self.file = Some(file);
        self.go_on(len)
    }

    /// Goes on at this length of the file.
    fn go_on(&mut self, len: u64) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.set_len(len)?;
        self.len = file.seek(SeekFrom::End(0))?;
        self.header = self.len == 0;
        Ok(())
    }

    fn line(&mut self, epoch: usize, logs: &Logs<'_>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let between = self.separator.to_string();
        let mut text = String::new();
        if self.header {
            let names: Vec<_> = std::iter::once("epoch").chain(logs.iter().map(|(name, _)| name)).collect();
            text = names.join(&between) + "\n";
            self.header = false;
        }
        text += &epoch.to_string();
        for (_, value) in logs.iter() {
            text += &between;
            text += &value.to_string();
        }
        text.push('\n');
        file.write_all(text.as_bytes())?;
        self.len += text.len() as u64;
        Ok(())
    }
}

impl<T: Float> Callback<T> for CsvLogger {
    fn on_train_begin(&mut self, run: &mut Run<'_, T>) -> Result<()> {
        self.open(run.resumed()).map_err(|source| self.failed(source))
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &Logs<'_>, _: &mut Run<'_, T>) -> Result<()> {
        self.line(epoch, logs).map_err(|source| self.failed(source))
    }

    fn on_train_end(&mut self, _: &mut Run<'_, T>) -> Result<()> {
        self.file = None;
        Ok(())
    }

    fn save(&self, state: &mut State) {
        state.put("bytes", &[self.len]);
    }

    /// Lines of epochs that the resumed run has yet to come to are cut off.
    fn restore(&mut self, state: &State) -> Result<()> {
        self.go_on(self.len.min(state.one("bytes")?)).map_err(|source| self.failed(source))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Stage;
    use super::*;

    #[test]
    fn lines() {
        let path = std::env::temp_dir().join(format!("gradus_csv_logger_{}.csv", std::process::id()));
        let read = || std::fs::read_to_string(&path).unwrap();
        Stage::new().play(&mut CsvLogger::new(&path), "loss", &[0.5, 0.25]);
        assert_eq!(read(), "epoch,loss\n0,0.5\n1,0.25\n");
        Stage::new().play(&mut CsvLogger::new(&path).append(true), "loss", &[1.0]);
        assert_eq!(read(), "epoch,loss\n0,0.5\n1,0.25\n0,1\n");
        Stage::new().play(&mut CsvLogger::new(&path).separator(';'), "loss", &[1.0]);
        assert_eq!(read(), "epoch;loss\n0;1\n");
        std::fs::remove_file(&path).unwrap();
        let mut nowhere = CsvLogger::new("/no/such/folder/training.csv");
        let error = Stage::new().try_play(&mut nowhere, "loss", &[1.0]).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/folder/training.csv: "), "{error}");
    }
}
