//! Samples straight from a CSV file.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use csv::{Position, StringRecord};

use super::quotes::Quotes;
use super::schema::{Location, TableSchema};
use super::settings::Csv;
use crate::data::files::Files;
use crate::data::idle::Idle;
use crate::data::range::check_range;
use crate::data::source::{Source, Stretch};
use crate::error::Result;
use crate::tensor::{Float, Shape};

/// Rows between two whose place in the file is known.
const EVERY: usize = 16;

/// The rows of a CSV file, read when they are asked for; see [`Csv::stream`].
///
/// Opening reads the file once, checks every cell, numbers the classes and notes where every 16th row begins: half a byte of
/// memory a row. Targets are `[]` for one label column, else `[labels]`.
pub struct CsvSource<T = f32> {
    how: Csv,
    files: Files,
    schema: TableSchema<T>,
    /// Byte and line of every 16th row.
    index: Vec<(u64, u64)>,
    /// What one thread needs to read, kept for the next.
    idle: Idle<Reading<T>>,
}

struct Reading<T> {
    rows: csv::Reader<Quotes<BufReader<File>>>,
    /// The row that comes next, where the last reading left off.
    next: Option<usize>,
    schema: TableSchema<T>,
    record: StringRecord,
}

impl<T> fmt::Debug for CsvSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CsvSource({})", self.files.path().display())
    }
}

impl Csv {
    /// Opens a file as a source of samples, so that it need not fit in memory; the settings are those of [`read`](Self::read).
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let path = std::env::temp_dir().join(format!("gradus_doc_stream_{}.csv", std::process::id()));
    /// std::fs::write(&path, "a,b,kind\n1,2,new\n3,4,old\n5,6,new\n").unwrap();
    /// let source = Csv::default().stream::<f32>(&path)?;
    /// assert_eq!(source.class_names(), ["new", "old"]);
    /// let data = source.shuffle(1).batch(2);
    /// assert_eq!(data.batches(), Some(2));
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::File`](crate::Error::File) for what is no file on a disk. A file that changes later is an error of the batch
    /// that meets the change.
    pub fn stream<T: Float>(&self, path: impl AsRef<Path>) -> Result<CsvSource<T>> {
        self.open(path.as_ref())
    }

    /// [`stream`](Self::stream) without types of the caller's, so that it is compiled once.
    #[inline(never)]
    pub(crate) fn open<T: Float>(&self, path: &Path) -> Result<CsvSource<T>> {
        let (files, _) = Files::open(path)?;
        let mut index = Vec::new();
        let schema = files.with(|mut file| {
            self.scan::<T>(path, &mut file, &mut |schema, start, line| {
                if (schema.rows - 1).is_multiple_of(EVERY) {
                    index.push((start, line));
                }
                schema.forget_rows();
            })
        })?;
        Ok(CsvSource { how: self.clone(), files, schema: schema.settled(), index, idle: Idle::default() })
    }
}

impl<T: Float> CsvSource<T> {
    /// The names of the features; empty without a line of names.
    pub fn feature_names(&self) -> &[String] {
        self.schema.names().0
    }

    /// The names of the classes, if labels are names.
    pub fn class_names(&self) -> &[String] {
        self.schema.names().1
    }

    fn reading(&self) -> Result<Reading<T>> {
        let file = BufReader::new(self.files.another()?);
        let rows = self.how.reader(Quotes::new(file, self.how.delimiter, None));
        Ok(Reading { rows, next: None, schema: self.schema.clone(), record: StringRecord::new() })
    }

    fn rows(&self, reading: &mut Reading<T>, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let Reading { rows, next, schema, record } = reading;
        let (start, line) = self.index[first / EVERY];
        let mut at = Location { file: self.files.path(), names: Cow::Borrowed(&self.schema.column_names), line };
        let stretch = Stretch::new(self.shapes(), x.len(), y.len());
        let n = stretch.n;
        // A row a little ahead is reached by reading on.
        let mut skip = match next.take().and_then(|next| first.checked_sub(next)) {
            Some(ahead) if ahead < EVERY => ahead,
            _ => {
                let mut position = Position::new();
                position.set_byte(start).set_line(line);
                rows.seek(position).map_err(|error| at.unreadable(error, 0))?;
                first % EVERY
            }
        };
        stretch.each(x, y).try_for_each(|(_, x, y)| {
            loop {
                at.line = rows.position().line();
                if !rows.read_record(record).map_err(|error| at.unreadable(error, 0))? {
                    return Err(at.error(None, "the file has changed since it was opened", "open it again"));
                }
                record.trim();
                let blank = record.len() == 1 && record[0].is_empty();
                if !blank && skip == 0 {
                    break;
                }
                skip -= usize::from(!blank);
            }
            schema.values(record, &at, x, y)
        })?;
        *next = Some(first + n);
        Ok(())
    }
}

impl<T: Float> Source<T> for CsvSource<T> {
    fn shapes(&self) -> (Shape, Shape) {
        let (features, labels) = self.schema.sizes();
        (Shape::from([features]), if labels == 1 { Shape::SCALAR } else { Shape::from([labels]) })
    }

    fn samples(&self) -> Option<usize> {
        Some(self.schema.rows)
    }

    #[inline(never)]
    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let n = Stretch::new(self.shapes(), x.len(), y.len()).n;
        check_range("CsvSource", first, n, Some(self.schema.rows))?;
        if x.is_empty() {
            return Ok(());
        }
        self.idle.with(|| self.reading(), |reading| self.rows(reading, first, x, y))
    }
}
