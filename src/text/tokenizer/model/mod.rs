//! Models: how a piece of text becomes tokens.

pub(super) mod bpe;
mod junctions;
mod pair_table;
pub(super) mod sentence_piece;
mod symbols;
pub(super) mod tokens;
pub(super) mod unigram;
pub(super) mod word_cache;
pub(super) mod word_level;
pub(super) mod word_piece;

use self::tokens::{Piece, Tokens};
use super::vocab::Vocab;
use crate::error::Result;

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

    /// The token for what the vocabulary does not have.
    pub(super) fn unknown(&self) -> Option<u32> {
        match self {
            Model::Bpe(model) => model.settings.unknown.as_deref().and_then(|token| model.vocab.id(token)),
            Model::WordPiece(model) => model.vocab.id(&model.unknown),
            Model::WordLevel(model) => model.vocab.id(&model.unknown),
            Model::Unigram(model) => model.unknown(),
            Model::SentencePiece(model) => Some(model.engine.unknown()),
        }
    }

    /// The tokens of a piece.
    pub(super) fn encode(&self, piece: Piece<'_>, scratch: &mut Scratch, out: &mut Tokens) -> Result<()> {
        match self {
            Model::Bpe(model) => {
                let Scratch { bpe: scratch, cache, .. } = scratch;
                model.encode(piece, &mut bpe::Caller { scratch, cache, out })
            }
            Model::WordPiece(model) => model.encode(piece, &mut scratch.cache, out),
            Model::WordLevel(model) => model.encode(piece, out),
            Model::Unigram(model) => model.encode(piece, &mut scratch.unigram, &mut scratch.cache, out),
            Model::SentencePiece(model) => model.encode(piece, &mut scratch.sentence_piece, out),
        }
    }
}
