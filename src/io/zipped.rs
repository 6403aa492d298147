//! Zip files as NumPy and Keras write them, opened with bounds on what they may ask for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::open_file;
use crate::error::{Error, Result};

/// The most files inside: each takes several hundred bytes of memory before anything is read.
const MAX_FILES: u16 = 4096;

/// A zip file of limited contents.
#[derive(Debug)]
pub(super) struct Zipped {
    pub path: PathBuf,
    pub archive: ZipArchive<File>,
    /// Bytes of the whole file.
    pub len: u64,
}

impl Zipped {
    pub fn open(path: &Path) -> Result<Self> {
        let (mut file, len) = open_file(path)?;
        let failed = |source| Error::Io { file: path.to_owned(), source };
        // The directory's end, with the number of files, is in the last 64 KiB; whatever looks like one must be modest.
        let mut start = Vec::new();
        (&mut file).take(512).read_to_end(&mut start).map_err(failed)?;
        if let Some((problem, hint)) =
            super::kind::other_than("a zip file (.keras, .npz)", &start).filter(|_| !start.starts_with(b"PK"))
        {
            return Err(Error::file(path, problem, hint));
        }
        let tail = len.min((1 << 16) + 22);
        file.seek(SeekFrom::End(-(tail as i64))).map_err(failed)?;
        let mut bytes = Vec::new();
        (&mut file).take(tail).read_to_end(&mut bytes).map_err(failed)?;
        let ends = bytes.windows(12).filter(|w| w.starts_with(b"PK\x05\x06"));
        let counts: Vec<u16> = ends.map(|w| u16::from_le_bytes([w[10], w[11]])).collect();
        if let Some(count) = counts.iter().find(|&&n| n > MAX_FILES) {
            let problem = format!("{count} files inside, more than the {MAX_FILES} that are read");
            return Err(Error::file(path, problem, "pack fewer arrays into one file"));
        }
        drop(bytes);
        let mut archive = ZipArchive::new(file).map_err(|e| damaged(path, e))?;
        if counts.last().is_none_or(|&n| usize::from(n) != archive.len()) {
            return Err(damaged(path, format!("{} files inside, another number by its end", archive.len())));
        }
        // A file's name stands in the directory and before its contents.
        let (mut file, _) = open_file(path)?;
        for i in 0..archive.len() {
            let part = archive.by_index_raw(i).map_err(|e| damaged(path, e))?;
            let mut head = vec![0; 30 + part.name_raw().len()];
            let read = file.seek(SeekFrom::Start(part.header_start())).and_then(|_| file.read_exact(&mut head));
            let len = usize::from(u16::from_le_bytes([head[26], head[27]]));
            if read.is_err() || len != part.name_raw().len() || head[30..] != *part.name_raw() {
                return Err(damaged(path, "a file inside has two names"));
            }
        }
        Ok(Zipped { path: path.to_owned(), archive, len })
    }

    /// A file inside as a whole, of at most `most` bytes; its checksum is compared.
    #[cfg(feature = "keras")]
    pub fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        let path = &self.path;
        let part = self.archive.by_name(name).map_err(|e| match e {
            zip::result::ZipError::FileNotFound => missing(path, name),
            e => damaged(path, format!("{name}: {e}")),
        })?;
        if part.size() > most {
            let problem = format!("{name} has {} bytes, more than the {most} that are read", part.size());
            return Err(Error::file(path, problem, "the file is damaged, or made to do harm"));
        }
        let mut bytes = Vec::with_capacity(part.size() as usize);
        part.take(most + 1).read_to_end(&mut bytes).map_err(|e| damaged(path, format!("{name}: {e}")))?;
        Ok(bytes)
    }
}

/// A zip file without one of the files of a Keras model, which may be something else altogether.
#[cfg(feature = "keras")]
fn missing(path: &Path, name: &str) -> Error {
    let mut start = Vec::new();
    if let Ok((file, _)) = open_file(path) {
        // What cannot be read is no worse than what is not known.
        let _ = file.take(512).read_to_end(&mut start);
    }
    match super::kind::other_than("a Keras model", &start).filter(|(problem, _)| !problem.contains("(.keras)")) {
        Some((problem, hint)) => Error::file(path, problem, hint),
        None => Error::file(path, format!("there is no {name} inside"), "save the model in Keras 3 as .keras again"),
    }
}

pub(super) fn damaged(path: &Path, problem: impl ToString) -> Error {
    Error::file(path, problem, "the file is cut off, damaged or no zip file: write it again")
}
