//! Tables of texts and labels.

use std::path::Path;

use super::cells::{Bad, Cells, MAX_CELLS};
use super::labels::{Labels, label_builders};
use super::pieces::{At, Format, Lines, MAX_BYTES, Pieces, Place, check_limit, is_blank, no_text, open};
use super::record::Record;
use super::stored::Stored;
use super::texts::Texts;
use crate::data::column::Column;
use crate::data::names::listed;
use crate::error::{Error, Result};

/// Reads texts and their labels from CSV or TSV: a column of texts, one of labels.
///
/// - Columns: the text is the first one, the label the second; [`text`](Self::text), [`texts`](Self::texts), [`label`](Self::label) and
///   [`no_label`](Self::no_label) decide otherwise, by name or position. Other columns are passed over.
/// - Header: there is one where a column is chosen by name, else none; [`header`](Self::header) decides otherwise. A first record
///   whose label no other one has is an error that asks for it.
/// - Delimiter: that of tab, comma, semicolon and `|` which cuts the first 16 records into as many cells each; the tab before the
///   others. [`delimiter`](Self::delimiter) decides otherwise.
/// - Labels that are numbers stay as they are. Labels that are names become 0, 1, 2 … in sorted order, or in the
///   [order of their appearance](Self::by_appearance), or in [that of a list](Self::class_names);
///   [`Texts::class_names`] holds them. Spaces around labels do not count.
/// - Cells may stand in quotes, with quotes inside written twice; they may then hold delimiters and line ends. Where quotes are
///   characters as others, as in many TSV files, set [`.quotes(false)`](Self::quotes).
/// - Lines of white space alone are passed over, but for those with a delimiter in them: tabs between cells that are empty.
///
/// [`open`](Self::open) reads the file once, checks every record and notes where it begins: eight bytes of memory a record.
///
/// ```
/// use gradus::prelude::*;
/// let path = std::env::temp_dir().join(format!("gradus_doc_table_{}.csv", std::process::id()));
/// std::fs::write(&path, "kind,text\nspam,\"win, now\"\nham,see you\nspam,win win\n").unwrap();
/// let texts = TextTable::default().text("text").label("kind").open(&path)?;
/// assert_eq!(texts.class_names(), ["ham", "spam"]);
/// let first = texts.get(0)?;
/// assert_eq!((first.texts[0].as_str(), first.label), ("win, now", Some(1.0)));
///
/// let error = TextTable::default().text("text").label("label").open(&path).unwrap_err();
/// assert!(error.to_string().ends_with("there is no column \"label\"; the columns are kind, text"));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TextTable {
    text: Vec<Column>,
    label: Option<Column>,
    header: Option<bool>,
    delimiter: Option<u8>,
    quotes: bool,
    allow_empty: bool,
    max_bytes: usize,
    labels: Labels,
}

impl Default for TextTable {
    fn default() -> Self {
        TextTable {
            text: vec![Column::Index(0)],
            label: Some(Column::Index(1)),
            header: None,
            delimiter: None,
            quotes: true,
            allow_empty: false,
            max_bytes: MAX_BYTES,
            labels: Labels::default(),
        }
    }
}

impl TextTable {
    /// The column of the text; the first by default.
    pub fn text(mut self, column: impl Into<Column>) -> Self {
        self.text = vec![column.into()];
        self
    }

