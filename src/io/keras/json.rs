//! Keras's JSON, read piece by piece: a part is parsed when it is known what it should be, so that memory follows the file's length.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A part as it stands in the file.
pub(super) type Raw<'a> = &'a RawValue;

/// What is wrong, and what can be done.
pub(super) type Problem = String;

/// The most settings of an object.
const MAX_SETTINGS: usize = 256;

/// The most entries of a list.
pub(super) const MAX_LIST: usize = 1 << 20;

/// An object of a class, as Keras writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object<'a> {
    #[serde(borrow, default)]
    pub module: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub class_name: Cow<'a, str>,
    #[serde(borrow)]
    pub config: Raw<'a>,
    #[serde(borrow, default)]
    pub registered_name: Option<Cow<'a, str>>,
    /// The object's number, where it stands in several places.
    #[serde(default)]
    pub shared_object_id: Option<u64>,
    /// The name by which tensors of a functional model refer to a layer.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub inbound_nodes: Option<Raw<'a>>,
    #[serde(borrow, default)]
    pub build_config: Option<Raw<'a>>,
    #[serde(borrow, default)]
    pub compile_config: Option<Raw<'a>>,
}

impl<'a> Object<'a> {
    pub fn read(raw: Raw<'a>) -> Result<Self, Problem> {
        let wrong = |e: &dyn fmt::Display| format!("{} is no object of Keras ({e})", spelled(raw));
        let object: Self = parse(raw).map_err(|e| wrong(&e))?;
        let names = [Some(&object.class_name), object.module.as_ref(), object.registered_name.as_ref()];
        let unfit = names.into_iter().flatten().any(|name| name.contains(char::is_control));
        match unfit {
            true => Err(wrong(&"control characters in a name")),
            false => Ok(object),
        }
    }

    /// Whether it is Keras's own, of one of these public modules or from below one of those of its source.
    pub fn is_of(&self, public: &[&str], below: &str) -> bool {
        let module = self.module.as_deref().unwrap_or_default();
        let registered = self.registered_name.as_deref().is_none_or(|name| name == self.class_name);
        registered && (public.contains(&module) || module.starts_with(below))
    }

    /// What it is where it is not Keras's.
    pub fn foreign(&self) -> Problem {
        let module = self.module.as_deref().map_or("__main__".to_owned(), |module| format!("{module:.80}"));
        if self.is_of(&["keras"], "keras.") {
            return format!("no such class (module {module})");
        }
        match &self.registered_name {
            Some(name) => format!("a class of its own (module {module}, registered as {name:.80}), not Keras's"),
            None => format!("a class of its own (module {module}), not Keras's"),
        }
    }
}

/// The settings of an object, each taken once.
#[derive(Debug)]
pub(super) struct Settings<'a>(Vec<(Cow<'a, str>, Raw<'a>)>);

impl<'a> Settings<'a> {
    pub fn read(raw: Raw<'a>) -> Result<Self, Problem> {
        parse(raw).map_err(|e| format!("the settings {} ({e})", spelled(raw)))
    }

