//! Labels: numbers that stay as they are, or names of classes that become numbers.

use std::collections::BTreeMap;
use std::path::Path;

use super::pieces::{At, Place};
use super::record::Label;
use crate::data::names::{listed, twins};
use crate::error::{Error, Result};

/// Different labels that names of classes can be; more are no classes.
const MAX_CLASSES: usize = 1 << 16;

/// Bytes of a label.
const MAX_NAME: usize = 1000;

/// What labels are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Kind {
    /// Numbers if the first one is a number, else classes.
    #[default]
    Auto,
    Numbers,
    Classes,
    /// Classes with these names, numbered in this order.
    Given(Vec<String>),
}

/// What is said about labels, and what has been seen of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub kind: Kind,
    /// Classes are numbered in the order in which they come first, not sorted.
    pub by_appearance: bool,
    /// Whether the first record, taken for one, may be the columns' names.
    pub bare: bool,
    guessed: bool,
    /// The first label and its line.
    first: Option<(u64, String)>,
    /// Whether a later record has the first one's label.
    again: bool,
    seen: u64,
    /// Names in the order of their numbers, and the numbers.
    names: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

/// The builder methods of a reader whose field `labels` says what labels are.
macro_rules! label_builders {
    () => {
        /// Labels are names of classes even where they are numbers.
        pub fn classes(mut self) -> Self {
            self.labels.kind = $crate::data::text::labels::Kind::Classes;
            self
        }

        /// Labels are numbers, also where they stand in quotes; anything else is an error.
        pub fn numbers(mut self) -> Self {
            self.labels.kind = $crate::data::text::labels::Kind::Numbers;
            self
        }

        /// Labels are names of these classes, numbered in this order; for a second file, with `.class_names(train.class_names())`.
        pub fn class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
            let names = names.into_iter().map(Into::into).collect();
            self.labels.kind = $crate::data::text::labels::Kind::Given(names);
            self
        }

        /// Whether classes are numbered in the order in which they come first in the file; no by default, in sorted order.
        pub fn by_appearance(mut self, by: bool) -> Self {
            self.labels.by_appearance = by;
            self
        }

        /// Whether a text may be empty, or white space alone; no by default, it is an error.
        pub fn allow_empty(mut self, allow: bool) -> Self {
            self.allow_empty = allow;
            self
        }

        /// The most bytes of a record; 2²⁴ (16 MiB) by default. That much memory may be taken by each reader.
        pub fn max_bytes(mut self, bytes: usize) -> Self {
            self.max_bytes = bytes;
            self
        }
    };
}

pub(super) use label_builders;

impl Labels {
    /// An error for names that repeat; `op` is the reader.
    pub fn check(&mut self, op: &'static str) -> Result<()> {
        self.guessed = self.kind == Kind::Auto;
        let Kind::Given(names) = &self.kind else { return Ok(()) };
        if names.is_empty() {
            let hint = "name the classes, or leave it out to have them found";
            return Err(Error::argument(op, "class_names", "at least one", "none", hint));
        }
        for (i, name) in names.iter().enumerate() {
            if self.numbers.insert(name.clone(), i).is_some() {
                let got = format!("{name:?} twice");
                return Err(Error::argument(op, "class_names", "different", got, "name every class once"));
            }
        }
        self.names.clone_from(names);
        Ok(())
    }

    pub fn class_names(&self) -> &[String] {
        &self.names
    }

