//! Folders and files that will be written to, looked at before hours of work depend on them.

use std::fs;
use std::io;
use std::path::Path;

use crate::io::atomic;

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
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::create_dir_all(folder)?;
    atomic::try_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_and_tried() {
        let folder = std::env::temp_dir().join(format!("gradus_prepare_{}", std::process::id()));
        let file = folder.join("a/b/file");
        // What a process left that was killed while it tried.
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(folder.join("a/b/.gradus-0123456789abcdef.tmp"), "").unwrap();
        prepare_file(&file).unwrap();
        assert_eq!(fs::read_dir(folder.join("a/b")).unwrap().count(), 0, "nothing is left behind");
        fs::write(&file, "").unwrap();
        assert!(prepare_file(&file.join("below")).is_err());
        assert!(prepare_file(&folder).unwrap_err().to_string().contains("a folder"));
        prepare_file(&file).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
