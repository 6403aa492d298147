//! A file that several threads read from.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::io::open_file;

/// Opens a file as often as it is read from at the same time, and keeps what was opened.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    idle: Mutex<Vec<File>>,
}

impl Files {
    /// Opens a regular file; also gives its length.
    pub fn open(path: &Path) -> Result<(Self, u64)> {
        let (file, len) = open_file(path)?;
        Ok((Files { path: path.to_owned(), idle: Mutex::new(vec![file]) }, len))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `f` with the file, which stands anywhere.
    pub fn with<R>(&self, f: impl FnOnce(&mut File) -> Result<R>) -> Result<R> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut file = kept.map_or_else(|| self.another(), Ok)?;
        let result = f(&mut file);
        idle().push(file);
        result
    }

    /// The file once more, for a reader of its own.
    pub fn another(&self) -> Result<File> {
        open_file(&self.path).map(|(file, _)| file)
    }

    pub fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { file: self.path.clone(), source }
    }
}
