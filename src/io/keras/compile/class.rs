//! Classes that `compile` was given, setting by setting.

use serde_json::{Map, Value};

use super::config::Given;
use crate::io::keras::json::Problem;

/// Settings that change no number.
const NAMES: [&str; 2] = ["name", "dtype"];

/// A class and its settings, each of which is to be taken.
pub(super) struct Class {
    pub name: String,
    left: Map<String, Value>,
}

impl Class {
    pub fn of(given: &Given) -> Result<Self, Problem> {
        match given {
            Given::Named(name) => Ok(Class { name: name.clone(), left: Map::new() }),
            Given::Object { class, own: true, settings } => {
                let mut left = settings.clone();
                NAMES.iter().for_each(|name| drop(left.remove(*name)));
                Ok(Class { name: class.clone(), left })
            }
            Given::Object { class, .. } => Err(format!("{class:.80} is a class of its own, not Keras's")),
            Given::None => Err("nothing, where a class is expected".to_owned()),
            _ => Err("a list or a number, where a class is expected".to_owned()),
        }
    }

    /// The name in small letters without `_`, so that all spellings that Keras takes are one.
    pub fn plain(&self) -> String {
        self.name.chars().filter(|c| *c != '_').collect::<String>().to_lowercase()
    }

    /// Takes a setting; null is None.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// The problem of a value that is not known here.
    pub fn wrong(&self, name: &str, value: &Value) -> Problem {
        let value = match value {
            Value::Null => "None".to_owned(),
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            other => format!("{other:.80}"),
        };
        format!("{} with {name}={value}, which is not known here", self.name)
    }

    /// A number that may be None.
    pub fn maybe(&mut self, name: &str) -> Result<Option<f64>, Problem> {
        let value = self.take(name);
        value.map(|value| value.as_f64().ok_or_else(|| self.wrong(name, &value))).transpose()
    }

    /// A number that is never None.
    pub fn number(&mut self, name: &str, default: f64) -> Result<f64, Problem> {
        let value = self.left.remove(name);
        value.map_or(Ok(default), |value| value.as_f64().ok_or_else(|| self.wrong(name, &value)))
    }

    /// A number that must be there.
    pub fn needed(&mut self, name: &str) -> Result<f64, Problem> {
        self.maybe(name)?.ok_or_else(|| format!("{} without {name}", self.name))
    }

    /// A whole number that may be None; Keras writes some of them with a point.
    pub fn count(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let number = self.maybe(name)?;
        let whole = |n: f64| n >= 0.0 && n.fract() == 0.0 && n < 9e15;
        number.map(|n| if whole(n) { Ok(n as u64) } else { Err(self.wrong(name, &n.into())) }).transpose()
    }

    /// A whole number that is never None.
    pub fn count_or(&mut self, name: &str, default: u64) -> Result<u64, Problem> {
        match self.left.get(name) {
            Some(Value::Null) => Err(self.wrong(name, &Value::Null)),
            _ => Ok(self.count(name)?.unwrap_or(default)),
        }
    }

    /// A whole number that must be there.
    pub fn steps(&mut self, name: &str) -> Result<u64, Problem> {
        self.count(name)?.ok_or_else(|| format!("{} without {name}", self.name))
    }

    /// A flag; None is False, as in Python.
    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        let value = self.take(name);
        value.map_or(Ok(false), |value| value.as_bool().ok_or_else(|| self.wrong(name, &value)))
    }

    /// A text that may be None.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let value = self.take(name);
        value.map(|value| value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name, &value))).transpose()
    }

    /// A setting that has to be one of these, where it is given.
    pub fn only(&mut self, name: &str, values: &[Value]) -> Result<(), Problem> {
        match self.left.remove(name) {
            Some(value) if !values.contains(&value) => Err(self.wrong(name, &value)),
            _ => Ok(()),
        }
    }

    /// An error for settings that nothing has taken, apart from those that are None.
    pub fn end<V>(self, made: V) -> Result<V, Problem> {
        match self.left.iter().find(|(_, value)| !value.is_null()) {
            Some((name, value)) => Err(self.wrong(name, value)),
            None => Ok(made),
        }
    }
}
