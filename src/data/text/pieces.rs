//! Files of records: cut line by line, an index of where each record begins, and records read at their places.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::record::Record;
use crate::data::idle::Idle;
use crate::error::{Error, Result};
use crate::io::{kind, open_file, open_regular};
use crate::memory;

/// Bytes of a record, as far as nobody says otherwise.
pub(super) const MAX_BYTES: usize = 1 << 24;

/// Bytes that are read ahead where records are asked for one after another.
const AHEAD: usize = 1 << 16;

/// Line ends of old that a text without line feeds may have.
const MAC: &str = "save the file with line feeds (Unix or Windows line ends)";

/// Where a record begins: its byte from 0, its line from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub byte: u64,
    pub line: u64,
}

/// Where a record stands, for errors.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub file: &'a Path,
    pub place: Place,
}

impl At<'_> {
    pub fn error(&self, column: Option<&str>, problem: impl ToString, hint: impl ToString) -> Error {
        let line = (self.place.line > 0).then_some(self.place.line);
        let column = column.map(str::to_owned);
        Error::Data { file: self.file.to_owned(), line, column, problem: problem.to_string(), hint: hint.to_string() }
    }

    /// The record as text.
    pub fn utf8<'b>(&self, bytes: &'b [u8]) -> Result<&'b str> {
        std::str::from_utf8(bytes).map_err(|error| {
            let good = error.valid_up_to();
            let lines = bytes[..good].iter().filter(|b| **b == b'\n').count() as u64;
            let at = At { place: Place { line: self.place.line + lines, ..self.place }, ..*self };
            let byte = self.place.byte + good as u64;
            let problem = format!("byte {byte} (0x{:02X}, counted from 0) is not UTF-8", bytes[good]);
            at.error(None, problem, "save the file as UTF-8, or cut out what is damaged")
        })
    }
}

/// The lines of a file, or of a part of it.
pub(super) struct Lines<'a> {
    source: &'a mut dyn BufRead,
    file: &'a Path,
    /// The line that comes next.
    next: Place,
    limit: usize,
}

impl<'a> Lines<'a> {
    /// Lines from a byte of the file on; at its very beginning a byte-order mark is passed over.
    pub fn new(source: &'a mut dyn BufRead, file: &'a Path, byte: u64, limit: usize) -> Result<Self> {
        let mut lines = Lines { source, file, next: Place { byte, line: 1 }, limit };
        if byte == 0 && lines.source.fill_buf().map_err(|source| failed(file, source))?.starts_with(b"\xEF\xBB\xBF") {
            lines.source.consume(3);
            lines.next.byte = 3;
        }
        Ok(lines)
    }

    pub fn at(&self, place: Place) -> At<'a> {
        At { file: self.file, place }
    }

    /// Appends the next line of a record that begins at `start`, with its end; `false` at the end of the file.
    pub fn next(&mut self, start: Place, record: &mut Vec<u8>) -> Result<bool> {
        let left = (self.limit as u64 + 1).saturating_sub(record.len() as u64);
        let taken = Read::take(&mut *self.source, left).read_until(b'\n', record);
        let taken = taken.map_err(|source| failed(self.file, source))?;
        if record.len() > self.limit {
            let problem = format!("a text longer than {} bytes begins here", self.limit);
            let hint = "set .max_bytes(...) to more if it is meant, or check the line ends, the quotes and the file";
            return Err(self.at(start).error(None, problem, hint));
        }
        self.next.byte += taken as u64;
        self.next.line += u64::from(record.last() == Some(&b'\n'));
        Ok(taken > 0)
    }

    /// The next line that is not passed over, as the first of a record; none at the end of the file.
    pub fn first(&mut self, passes: impl Fn(&[u8]) -> bool, record: &mut Vec<u8>) -> Result<Option<Place>> {
        loop {
            record.clear();
            let start = self.next;
            if !self.next(start, record)? {
                return Ok(None);
            }
            if !passes(record) {
                return Ok(Some(start));
            }
        }
    }

    /// An error if a first record is the whole file of `len` bytes for want of line feeds.
    pub fn check_ends(&self, first: Place, record: &[u8], len: u64) -> Result<()> {
        let own = without_end(record);
        if self.next.byte == len && own.contains(&b'\r') && !own.contains(&b'\n') {
            return Err(self.at(first).error(None, "lines end in carriage returns alone (old Mac text)", MAC));
        }
        Ok(())
    }
}

