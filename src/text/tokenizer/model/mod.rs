//! Models: how a piece of text becomes tokens.

pub(super) mod bpe;
mod junctions;
mod pair_table;
pub(super) mod sentence_piece;
pub(super) mod unigram;
pub(super) mod word_cache;
pub(super) mod word_level;
pub(super) mod word_piece;

use super::{aligned_text::Span, vocab::Vocab};
use crate::error::Result;

/// Tokens as models write them: ids, and where asked for the bytes of the text that each stands for.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Ids up to `used`; what is behind is room, so that a few can be written without a look at each.
    ids: Vec<u32>,
    used: usize,
    spans: Vec<Span>,
    wants_spans: bool,
}

/// How many ids are written at once, at most.
const AT_ONCE: usize = 4;

impl Tokens {
    /// Begins anew, behind what is in `ids`.
    pub(super) fn begin(&mut self, ids: Vec<u32>, wants_spans: bool) {
        self.used = ids.len();
        (self.ids, self.wants_spans) = (ids, wants_spans);
        self.spans.clear();
    }

    /// Begins anew.
    pub(super) fn clear(&mut self, wants_spans: bool) {
        self.used = 0;
        self.wants_spans = wants_spans;
        self.spans.clear();
    }

    /// The ids, with what `begin` was given.
    pub(super) fn take(&mut self) -> Vec<u32> {
        self.ids.truncate(self.used);
        self.used = 0;
        std::mem::take(&mut self.ids)
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    pub(super) fn wants_spans(&self) -> bool {
        self.wants_spans
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids[..self.used]
    }

    pub(super) fn spans_mut(&mut self) -> &mut [Span] {
        &mut self.spans
    }

    pub(super) fn ids_and_spans_mut(&mut self) -> (&[u32], &mut [Span]) {
        (&self.ids[..self.used], &mut self.spans)
    }

    #[inline(always)]
    pub(super) fn push(&mut self, id: u32, start: u32, end: u32) {
        self.push_some([id, 0, 0, 0], 1);
        if self.wants_spans {
            self.spans.push((start, end));
        }
    }

    /// The first of four ids, without spans.
    #[inline(always)]
    fn push_some(&mut self, ids: [u32; AT_ONCE], count: usize) {
        if self.used + AT_ONCE > self.ids.len() {
            self.grow();
        }
        self.ids[self.used..self.used + AT_ONCE].copy_from_slice(&ids);
        self.used += count;
    }

    #[inline(never)]
    fn grow(&mut self) {
        self.ids.resize(self.used + self.used / 2 + 256, 0);
    }

    /// Takes back all but so many.
    fn truncate(&mut self, tokens: usize) {
        let gone = self.used - tokens;
        self.used = tokens;
        self.spans.truncate(self.spans.len().saturating_sub(gone));
    }

    /// Makes one of the last so many and the one before them.
    fn join(&mut self, at: usize) {
        self.ids.copy_within(at + 1..self.used, at);
        self.used -= 1;
        if self.wants_spans {
            // One an id, since the beginning of the text.
            let span = self.spans.remove(at);
            self.spans[at - 1].1 = span.1;
        }
    }
}

/// Buffers of one caller.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) bpe: bpe::Scratch,
    unigram: unigram::Scratch,
    sentence_piece: sentence_piece::Scratch,
    pub(super) cache: word_cache::WordCache,
}

/// One of the models.
#[derive(Clone, Debug)]
pub(super) enum Model {
    Bpe(bpe::Bpe),
    WordPiece(word_piece::WordPiece),
    WordLevel(word_level::WordLevel),
    Unigram(unigram::Unigram),
    SentencePiece(Box<sentence_piece::SentencePiece>),
}

impl Model {
    pub(super) fn vocab(&self) -> &Vocab {
        match self {
            Model::Bpe(model) => &model.vocab,
            Model::WordPiece(model) => &model.vocab,
            Model::WordLevel(model) => &model.vocab,
            Model::Unigram(model) => &model.vocab,
            Model::SentencePiece(model) => &model.vocab,
        }
    }

    /// The tokens of the piece that lies in a text from byte to byte.
    pub(super) fn encode(
        &self,
        text: &str,
        start: usize,
        end: usize,
        scratch: &mut Scratch,
        out: &mut Tokens,
    ) -> Result<()> {
        match self {
            Model::Bpe(model) => model.encode(text, start, end, &mut scratch.bpe, &mut scratch.cache, out),
            Model::WordPiece(model) => model.encode(text, start, end, &mut scratch.cache, out),
            Model::WordLevel(model) => model.encode(text, start, end, out),
            Model::Unigram(model) => model.encode(text, start, end, &mut scratch.unigram, &mut scratch.cache, out),
            Model::SentencePiece(model) => model.encode(text, start, end, &mut scratch.sentence_piece, out),
        }
    }
}
