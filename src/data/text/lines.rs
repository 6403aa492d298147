//! Text files whose lines or paragraphs are samples.

use std::path::Path;

use super::pieces::{At, Format, Lines, MAX_BYTES, Pieces, Place, is_blank, without_end};
use super::record::Record;
use super::stored::Stored;
use super::texts::Texts;
use crate::error::Result;

/// Reads a text file whose lines are samples, or whose paragraphs are.
///
/// A line ends at a line feed, with or without a carriage return before it; lines of white space alone are passed over. A paragraph, a
/// document, ends at such a line, and its own lines stay apart by line feeds. A byte-order mark is passed over.
///
/// [`open`](Self::open) reads the file once and notes where each text begins: eight bytes of memory a text. Texts are read when they are
/// asked for.
///
/// TensorFlow: `tf.data.TextLineDataset`.
///
/// ```
/// use gradus::prelude::*;
/// let path = std::env::temp_dir().join(format!("gradus_doc_lines_{}.txt", std::process::id()));
/// std::fs::write(&path, "It rains.\nIt pours.\n\nThe sun shines.\n").unwrap();
/// let lines = TextLines::default().open(&path)?;
/// assert_eq!((lines.len(), lines.get(2)?.texts[0].as_str()), (3, "The sun shines."));
/// let documents = TextLines::default().paragraphs(true).open(&path)?;
/// assert_eq!((documents.len(), documents.get(0)?.texts[0].as_str()), (2, "It rains.\nIt pours."));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLines {
    paragraphs: bool,
    allow_empty: bool,
    max_bytes: usize,
}

impl Default for TextLines {
    fn default() -> Self {
        TextLines { paragraphs: false, allow_empty: false, max_bytes: MAX_BYTES }
    }
}

impl TextLines {
    /// Whether texts are parted by blank lines and may be several lines long; no by default, a line is a text.
    pub fn paragraphs(mut self, paragraphs: bool) -> Self {
        self.paragraphs = paragraphs;
        self
    }

    /// Whether a blank line is a text without words, as where the lines of two files belong together; no by default, it is passed over.
    /// Of no meaning for paragraphs.
    pub fn allow_empty(mut self, allow: bool) -> Self {
        self.allow_empty = allow;
        self
    }

    /// The most bytes of a text, with its line ends, of a paragraph with the blank line behind it; 2²⁴ (16 MiB) by default. That much
    /// memory may be taken by each reader.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be read, [`Error::File`](crate::Error::File) if it is no file on a disk;
    /// [`Error::Data`](crate::Error::Data), with file and line, for a file without text, text that is not UTF-8, a text that is too long,
    /// lines that end in carriage returns alone, and a file of another kind, such as a packed one;
    /// [`Error::Argument`](crate::Error::Argument) for an impossible `max_bytes`. A file that changes later is an error of the text that meets
    /// the change.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Texts> {
        let pieces = Pieces::scan(path.as_ref(), "TextLines", (self.max_bytes, 0), self.clone(), |_, _| Ok(()))?;
        Ok(Texts::of(Stored::unlabelled(pieces), 1, None))
    }
}

impl Format for TextLines {
    fn cut(&self, lines: &mut Lines<'_>, bytes: &mut Vec<u8>) -> Result<Option<Place>> {
        let blank_too = self.allow_empty && !self.paragraphs;
        let Some(place) = lines.first(|line| !blank_too && is_blank(line), bytes)? else { return Ok(None) };
        if !self.paragraphs {
            return Ok(Some(place));
        }
        loop {
            let before = bytes.len();
            let more = lines.next(place, bytes)?;
            if !more || is_blank(&bytes[before..]) {
                bytes.truncate(before);
                return Ok(Some(place));
            }
        }
    }

    fn read(&self, bytes: &[u8], at: &At<'_>, record: &mut Record) -> Result<()> {
        record.begin(1);
        let text = at.utf8(without_end(bytes))?;
        for (i, line) in text.split("\r\n").enumerate() {
            if i > 0 {
                record.texts[0].push('\n');
            }
            record.texts[0].push_str(line);
        }
        Ok(())
    }
}
