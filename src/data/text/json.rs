//! Lines of JSON, each an object with a text and its label.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::labels::{Labels, label_builders};
use super::pieces::{At, Format, Lines, MAX_BYTES, Pieces, Place, is_blank, without_end};
use super::record::Record;
use super::stored::Stored;
use super::texts::Texts;
use crate::data::names::listed;
use crate::error::{Error, Result};

/// Reads lines of JSON, each an object such as `{"text": "so fine", "label": "pos"}`. Features `text` and `files`.
///
/// - Fields: the text is `text`, and there is no label; [`new`](Self::new), [`texts`](Self::texts) and [`label`](Self::label) name others.
///   A name that begins with `/` is a JSON Pointer (RFC 6901) to a value further inside, such as `/meta/stars` or `/choices/0`. Other fields
///   are passed over.
/// - Labels that are numbers in JSON stay as they are, `true` is 1 and `false` 0. Strings are names of classes and become 0, 1, 2 … in
///   sorted order, or in the [order of their appearance](Self::by_appearance), or in [that of a list](Self::class_names).
/// - Blank lines are passed over, and a byte-order mark.
///
/// [`open`](Self::open) reads the file once, checks every line and notes where it begins: eight bytes of memory a line.
///
/// Hugging Face: `load_dataset("json", …)`.
///
/// ```
/// use gradus::prelude::*;
/// let path = std::env::temp_dir().join(format!("gradus_doc_json_{}.jsonl", std::process::id()));
/// let lines = r#"{"id": 1, "text": "so\nfine", "meta": {"stars": 5}}
/// {"id": 2, "text": "\u00fcber", "meta": {"stars": 1.5}}"#;
/// std::fs::write(&path, lines).unwrap();
/// let texts = JsonLines::new("text").label("/meta/stars").open(&path)?;
/// let both = texts.read_all()?;
/// assert_eq!((both[0].texts[0].as_str(), both[1].texts[0].as_str()), ("so\nfine", "über"));
/// assert_eq!((both[0].label, both[1].label), (Some(5.0), Some(1.5)));
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonLines {
    text: Vec<String>,
    label: Option<String>,
    allow_empty: bool,
    max_bytes: usize,
    labels: Labels,
}

impl Default for JsonLines {
    fn default() -> Self {
        JsonLines::new("text")
    }
}

impl JsonLines {
    /// Lines with the text in this field.
    pub fn new(text: impl Into<String>) -> Self {
        let labels = Labels::default();
        JsonLines { text: vec![text.into()], label: None, allow_empty: false, max_bytes: MAX_BYTES, labels }
    }

    /// Several fields of texts that belong together, each an input of its own: a premise and a hypothesis.
    pub fn texts<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.text = fields.into_iter().map(Into::into).collect();
        self
    }

    /// The field of the label; none by default.
    pub fn label(mut self, field: impl Into<String>) -> Self {
        self.label = Some(field.into());
        self
    }

    label_builders!();

    /// Opens a file.
    ///
    /// # Errors
    /// As [`TextLines::open`](super::TextLines::open); and [`Error::Data`], with file, line and field, for a line that is no JSON object, a
    /// field that is missing, comes twice or holds something else than expected, an empty text or label, an unknown class, labels of which
    /// some are numbers and some names, classes that differ in white space alone, and more than 65,536 classes;
    /// [`Error::Argument`] for class names that repeat, and no field of texts.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Texts> {
        let path = path.as_ref();
        let mut labels = self.labels.clone();
        labels.check("JsonLines")?;
        if self.text.is_empty() {
            return Err(Error::argument("JsonLines", "texts", "at least one field", "none", "name the field"));
        }
        let format =
            Objects { settings: self.clone(), fields: self.text.iter().chain(&self.label).map(|f| steps(f)).collect() };
        let column = self.label.as_deref().unwrap_or_default();
        let pieces = Pieces::scan(path, "JsonLines", (self.max_bytes, 0), format, |record, at| match &self.label {
            Some(_) => labels.see(&record.label, column, at),
            None => Ok(()),
        })?;
        labels.settle(column, path, false)?;
        let labels = self.label.clone().map(|column| (labels, column));
        let labelled = labels.is_some().then_some(());
        Ok(Texts::of(Stored::new(pieces, labels), self.text.len(), labelled))
    }
}

/// The names on the way to a value.
fn steps(field: &str) -> Vec<String> {
    match field.strip_prefix('/') {
        None => vec![field.to_owned()],
        Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
    }
}

/// How a file of objects is read.
#[derive(Debug)]
struct Objects {
    settings: JsonLines,
    /// The ways to the texts, and to the label.
    fields: Vec<Vec<String>>,
}

impl Format for Objects {
    fn cut(&self, lines: &mut Lines<'_>, bytes: &mut Vec<u8>) -> Result<Option<Place>> {
        lines.first(is_blank, bytes)
    }