    /// Several columns of texts that belong together, each an input of its own: a question and an answer.
    pub fn texts<C: Into<Column>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.text = columns.into_iter().map(Into::into).collect();
        self
    }

    /// The column of the label; the second by default.
    pub fn label(mut self, column: impl Into<Column>) -> Self {
        self.label = Some(column.into());
        self
    }

    /// There are no labels.
    pub fn no_label(mut self) -> Self {
        self.label = None;
        self
    }

    /// Whether the first line holds the columns' names.
    pub fn header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// The character between cells, in ASCII and neither a quote nor a line end; found by default.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = Some(delimiter);
        self
    }

    /// Whether cells may stand in quotes; yes by default.
    pub fn quotes(mut self, quotes: bool) -> Self {
        self.quotes = quotes;
        self
    }

    label_builders!();

    /// Opens a file.
    ///
    /// # Errors
    /// As [`TextLines::open`](super::TextLines::open); and [`Error::Data`], with file, line and column, for a record of another number
    /// of cells than the first, a column that does not exist or whose name another one has, an empty text or label, an unknown class,
    /// labels of which some are numbers and some names, classes that differ in white space alone, more than 65,536 classes or cells, a
    /// quote that is never closed, or that closes within a cell; [`Error::Argument`] for a delimiter that cannot be one, class names that
    /// repeat, or no column of texts.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Texts> {
        let path = path.as_ref();
        let mut labels = self.labels.clone();
        labels.check("TextTable")?;
        if self.text.is_empty() {
            return Err(Error::argument("TextTable", "texts", "at least one column", "none", "name the column"));
        }
        if let Some(d) = self.delimiter.filter(|d| !d.is_ascii() || matches!(d, b'"' | b'\n' | b'\r')) {
            let expected = "an ASCII character other than a quote or a line end";
            let hint = "b',', b';' and b'\\t' are usual";
            return Err(Error::argument("TextTable", "delimiter", expected, format!("{:?}", char::from(d)), hint));
        }
        check_limit("TextTable", self.max_bytes)?;
        let named = self.text.iter().chain(&self.label).any(|column| matches!(column, Column::Name(_)));
        let header = self.header.unwrap_or(named);
        labels.bare = !header;
        let delimiter = match self.delimiter {
            Some(delimiter) => delimiter,
            None => self.find_delimiter(path)?,
        };
        let mut format = Table { settings: self.clone(), delimiter, width: 0, text: Vec::new(), label: None };
        let label = format.find_columns(path, header)?;
        let column = label.as_deref().unwrap_or_default();
        let limits = (self.max_bytes, usize::from(header));
        let pieces = Pieces::scan(path, "TextTable", limits, format, |record, at| match &label {
            Some(_) => labels.see(&record.label, column, at),
            None => Ok(()),
        })?;
        labels.settle(column, path, self.header.is_none() && !header)?;
        let fields = self.text.len();
        let labelled = label.is_some().then_some(());
        Ok(Texts::of(Stored::new(pieces, label.map(|column| (labels, column))), fields, labelled))
    }

    /// The delimiter that cuts the first records into as many cells each.
    fn find_delimiter(&self, path: &Path) -> Result<u8> {
        const RECORDS: usize = 16;
        let least = self.text.iter().chain(&self.label).map(|column| match column {
            Column::Index(i) => usize::try_from(*i).map_or(i.unsigned_abs() as usize, |i| i + 1),
            Column::Name(_) => 1,
        });
        let least = least.max().unwrap_or(1).max(self.text.len() + usize::from(self.label.is_some()));
        let mut empty = true;
        let mut width = |delimiter: u8| -> Result<Option<usize>> {
            let format = Table { settings: self.clone(), delimiter, width: 0, text: Vec::new(), label: None };
            let (mut source, len) = open(path)?;
            let mut lines = Lines::new(&mut source, path, 0, self.max_bytes)?;
            let (mut bytes, mut width) = (Vec::new(), None);
            for _ in 0..RECORDS {
                let Some(place) = format.cut(&mut lines, &mut bytes)? else { break };
                empty = false;
                if width.is_none() {
                    lines.check_ends(place, &bytes, len)?;
                }
                let cells = format.cells(&bytes, &lines.at(place))?;
                if *width.get_or_insert(cells.len()) != cells.len() {
                    return Ok(None);
                }
            }
            Ok(width)
        };
        const DELIMITERS: [u8; 4] = *b"\t,;|";
        let (mut found, mut refused) = (Vec::new(), Vec::new());
        for delimiter in DELIMITERS {
            match width(delimiter) {
                Ok(Some(width)) if width >= least.max(2) => found.push(delimiter),
                Ok(_) => {}
                // Of another delimiter's quotes, it may be.
                Err(error @ Error::Data { line: Some(_), .. }) => refused.push(error),
                Err(error) => return Err(error),
            }
        }
        if refused.len() == DELIMITERS.len() {
            return Err(refused.swap_remove(0));
        }
        match found[..] {
            [] if least < 2 => Ok(b'\t'),
            [b'\t', ..] => Ok(b'\t'),
            [one] => Ok(one),
            [] if empty => Err(no_text(path, 0)),
            _ => {
                let at = At { file: path, place: Place { byte: 0, line: 0 } };
                let shown: Vec<_> = found.iter().map(|&d| format!("{:?}", char::from(d))).collect();
                let problem = match shown.len() {
                    0 => format!(
                        "neither tab, comma, semicolon nor | cuts the first records into as many cells each, at least {least}"
                    ),
                    _ => format!("each of {} cuts the first records into as many cells", shown.join(", ")),
                };
                let hint = "set .delimiter(...), .quotes(false) if quotes are characters as others, or check the first lines: a \
                            text with a delimiter in it stands in quotes";
                Err(at.error(None, problem, hint))
            }
        }
    }
}

