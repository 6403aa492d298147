//! Tokenizers: from text to tokens and back.
//!
//! One engine whose parts are data: a [`Normalizer`] changes the text, a [`Splitter`] cuts it into pieces, a model (byte-pair encoding,
//! WordPiece, Unigram, whole words) makes tokens of each piece, a [`Template`] puts special tokens around them, and a [`Decoder`] makes text
//! of tokens again. [`AddedToken`]s are cut out of the text before. The parts have the names and fields of Hugging Face's `tokenizer.json`.

mod added;
mod aligned_text;
mod base64;
mod byte_level;
mod charsmap;
mod classes;
mod decode;
mod decoder;
mod disk;
mod encode;
mod encoding;
mod engine;
mod file;
mod files;
mod metaspace;
mod model;
mod normalizer;
mod open;
mod pattern;
mod pool;
mod precompiled;
mod sentencepiece;
mod sentencepiece_parts;
mod splitter;
mod template;
mod token_bytes;
mod train;
mod trie;
mod unigram;
mod vocab;
mod window;
mod written_vocab;

pub use added::AddedToken;
pub use decode::DecodeStream;
pub use decoder::Decoder;
pub use encoding::{Encoding, Padding, PaddingStrategy, Side, Truncation, TruncationStrategy};
pub use engine::Tokenizer;
pub use files::TiktokenPattern;
pub use metaspace::{Metaspace, PrependScheme};
pub use normalizer::Normalizer;
pub use pattern::Pattern;
pub use precompiled::Precompiled;
pub use splitter::{Behavior, Splitter};
pub use template::{Sequence, Template, TemplatePart, TemplateToken};
pub use train::Trainer;
