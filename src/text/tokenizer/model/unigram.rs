//! Unigram: the pieces whose probabilities have the largest product.

use super::{
    super::{
        unigram::{self, Unigram as Pieces},
        vocab::Vocab,
    },
    tokens::{Piece, Tokens},
    word_cache::WordCache,
};
use crate::error::Result;

#[derive(Clone, Debug)]
pub(in super::super) struct Unigram {
    pub(in super::super) vocab: Vocab,
    pieces: Pieces,
    byte_fallback: bool,
    /// Bytes that each piece stands for; none for the unknown one and for bytes.
    lengths: Vec<u32>,
}

#[derive(Debug, Default)]
pub(in super::super) struct Scratch {
    unigram: unigram::Scratch,
    found: Vec<(u32, u32, u32)>,
}

impl Unigram {
    pub(in super::super) fn new(
        pieces: Vec<(String, f64)>,
        unknown: Option<u32>,
        byte_fallback: bool,
    ) -> Result<Self, String> {
        let vocab = Vocab::new(pieces.iter().enumerate().map(|(id, (piece, _))| (piece.as_str(), id as u32)))?;
        let pieces = Pieces::new(pieces, unknown, byte_fallback).map_err(|e| e.to_string())?;
        let unknown = pieces.unknown();
        let stands = |(id, piece): (u32, &str)| {
            let byte = byte_fallback && piece.len() == 6 && piece.starts_with("<0x");
            if byte || Some(id) == unknown { 0 } else { piece.len() as u32 }
        };
        let lengths = vocab.iter().map(stands).collect();
        Ok(Self { vocab, pieces, byte_fallback, lengths })
    }

    pub(in super::super) fn unknown(&self) -> Option<u32> {
        self.pieces.unknown()
    }

    pub(in super::super) fn byte_fallback(&self) -> bool {
        self.byte_fallback
    }

    pub(in super::super) fn pieces(&self) -> Vec<(String, f64)> {
        let score = |id: u32| self.pieces.score(id).unwrap_or(0.0);
        self.pieces.pieces().iter().zip(0..).map(|(piece, id)| (piece.clone(), score(id))).collect()
    }

    pub(in super::super) fn encode(
        &self,
        piece: Piece<'_>,
        scratch: &mut Scratch,
        cache: &mut WordCache,
        out: &mut Tokens,
    ) -> Result<()> {
        cache.or_encode(piece, &self.lengths, out, |_, out| {
            scratch.found.clear();
            self.pieces.encode(piece.as_str(), &mut scratch.unigram, &mut scratch.found)?;
            out.push_found(&scratch.found, piece.start);
            Ok(())
        })
    }
}
