//! Which columns go where, and what is wrong with a cell.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use csv::{ErrorKind, StringRecord};

use super::number::{advice, delimiter, is_marker, is_number, is_row, parse};
use super::quotes::{stray, stray_error};
use super::settings::{Csv, Labels};
use crate::data::Table;
use crate::data::column::Column;
use crate::data::names::{listed, twins};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// Where the reader is, for errors.
pub(super) struct Location<'a> {
    pub file: &'a Path,
    pub names: Cow<'a, [String]>,
    pub line: u64,
}

impl Location<'_> {
    fn name(&self, column: usize) -> Cow<'_, str> {
        match self.names.get(column) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned((column + 1).to_string()),
        }
    }

    /// An error in this line (0 for none) and column.
    pub fn error(&self, column: Option<usize>, problem: impl ToString, hint: impl ToString) -> Error {
        Error::Data {
            file: self.file.to_owned(),
            line: (self.line > 0).then_some(self.line),
            column: column.map(|c| self.name(c).into_owned()),
            problem: problem.to_string(),
            hint: hint.to_string(),
        }
    }

    pub fn unreadable(&mut self, error: csv::Error, skipped: u64) -> Error {
        let line = error.position().map(|p| p.line());
        match error.into_kind() {
            ErrorKind::Io(source) => match stray(&source) {
                Some(line) => stray_error(self.file, line),
                None => Error::Io { file: self.file.to_owned(), source },
            },
            ErrorKind::Utf8 { err, .. } => {
                self.line = line.map_or(self.line.saturating_add(1), |l| l.saturating_add(skipped));
                self.error(Some(err.field()), "the text is not UTF-8", "save the file as UTF-8")
            }
            other => {
                let problem = format!("the text cannot be read as CSV ({other:?})");
                self.error(None, problem, "check the file")
            }
        }
    }

    /// The position of a column among `width`.
    fn find(&self, column: &Column, width: usize) -> Result<usize> {
        match column {
            Column::Index(i) => {
                let position = if *i < 0 { width as i64 + i64::from(*i) } else { i64::from(*i) };
                usize::try_from(position).ok().filter(|&p| p < width).ok_or_else(|| {
                    let hint = format!("columns are 0 to {}, or from -1 backwards", width.saturating_sub(1));
                    self.error(None, format!("there is no column {i} among {width}"), hint)
                })
            }
            Column::Name(name) if self.names.is_empty() => {
                let problem = format!("there is no column {name:?}: the table has no line of names");
                Err(self.error(None, problem, "name the column by its position from 0, or set .header(true)"))
            }
            Column::Name(name) => {
                let mut found = (0..width).filter(|&c| self.names[c] == *name);
                match (found.next(), found.next()) {
                    (Some(column), None) => Ok(column),
                    (Some(_), Some(_)) => {
                        let problem = format!("there are several columns {name:?}");
                        Err(self.error(None, problem, "name the column by its position from 0"))
                    }
                    (None, _) => {
                        let hint = format!("the columns are {}", listed(&self.names));
                        Err(self.error(None, format!("there is no column {name:?}"), hint))
                    }
                }
            }
        }
    }
}

/// Which columns go where, and what has been read so far.
#[derive(Clone, Debug)]
pub(super) struct TableSchema<T> {
    width: usize,
    features: Vec<usize>,
    label: Vec<usize>,
    labels: Labels,
    /// Whether it was guessed from the first label what labels are.
    guessed: bool,
    /// Line and text of the first label, where it was guessed from.
    first: (u64, String),
    /// The line of the first row.
    first_line: u64,
    /// Whether a later row has the class of the first one.
    again: bool,
    /// Whether the first line was taken for a row without being asked.
    bare: bool,
    delimiter: u8,
    decimal_comma: bool,
    /// All names of the first line.
    pub column_names: Vec<String>,
    feature_names: Vec<String>,
    /// Class names with their numbers in order of appearance.
    seen: BTreeMap<String, usize>,
    x: Vec<T>,
    y: Vec<T>,
    pub rows: usize,
}

