//! One choice of settings, and what a search made of all of them.

use std::fmt;

use crate::callbacks::Mode;
use crate::error::{Error, Result};
use crate::kernels::random::{Key, Purpose};

/// The value of a setting.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A name.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

macro_rules! values {
    ($($from:ty => |$v:ident| $value:expr;)+) => {
        $(impl From<$from> for Value {
            fn from($v: $from) -> Self {
                $value
            }
        })+
    };
}

values! {
    i32 => |v| Value::Integer(v.into());
    i64 => |v| Value::Integer(v);
    u32 => |v| Value::Integer(v.into());
    usize => |v| Value::Integer(i64::try_from(v).unwrap_or(i64::MAX));
    f32 => |v| Value::Number(v.into());
    f64 => |v| Value::Number(v);
    &str => |v| Value::Text(v.to_owned());
    String => |v| Value::Text(v);
    bool => |v| Value::Flag(v);
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(v) => v.fmt(f),
            Value::Number(v) if *v != 0.0 && !(1e-3..1e5).contains(&v.abs()) => write!(f, "{v:.3e}"),
            // Four digits are enough to tell trials apart.
            Value::Number(v) => {
                let digits = if *v == 0.0 { 0 } else { (3 - v.abs().log10().floor() as i32).max(0) as usize };
                let text = format!("{v:.digits$}");
                let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
                text.fmt(f)
            }
            Value::Text(v) => v.fmt(f),
            Value::Flag(v) => v.fmt(f),
        }
    }
}

/// What [`Trial::get`] can return.
pub trait FromValue: Sized {
    /// What it is called in messages.
    const KIND: &'static str;

    /// The value as this type, if it can be one.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($to:ty, $kind:literal: $pattern:pat => $value:expr;)+) => {
        $(impl FromValue for $to {
            const KIND: &'static str = $kind;

            fn from_value(value: &Value) -> Option<Self> {
                if let $pattern = value { $value } else { None }
            }
        })+
    };
}

from_value! {
    i64, "a whole number": Value::Integer(v) => Some(*v);
    i32, "a whole number of 32 bits": Value::Integer(v) => (*v).try_into().ok();
    usize, "a whole number from 0": Value::Integer(v) => (*v).try_into().ok();
    u64, "a whole number from 0": Value::Integer(v) => (*v).try_into().ok();
    String, "a name": Value::Text(v) => Some(v.clone());
    bool, "yes or no": Value::Flag(v) => Some(*v);
}

impl FromValue for f64 {
    const KIND: &'static str = "a number";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Number(v) => Some(*v),
            Value::Integer(v) => Some(*v as f64),
            _ => None,
        }
    }
}

/// One choice of settings, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number in the search, from 0.
    pub number: usize,
    /// A seed of its own, which follows from the search's seed and the number.
    pub seed: u64,
    settings: Vec<(String, Value)>,
}

impl Trial {
    pub(super) fn new(seed: u64, number: usize, settings: Vec<(String, Value)>) -> Self {
        Trial { number, seed: Key::new(seed, Purpose::Search).with(u64::MAX).bits(number as u64), settings }
    }

    /// A setting as `usize`, `u64`, `i32`, `i64`, `f64`, `bool` or `String`.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none of that name, or if its value cannot be of that type.
    pub fn get<V: FromValue>(&self, name: &str) -> Result<V> {
        let Some((_, value)) = self.settings.iter().find(|(n, _)| n == name) else {
            let names: Vec<_> = self.settings.iter().map(|(n, _)| n.as_str()).collect();
            let hint = "add it to the search";
            return Err(Error::argument("Trial::get", "name", format!("one of {}", names.join(", ")), name, hint));
        };
        V::from_value(value).ok_or_else(|| {
            let got = format!("{value} for {name}");
            Error::argument("Trial::get", "the setting", V::KIND, got, "ask for the type that the search was given")
        })
    }

    /// Names and values, in the order in which they were added to the search.
    pub fn settings(&self) -> &[(String, Value)] {
        &self.settings
    }
}

impl fmt::Display for Trial {
    /// `units: 16, rate: 0.01`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        settings.join(", ").fmt(f)
    }
}

/// A trial and what became of it.
#[derive(Debug)]
pub struct Tried {
    /// The settings.
    pub trial: Trial,
    /// The score, or why there is none; a score that is NaN counts as an error.
    pub score: Result<f64>,
}

/// What a search found, best first, trials without a score last; prints as a table.
#[derive(Debug)]
pub struct Search {
    best: Trial,
    best_score: f64,
    tried: Vec<Tried>,
}

