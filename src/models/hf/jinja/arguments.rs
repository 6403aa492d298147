//! What a function, filter, test or method is given.

use std::sync::Arc;

use super::failure::Outcome;
use super::value::Value;

/// Arguments that are taken one after the other, each by its place or its name.
pub struct Given {
    pub what: String,
    pub by_place: std::vec::IntoIter<Value>,
    pub by_name: Vec<(Arc<str>, Value)>,
}

impl Given {
    pub fn new(what: String, by_place: Vec<Value>, by_name: Vec<(Arc<str>, Value)>) -> Self {
        Given { what, by_place: by_place.into_iter(), by_name }
    }

    /// The next one, if it is there.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.by_place.next().or_else(|| self.named(name))
    }

    /// One that has to be there.
    pub fn need(&mut self, name: &str) -> Outcome<Value> {
        self.take(name).ok_or_else(|| format!("{} needs {name}", self.what).into())
    }

    /// One that has a name.
    pub fn named(&mut self, name: &str) -> Option<Value> {
        let at = self.by_name.iter().position(|(known, _)| **known == *name)?;
        Some(self.by_name.remove(at).1)
    }

    /// A string that has to be there.
    pub fn string(&mut self, name: &str) -> Outcome<Arc<str>> {
        match self.need(name)? {
            Value::Str(text) => Ok(text),
            other => Err(format!("{} wants a string for {name}, got one of type {}", self.what, other.kind()).into()),
        }
    }

    /// A string that may be there; none stands for none.
    pub fn string_or(&mut self, name: &str) -> Outcome<Option<Arc<str>>> {
        match self.take(name) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text)),
            Some(other) => {
                Err(format!("{} wants a string for {name}, got one of type {}", self.what, other.kind()).into())
            }
        }
    }

    /// A whole number that may be there.
    pub fn whole_or(&mut self, name: &str, default: i64) -> Outcome<i64> {
        match self.take(name) {
            None => Ok(default),
            Some(value) => value.whole().ok_or_else(|| {
                format!("{} wants a whole number for {name}, got one of type {}", self.what, value.kind()).into()
            }),
        }
    }

    /// True or false, if it is there.
    pub fn flag_or(&mut self, name: &str, default: bool) -> bool {
        self.take(name).map_or(default, |value| value.is_true())
    }

    /// An error if something is left.
    pub fn end(mut self) -> Outcome<()> {
        if let Some(value) = self.by_place.next() {
            return Err(format!("{} is given too much: a value of type {}", self.what, value.kind()).into());
        }
        match self.by_name.first() {
            Some((name, _)) => Err(format!("{} is given {name:?}, which is not built", self.what).into()),
            None => Ok(()),
        }
    }
}
