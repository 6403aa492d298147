//! A SentencePiece model as SentencePiece runs it, normalisation and all.

use std::{path::Path, sync::Arc};

use super::{
    super::{
        sentencepiece::{
            self, SentencePiece as Engine,
            file::{Algorithm, Kind, ModelFile, Normalization, Piece as OfFile},
        },
        vocab::Vocab,
    },
    tokens::{Piece, Tokens},
};
use crate::error::Result;

#[derive(Clone)]
pub(in super::super) struct SentencePiece {
    pub(in super::super) vocab: Vocab,
    pub(in super::super) engine: Engine,
    pub(in super::super) algorithm: Algorithm,
    pub(in super::super) normalization: Normalization,
    pub(in super::super) byte_fallback: bool,
    /// The file.
    pub(in super::super) bytes: Arc<[u8]>,
}

impl std::fmt::Debug for SentencePiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SentencePiece").field("algorithm", &self.algorithm).field("pieces", &self.vocab.len()).finish()
    }
}

#[derive(Default)]
pub(in super::super) struct Scratch {
    engine: sentencepiece::Scratch,
    found: Vec<(u32, u32, u32)>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl SentencePiece {
    pub(in super::super) fn new(bytes: &[u8], name: &Path) -> Result<Self, String> {
        let file = ModelFile::read(bytes, name).map_err(|e| e.to_string())?;
        let (algorithm, normalization, byte_fallback) = (file.algorithm, file.normalizer.clone(), file.byte_fallback);
        let vocab = Vocab::new(file.pieces.iter().map(|piece| piece.text.as_str()).zip(0..))?;
        let engine = Engine::new(file).map_err(|e| e.to_string())?;
        Ok(Self { vocab, engine, algorithm, normalization, byte_fallback, bytes: bytes.into() })
    }

    pub(in super::super) fn encode(&self, piece: Piece<'_>, scratch: &mut Scratch, out: &mut Tokens) -> Result<()> {
        scratch.found.clear();
        self.engine.encode(piece.as_str(), &mut scratch.engine, &mut scratch.found)?;
        out.push_found(&scratch.found, piece.start);
        Ok(())
    }

    /// The control pieces, which no text becomes.
    pub(in super::super) fn reserved(&self) -> impl Iterator<Item = (u32, &str)> {
        let reserved = |(_, piece): &(u32, &OfFile)| piece.kind == Kind::Control;
        (0..).zip(self.engine.pieces()).filter(reserved).map(|(id, piece)| (id, piece.text.as_str()))
    }

    /// Merges that give the pieces: all pairs of pieces that are one together, in order of its score.
    pub(in super::super) fn merges(&self) -> Vec<(String, String)> {
        let normal = |piece: &&OfFile| matches!(piece.kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
        let mut found = Vec::new();
        for piece in self.engine.pieces().iter().filter(normal) {
            for (cut, _) in piece.text.char_indices().skip(1) {
                let (left, right) = piece.text.split_at(cut);
                if let (Some(a), Some(b)) = (self.vocab.id(left), self.vocab.id(right)) {
                    found.push((piece.score, a, b, left, right));
                }
            }
        }
        found.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        found.into_iter().map(|(.., left, right)| (left.to_owned(), right.to_owned())).collect()
    }
}
