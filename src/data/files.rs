//! A file that several threads read from.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::idle::Idle;
use crate::error::{Error, Result};
use crate::io::open_file;

/// Opens a file as often as it is read from at the same time, and keeps what was opened.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    idle: Idle<File>,
}

impl Files {
    /// Opens a regular file; also gives its length.
    pub fn open(path: &Path) -> Result<(Self, u64)> {
        let (file, len) = open_file(path)?;
        let idle = Idle::default();
        idle.put(file);
        Ok((Files { path: path.to_owned(), idle }, len))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `f` with the file, which stands anywhere.
    pub fn with<R>(&self, f: impl FnOnce(&mut File) -> Result<R>) -> Result<R> {
        self.idle.with(|| self.another(), f)
    }

    /// The file once more, for a reader of its own.
    pub fn another(&self) -> Result<File> {
        open_file(&self.path).map(|(file, _)| file)
    }

    pub fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { file: self.path.clone(), source }
    }
}