    fn read(&self, bytes: &[u8], at: &At<'_>, record: &mut Record) -> Result<()> {
        let json = at.utf8(without_end(bytes))?;
        if !json.trim_start().starts_with('{') {
            let problem = "expected a JSON object in each line, such as {\"text\": \"…\"}";
            let hint = "write one object a line; of an array: jq -c '.[]'";
            return Err(at.error(None, problem, hint));
        }
        record.begin(self.settings.text.len());
        // The first steps of all fields in one go.
        let mut found = vec![None; self.fields.len()];
        go(json, &self.fields, 0, &mut found).map_err(|error| no_json(&error, json, json, at))?;
        for (i, field) in self.settings.text.iter().enumerate() {
            let raw = self.value(json, i, field, found[i], at)?;
            record.texts[i] = serde_json::from_str(raw).map_err(|error| match raw.starts_with('"') {
                true => no_json(&error, raw, json, at),
                false => {
                    let problem = format!("expected a string as text, got {}", kind(raw));
                    at.error(Some(field), problem, "name another field, or correct the line")
                }
            })?;
            if !self.settings.allow_empty && record.texts[i].trim().is_empty() {
                let hint = "fill it in, remove the line, or set .allow_empty(true)";
                return Err(at.error(Some(field), "the text is empty", hint));
            }
        }
        if let Some(field) = &self.settings.label {
            let i = self.fields.len() - 1;
            let raw = self.value(json, i, field, found[i], at)?;
            match raw.as_bytes() {
                [b'"', ..] => {
                    record.label.text = serde_json::from_str(raw).map_err(|error| no_json(&error, raw, json, at))?;
                }
                [b'{' | b'[' | b'n', ..] | [] => {
                    let problem = format!("expected a string or a number as label, got {}", kind(raw));
                    return Err(at.error(Some(field), problem, "name another field, or correct the line"));
                }
                _ => {
                    record.label.text.push_str(raw);
                    record.label.number = true;
                }
            }
        }
        Ok(())
    }
}

impl Objects {
    /// The value of a field, whose first step may have been found.
    fn value<'a>(
        &self,
        json: &str,
        i: usize,
        field: &str,
        found: Option<&'a RawValue>,
        at: &At<'_>,
    ) -> Result<&'a str> {
        let (steps, mut raw) = (&self.fields[i], found);
        for step in 1..steps.len() {
            let Some(outer) = raw else { break };
            let mut inner = [None];
            if outer.get().starts_with(['{', '[']) {
                let outer = outer.get();
                go(outer, &self.fields[i..=i], step, &mut inner).map_err(|error| no_json(&error, outer, json, at))?;
            }
            raw = inner[0];
        }
        match raw.map(RawValue::get) {
            Some("null") => Err(at.error(Some(field), "the value is missing (null)", "fill it in, or remove the line")),
            Some(raw) => Ok(raw),
            None => {
                let known = names(json);
                let hint = match known.is_empty() {
                    true => "the object has no fields".to_owned(),
                    false => format!("the fields of this line are {}", listed(&known)),
                };
                Err(at.error(Some(field), "there is no such field", hint))
            }
        }
    }
}

/// What is wrong with a line that is no JSON, or with a part of it.
fn no_json(error: &serde_json::Error, part: &str, line: &str, at: &At<'_>) -> Error {
    let before = part.as_ptr().addr().saturating_sub(line.as_ptr().addr());
    let text = error.to_string();
    let cause = text.rsplit_once(" at line ").map_or(text.as_str(), |(cause, _)| cause);
    let problem = match error.column() {
        0 => format!("the line is no JSON object: {cause}"),
        byte => format!("the line is no JSON object: {cause}, at byte {} of it", before + byte),
    };
    let hint = match error.is_eof() {
        true => "correct the line, or remove it; of objects over several lines: jq -c .",
        false => "correct the line, or remove it",
    };
    at.error(None, problem, hint)
}

/// What a value is.
fn kind(raw: &str) -> &'static str {
    match raw.bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Takes one step of some ways; where it leads is left as it is written.
fn go<'a>(
    json: &'a str,
    ways: &[Vec<String>],
    step: usize,
    found: &mut [Option<&'a RawValue>],
) -> serde_json::Result<()> {
    let mut source = serde_json::Deserializer::from_str(json);
    source.deserialize_any(Step { ways, step, found })?;
    source.end()
}

struct Step<'w, 'f, 'de> {
    ways: &'w [Vec<String>],
    step: usize,
    found: &'f mut [Option<&'de RawValue>],
}

impl<'de> Visitor<'de> for Step<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(wanted) = map.next_key_seed(Key { ways: self.ways, step: self.step })? {
            let Some(first) = wanted else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &RawValue = map.next_value()?;
            let name = &self.ways[first][self.step];
            for (way, found) in self.ways.iter().zip(&mut *self.found) {
                if way[self.step] == *name && found.replace(value).is_some() {
                    return Err(serde::de::Error::custom(format_args!("the field {name:?} comes twice")));
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let wanted: Vec<Option<usize>> = self.ways.iter().map(|way| way[self.step].parse().ok()).collect();
        for i in 0.. {
            if !wanted.contains(&Some(i)) {
                if sequence.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
                continue;
            }
            let Some(value) = sequence.next_element::<&RawValue>()? else { break };
            let own = wanted.iter().zip(&mut *self.found).filter(|(wanted, _)| **wanted == Some(i));
            own.for_each(|(_, found)| *found = Some(value));
        }
        Ok(())
    }
}

/// Which way a key belongs to, the first one of several.
struct Key<'w> {
    ways: &'w [Vec<String>],
    step: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.ways.iter().position(|way| way[self.step] == name))
    }
}

/// The first names of an object's fields, for errors.
fn names(json: &str) -> Vec<String> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut names = Vec::new();
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                // One more than are shown.
                if names.len() <= 20 {
                    names.push(name);
                }
            }
            Ok(names)
        }
    }
    serde_json::Deserializer::from_str(json).deserialize_map(Names).unwrap_or_default()
}
