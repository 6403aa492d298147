//! Reading at a position, from several threads at the same time.

use std::fs::File;
use std::io;

/// A file that stays open and is read by position.
#[derive(Debug)]
pub(crate) struct Positional {
    file: File,
    /// One reader at a time, where the system has one position a file.
    #[cfg(not(any(unix, windows)))]
    alone: std::sync::Mutex<()>,
}

impl Positional {
    pub fn new(file: File) -> Self {
        Positional {
            file,
            #[cfg(not(any(unix, windows)))]
            alone: std::sync::Mutex::new(()),
        }
    }

    /// Fills `bytes` from byte `at` on; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the file ends before.
    #[cfg(unix)]
    pub fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, at)
    }

    #[cfg(windows)]
    pub fn read(&self, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, bytes, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    bytes = &mut bytes[n..];
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    #[cfg(not(any(unix, windows)))]
    pub fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        use std::io::{Read, Seek};
        let _alone = self.alone.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut file = &self.file;
        file.seek(io::SeekFrom::Start(at))?;
        file.read_exact(bytes)
    }
}