impl<T: Float> TableSchema<T> {
    pub fn new(how: &Csv, first: &StringRecord, at: &Location<'_>) -> Result<Self> {
        let width = first.len();
        let all = |columns: &[Column]| columns.iter().map(|c| at.find(c, width)).collect::<Result<Vec<_>>>();
        let (label, ignored) = (all(&how.label)?, all(&how.ignore)?);
        for &column in &label {
            let (place, hint) = match &how.features {
                Some(columns) if all(columns)?.contains(&column) => (
                    "features, so that the model would be given its target",
                    "take it out of .features(...), choose another .label(...), or set .no_label()",
                ),
                _ if ignored.contains(&column) => (
                    "columns to ignore",
                    "take it out of .ignore(...), choose another .label(...) (by default the last column), or set .no_label()",
                ),
                _ => continue,
            };
            return Err(at.error(Some(column), format!("the label is among the {place}"), hint));
        }
        let features = match &how.features {
            Some(columns) => all(columns)?,
            None => (0..width).filter(|c| !label.contains(c) && !ignored.contains(c)).collect(),
        };
        for (columns, setting) in [(&features, "features"), (&label, "labels")] {
            if let Some(&twice) = columns.iter().enumerate().find(|(i, c)| columns[..*i].contains(c)).map(|(_, c)| c) {
                let problem = format!("the column is chosen twice in .{setting}(...)");
                return Err(at.error(Some(twice), problem, "choose it once"));
            }
        }
        if features.is_empty() {
            let problem = format!("no features are left of {width} columns");
            let hint = first.iter().find_map(|cell| delimiter(cell, how.delimiter)).unwrap_or(
                "check .delimiter(...), set .skip_lines(1) if this line is a title, or .no_label() for features only",
            );
            return Err(at.error(None, problem, hint));
        }
        if how.features.is_none() && !at.names.is_empty() {
            let used: Vec<usize> = (0..width).filter(|c| !ignored.contains(c)).collect();
            for (i, &column) in used.iter().enumerate() {
                if let Some(&twin) = used[..i].iter().find(|&&c| at.names[c] == at.names[column]) {
                    let name = &at.names[column];
                    let problem = format!("the columns {} and {} are both called {name:?}", twin + 1, column + 1);
                    let hint = format!(
                        "rename one, leave one out with .ignore([{column}]), or choose by position with .features([0, 1, …])"
                    );
                    return Err(at.error(None, problem, hint));
                }
            }
        }
        let mut seen = BTreeMap::new();
        if let Labels::Given(names) = &how.labels {
            seen.extend(names.iter().enumerate().rev().map(|(i, name)| (name.clone(), i)));
        }
        Ok(TableSchema {
            column_names: at.names.to_vec(),
            feature_names: features.iter().filter_map(|&c| at.names.get(c).cloned()).collect(),
            labels: how.labels.clone(),
            guessed: how.labels == Labels::Auto,
            first: (0, String::new()),
            first_line: 0,
            again: false,
            bare: how.header.is_none() && at.names.is_empty(),
            delimiter: how.delimiter,
            decimal_comma: how.decimal_comma,
            width,
            features,
            label,
            seen,
            x: Vec::new(),
            y: Vec::new(),
            rows: 0,
        })
    }

    /// A row must have as many cells as the first one.
    fn check_width(&self, record: &StringRecord, at: &Location<'_>) -> Result<()> {
        if record.len() == self.width {
            return Ok(());
        }
        let problem = format!("expected {} cells as in the first row, got {}", self.width, record.len());
        if let Some(hint) = record.iter().find_map(|cell| is_row(cell, self.delimiter)) {
            return Err(at.error(None, problem, hint));
        }
        let hint = match self.rows == 0 && !at.names.is_empty() {
            true => {
                "correct the row, or set .skip_lines(1) if the line above is a title rather than the columns' names"
            }
            false => "add or remove cells, or quote cells that hold the delimiter",
        };
        Err(at.error(None, problem, hint))
    }

