//! Texts cut into tokens.

#![allow(dead_code)] // Until the engine uses its parts.

pub(crate) mod charsmap;
pub(crate) mod sentencepiece;
pub(crate) mod trie;
pub(crate) mod unigram;
