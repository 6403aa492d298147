//! Vectors of words: read, searched, and learned from text.

mod file;
mod skip_grams;
mod word_vectors;

pub use file::WordVectorFile;
pub use skip_grams::{SkipGramSource, SkipGrams};
pub use word_vectors::WordVectors;
