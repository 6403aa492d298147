//! Text: raw text cleaned and cut, vectors of words, and how well what was written agrees with what was wanted.
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

mod clean;
mod scores;
mod split;
mod vectors;
mod vocabulary;

pub use clean::{Cleaner, Form};
pub use scores::*;
pub use split::{sentences, words};
pub use vectors::*;
pub use vocabulary::Vocabulary;