    /// One more label, in the pass that finds out what there is.
    pub fn see(&mut self, label: &Label, column: &str, at: &At<'_>) -> Result<()> {
        let text = label.text.as_str();
        if text.trim().is_empty() {
            return Err(at.error(Some(column), "the label is missing", "give it, or remove the record"));
        }
        if text.len() > MAX_NAME {
            let problem = format!("a label of {} bytes, more than {MAX_NAME}", text.len());
            return Err(at.error(
                Some(column),
                problem,
                "choose the column or field of the label, not that of the text",
            ));
        }
        self.seen += 1;
        match &self.first {
            Some((_, first)) => self.again |= first == text,
            None => self.first = Some((at.place.line, text.to_owned())),
        }
        if self.guessed {
            let (line, first) = self.first.as_ref().map_or((0, ""), |(line, first)| (*line, first.as_str()));
            let what = |number: bool| if number { "a number" } else { "a name" };
            match &self.kind {
                Kind::Auto => self.kind = if label.number { Kind::Numbers } else { Kind::Classes },
                kind if (*kind == Kind::Numbers) == label.number => {}
                _ => {
                    let (this, other) = (what(label.number), what(!label.number));
                    let problem = format!("the label {text:?} is {this}, that of line {line} ({first:?}) {other}");
                    let hint = match self.bare {
                        true => {
                            "correct the label, set .classes() if all are names, or .header(true) if that line holds the \
                             columns' names"
                        }
                        false => "correct the label, or set .classes() if all are names",
                    };
                    return Err(at.error(Some(column), problem, hint));
                }
            }
        }
        if self.kind == Kind::Classes && !self.numbers.contains_key(text) {
            if self.names.len() == MAX_CLASSES {
                let problem = format!("more than {MAX_CLASSES} different labels");
                let hint = "choose the column or field of the label, or set .numbers() if labels are numbers";
                return Err(at.error(Some(column), problem, hint));
            }
            self.numbers.insert(text.to_owned(), self.names.len());
            self.names.push(text.to_owned());
        }
        self.value(label, column, at).map(|_| ())
    }

    /// All labels are known; `bare` if the first record was taken for one without being asked.
    pub fn settle(&mut self, column: &str, file: &Path, bare: bool) -> Result<()> {
        if self.kind != Kind::Classes {
            return Ok(());
        }
        let at = |line: u64| At { file, place: Place { byte: 0, line } };
        if let (true, Some((line, first)), false, 3..) = (bare, &self.first, self.again, self.seen) {
            let problem = format!("no other line has the class {first:?}: this line may hold the columns' names");
            let hint = "set .header(true) if it does, .header(false) if it is a record";
            return Err(at(*line).error(Some(column), problem, hint));
        }
        if let Some((a, b)) = twins(&self.names) {
            let problem = format!("the classes {a:?} and {b:?} differ in white space alone");
            let hint = "write them alike; or, if both are meant, list all with .class_names([...])";
            return Err(at(0).error(Some(column), problem, hint));
        }
        if !self.by_appearance {
            let value = |name: &String| name.parse::<f64>().ok().filter(|v| v.is_finite());
            self.names.sort();
            if self.names.iter().all(|name| value(name).is_some()) {
                self.names.sort_by(|a, b| value(a).unwrap_or(0.0).total_cmp(&value(b).unwrap_or(0.0)));
            }
            for (i, name) in self.names.iter().enumerate() {
                self.numbers.insert(name.clone(), i);
            }
        }
        self.kind = Kind::Given(self.names.clone());
        Ok(())
    }

    /// The number of a label.
    pub fn value(&self, label: &Label, column: &str, at: &At<'_>) -> Result<f64> {
        let text = label.text.as_str();
        if matches!(self.kind, Kind::Numbers | Kind::Auto) {
            let value = match text {
                // JSON's; as the text of a label they are names.
                "true" if label.number => Some(1.0),
                "false" if label.number => Some(0.0),
                _ => text.parse::<f64>().ok().filter(|v| v.is_finite()),
            };
            let problem = || format!("expected a finite number as label, got {text:?}");
            let hint = match self.bare {
                true => {
                    "correct the label, set .classes() if labels are names, or .header(true) if this line holds the columns' names"
                }
                false => "correct the label, or set .classes() if labels are names",
            };
            return value.ok_or_else(|| at.error(Some(column), problem(), hint));
        }
        self.numbers.get(text).map(|&number| number as f64).ok_or_else(|| {
            let first = self.first.as_ref().is_some_and(|(line, _)| *line == at.place.line);
            let header =
                if self.bare && first { "; set .header(true) if this line holds the columns' names" } else { "" };
            let hint = format!("the classes are {}{header}", listed(&self.names));
            at.error(Some(column), format!("unknown class {text:?}"), hint)
        })
    }
}
