//! WordPiece: of each word the longest piece that the vocabulary has, then of the rest.
//!
//! Wu and others, "Google's Neural Machine Translation System" (2016); as BERT applies it, Devlin and others, "BERT" (2019).

use super::{
    super::{added::Matcher, vocab::Vocab},
    tokens::{Piece, Tokens},
    word_cache::WordCache,
};
use crate::error::Result;

#[derive(Clone, Debug)]
pub(in super::super) struct WordPiece {
    pub(in super::super) vocab: Vocab,
    pub(in super::super) unknown: String,
    /// In front of pieces inside words, `##`.
    pub(in super::super) continuing_prefix: String,
    /// Longer words are unknown, in characters.
    pub(in super::super) max_chars: usize,
    unknown_id: u32,
    first: Matcher,
    inside: Matcher,
    lengths: Vec<u32>,
}

impl WordPiece {
    pub(in super::super) fn new(
        vocab: Vocab,
        unknown: String,
        continuing_prefix: String,
        max_chars: usize,
    ) -> Result<Self, String> {
        let unknown_id =
            vocab.id(&unknown).ok_or_else(|| format!("expected the unknown token {unknown:?} in the vocabulary"))?;
        let all = || vocab.iter().map(|(id, token)| (token.to_owned(), id as usize));
        let first = Matcher::new(all());
        let inside = match continuing_prefix.is_empty() {
            true => first.clone(),
            false => Matcher::new(
                all().filter_map(|(token, id)| Some((token.strip_prefix(&continuing_prefix)?.to_owned(), id))),
            ),
        };
        let mut lengths = vec![0; vocab.end()];
        for (id, token) in vocab.iter() {
            let inside = token.strip_prefix(&continuing_prefix).filter(|rest| !rest.is_empty());
            lengths[id as usize] = if id == unknown_id { 0 } else { inside.unwrap_or(token).len() as u32 };
        }
        Ok(Self { vocab, unknown, continuing_prefix, max_chars, unknown_id, first, inside, lengths })
    }

    #[inline]
    pub(in super::super) fn encode(&self, piece: Piece<'_>, cache: &mut WordCache, out: &mut Tokens) -> Result<()> {
        if piece.start == piece.end {
            return Ok(());
        }
        cache.or_encode(piece, &self.lengths, out, |_, out| {
            self.split(piece, out);
            Ok(())
        })
    }

    fn split(&self, piece: Piece<'_>, out: &mut Tokens) {
        let word = piece.as_str();
        let (start, before) = (piece.start, out.len());
        let mut at = if word.chars().nth(self.max_chars).is_some() { usize::MAX } else { 0 };
        while at < word.len() {
            let pieces = if at == 0 { &self.first } else { &self.inside };
            match pieces.longest(&word.as_bytes()[at..]) {
                Some((id, length)) => {
                    out.push(id as u32, (start + at) as u32, (start + at + length) as u32);
                    at += length;
                }
                None => at = usize::MAX,
            }
        }
        if at == usize::MAX {
            out.truncate(before);
            out.push(self.unknown_id, start as u32, piece.end as u32);
        }
    }
}
