//! What a model's file holds beside architecture and weights.

#[cfg(feature = "text")]
use std::sync::Arc;

use crate::data::Scaler;
use crate::error::{Error, Result};
#[cfg(feature = "files")]
use crate::state::Value;
#[cfg(feature = "text")]
use crate::text::TextFront;

/// The most bytes of a text.
const MAX_TEXT: usize = 1 << 16;

/// The most bytes of the names of all classes.
const MAX_NAMES: usize = 1 << 17;

/// The most features that are scaled.
const MAX_FEATURES: usize = 1 << 12;

/// What goes with a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beside {
    /// How it was compiled, as JSON.
    #[cfg_attr(not(feature = "files"), allow(dead_code))]
    pub compile: Option<String>,
    pub notes: Notes,
    /// What turns texts into its input.
    #[cfg(feature = "text")]
    pub front: Option<Arc<TextFront>>,
}

#[cfg(feature = "files")]
impl Beside {
    /// The settings of the text front, as JSON.
    pub fn text(&self) -> Result<Option<String>> {
        #[cfg(feature = "text")]
        return self.front.as_ref().map(|front| front.settings()).transpose();
        #[cfg(not(feature = "text"))]
        Ok(None)
    }

    /// Arrays by name that go into a file beside the weights.
    pub fn arrays(&self) -> Vec<(String, Value)> {
        #[cfg(feature = "text")]
        if let Some(front) = &self.front {
            let named = front.arrays().into_iter();
            return named.map(|(name, value)| (format!("{TEXT_PREFIX}{name}"), value)).collect();
        }
        Vec::new()
    }
}

/// How the names of a text front's arrays begin.
#[cfg(feature = "files")]
pub(crate) const TEXT_PREFIX: &str = "@text/";

/// What those who predict with a model have to know.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct Notes {
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub class_names: Vec<String>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub scaler: Option<Scaler>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "String::is_empty"))]
    pub preprocessing: String,
}

impl Notes {
    /// Checks sizes, names and numbers.
    pub fn check(&self, op: &'static str) -> Result<()> {
        let names = &self.class_names;
        let bytes: usize = names.iter().map(String::len).sum();
        if bytes > MAX_NAMES || names.len() > MAX_NAMES / 2 {
            let (expected, got) = (format!("at most {MAX_NAMES} bytes together"), format!("{bytes} bytes"));
            return Err(Error::argument(op, "class_names", expected, got, "keep them in a file of their own"));
        }
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            let got = format!("{:?} twice", pair[0]);
            return Err(Error::argument(op, "class_names", "different from each other", got, "rename one"));
        }
        if names.iter().any(String::is_empty) {
            return Err(Error::argument(op, "class_names", "not empty", "\"\"", "give each class a name"));
        }
        if self.preprocessing.len() > MAX_TEXT {
            let got = format!("{} bytes", self.preprocessing.len());
            return Err(Error::argument(op, "preprocessing", format!("at most {MAX_TEXT} bytes"), got, "shorten it"));
        }
        self.scaler.as_ref().map_or(Ok(()), |scaler| scaler.check(MAX_FEATURES))
    }
}
