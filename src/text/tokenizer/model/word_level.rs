//! Whole words as tokens.

use super::{
    super::vocab::Vocab,
    tokens::{Piece, Tokens},
};
use crate::error::{Error, Result};

#[derive(Clone, Debug)]
pub(in super::super) struct WordLevel {
    pub(in super::super) vocab: Vocab,
    pub(in super::super) unknown: String,
    unknown_id: Option<u32>,
}

impl WordLevel {
    pub(in super::super) fn new(vocab: Vocab, unknown: String) -> Self {
        let unknown_id = vocab.id(&unknown);
        Self { vocab, unknown, unknown_id }
    }

    pub(in super::super) fn encode(&self, piece: Piece<'_>, out: &mut Tokens) -> Result<()> {
        let (word, start) = (piece.as_str(), piece.start);
        if word.is_empty() {
            return Ok(());
        }
        let Some(id) = self.vocab.id(word).or(self.unknown_id) else {
            let hint = "add an unknown token to the vocabulary";
            let got = format!("{word:?} at byte {start}");
            return Err(Error::argument(
                "Tokenizer",
                "the text",
                "of words that the vocabulary has, as it has no unknown token",
                got,
                hint,
            ));
        };
        out.push(id, start as u32, piece.end as u32);
        Ok(())
    }
}
