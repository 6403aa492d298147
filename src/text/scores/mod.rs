//! Scores of written text.

mod bleu;
mod chrf;
mod error_rate;
mod ngrams;
mod perplexity;
mod rouge;

pub use bleu::{Bleu, BleuScore, Smoothing};
pub use chrf::{Chrf, ChrfScore};
pub use error_rate::{ErrorRate, character_error_rate, word_error_rate};
pub use perplexity::perplexity;
pub use rouge::{Rouge, rouge_l, rouge_n};

use crate::error::{Error, Result};

/// As many of one as of the other, and not none.
fn check_pairs(op: &'static str, written: usize, wanted: usize) -> Result<()> {
    if written == 0 {
        return Err(Error::Empty { op, what: "the written text" });
    }
    if written != wanted {
        let expected = format!("{written} references, one for each written text");
        return Err(Error::shape(op, expected, wanted, "pass both in the same order"));
    }
    Ok(())
}

/// Whether every written text has a reference.
fn check_references<R>(op: &'static str, wanted: &[Vec<R>]) -> Result<()> {
    match wanted.iter().position(Vec::is_empty) {
        None => Ok(()),
        Some(i) => {
            let hint = "leave out texts without a reference";
            Err(Error::shape(op, "one reference or more for each text", format!("none for text {i}"), hint))
        }
    }
}

/// White space of Python, whose packages the scores agree with: Unicode's, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}
