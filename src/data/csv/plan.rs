//! Which columns go where, and what is wrong with a cell.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use csv::{ErrorKind, StringRecord};

use super::{Column, Csv, Labels};
use crate::data::Table;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// Where the reader is, for errors.
pub(super) struct Place<'a> {
    pub file: &'a Path,
    pub names: Cow<'a, [String]>,
    pub line: u64,
}

impl Place<'_> {
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
            ErrorKind::Io(source) => Error::Io { file: self.file.to_owned(), source },
            ErrorKind::Utf8 { err, .. } => {
                self.line = line.map_or(self.line + 1, |l| l + skipped);
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
                        let hint = format!("the columns are {}", self.names.join(", "));
                        Err(self.error(None, format!("there is no column {name:?}"), hint))
                    }
                }
            }
        }
    }
}

/// Which columns go where, and what has been read so far.
#[derive(Clone, Debug)]
pub(super) struct Plan<T> {
    width: usize,
    features: Vec<usize>,
    label: Vec<usize>,
    labels: Labels,
    /// All names of the first line.
    pub column_names: Vec<String>,
    feature_names: Vec<String>,
    /// Class names with their numbers in order of appearance.
    seen: BTreeMap<String, usize>,
    x: Vec<T>,
    y: Vec<T>,
    pub rows: usize,
}

impl<T: Float> Plan<T> {
    pub fn new(how: &Csv, width: usize, at: &Place<'_>) -> Result<Self> {
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
        if features.is_empty() {
            let problem = format!("no features are left of {width} columns");
            let hint =
                "check .delimiter(...), set .skip_lines(1) if this line is a title, or .no_label() for features only";
            return Err(at.error(None, problem, hint));
        }
        let mut seen = BTreeMap::new();
        if let Labels::Given(names) = &how.labels {
            seen.extend(names.iter().enumerate().rev().map(|(i, name)| (name.clone(), i)));
        }
        Ok(Plan {
            column_names: at.names.to_vec(),
            feature_names: features.iter().filter_map(|&c| at.names.get(c).cloned()).collect(),
            labels: how.labels.clone(),
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
    fn check_width(&self, record: &StringRecord, at: &Place<'_>) -> Result<()> {
        if record.len() == self.width {
            return Ok(());
        }
        let problem = format!("expected {} cells as in the first row, got {}", self.width, record.len());
        let hint = match self.rows == 0 && !at.names.is_empty() {
            true => {
                "correct the row, or set .skip_lines(1) if the line above is a title rather than the columns' names"
            }
            false => "add or remove cells, or quote cells that hold the delimiter",
        };
        Err(at.error(None, problem, hint))
    }

    pub fn row(&mut self, record: &StringRecord, at: &Place<'_>) -> Result<()> {
        self.check_width(record, at)?;
        for &column in &self.features {
            let hint = match self.rows == 0 && at.names.is_empty() {
                true => "correct the cell, or set .header(true) or .skip_lines(1) if this line is not a row",
                false => "correct the cell or leave the column out with .ignore(...)",
            };
            self.x.push(number(record, column, at, hint)?);
        }
        if let (Labels::Auto, Some(&column)) = (&self.labels, self.label.first()) {
            let is_number = record[column].parse::<f64>().is_ok();
            self.labels = if is_number { Labels::Numbers } else { Labels::Classes };
        }
        for &column in &self.label {
            let label = match &self.labels {
                Labels::Numbers => {
                    number(record, column, at, "correct the cell, or set .classes() if labels are names")?
                }
                labels => {
                    let name = &record[column];
                    if name.is_empty() {
                        return Err(at.error(Some(column), "the label is missing", "give it, or remove the row"));
                    }
                    let number = match (self.seen.get(name), labels) {
                        (Some(&number), _) => number,
                        (None, Labels::Given(names)) => {
                            let hint = format!("the classes are {}", names.join(", "));
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
                let value = |name: &str| name.parse::<f64>().unwrap_or(f64::NAN);
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

    /// The plan once all rows are known: classes have their final numbers, and no others are let in.
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

    /// The values of a row, of a plan that is settled.
    pub fn values(&mut self, record: &StringRecord, at: &Place<'_>, x: &mut [T], y: &mut [T]) -> Result<()> {
        self.forget_rows();
        self.row(record, at)?;
        x.copy_from_slice(&self.x);
        y.copy_from_slice(&self.y);
        Ok(())
    }
}

/// The number in a cell.
fn number<T: Float>(record: &StringRecord, column: usize, at: &Place<'_>, hint: &str) -> Result<T> {
    let cell = &record[column];
    let missing = ["", "na", "n/a", "nan", "null", "none", "?"].iter().any(|m| cell.eq_ignore_ascii_case(m));
    if missing {
        let problem = match cell {
            "" => "the value is missing".to_owned(),
            _ => format!("the value is missing ({cell})"),
        };
        return Err(at.error(Some(column), problem, "fill it in, or remove the row"));
    }
    match cell.parse::<f64>().map(T::of) {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(at.error(Some(column), format!("{cell} is not finite as {}", T::NAME), "correct the cell")),
        Err(_) => Err(at.error(Some(column), format!("expected a number, got {cell:?}"), hint)),
    }
}
