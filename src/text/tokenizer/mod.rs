//! Texts cut into tokens.

pub(crate) mod charsmap;
pub(crate) mod sentencepiece;
pub(crate) mod trie;
pub(crate) mod unigram;
