//! Writing a file whole or not at all.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{no_regular_file, open_regular};
use crate::error::{Error, Result};

/// How the name of a temporary file begins and ends; between them stand 16 hexadecimal digits drawn at random. The length does
/// not depend on the file's own name, which may be as long as the file system allows.
const BEGINS: &str = ".gradus-";
const ENDS: &str = ".tmp";

/// Links that are followed before they are taken for a circle.
const MAX_LINKS: usize = 40;

/// Writes a file through `fill`, all at once: see [`Replacement`].
pub fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let mut new = Replacement::begin(path)?;
    fill(&mut new.file).map_err(|source| Error::Write { file: path.to_owned(), source })?;
    new.finish()
}

/// A file that is being written to take the place of another: a temporary one beside it, flushed to the disk at the end, then renamed
/// over the old one. Whatever goes wrong, and whenever the process is killed, the file at the path is the old one or the new one, whole.
/// What is dropped before its end is removed.
///
/// A link stays, and what it leads to is replaced; permissions, and the owner where the system lets one, are those of the old
/// file. What is there and no regular file is an error. Any number of threads and processes may write one path: each has a
/// temporary file of its own.
#[derive(Debug)]
pub struct Replacement {
    /// The path that was asked for, and the file that it leads to.
    path: PathBuf,
    target: PathBuf,
    old: Option<Metadata>,
    // Before the file, so that the lock lasts until it is removed.
    temporary: Temporary,
    /// What is written.
    pub file: File,
}

impl Replacement {
    /// Makes the temporary file.
    pub fn begin(path: &Path) -> Result<Self> {
        let failed = |source| Error::Write { file: path.to_owned(), source };
        let target = resolve(path).map_err(failed)?;
        let old = match fs::metadata(&target) {
            Ok(old) if !old.is_file() => return Err(no_regular_file(path)),
            Ok(old) => Some(old),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(failed(e)),
        };
        if target.file_name().is_none() {
            return Err(failed(io::Error::new(ErrorKind::InvalidInput, "the path has no file name")));
        }
        let folder = folder_of(&target);
        remove_stale(folder);
        let (temporary, file) = create(folder, old.as_ref()).map_err(failed)?;
        Ok(Replacement { path: path.to_owned(), target, old, temporary: Temporary(Some(temporary)), file })
    }

    /// Puts the file in its place.
    pub fn finish(self) -> Result<()> {
        let Replacement { path, target, old, mut temporary, mut file } = self;
        let written = file.flush().and_then(|()| {
            old.as_ref().map_or(Ok(()), |old| resemble(&file, old))?;
            file.sync_all()
        });
        // On Unix the lock lasts until the file has its name; elsewhere an open file may not be renamed.
        let locked = cfg!(unix).then_some(file);
        let large = old.as_ref().filter(|old| cfg!(unix) && old.len() >= LARGE);
        let large = large.and_then(|_| open_regular(&target).ok());
        written.and_then(|()| temporary.rename(&target)).map_err(|source| Error::Write { file: path, source })?;
        drop(locked);
        sync_folder(folder_of(&target));
        if let Some(old) = large {
            // Whoever closes the last handle waits until the system has freed the file; a thread that cannot start does not.
            let _ = std::thread::Builder::new().name("gradus free".into()).spawn(move || drop(old));
        }
        Ok(())
    }
}

/// A file that is removed, unless it has got a name.
#[derive(Debug)]
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn rename(&mut self, target: &Path) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |path| fs::rename(path, target))?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // The first reason is the one to report.
            let _ = fs::remove_file(path);
        }
    }
}

fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Tries whether files can be made in a folder. A process that is killed meanwhile leaves what the next one to write there removes.
pub fn try_folder(folder: &Path) -> io::Result<()> {
    remove_stale(folder);
    let (path, file) = create(folder, None)?;
    let removed = fs::remove_file(path);
    // The lock lasts until then.
    drop(file);
    removed
}

/// Bytes from which on freeing a file takes time.
const LARGE: u64 = 1 << 24;

/// The path of the file itself, with all links followed; what they lead to need not exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(entry) if entry.is_symlink() => {
                let to = fs::read_link(&path)?;
                path = path.parent().unwrap_or(Path::new("")).join(to);
            }
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("too many links, one after the other"))
}