impl Search {
    /// Runs all trials, one after the other.
    pub(super) fn run(
        op: &'static str,
        mode: Mode,
        trials: impl Iterator<Item = Trial>,
        mut score: impl FnMut(&Trial) -> Result<f64>,
    ) -> Result<Self> {
        let mut tried: Vec<Tried> = Vec::new();
        for trial in trials {
            let score = score(&trial).and_then(|score| match score.is_nan() {
                false => Ok(score),
                true => Err(Error::argument(op, "score", "a number", score, "check that the model did not diverge")),
            });
            tried.push(Tried { trial, score });
        }
        // A stable sort: equal scores stay in the order of trials.
        let key = |t: &Tried| t.score.as_ref().map_or(f64::INFINITY, |s| if mode == Mode::Min { *s } else { -*s });
        tried.sort_by(|a, b| a.score.is_err().cmp(&b.score.is_err()).then(key(a).total_cmp(&key(b))));
        match tried.first() {
            Some(Tried { trial, score: Ok(score) }) => Ok(Search { best: trial.clone(), best_score: *score, tried }),
            first => {
                let problem = match first.map(|t| &t.score) {
                    Some(Err(error)) => format!("all {} trials failed, the first with: {error}", tried.len()),
                    _ => "there are no trials".to_owned(),
                };
                Err(Error::Config { op, problem, hint: "try one of them by hand".into() })
            }
        }
    }

    /// The settings with the best score; of equal scores those tried first.
    pub fn best(&self) -> &Trial {
        &self.best
    }

    /// The best score.
    pub fn best_score(&self) -> f64 {
        self.best_score
    }

    /// All trials, best first, those without a score last.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head: Vec<String> = vec!["trial".into(), "score".into()];
        head.extend(self.best.settings.iter().map(|(name, _)| name.clone()));
        let rows: Vec<Vec<String>> = self
            .tried
            .iter()
            .map(|Tried { trial, score }| {
                let score = score.as_ref().map_or("failed".to_owned(), |s| format!("{s:.4}"));
                [trial.number.to_string(), score]
                    .into_iter()
                    .chain(trial.settings.iter().map(|(_, v)| v.to_string()))
                    .collect()
            })
            .collect();
        let width = |column: usize| {
            let cells = std::iter::once(&head).chain(&rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        for (i, row) in std::iter::once(&head).chain(&rows).enumerate() {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            write!(f, "{}{}", if i > 0 { "\n" } else { "" }, cells.join("  "))?;
        }
        for Tried { trial, score } in &self.tried {
            if let Err(error) = score {
                write!(f, "\ntrial {} failed: {error}", trial.number)?;
            }
        }
        Ok(())
    }
}

/// Names that are given, and each once.
pub(super) fn check_names<'a>(op: &'static str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen: Vec<&String> = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return Err(Error::argument(op, "name", "of one setting", format!("{name} twice"), "rename one of them"));
        }
        seen.push(name);
    }
    match seen.is_empty() {
        false => Ok(()),
        true => {
            let problem = "there are no settings to choose from".to_owned();
            Err(Error::Config { op, problem, hint: "add at least one".into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_type() {
        let settings = [("n", 3.into()), ("rate", 1e-3.into()), ("name", "relu".into()), ("bias", true.into())];
        let trial = Trial::new(0, 0, settings.map(|(name, value)| (name.to_owned(), value)).into());
        assert_eq!(trial.get::<usize>("n").unwrap(), 3);
        assert_eq!(trial.get::<f64>("n").unwrap(), 3.0);
        assert_eq!(trial.get::<f64>("rate").unwrap(), 1e-3);
        assert_eq!(trial.get::<String>("name").unwrap(), "relu");
        assert!(trial.get::<bool>("bias").unwrap());
        assert_eq!(trial.to_string(), "n: 3, rate: 0.001, name: relu, bias: true");
        assert_eq!(
            trial.get::<usize>("rate").unwrap_err().to_string(),
            "Trial::get: the setting must be a whole number from 0, got 0.001 for rate; ask for the type that the search \
             was given"
        );
        assert!(trial.get::<usize>("units").unwrap_err().to_string().contains("one of n, rate, name, bias, got units"));
        let shown = [0.0, 0.5, 0.0191999, 100.0, 123_456.0, 2e-4, -1.5, 99_999.0].map(|v| Value::from(v).to_string());
        assert_eq!(shown, ["0", "0.5", "0.0192", "100", "1.235e5", "2.000e-4", "-1.5", "99999"]);
        let negative = Trial::new(0, 0, vec![("n".into(), (-1).into())]);
        assert!(negative.get::<usize>("n").is_err() && negative.get::<i64>("n").unwrap() == -1);
    }
}
