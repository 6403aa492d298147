//! Metaspace: spaces as a visible character, as SentencePiece has it. Splitter and decoder share its settings.

use serde::{Deserialize, Serialize};

/// Where the visible space is put in front of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrependScheme {
    /// In front of what stands at the beginning of the text.
    First,
    /// Nowhere.
    Never,
    /// In front of every stretch, behind added tokens too.
    #[default]
    Always,
}

/// Spaces become a visible character, which is put in front of texts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Metaspace {
    /// The character, `▁`.
    pub(super) replacement: char,
    pub(super) prepend_scheme: PrependScheme,
    /// Whether a piece begins at each.
    pub(super) split: bool,
}

/// As files have it: in older ones `add_prefix_space` says whether to prepend, and `str_rep` repeats the replacement.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    replacement: char,
    prepend_scheme: Option<PrependScheme>,
    split: Option<bool>,
    add_prefix_space: Option<bool>,
    #[serde(default)]
    str_rep: Option<String>,
}

impl TryFrom<Written> for Metaspace {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if written.str_rep.as_ref().is_some_and(|text| *text != written.replacement.to_string()) {
            return Err(format!(
                "expected str_rep to be the replacement {:?}, got {:?}",
                written.replacement, written.str_rep
            ));
        }
        let prepend_scheme = match (written.prepend_scheme, written.add_prefix_space) {
            (Some(PrependScheme::Never), Some(true)) | (Some(PrependScheme::Always), Some(false)) => {
                return Err(
                    "expected prepend_scheme and add_prefix_space of Metaspace to say the same; leave one out".into()
                );
            }
            (Some(scheme), _) => scheme,
            (None, Some(false)) => PrependScheme::Never,
            (None, _) => PrependScheme::Always,
        };
        Ok(Self { replacement: written.replacement, prepend_scheme, split: written.split.unwrap_or(true) })
    }
}

impl Metaspace {
    /// The usual one: `▁`, put in front of every stretch, a piece at each.
    pub fn new(prepend_scheme: PrependScheme, split: bool) -> Self {
        Self { replacement: '▁', prepend_scheme, split }
    }
}
