//! Word and character error rate.

use super::{check_pairs, is_space};
use crate::error::{Error, Result};

/// How many changes turn what was wanted into what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorRate {
    /// Tokens in the place of others.
    pub substitutions: usize,
    /// Tokens of the reference that are missing.
    pub deletions: usize,
    /// Tokens that the reference does not have.
    pub insertions: usize,
    /// Tokens of the reference that were written.
    pub hits: usize,
}

impl ErrorRate {
    /// Changes a token of the reference: above 1 where more was written than was wanted, NaN for [`default`](Self::default), which has none.
    pub fn rate(&self) -> f64 {
        let changes = self.substitutions + self.deletions + self.insertions;
        changes as f64 / (self.substitutions + self.deletions + self.hits) as f64
    }

    fn add(&mut self, other: ErrorRate) {
        self.substitutions += other.substitutions;
        self.deletions += other.deletions;
        self.insertions += other.insertions;
        self.hits += other.hits;
    }
}

/// The fewest changes, by Levenshtein's recurrence, row by row. Of ways that are as short the one with most hits.
fn changes<X: Eq>(written: &[X], wanted: &[X]) -> ErrorRate {
    /// Changes, and of as many the one with fewer substitutions.
    #[derive(Clone, Copy)]
    struct Way(ErrorRate);
    impl Way {
        fn key(&self) -> (usize, usize) {
            let ErrorRate { substitutions, deletions, insertions, .. } = self.0;
            (substitutions + deletions + insertions, substitutions)
        }
    }
    let mut row: Vec<Way> =
        (0..=written.len()).map(|insertions| Way(ErrorRate { insertions, ..ErrorRate::default() })).collect();
    for token in wanted {
        let mut before = row[0];
        row[0].0.deletions += 1;
        for (j, other) in written.iter().enumerate() {
            let above = row[j + 1];
            let mut diagonal = before;
            match token == other {
                true => diagonal.0.hits += 1,
                false => diagonal.0.substitutions += 1,
            }
            let (mut down, mut right) = (above, row[j]);
            down.0.deletions += 1;
            right.0.insertions += 1;
            let best = [diagonal, down, right].into_iter().min_by_key(Way::key);
            row[j + 1] = best.unwrap_or(diagonal);
            before = above;
        }
    }
    row[written.len()].0
}

fn of<X: Eq>(op: &'static str, pairs: impl Iterator<Item = (Vec<X>, Vec<X>)>) -> Result<ErrorRate> {
    let mut all = ErrorRate::default();
    pairs.for_each(|(written, wanted)| all.add(changes(&written, &wanted)));
    match all.substitutions + all.deletions + all.hits {
        0 => Err(Error::Empty { op, what: "the reference" }),
        _ => Ok(all),
    }
}

/// Word error rate: the fewest words that are to be replaced, left out and put in, over all texts, a word of the references.
///
/// Equal to jiwer's `wer` of the same words. Takes time of the product of both lengths for each pair.
///
/// ```
/// let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
/// let errors = gradus::text::word_error_rate(&[words("the cat sat")], &[words("a cat sat down")])?;
/// assert_eq!((errors.substitutions, errors.deletions, errors.rate()), (1, 1, 0.5));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] for no texts, and for references without a word; [`Error::Shape`] if there are not as many references.
pub fn word_error_rate<X: Eq + Clone>(written: &[Vec<X>], wanted: &[Vec<X>]) -> Result<ErrorRate> {
    check_pairs("word_error_rate", written.len(), wanted.len())?;
    of("word_error_rate", written.iter().cloned().zip(wanted.iter().cloned()))
}

/// Character error rate: the same for characters (Unicode scalar values), white space between others included, at both ends of a text not.
///
/// Equal to jiwer's `cer`.
///
/// ```
/// let errors = gradus::text::character_error_rate(&["kitten"], &["sitting"])?;
/// assert_eq!(errors.rate(), 3.0 / 7.0);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// As [`word_error_rate`].
pub fn character_error_rate<S: AsRef<str>>(written: &[S], wanted: &[S]) -> Result<ErrorRate> {
    check_pairs("character_error_rate", written.len(), wanted.len())?;
    let characters = |text: &S| text.as_ref().trim_matches(is_space).chars().collect::<Vec<_>>();
    of("character_error_rate", written.iter().map(characters).zip(wanted.iter().map(characters)))
}
