//! The fields of a request, each taken once, so that what is left is unknown.

use serde_json::{Map, Value};

use super::problem::{Outcome, Problem};

/// An object of JSON.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    pub fn parse(body: &[u8]) -> Outcome<Self> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) => Err(Problem::new(400, "the body is to be an object of JSON")),
            Err(e) => Err(Problem::new(400, format!("the body is no JSON: {e}"))),
        }
    }

    pub fn of(value: Value, name: &str) -> Outcome<Self> {
        match value {
            Value::Object(fields) => Ok(Fields(fields)),
            other => Err(Problem::field(name, format!("{name} is to be an object, not {}", kind(&other)))),
        }
    }

    /// A field that is there and not null.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn take_as<T>(&mut self, name: &str, what: &str, read: impl FnOnce(&Value) -> Option<T>) -> Outcome<Option<T>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(Problem::field(name, format!("{name} is to be {what}, got {}", shown(&value)))),
        }
    }

    pub fn string(&mut self, name: &str) -> Outcome<Option<String>> {
        self.take_as(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub fn flag(&mut self, name: &str) -> Outcome<bool> {
        Ok(self.take_as(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    /// A number within a range.
    pub fn number(&mut self, name: &str, least: f64, most: f64) -> Outcome<Option<f64>> {
        let within = |n: &f64| (least..=most).contains(n);
        self.take_as(name, &format!("a number from {least} to {most}"), |value| value.as_f64().filter(within))
    }

    /// A whole number from some on.
    pub fn whole(&mut self, name: &str, least: u64) -> Outcome<Option<usize>> {
        let read = |value: &Value| usize::try_from(value.as_u64().filter(|n| *n >= least)?).ok();
        self.take_as(name, &format!("a whole number from {least} on"), read)
    }

    pub fn seed(&mut self) -> Outcome<Option<u64>> {
        // Negative ones are seeds too.
        self.take_as("seed", "a whole number", |value| value.as_u64().or_else(|| value.as_i64().map(|n| n as u64)))
    }

    /// A field that changes the answer and is built with one value alone.
    pub fn only(&mut self, name: &str, value: &Value) -> Outcome<()> {
        match self.take(name) {
            None => Ok(()),
            Some(got) if got == *value => Ok(()),
            Some(got) => {
                let message = format!(
                    "{name} is {}, which this server does not have: leave it out, or pass {value}",
                    shown(&got)
                );
                Err(Problem::field(name, message).code("unsupported_value"))
            }
        }
    }

    /// Fields that change no answer.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.0.remove(*name);
        }
    }

    /// An error for what is left.
    pub fn end(self, within: &str) -> Outcome<()> {
        match self.0.into_iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => {
                let name = format!("{within}{name}");
                Err(Problem::field(&name, format!("this server does not have {name}")).code("unsupported_parameter"))
            }
        }
    }
}

pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value, if it is short, else what it is.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 40 { text } else { kind(value).to_owned() }
}
