//! Vocabularies as JSON has them.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};

/// Tokens with ids, or with scores in order of their ids.
#[derive(Debug, PartialEq)]
pub(super) enum WrittenVocab {
    Ids(Vec<(String, u32)>),
    Scores(Vec<(String, f64)>),
}

impl Default for WrittenVocab {
    fn default() -> Self {
        WrittenVocab::Ids(Vec::new())
    }
}

impl<'de> Deserialize<'de> for WrittenVocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = WrittenVocab;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tokens with their ids, or a list of tokens with their scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WrittenVocab, A::Error> {
                let mut tokens = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    tokens.push(entry);
                }
                Ok(WrittenVocab::Ids(tokens))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<WrittenVocab, A::Error> {
                let mut tokens = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    tokens.push(entry);
                }
                Ok(WrittenVocab::Scores(tokens))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for WrittenVocab {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            WrittenVocab::Ids(tokens) => {
                let mut map = serializer.serialize_map(Some(tokens.len()))?;
                tokens.iter().try_for_each(|(token, id)| map.serialize_entry(token, id))?;
                map.end()
            }
            WrittenVocab::Scores(tokens) => {
                let mut seq = serializer.serialize_seq(Some(tokens.len()))?;
                tokens.iter().try_for_each(|entry| seq.serialize_element(entry))?;
                seq.end()
            }
        }
    }
}
