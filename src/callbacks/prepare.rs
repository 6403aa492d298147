//! Folders and files that will be written to, looked at before hours of work depend on them.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes the folder of a file where there is none, and tries whether files can be made in it.
pub(crate) fn prepare_file(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder; pass the name of a file"));
    }
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not the name of a file"));
    }
    // A link is followed, as writing does.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    prepare_folder(path.parent().unwrap_or(Path::new("")))
}

/// The same of a folder.
pub(crate) fn prepare_folder(folder: &Path) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::create_dir_all(folder)?;
    let name = format!(".gradus-try-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let probe = folder.join(name);
    fs::OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_and_tried() {
        let folder = std::env::temp_dir().join(format!("gradus_prepare_{}", std::process::id()));
        let file = folder.join("a/b/file");
        prepare_file(&file).unwrap();
        assert_eq!(fs::read_dir(folder.join("a/b")).unwrap().count(), 0, "nothing is left behind");
        fs::write(&file, "").unwrap();
        assert!(prepare_file(&file.join("below")).is_err());
        assert!(prepare_file(&folder).unwrap_err().to_string().contains("a folder"));
        prepare_file(&file).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