/// Whether a line is white space alone, by Unicode.
pub(super) fn is_blank(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(&byte) = rest.first() {
        // White space takes three bytes at most.
        let len = match byte {
            0..0x80 => 1,
            0xC0..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => return false,
        };
        let Some((char, behind)) = rest.split_at_checked(len) else { return false };
        if !std::str::from_utf8(char).is_ok_and(|char| char.trim().is_empty()) {
            return false;
        }
        rest = behind;
    }
    true
}

/// An error for a limit on the bytes of a text that cannot be one.
pub(super) fn check_limit(op: &'static str, limit: usize) -> Result<()> {
    if limit == 0 || limit > u32::MAX as usize {
        let expected = format!("from 1 to {}", u32::MAX);
        return Err(Error::argument(op, "max_bytes", expected, limit, "16 MiB is the default"));
    }
    Ok(())
}

/// An error for a file without a text, up to a byte.
pub(super) fn no_text(file: &Path, byte: u64) -> Error {
    let at = At { file, place: Place { byte, line: 0 } };
    at.error(None, "there is no text in the file", "check the path, and whether it was written")
}

/// A line or a record without its last line end.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn failed(file: &Path, source: std::io::Error) -> Error {
    Error::Io { file: file.to_owned(), source }
}

/// How the bytes of a file are records.
pub(super) trait Format: Send + Sync + fmt::Debug {
    /// Takes the lines of the next record, in the place of what `bytes` holds; none at the end of the file.
    fn cut(&self, lines: &mut Lines<'_>, bytes: &mut Vec<u8>) -> Result<Option<Place>>;

    /// What a record says.
    fn read(&self, bytes: &[u8], at: &At<'_>, record: &mut Record) -> Result<()>;
}

/// A file that is open at its beginning.
pub(super) fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let (file, len) = open_file(path)?;
    let mut source = BufReader::with_capacity(AHEAD, file);
    let start = source.fill_buf().map_err(|source| failed(path, source))?;
    if let Some((problem, hint)) = kind::no_text(start) {
        return Err(Error::Data { file: path.to_owned(), line: None, column: None, problem, hint });
    }
    Ok((source, len))
}

/// A file of records, and where each begins.
pub(super) struct Pieces<F> {
    path: PathBuf,
    format: F,
    len: u64,
    /// Eight bytes a record.
    starts: Vec<u64>,
    limit: usize,
    idle: Idle<Reading>,
}

impl<F> fmt::Debug for Pieces<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// What one thread needs to read, kept for the next.
struct Reading {
    file: File,
    /// A part of the file and where it begins.
    held: Vec<u8>,
    start: u64,
    /// Where the last record that was asked for ends.
    next: u64,
    bytes: Vec<u8>,
}

impl<F: Format> Pieces<F> {
    /// Goes through all records once, behind `skip` that belong to no sample.
    pub fn scan(
        path: &Path,
        op: &'static str,
        (limit, skip): (usize, usize),
        format: F,
        mut each: impl FnMut(&mut Record, &At<'_>) -> Result<()>,
    ) -> Result<Self> {
        check_limit(op, limit)?;
        let (mut source, len) = open(path)?;
        let (mut starts, mut bytes, mut record) = (Vec::new(), Vec::new(), Record::default());
        let mut lines = Lines::new(&mut source, path, 0, limit)?;
        for _ in 0..skip {
            format.cut(&mut lines, &mut bytes)?;
        }
        while let Some(place) = format.cut(&mut lines, &mut bytes)? {
            let at = lines.at(place);
            if starts.is_empty() {
                lines.check_ends(place, &bytes, len)?;
            }
            format.read(&bytes, &at, &mut record)?;
            each(&mut record, &at)?;
            if starts.len() == starts.capacity() {
                let more = starts.len().max(1 << 10);
                memory::reserve(op, format_args!("where {} texts begin", starts.len() + more), &mut starts, more)?;
            }
            starts.push(place.byte);
        }
        let end = lines.next;
        if starts.is_empty() {
            return Err(no_text(path, end.byte));
        }
        starts.shrink_to_fit();
        Ok(Pieces { path: path.to_owned(), format, len, starts, limit, idle: Idle::default() })
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// The record at a position, and what `f` makes of it.
    pub fn read(
        &self,
        position: usize,
        record: &mut Record,
        f: impl FnOnce(&mut Record, &At<'_>) -> Result<()>,
    ) -> Result<()> {
        let result = self.idle.with(
            || self.reading(),
            |reading| {
                let start = self.starts[position];
                let end = self.starts.get(position + 1).copied().unwrap_or(self.len);
                // What is longer are blank lines.
                let len = (end - start).min(self.limit as u64 + 1) as usize;
                let Reading { bytes, .. } = reading;
                let mut own = std::mem::take(bytes);
                let result = self.record(reading.get(&self.path, start, len)?, start, &mut own, record, f);
                reading.bytes = own;
                result
            },
        );
        // Lines were counted from the record on.
        result.map_err(|error| match error {
            Error::Data { file, line: Some(line), column, problem, hint } => {
                let line = self.lines_before(self.starts[position]).map(|before| line.saturating_add(before)).ok();
                Error::Data { file, line, column, problem, hint }
            }
            other => other,
        })
    }

    fn record(
        &self,
        mut held: Option<&[u8]>,
        start: u64,
        bytes: &mut Vec<u8>,
        record: &mut Record,
        f: impl FnOnce(&mut Record, &At<'_>) -> Result<()>,
    ) -> Result<()> {
        let changed = At { file: &self.path, place: Place { byte: start, line: 1 } };
        let changed = || changed.error(None, "the file has changed since it was opened", "open it again");
        let held = held.as_mut().ok_or_else(changed)?;
        let mut lines = Lines::new(held, &self.path, start, self.limit)?;
        let place = self.format.cut(&mut lines, bytes)?.ok_or_else(changed)?;
        if place.byte != start {
            return Err(changed());
        }
        let at = lines.at(place);
        self.format.read(bytes, &at, record)?;
        f(record, &at)?;
        // Behind it comes the next one, or nothing but blank lines.
        match self.format.cut(&mut lines, bytes)? {
            None => Ok(()),
            Some(_) => Err(changed()),
        }
    }

    fn reading(&self) -> Result<Reading> {
        let (file, len) = open_file(&self.path)?;
        if len != self.len {
            let at = At { file: &self.path, place: Place { byte: 0, line: 0 } };
            return Err(at.error(None, "the file has changed since it was opened", "open it again"));
        }
        Ok(Reading { file, held: Vec::new(), start: 0, next: 0, bytes: Vec::new() })
    }

    /// The lines before a byte of the file.
    fn lines_before(&self, byte: u64) -> std::io::Result<u64> {
        let mut source = BufReader::with_capacity(AHEAD, open_regular(&self.path)?.0.take(byte));
        let mut lines = 0;
        loop {
            let held = source.fill_buf()?;
            if held.is_empty() {
                return Ok(lines);
            }
            lines += held.iter().filter(|b| **b == b'\n').count() as u64;
            let taken = held.len();
            source.consume(taken);
        }
    }
}

impl Reading {
    /// Bytes of the file; none where it ends before.
    fn get(&mut self, path: &Path, from: u64, len: usize) -> Result<Option<&[u8]>> {
        let inside = from.checked_sub(self.start).is_some_and(|at| at + len as u64 <= self.held.len() as u64);
        if !inside {
            let want = if from == self.next { len.max(AHEAD) } else { len };
            self.held.clear();
            self.start = from;
            self.file.seek(SeekFrom::Start(from)).map_err(|source| failed(path, source))?;
            let read = (&mut self.file).take(want as u64).read_to_end(&mut self.held);
            read.map_err(|source| failed(path, source))?;
        }
        self.next = from + len as u64;
        Ok(self.held.get((from - self.start) as usize..).and_then(|held| held.get(..len)))
    }
}