/// How a table is cut and read.
#[derive(Debug)]
struct Table {
    settings: TextTable,
    delimiter: u8,
    /// Cells a record; 0 as long as that is not known.
    width: usize,
    /// The columns' positions and names, for errors.
    text: Vec<(usize, String)>,
    label: Option<(usize, String)>,
}

impl Table {
    /// The cells of a whole record.
    fn cells(&self, bytes: &[u8], at: &At<'_>) -> Result<Cells> {
        let mut cells = Cells::new(self.delimiter, self.settings.quotes);
        let mut whole = false;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            whole = cells.line(line).map_err(|problem| bad(problem, at))?;
        }
        if whole { Ok(cells) } else { Err(bad(Bad::Open, at)) }
    }

    /// Finds the columns in the first record; gives the name of the label's.
    fn find_columns(&mut self, path: &Path, header: bool) -> Result<Option<String>> {
        let (mut source, len) = open(path)?;
        let mut lines = Lines::new(&mut source, path, 0, self.settings.max_bytes)?;
        let mut bytes = Vec::new();
        let Some(place) = self.cut(&mut lines, &mut bytes)? else {
            return Err(no_text(path, 0));
        };
        let at = lines.at(place);
        lines.check_ends(place, &bytes, len)?;
        at.utf8(&bytes)?;
        let cells = self.cells(&bytes, &at)?;
        self.width = cells.len();
        let cell = |i| String::from_utf8_lossy(cells.get(i).unwrap_or_default()).trim().to_owned();
        let names: Vec<String> = (0..if header { self.width } else { 0 }).map(cell).collect();
        let find = |column: &Column| -> Result<(usize, String)> {
            let number = match column {
                Column::Index(i) => {
                    let number = if *i < 0 { self.width as i64 + i64::from(*i) } else { i64::from(*i) };
                    usize::try_from(number).ok().filter(|&n| n < self.width).ok_or_else(|| {
                        let problem = format!("there is no column {i} among {}", self.width);
                        let last = self.width - 1;
                        let hint = format!("columns are 0 to {last}, or from -1 backwards; check .delimiter(...)");
                        at.error(None, problem, hint)
                    })?
                }
                Column::Name(name) => {
                    let mut found = (0..names.len()).filter(|&i| names[i] == *name);
                    match (found.next(), found.next()) {
                        (Some(number), None) => number,
                        (Some(_), _) => {
                            let hint = "name the column by its position from 0";
                            return Err(at.error(None, format!("there are several columns {name:?}"), hint));
                        }
                        (None, _) if !header => {
                            let problem = format!("there is no column {name:?}: the table has no line of names");
                            let hint = "name the column by its position from 0, or leave .header(false) out";
                            return Err(at.error(None, problem, hint));
                        }
                        (None, _) => {
                            let hint = format!("the columns are {}", listed(&names));
                            return Err(at.error(None, format!("there is no column {name:?}"), hint));
                        }
                    }
                }
            };
            Ok((number, names.get(number).cloned().unwrap_or_else(|| (number + 1).to_string())))
        };
        let text = self.settings.text.iter().map(find).collect::<Result<Vec<_>>>()?;
        let label = self.settings.label.as_ref().map(find).transpose()?;
        if let Some((_, name)) = label.as_ref().filter(|(number, _)| text.iter().any(|(own, _)| own == number)) {
            let hint = "choose another .text(...) or .label(...), or set .no_label()";
            return Err(at.error(Some(name), "the column is both text and label", hint));
        }
        (self.text, self.label) = (text, label);
        Ok(self.label.as_ref().map(|(_, name)| name.clone()))
    }
}

