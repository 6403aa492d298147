//! Unigram: the pieces whose probabilities have the largest product.

use super::{
    super::{
        unigram::{self, Unigram as Pieces},
        vocab::Vocab,
    },
    Tokens,
};
use crate::error::Result;

#[derive(Clone, Debug)]
pub(in super::super) struct Unigram {
    pub(in super::super) vocab: Vocab,
    pieces: Pieces,
    byte_fallback: bool,
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
        Ok(Self { vocab, pieces, byte_fallback })
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
        text: &str,
        start: usize,
        end: usize,
        scratch: &mut Scratch,
        out: &mut Tokens,
    ) -> Result<()> {
        scratch.found.clear();
        self.pieces.encode(&text[start..end], &mut scratch.unigram, &mut scratch.found)?;
        for &(id, from, to) in &scratch.found {
            out.push(id, start as u32 + from, start as u32 + to);
        }
        Ok(())
    }
}
