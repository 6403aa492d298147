//! ROUGE.

use std::hash::Hash;

use super::ngrams::{common, counts, total};
use crate::error::{Error, Result};

/// What of a reference was written, and what of the written text stands in the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rouge {
    /// The part of what was written that the reference has, from 0 to 1.
    pub precision: f64,
    /// The part of the reference that was written.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Rouge {
    fn of(common: usize, written: usize, wanted: usize) -> Self {
        let part = |of: usize| if of == 0 { 0.0 } else { common as f64 / of as f64 };
        let (precision, recall) = (part(written), part(wanted));
        let both = precision + recall;
        Rouge { precision, recall, f1: if both > 0.0 { 2.0 * precision * recall / both } else { 0.0 } }
    }
}

/// ROUGE-L: the longest common subsequence of two lists of tokens, as a part of either.
///
/// Lin: "ROUGE: A Package for Automatic Evaluation of Summaries", 2004; equal to rouge-score's `rougeL` of the same tokens. The score of
/// many texts is the mean of theirs. Takes time of the product of both lengths, memory of one.
///
/// ```
/// let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
/// let score = gradus::text::rouge_l(&words("the cat sat here"), &words("the cat is here"));
/// assert_eq!((score.precision, score.recall, score.f1), (0.75, 0.75, 0.75));
/// ```
pub fn rouge_l<X: Eq>(written: &[X], wanted: &[X]) -> Rouge {
    let mut lens = vec![0usize; wanted.len() + 1];
    for token in written {
        // What stood one row above and one place to the left.
        let mut before = 0;
        for (j, other) in wanted.iter().enumerate() {
            let above = lens[j + 1];
            lens[j + 1] = if token == other { before + 1 } else { above.max(lens[j]) };
            before = above;
        }
    }
    Rouge::of(lens[wanted.len()], written.len(), wanted.len())
}

/// ROUGE-N: runs of `n` tokens that both have, as a part of either.
///
/// Lin, 2004; equal to rouge-score's `rouge1`, `rouge2` …
///
/// ```
/// let score = gradus::text::rouge_n(&[1, 2, 3], &[1, 2, 4], 2)?;
/// assert_eq!(score.f1, 0.5);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for an `n` of 0.
pub fn rouge_n<X: Eq + Hash>(written: &[X], wanted: &[X], n: usize) -> Result<Rouge> {
    if n == 0 {
        return Err(Error::argument("rouge_n", "n", "at least 1", 0, "1 and 2 are usual"));
    }
    let both = common(&counts(written, n), &counts(wanted, n));
    Ok(Rouge::of(both, total(written.len(), n), total(wanted.len(), n)))
}
