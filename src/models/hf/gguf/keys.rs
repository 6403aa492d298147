//! The keys of an architecture in a GGUF file.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

use crate::error::{Error, Result};
use crate::io::{Gguf, GgufValue};

/// Keys of an architecture that change no number here.
const HARMLESS: [&str; 6] = [
    "attention.value_length",
    "expert_used_count",
    "pooling_type",
    "rope.scaling.finetuned",
    "tensor_data_layout",
    "vocab_size",
];

/// The keys of an architecture, of which it is noted who was asked for.
pub(super) struct Keys<'f> {
    pub file: &'f Gguf<'static>,
    arch: &'static str,
    used: RefCell<BTreeSet<String>>,
}

impl<'f> Keys<'f> {
    pub fn new(file: &'f Gguf<'static>, arch: &'static str) -> Self {
        Keys { file, arch, used: RefCell::default() }
    }

    /// A key with its beginning.
    pub fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&GgufValue> {
        self.used.borrow_mut().insert(key.to_owned());
        self.file.get(&self.name(key))
    }

    /// An error of the file.
    pub fn wrong(&self, problem: impl Display) -> Error {
        Error::file(self.file.path(), problem, "fetch the file again, or convert the model anew")
    }

    /// An error for a setting that changes numbers and is not built.
    pub fn refuse(&self, key: &str, known: impl Display) -> Error {
        let got = self.file.get(&self.name(key)).map_or("nothing".to_owned(), ToString::to_string);
        let problem = format!("{} is {got}, which changes what the model computes and is not built", self.name(key));
        Error::file(self.file.path(), problem, format!("known: {known}"))
    }

    fn take<V>(&self, key: &str, kind: &str, read: impl Fn(&GgufValue) -> Option<V>) -> Result<Option<V>> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.wrong(format!("{} is {value}, expected {kind}", self.name(key)))),
            },
        }
    }

    /// A whole number; also one that is said for each block, if it is the same in all.
    pub fn size(&self, key: &str) -> Result<Option<usize>> {
        let whole = |value: &GgufValue| usize::try_from(value.as_u64()?).ok().filter(|n| *n < 1 << 40);
        self.take(key, "a whole number, the same for all blocks", |value| match value {
            GgufValue::Array(array) => {
                let first = array.get(0).as_ref().and_then(whole)?;
                (1..array.len()).all(|i| array.get(i).as_ref().and_then(whole) == Some(first)).then_some(first)
            }
            value => whole(value),
        })
    }

    /// A whole number that has to be there.
    pub fn need(&self, key: &str) -> Result<usize> {
        self.size(key)?.ok_or_else(|| self.wrong(format!("it has no {}", self.name(key))))
    }

    /// A number.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.take(key, "a finite number", |value| value.as_f64().filter(|v| v.is_finite()))
    }

    /// True or false.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.take(key, "true or false", GgufValue::as_bool)
    }

    /// A word.
    pub fn word(&self, key: &str) -> Result<Option<String>> {
        self.take(key, "a word", |value| value.as_str().map(str::to_owned))
    }

    /// A key of another kind of model, which is to be there as this alone.
    pub fn only(&self, key: &str, value: usize) -> Result<()> {
        match self.size(key)? {
            Some(other) if other != value => Err(self.refuse(key, value)),
            _ => Ok(()),
        }
    }

    /// Whether there is a tensor.
    pub fn has(&self, tensor: &str) -> bool {
        self.file.tensor(tensor).is_some()
    }

    /// An error for keys that nobody has asked for, unless they change no number or are said to.
    pub fn finish(&self, ignored: &[String]) -> Result<()> {
        let used = self.used.borrow();
        let prefix = format!("{}.", self.arch);
        let left: Vec<String> = (self.file.metadata())
            .filter_map(|(key, value)| Some((key, key.strip_prefix(&prefix)?, value)))
            .filter(|(key, own, _)| {
                !used.contains(*own) && !HARMLESS.contains(own) && !ignored.iter().any(|i| i == key)
            })
            .map(|(key, _, value)| format!("{key}: {value}"))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        let problem = format!("it is not known whether these change what the model computes: {}", left.join(", "));
        Err(Error::file(self.file.path(), problem, "if they do not, name them to OpenOptions::ignore_key"))
    }
}
