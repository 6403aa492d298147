//! Text: raw text cleaned and cut, turned into what a model takes, vectors of words, and how well what was written agrees with what was
//! wanted.
//!
//! [`TextVectorization`] numbers tokens by a vocabulary, [`HashedNgrams`] does without one. Either becomes the front door of a model
//! ([`Model::set_text_front`](crate::Model::set_text_front)), which then takes texts and is saved with it; so does a [`Tokenizer`], which
//! cuts texts into subwords as other libraries do.
//!
//! The scores work on lists of tokens, words or ids, or on characters where their definition does; how a text becomes tokens is up to the
//! caller, and two scores can be compared only where that was the same.
//!
//! ```
//! use gradus::text::{Bleu, word_error_rate};
//! let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
//! let written = [words("the cat sat on the mat today")];
//! let wanted = [vec![words("the cat sat on a mat today")]];
//! let score = Bleu::default().corpus(&written, &wanted)?;
//! assert!((score.score - 48.89).abs() < 0.01);
//! assert_eq!(word_error_rate(&written, &[words("the cat sat on a mat today")])?.rate(), 1.0 / 7.0);
//! # Ok::<(), gradus::Error>(())
//! ```

mod analysis;
mod cjk;
mod clean;
mod encoded;
#[cfg(feature = "files")]
mod front_file;
mod hashed_ngrams;
mod hashing;
mod scores;
mod split;
mod stop_words;
mod table;
mod text_front;
mod text_source;
mod text_vectorization;
pub mod tokenizer;
mod vectors;
mod vocabulary;
mod word_list;

pub use analysis::{Standardize, TextSplit};
pub use cjk::cjk_characters;
pub use clean::{Cleaner, Form};
pub(crate) use encoded::Width;
pub use hashed_ngrams::{HashedNgrams, NgramUnit};
pub use scores::*;
pub use split::{sentences, words};
pub use stop_words::StopWords;
pub use text_front::TextFront;
pub use text_source::TextSource;
pub use text_vectorization::{Ngrams, OutputMode, TextVectorization};
pub use tokenizer::{Encoding, Tokenizer};
pub use vectors::*;
pub use vocabulary::Vocabulary;
pub use word_list::{Matching, WordList};