/// A new file of its own in the folder, locked as long as it is open, no more readable than the old one.
fn create(folder: &Path, old: Option<&Metadata>) -> io::Result<(PathBuf, File)> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if let Some(old) = old {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        options.mode(old.mode() & 0o777);
    }
    #[cfg(not(unix))]
    let _ = old;
    let mut tries = 0;
    loop {
        tries += 1;
        let random = RandomState::new().hash_one((std::process::id(), tries));
        let path = folder.join(format!("{BEGINS}{random:016x}{ENDS}"));
        let file = match options.open(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && tries < 100 => continue,
            file => file?,
        };
        // Between creation and lock another process may have taken the file for one left behind.
        let taken = matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) || !is_at(&file, &path);
        if !taken || tries >= 100 {
            return Ok((path, file));
        }
    }
}

/// Whether the open file still stands at this path.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |m: Metadata| (m.dev(), m.ino());
        file.metadata().ok().map(id) == fs::symlink_metadata(path).ok().map(id)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// Gives a new file the permissions of the old one, and its owner where that is allowed.
fn resemble(file: &File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            let _ = fchown(file, Some(old.uid()), Some(old.gid()));
        }
    }
    file.set_permissions(old.permissions())
}

/// Folders that this process has tidied up.
static TIDY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the temporary files that killed processes left in a folder, when this process first writes to it: those that nobody
/// holds a lock on.
fn remove_stale(folder: &Path) {
    let Ok(whole) = folder.canonicalize() else { return };
    {
        let mut tidy = TIDY.lock().unwrap_or_else(PoisonError::into_inner);
        if tidy.contains(&whole) {
            return;
        }
        tidy.truncate(63);
        tidy.insert(0, whole);
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let own = entry.file_name().to_str().is_some_and(is_temporary);
        if !own || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if let Ok((file, _)) = open_regular(&entry.path())
            && file.try_lock().is_ok()
            && is_at(&file, &entry.path())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_temporary(name: &str) -> bool {
    let middle = name.strip_prefix(BEGINS).and_then(|rest| rest.strip_suffix(ENDS));
    middle.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Makes the new name last through a power cut, where the system can; the data itself is on the disk already.
fn sync_folder(folder: &Path) {
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    #[cfg(not(unix))]
    let _ = folder;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("gradus_atomic_{name}_{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }

        fn names(&self) -> Vec<String> {
            let name = |e: io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
            let mut names: Vec<_> = fs::read_dir(&self.0).unwrap().map(name).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_old_file_stays_when_writing_fails() {
        let folder = Folder::new("fails");
        let path = folder.0.join("file");
        replace(&path, |file| file.write_all(b"old")).unwrap();
        let full = |file: &mut File| {
            file.write_all(b"ne")?;
            Err(io::Error::new(ErrorKind::StorageFull, "no space left on device"))
        };
        let error = replace(&path, full).unwrap_err().to_string();
        assert!(
            error.contains("no space left on device") && error.contains("the file before it, if any, is whole"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        replace(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(folder.names(), ["file"]);
        assert!(replace(Path::new("/no/such/folder/file"), |_| Ok(())).is_err());
        for nameless in ["", ".", "..", "/"] {
            assert!(replace(Path::new(nameless), |_| Ok(())).is_err(), "{nameless:?}");
        }
    }

    #[test]
    fn what_nobody_holds_is_removed() {
        let folder = Folder::new("stale");
        let [stale, held, other, user] = [
            ".gradus-0123456789abcdef.tmp",
            ".gradus-fedcba9876543210.tmp",
            ".gradus-0123456789abcdef.tmp.bak",
            "file.tmp",
        ]
        .map(|name| folder.0.join(name));
        let [_stale, held_file, ..] = [&stale, &held, &other, &user].map(|path| File::create(path).unwrap());
        held_file.lock().unwrap();
        drop(_stale);
        replace(&folder.0.join("file"), |file| file.write_all(b"new")).unwrap();
        assert!(!stale.exists() && held.exists() && other.exists() && user.exists());
    }
}
