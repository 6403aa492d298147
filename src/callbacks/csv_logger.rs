//! The figures of every epoch into a CSV file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::{Callback, Logs, Run, RunPlan, prepare_file};
use crate::error::{Error, Result};
use crate::io::{open_regular, open_to_write};
use crate::state::State;
use crate::tensor::Float;

/// Writes a line an epoch: its number and its figures, beneath a header; each line is in the file when the epoch ends.
///
/// Defaults: separated by commas, an existing file is replaced. The file's folder is made where there is none. Lines are only added to
/// a file with the same columns; another one is an error before the first step.
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

    fn open(&mut self, resumed: bool) -> Result<()> {
        if !self.path.exists() {
            prepare_file(&self.path).map_err(|source| self.failed(source))?;
        }
        let (file, len) = open_to_write(&self.path, self.append || resumed)?;
        self.file = Some(file);
        self.go_on(len).map_err(|source| self.failed(source))?;
        if len > 0 && !resumed {
            self.end_line().map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Ends a last line that was cut off.
    fn end_line(&mut self) -> io::Result<()> {
        let mut last = [b'\n'];
        let (mut file, _) = open_regular(&self.path)?;
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if let (Some(file), true) = (&mut self.file, last != [b'\n']) {
            file.write_all(b"\n")?;
            self.len += 1;
        }
        Ok(())
    }

    fn columns<'a>(&self, figures: impl Iterator<Item = &'a str>) -> String {
        std::iter::once("epoch").chain(figures).collect::<Vec<_>>().join(&self.separator.to_string())
    }

    /// The first line of the file that lines are to be added to, if there is one.
    fn first_line(&self) -> io::Result<Option<String>> {
        const MAX_LINE: u64 = 1 << 16;
        if !self.path.is_file() {
            return Ok(None);
        }
        let mut line = Vec::new();
        BufReader::new(open_regular(&self.path)?.0.take(MAX_LINE)).read_until(b'\n', &mut line)?;
        Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).trim_end().to_owned()))
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
        if self.file.is_none() {
            return Ok(());
        }
        let between = self.separator.to_string();
        let mut text = String::new();
        if self.header {
            text = self.columns(logs.iter().map(|(name, _)| name)) + "\n";
            self.header = false;
        }
        text += &epoch.to_string();
        for (_, value) in logs.iter() {
            text += &between;
            text += &value.to_string();
        }
        text.push('\n');
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(text.as_bytes())?;
        self.len += text.len() as u64;
        Ok(())
    }
}

impl<T: Float> Callback<T> for CsvLogger {
    fn check(&self, plan: &RunPlan<'_>) -> Result<()> {
        let c = self.separator;
        if c.is_alphanumeric() || c.is_control() && c != '\t' || "+-.\"_".contains(c) {
            let expected = "a character that no name or number has";
            return Err(Error::argument(
                "CsvLogger",
                "separator",
                expected,
                format!("{c:?}"),
                "',', ';' and '\\t' are usual",
            ));
        }
        if !(self.append || plan.resumed()) {
            return Ok(());
        }
        let columns = self.columns(plan.figures());
        match self.first_line().map_err(|source| self.failed(source))? {
            Some(first) if first != columns => {
                let problem = format!("its columns are {first}, those of this run {columns}");
                let hint = "log into another file, or replace this one with append(false)";
                Err(Error::file(&self.path, problem, hint))
            }
            _ => Ok(()),
        }
    }

    fn rank_0_only(&self) -> bool {
        true
    }

    fn on_train_begin(&mut self, run: &mut Run<'_, T>) -> Result<()> {
        self.open(run.resumed())
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
    }

    #[test]
    fn other_columns() {
        let folder = std::env::temp_dir().join(format!("gradus_csv_columns_{}", std::process::id()));
        let path = folder.join("of/a/run.csv");
        // The folder is made.
        Stage::new().play(&mut CsvLogger::new(&path), "loss", &[0.5]);
        let mut stage = Stage::new();
        let error =
            stage.try_play(&mut CsvLogger::new(&path).append(true), "val_loss", &[1.0]).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "run.csv: its columns are epoch,loss, those of this run epoch,val_loss; log into another file, or replace \
                 this one with append(false)"
            ),
            "{error}"
        );
        let other = stage.try_play(&mut CsvLogger::new(&path).append(true).separator(';'), "loss", &[1.0]);
        assert!(other.unwrap_err().to_string().contains("epoch,loss, those of this run epoch;loss"));
        assert!(stage.rates.is_empty());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "epoch,loss\n0,0.5\n");
        for bad in ['.', '7', 'e', '\n', '"'] {
            assert!(stage.try_play(&mut CsvLogger::new(&path).separator(bad), "loss", &[1.0]).is_err(), "{bad}");
        }
        // A line that was cut off is ended, not gone on with.
        std::fs::write(&path, "epoch,loss\n0,0.").unwrap();
        stage.play(&mut CsvLogger::new(&path).append(true), "loss", &[1.0]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "epoch,loss\n0,0.\n0,1\n");
        let error = stage.try_play(&mut CsvLogger::new(path.join("below")), "loss", &[1.0]).unwrap_err().to_string();
        assert!(error.contains("run.csv/below: "), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