    pub fn row(&mut self, record: &StringRecord, at: &Location<'_>) -> Result<()> {
        self.check_width(record, at)?;
        if self.rows == 0 {
            self.first_line = at.line;
        }
        for i in 0..self.features.len() {
            let column = self.features[i];
            let hint = match self.rows == 0 && at.names.is_empty() {
                true => "correct the cell, or set .header(true) or .skip_lines(1) if this line is not a row",
                false => "correct the cell or leave the column out with .ignore(...)",
            };
            self.x.push(self.number(record, column, at, hint)?);
        }
        let first = self.rows == 0 && at.names.is_empty();
        for i in 0..self.label.len() {
            let column = self.label[i];
            if self.guessed {
                self.guess(&record[column], column, at)?;
            }
            let label = match &self.labels {
                Labels::Numbers => {
                    let hint = match first {
                        true => {
                            "correct the cell, or set .header(true) if this line is not a row, .classes() if labels are names"
                        }
                        false => "correct the cell, or set .classes() if labels are names",
                    };
                    self.number(record, column, at, hint)?
                }
                labels => {
                    let name = &record[column];
                    if name.is_empty() {
                        return Err(at.error(Some(column), "the label is missing", "give it, or remove the row"));
                    }
                    let number = match (self.seen.get(name), labels) {
                        (Some(&number), _) => {
                            self.again |= number == 0;
                            number
                        }
                        (None, Labels::Given(names)) => {
                            let header = if first { "; set .header(true) if this line is not a row" } else { "" };
                            let hint = format!("the classes are {}{header}", listed(names));
                            return Err(at.error(Some(column), format!("unknown class {name:?}"), hint));
                        }
                        (None, _) => {
                            let number = self.seen.len();
                            if T::of(number as f64).as_f64() != number as f64 {
                                let problem = format!("more classes than {} can number exactly", T::NAME);
                                return Err(at.error(Some(column), problem, "read the table as f64"));
                            }
                            self.seen.insert(name.to_owned(), number);
                            number
                        }
                    };
                    T::of(number as f64)
                }
            };
            self.y.push(label);
        }
        self.rows += 1;
        Ok(())
    }

    /// What labels are, from the first one; an error for one that is neither number nor name, or of another kind than the first.
    fn guess(&mut self, label: &str, column: usize, at: &Location<'_>) -> Result<()> {
        let number = is_number(label, self.decimal_comma);
        if is_marker(label) {
            let (shown, names) = match label {
                "" => (String::new(), String::new()),
                _ => (format!(" ({label})"), format!("; set .classes() if {label} is the name of a class")),
            };
            let hint = format!("give it, or remove the row{names}");
            return Err(at.error(Some(column), format!("the label is missing{shown}"), hint));
        }
        if let Some(advice) = is_row(label, self.delimiter).or_else(|| advice(label, self.decimal_comma)) {
            let hint = format!("{advice}; or set .classes() if labels are names");
            return Err(at.error(Some(column), format!("the label {label:?} is a number in another way"), hint));
        }
        match (&self.labels, number) {
            (Labels::Auto, _) => {
                self.labels = if number { Labels::Numbers } else { Labels::Classes };
                self.first = (at.line, label.to_owned());
            }
            (Labels::Classes, true) => {
                let (line, name) = &self.first;
                let problem = format!("the label {label:?} is a number, that of line {line} the name {name:?}");
                let what = match self.bare && self.rows == 1 {
                    true => format!("set .header(true) if line {line} holds the columns' names, or"),
                    false => "correct the cell, or set".to_owned(),
                };
                return Err(at.error(Some(column), problem, format!("{what} .classes() if all labels are names")));
            }
            _ => {}
        }
        Ok(())
    }

    /// What can be known of guesses and classes once all rows have been read.
    pub fn check_guesses(&self, at: &mut Location<'_>) -> Result<()> {
        let (Labels::Classes, Some(&column)) = (&self.labels, self.label.first()) else { return Ok(()) };
        let first = self.seen.iter().find(|(_, number)| **number == 0).map(|(name, _)| name.as_str());
        if let (true, false, Some(name)) = (self.bare && self.rows > 1, self.again, first) {
            at.line = self.first_line;
            let problem = format!("no other line has the class {name:?}: this line may hold the columns' names");
            return Err(at.error(Some(column), problem, "set .header(true) if it does, .header(false) if it is a row"));
        }
        at.line = 0;
        let names: Vec<&str> = self.seen.keys().map(String::as_str).collect();
        let hint = "write them alike; or, if both are meant, list all with .class_names([...])";
        if let Some((a, b)) = twins(&names) {
            let problem = format!("the classes {a:?} and {b:?} differ in white space alone");
            return Err(at.error(Some(column), problem, hint));
        }
        let mut values: Vec<(f64, &str)> = names.iter().filter_map(|name| Some((name.parse().ok()?, *name))).collect();
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let Some(twins) = values.windows(2).find(|w| w[0].0 == w[1].0) {
            let problem = format!("the classes {:?} and {:?} are the same number", twins[0].1, twins[1].1);
            return Err(at.error(Some(column), problem, hint));
        }
        Ok(())
    }