    /// Takes a setting as it is.
    pub fn take_any(&mut self, name: &str) -> Option<Raw<'a>> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes a setting; null counts as left out.
    pub fn take(&mut self, name: &str) -> Option<Raw<'a>> {
        self.take_any(name).filter(|raw| raw.get() != "null")
    }

    fn typed<V: Deserialize<'a>>(&mut self, name: &str, kind: &str) -> Result<Option<V>, Problem> {
        let wrong = |raw: Raw| format!("{name}={}, where {kind} is expected", spelled(raw));
        self.take(name).map(|raw| parse(raw).map_err(|_| wrong(raw))).transpose()
    }

    pub fn number(&mut self, name: &str) -> Result<Option<f64>, Problem> {
        self.typed(name, "a number")
    }

    pub fn number_or(&mut self, name: &str, default: f64) -> Result<f64, Problem> {
        Ok(self.number(name)?.unwrap_or(default))
    }

    /// A number that must be there.
    pub fn needed_number(&mut self, name: &str) -> Result<f64, Problem> {
        self.number(name)?.ok_or_else(|| format!("no {name}"))
    }

    /// A flag; None is False, as in Python.
    pub fn flag_or(&mut self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.0.iter().any(|(other, raw)| other == name && raw.get() == "null") {
            true => {
                self.take_any(name);
                Ok(false)
            }
            false => Ok(self.typed(name, "True or False")?.unwrap_or(default)),
        }
    }

    pub fn size(&mut self, name: &str) -> Result<Option<usize>, Problem> {
        self.typed(name, "a whole number that is not negative")
    }

    /// A whole number that must be there.
    pub fn needed_size(&mut self, name: &str) -> Result<usize, Problem> {
        self.size(name)?.ok_or_else(|| format!("no {name}"))
    }

    pub fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        self.typed::<Text>(name, "a text").map(|text| text.map(|text| text.0))
    }

    /// A list of numbers, or one.
    pub fn integers(&mut self, name: &str) -> Result<Option<Vec<i64>>, Problem> {
        let wrong = |raw: Raw| format!("{name}={}, where whole numbers are expected", spelled(raw));
        let one_or_many = |raw| parse(raw).map(|one| vec![one]).or_else(|_| list(raw, MAX_LIST));
        self.take(name).map(|raw| one_or_many(raw).map_err(|_| wrong(raw))).transpose()
    }

    /// A setting that can be had with one value alone; `why` says what to do about others.
    pub fn only(&mut self, name: &str, value: &str, why: &str) -> Result<(), Problem> {
        match self.take(name) {
            Some(raw) if raw.get() != value => Err(format!("{name}={}: {why}", spelled(raw))),
            _ => Ok(()),
        }
    }

    /// Passes over settings that change nothing here.
    pub fn skip(&mut self, names: &[&str]) {
        self.0.retain(|(name, _)| !names.contains(&name.as_ref()));
    }

    /// An error for settings that nothing has read.
    pub fn finish(self) -> Result<(), Problem> {
        let unread: Vec<_> = self.0.iter().map(|(name, raw)| format!("{:.80}={}", Shown(name), spelled(raw))).collect();
        match unread.is_empty() {
            true => Ok(()),
            false => Err(format!("{}: not known here", unread.join(", "))),
        }
    }

    /// All settings that are left, by name.
    pub fn rest(self) -> impl Iterator<Item = (Cow<'a, str>, Raw<'a>)> {
        self.0.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Settings<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(Cow<'de, str>, Raw<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("settings by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Self::Value = Vec::new();
                while let Some((Text(name), raw)) = map.next_entry::<Text<'de>, Raw<'de>>()? {
                    if fields.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom(format!("{:.80} twice", Shown(&name))));
                    }
                    if fields.len() == MAX_SETTINGS {
                        return Err(A::Error::custom(format!("more than {MAX_SETTINGS} settings")));
                    }
                    fields.push((name, raw));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Fields).map(Settings)
    }
}

/// A text that stands in the file as it is, where nothing in it is escaped. One with control characters, which could do anything to a
/// terminal that shows it in a message, is none.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Any<'a>(#[serde(borrow)] Cow<'a, str>);

        let Any(text) = Any::deserialize(deserializer)?;
        match text.contains(char::is_control) {
            true => Err(D::Error::custom("control characters")),
            false => Ok(Text(text)),
        }
    }
}

/// A name in a message.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// A part as a value of a type.
pub(super) fn parse<'a, V: Deserialize<'a>>(raw: Raw<'a>) -> serde_json::Result<V> {
    serde_json::from_str(raw.get())
}

pub(super) fn text<'a>(raw: Raw<'a>) -> Option<Cow<'a, str>> {
    parse::<Text<'a>>(raw).ok().map(|text| text.0)
}

