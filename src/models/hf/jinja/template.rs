//! A template from its text to what it renders.

use super::failure::Failure;
use super::tree::Node;
use super::value::Value;
use super::{parser, run};

/// The longest template, in bytes; published ones have up to 20,000.
const MOST_BYTES: usize = 1 << 20;

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    body: Vec<Node>,
}

impl Template {
    /// Reads a template.
    pub fn parse(source: &str) -> Result<Self, Failure> {
        if source.len() > MOST_BYTES {
            return Err(Failure::new(1, format!("{} bytes, at most {MOST_BYTES} are read", source.len())));
        }
        Ok(Template { body: parser::parse(source)? })
    }

    /// The text for some variables; `now` is the time in seconds from 1970 on, in UTC.
    pub fn render(&self, variables: Vec<(&str, Value)>, now: i64) -> Result<String, Failure> {
        run::render(&self.body, variables, now)
    }
}