    /// Forgets the values of all rows so far, and what else grew with them.
    pub fn forget_rows(&mut self) {
        self.x.clear();
        self.y.clear();
    }

    /// The names of the classes in order, and for each number in order of appearance the final one.
    fn classes(&mut self) -> (Vec<String>, Vec<usize>) {
        match &self.labels {
            Labels::Given(names) => (names.clone(), (0..names.len()).collect()),
            Labels::Classes => {
                let mut sorted: Vec<(&String, &usize)> = self.seen.iter().collect();
                let value = |name: &str| parse(name, self.decimal_comma).unwrap_or(f64::NAN);
                if sorted.iter().all(|(name, _)| value(name).is_finite()) {
                    sorted.sort_by(|(a, _), (b, _)| value(a).total_cmp(&value(b)));
                }
                let mut number = vec![0; sorted.len()];
                sorted.iter().enumerate().for_each(|(i, (_, appeared))| number[**appeared] = i);
                (sorted.into_iter().map(|(name, _)| name.clone()).collect(), number)
            }
            Labels::Auto | Labels::Numbers => (Vec::new(), Vec::new()),
        }
    }

    /// All rows as a table.
    pub fn finish(mut self) -> Result<Table<T>> {
        let (class_names, number) = self.classes();
        if self.labels == Labels::Classes {
            self.y.iter_mut().for_each(|y| *y = T::of(number[y.as_f64() as usize] as f64));
        }
        let x = Tensor::new([self.rows, self.features.len()], self.x)?;
        let shape = match self.label.len() {
            1 => Shape::from([self.rows]),
            n => Shape::from([self.rows, n]),
        };
        Ok(Table { x, y: Tensor::new(shape, self.y)?, feature_names: self.feature_names, class_names })
    }

    /// The schema once all rows are known: classes have their final numbers, and no others are let in.
    pub fn settled(mut self) -> Self {
        let (names, _) = self.classes();
        if self.labels == Labels::Classes {
            self.seen = names.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
            self.labels = Labels::Given(names);
        }
        self
    }

    /// The names of features and classes.
    pub fn names(&self) -> (&[String], &[String]) {
        let classes = if let Labels::Given(names) = &self.labels { names.as_slice() } else { &[] };
        (&self.feature_names, classes)
    }

    /// How many features and labels a row has.
    pub fn sizes(&self) -> (usize, usize) {
        (self.features.len(), self.label.len())
    }

    /// The values of a row, of a schema that is settled.
    pub fn values(&mut self, record: &StringRecord, at: &Location<'_>, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.forget_rows();
        self.row(record, at)?;
        x.copy_from_slice(&self.x);
        y.copy_from_slice(&self.y);
        Ok(())
    }

    /// The number in a cell.
    fn number(&self, record: &StringRecord, column: usize, at: &Location<'_>, hint: &str) -> Result<T> {
        let cell = &record[column];
        if is_marker(cell) {
            let problem = match cell {
                "" => "the value is missing".to_owned(),
                _ => format!("the value is missing ({cell})"),
            };
            return Err(at.error(Some(column), problem, "fill it in, or remove the row"));
        }
        match parse(cell, self.decimal_comma).map(T::of) {
            Some(value) if value.is_finite() => Ok(value),
            Some(_) => Err(at.error(Some(column), format!("{cell} is not finite as {}", T::NAME), "correct the cell")),
            None => {
                let boolean = ["true", "false"].iter().any(|b| cell.eq_ignore_ascii_case(b));
                let boolean =
                    boolean.then_some("write true and false as 1 and 0, or leave the column out with .ignore(...)");
                let hint = is_row(cell, self.delimiter)
                    .or_else(|| advice(cell, self.decimal_comma))
                    .or_else(|| delimiter(cell, self.delimiter))
                    .or(boolean)
                    .unwrap_or(hint);
                Err(at.error(Some(column), format!("expected a number, got {cell:?}"), hint))
            }
        }
    }
}