/// The entries of a list, at most so many.
pub(super) fn list<'a, V: Deserialize<'a>>(raw: Raw<'a>, most: usize) -> serde_json::Result<Vec<V>> {
    struct Entries<V>(usize, PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
        type Value = Vec<V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<V>, A::Error> {
            let mut entries = Vec::new();
            while entries.len() < self.0 {
                match seq.next_element()? {
                    Some(entry) => entries.push(entry),
                    None => return Ok(entries),
                }
            }
            match seq.next_element::<IgnoredAny>()? {
                None => Ok(entries),
                Some(_) => Err(A::Error::custom(format!("more than {} entries", self.0))),
            }
        }
    }

    impl<'de, V: Deserialize<'de>> DeserializeSeed<'de> for Entries<V> {
        type Value = Vec<V>;

        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Vec<V>, D::Error> {
            deserializer.deserialize_seq(self)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(raw.get());
    let entries = Entries(most, PhantomData).deserialize(&mut reader)?;
    reader.end()?;
    Ok(entries)
}

/// A part as Python writes it, cut where it is long.
pub(super) fn spelled(raw: Raw) -> String {
    const MOST: usize = 80;
    let (mut out, mut in_text, mut escaped) = (String::new(), false, false);
    let mut rest = raw.get();
    while let Some(c) = rest.chars().next() {
        if out.chars().count() >= MOST {
            out.push('…');
            break;
        }
        let python = [("true", "True"), ("false", "False"), ("null", "None")];
        match python.iter().find(|(json, _)| !in_text && rest.starts_with(json)) {
            Some((json, python)) => {
                out.push_str(python);
                rest = &rest[json.len()..];
            }
            None => {
                in_text ^= c == '"' && !escaped;
                escaped = in_text && c == '\\' && !escaped;
                // Between values; in texts they are escaped.
                if !c.is_control() {
                    out.push(c);
                }
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Raw<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn as_python_writes_it() {
        assert_eq!(
            spelled(raw(r#"[true, false, null, "true \" null", -1.5]"#)),
            r#"[True, False, None, "true \" null", -1.5]"#
        );
        assert_eq!(spelled(raw(&format!("[{}]", "1,".repeat(99) + "1"))).chars().count(), 81);
    }

    #[test]
    fn each_setting_once() {
        let mut settings = Settings::read(raw(r#"{"a": 1, "b": null, "c": true, "d": [1, -1], "é": "x"}"#)).unwrap();
        assert_eq!(settings.number("a"), Ok(Some(1.0)));
        assert_eq!((settings.number("a"), settings.number("b")), (Ok(None), Ok(None)));
        let mut flags = Settings::read(raw(r#"{"a": null, "b": true, "c": 1}"#)).unwrap();
        let mut flag = |name| flags.flag_or(name, true);
        assert_eq!([flag("a"), flag("b"), flag("d")], [Ok(false), Ok(true), Ok(true)]);
        assert_eq!(flag("c").unwrap_err(), "c=1, where True or False is expected");
        assert_eq!(settings.number("c").unwrap_err(), "c=True, where a number is expected");
        assert_eq!(settings.integers("d"), Ok(Some(vec![1, -1])));
        assert_eq!(settings.finish().unwrap_err(), "é=\"x\": not known here");
        let twice = Settings::read(raw(r#"{"a": 1, "a": 2}"#)).unwrap_err();
        assert_eq!(twice, "the settings {\"a\": 1, \"a\": 2} (a twice at line 1 column 16)");
        let many: Vec<_> = (0..300).map(|i| format!("\"{i}\":0")).collect();
        assert!(Settings::read(raw(&format!("{{{}}}", many.join(",")))).is_err());
    }

    #[test]
    fn no_control_characters() {
        let mut settings = Settings::read(raw(r#"{"a": "\u001b[2J", "b": "x"}"#)).unwrap();
        assert_eq!(settings.text("a").unwrap_err(), r#"a="\u001b[2J", where a text is expected"#);
        assert_eq!((settings.text("b").unwrap().as_deref(), text(raw(r#""\n""#))), (Some("x"), None));
        let named = Settings::read(raw(r#"{"\u001b[2J": 1}"#)).unwrap_err();
        assert!(named.starts_with(r#"the settings {"\u001b[2J": 1} (control characters"#), "{named}");
        for class in
            [r#"{"class_name": "\u001b", "config": {}}"#, r#"{"class_name": "A", "module": "\r", "config": {}}"#]
        {
            assert!(Object::read(raw(class)).unwrap_err().contains("control characters in a name"), "{class}");
        }
    }

    #[test]
    fn lists_have_an_end() {
        assert_eq!(list::<u8>(raw("[1, 2]"), 2).unwrap(), [1, 2]);
        assert!(list::<u8>(raw("[1, 2, 3]"), 2).unwrap_err().to_string().contains("more than 2 entries"));
        assert!(list::<u8>(raw("3"), 2).is_err());
    }

    #[test]
    fn whose_a_class_is() {
        let own = |text: &str| Object::read(raw(text)).unwrap().is_of(&["keras.layers"], "keras.src.layers.");
        assert!(own(r#"{"module": "keras.layers", "class_name": "Dense", "config": {}, "registered_name": null}"#));
        assert!(own(
            r#"{"module": "keras.src.layers.core.dense", "class_name": "Dense", "config": {}, "registered_name": "Dense"}"#
        ));
        for other in [
            r#"{"module": null, "class_name": "Dropout", "config": {}, "registered_name": "Dropout"}"#,
            r#"{"module": "keras.layers", "class_name": "Dropout", "config": {}, "registered_name": "Custom>Dropout"}"#,
            r#"{"module": "kerasx.layers", "class_name": "Dropout", "config": {}}"#,
            r#"{"class_name": "Dropout", "config": {}}"#,
        ] {
            assert!(!own(other), "{other}");
        }
        assert!(Object::read(raw(r#"{"class_name": "Dropout", "config": {}, "odd": 1}"#)).is_err());
    }
}
