//! Writing a file whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file through `fill`: into a temporary file beside it, flushed to the disk, then renamed over the old one. Whatever
/// goes wrong, and whenever the process is killed, the file at `path` is the old one or the new one, whole.
pub fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let temporary = beside(path);
    let written = File::create(&temporary).and_then(|mut file| {
        fill(&mut file)?;
        file.flush()?;
        file.sync_all()
    });
    let old = open_large(path);
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = renamed {
        // The first reason is the one to report.
        let _ = fs::remove_file(&temporary);
        return Err(Error::Write { file: path.to_owned(), source });
    }
    sync_folder(path);
    if let Some(old) = old {
        // Whoever closes the last handle waits until the system has freed the file; a thread that cannot start does not.
        let _ = std::thread::Builder::new().name("gradus free".into()).spawn(move || drop(old));
    }
    Ok(())
}

/// The file that is to be replaced, if it is so large that freeing it takes time.
fn open_large(path: &Path) -> Option<File> {
    const LARGE: u64 = 1 << 24;
    let large = |old: &fs::Metadata| cfg!(unix) && old.is_file() && old.len() >= LARGE;
    fs::metadata(path).ok().filter(large).and_then(|_| File::open(path).ok())
}

/// `name.tmp` in the same folder, so that renaming stays on one file system.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// Makes the new name last through a power cut, where the system can; the data itself is on the disk already.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_when_writing_fails() {
        let path = std::env::temp_dir().join(format!("gradus_atomic_{}", std::process::id()));
        replace(&path, |file| file.write_all(b"old")).unwrap();
        let full = |file: &mut File| {
            file.write_all(b"ne")?;
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"))
        };
        let error = replace(&path, full).unwrap_err().to_string();
        assert!(
            error.contains("no space left on device") && error.contains("the file before it, if any, is whole"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(!beside(&path).exists());
        replace(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        fs::remove_file(&path).unwrap();
        assert!(replace(Path::new("/no/such/folder/file"), |_| Ok(())).is_err());
    }
}
