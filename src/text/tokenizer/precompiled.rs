//! SentencePiece's table of replacements as a normaliser.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    aligned_text::AlignedText,
    base64,
    charsmap::{Charsmap, Step},
};
use crate::error::{Error, Result};

/// SentencePiece's table of replacements (NFKC for the most part), read by the rule of Hugging Face's `tokenizers`.
#[derive(Clone)]
pub struct Precompiled {
    bytes: Arc<[u8]>,
    table: Arc<Charsmap>,
}

impl fmt::Debug for Precompiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Precompiled({} bytes)", self.bytes.len())
    }
}

impl PartialEq for Precompiled {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Precompiled {
    /// From the bytes of `precompiled_charsmap`.
    ///
    /// # Errors
    /// [`Error::Argument`] for bytes that are no such table.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        Ok(Self { bytes: bytes.into(), table: Arc::new(Charsmap::new(bytes)?) })
    }

    pub(super) fn apply(&self, text: &mut AlignedText<'_>) -> Result<()> {
        if self.table.unchanged(text.as_str(), 0) == text.as_str().len() {
            return Ok(());
        }
        text.rewrite(|rewriter| {
            self.table.normalize(rewriter.rest(), &mut |step| match step {
                Step::Keep(part) if part.as_ptr() == rewriter.rest().as_ptr() => rewriter.keep(part.len()),
                // Behind what went at the beginning.
                Step::Keep(part) => part.chars().for_each(|c| rewriter.replace(c)),
                Step::Char(c, change) if change > 0 => rewriter.insert(c),
                Step::Char(c, change) => {
                    rewriter.replace(c);
                    rewriter.skip(change.unsigned_abs());
                }
            });
            rewriter.skip_bytes(rewriter.rest().len());
            Ok(())
        })
    }
}

impl Serialize for Precompiled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64::encode(&self.bytes))
    }
}

impl<'de> Deserialize<'de> for Precompiled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = base64::decode(&text).ok_or_else(|| D::Error::custom("expected precompiled_charsmap in base64"))?;
        Self::new(&bytes).map_err(|e: Error| D::Error::custom(e))
    }
}
