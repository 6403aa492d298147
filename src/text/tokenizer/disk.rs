//! Files of text.

use std::path::Path;

use crate::error::{Error, Result};

/// A file's text.
pub(super) fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| Error::file(file, e, "pass a text file in UTF-8 that can be read"))
}

pub(super) fn write_text(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).map_err(|e| Error::file(file, e, "pass a place that can be written"))
}