/// The error for what makes no record.
fn bad(problem: Bad, at: &At<'_>) -> Error {
    let (problem, hint) = match problem {
        Bad::Open => (
            "a quote opens in this record and is never closed".to_owned(),
            "close it, or set .quotes(false) if quotes are characters as others",
        ),
        Bad::Stray => (
            "text follows the closing quote of a cell".to_owned(),
            "write quotes inside a quoted cell twice, check .delimiter(...), or set .quotes(false) if quotes are characters as \
             others",
        ),
        Bad::Many => (format!("more than {MAX_CELLS} cells"), "check .delimiter(...), the line ends and the file"),
    };
    at.error(None, problem, hint)
}

impl Format for Table {
    fn cut(&self, lines: &mut Lines<'_>, bytes: &mut Vec<u8>) -> Result<Option<Place>> {
        let passes = |line: &[u8]| is_blank(line) && !line.contains(&self.delimiter);
        let Some(place) = lines.first(passes, bytes)? else { return Ok(None) };
        if !self.settings.quotes {
            return Ok(Some(place));
        }
        let mut cells = Cells::new(self.delimiter, true);
        let mut before = 0;
        loop {
            match cells.line(&bytes[before..]) {
                Ok(true) => return Ok(Some(place)),
                Ok(false) => {}
                Err(problem) => return Err(bad(problem, &lines.at(place))),
            }
            // Only whether a quote is open matters here.
            cells.forget();
            before = bytes.len();
            if !lines.next(place, bytes)? {
                return Err(bad(Bad::Open, &lines.at(place)));
            }
        }
    }

    fn read(&self, bytes: &[u8], at: &At<'_>, record: &mut Record) -> Result<()> {
        // Delimiters and quotes are of ASCII, so that cells of UTF-8 are UTF-8.
        at.utf8(bytes)?;
        let cells = self.cells(bytes, at)?;
        if cells.len() != self.width {
            let problem = format!("expected {} cells as in the first record, got {}", self.width, cells.len());
            let hint = "add or remove cells, or quote cells that hold the delimiter";
            return Err(at.error(None, problem, hint));
        }
        record.begin(self.text.len());
        let cell = |number: usize| at.utf8(cells.get(number).unwrap_or_default());
        for ((number, name), text) in self.text.iter().zip(&mut record.texts) {
            text.push_str(cell(*number)?);
            if !self.settings.allow_empty && text.trim().is_empty() {
                let hint = "fill it in, remove the record, or set .allow_empty(true)";
                return Err(at.error(Some(name), "the text is empty", hint));
            }
        }
        if let Some((number, _)) = &self.label {
            let text = cell(*number)?.trim();
            record.label.text.push_str(text);
            record.label.number = text.bytes().any(|b| b.is_ascii_digit()) && text.parse::<f64>().is_ok();
        }
        Ok(())
    }
}
