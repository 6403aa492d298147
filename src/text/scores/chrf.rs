//! chrF.

use super::ngrams::{common, counts, total};
use super::{check_pairs, check_references, is_space};
use crate::error::{Error, Result};

/// Character n-gram F-score: runs of 1 to 6 characters that what was written and a reference have in common; chrF++ with runs of words.
///
/// Precision and recall are means over the lengths of runs, F_β = (1 + β²)·P·R/(β²·P + R) · 100. White space does not count among the
/// characters. Of several references the one that a text agrees with most counts.
///
/// - Defaults: characters up to 6, no words, β = 2 (recall counts twice), case as it is.
///
/// Popović: "chrF: character n-gram F-score for automatic MT evaluation", 2015, and "chrF++: words helping character n-grams", 2017; equal
/// to sacrebleu's.
///
/// ```
/// use gradus::text::Chrf;
/// let score = Chrf::default().corpus(&["the cat sat"], &[vec!["the cat is sitting"]])?;
/// assert!((score.score - 31.79).abs() < 0.01, "{score:?}");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chrf {
    characters: usize,
    words: usize,
    beta: f64,
}

impl Default for Chrf {
    fn default() -> Self {
        Chrf { characters: 6, words: 0, beta: 2.0 }
    }
}

/// A chrF score.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChrfScore {
    /// From 0 to 100.
    pub score: f64,
}

/// Runs of a length: written, wanted, in both.
type Counts = [usize; 3];

impl Chrf {
    /// Runs of up to so many characters; 6 by default.
    pub fn characters(mut self, n: usize) -> Self {
        self.characters = n;
        self
    }

    /// Runs of up to so many words besides; 0 by default, 2 for chrF++.
    pub fn words(mut self, n: usize) -> Self {
        self.words = n;
        self
    }

    /// How much more recall counts than precision; 2 by default.
    pub fn beta(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }

    /// The score of many texts together, each with one reference or more.
    ///
    /// # Errors
    /// [`Error::Empty`] for no texts; [`Error::Shape`] if there are not as many lists of references, or one is empty;
    /// [`Error::Argument`] for a setting out of its range.
    pub fn corpus<S: AsRef<str>>(&self, written: &[S], wanted: &[Vec<S>]) -> Result<ChrfScore> {
        const OP: &str = "Chrf";
        self.check()?;
        check_pairs(OP, written.len(), wanted.len())?;
        check_references(OP, wanted)?;
        let mut all = vec![[0usize; 3]; self.characters + self.words];
        for (text, references) in written.iter().zip(wanted) {
            let own = Parts::of(text.as_ref(), self.words > 0);
            let mut best: Option<(f64, Vec<Counts>)> = None;
            for reference in references {
                let counts = self.compare(&own, &Parts::of(reference.as_ref(), self.words > 0));
                let score = self.score(&counts);
                if best.as_ref().is_none_or(|(most, _)| score > *most) {
                    best = Some((score, counts));
                }
            }
            let best = best.map(|(_, counts)| counts).unwrap_or_default();
            all.iter_mut().zip(best).for_each(|(sums, own)| sums.iter_mut().zip(own).for_each(|(sum, n)| *sum += n));
        }
        Ok(ChrfScore { score: self.score(&all) })
    }

    fn check(&self) -> Result<()> {
        if (self.characters, self.words) == (0, 0) || self.characters.max(self.words) > 64 {
            let got = format!("{} characters and {} words", self.characters, self.words);
            let expected = "up to 64 characters, 64 words, and not 0 of both";
            return Err(Error::argument(
                "Chrf",
                "lengths",
                expected,
                got,
                "6 characters are usual, with 2 words for chrF++",
            ));
        }
        if !(self.beta.is_finite() && self.beta > 0.0) {
            return Err(Error::argument("Chrf", "beta", "above 0 and finite", self.beta, "2 is usual"));
        }
        Ok(())
    }

    fn compare(&self, own: &Parts<'_>, reference: &Parts<'_>) -> Vec<Counts> {
        let characters = (1..=self.characters).map(|n| counts_of(&own.characters, &reference.characters, n));
        characters.chain((1..=self.words).map(|n| counts_of(&own.words, &reference.words, n))).collect()
    }

    fn score(&self, counts: &[Counts]) -> f64 {
        // Lengths that one of both does not have are left out.
        let lengths = counts.iter().filter(|[written, wanted, _]| *written > 0 && *wanted > 0);
        let (mut precision, mut recall, mut n) = (0.0, 0.0, 0.0);
        for &[written, wanted, both] in lengths {
            precision += both as f64 / written as f64;
            recall += both as f64 / wanted as f64;
            n += 1.0;
        }
        if n == 0.0 || precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall, factor) = (precision / n, recall / n, self.beta * self.beta);
        100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall)
    }
}

fn counts_of<X: Eq + std::hash::Hash>(own: &[X], reference: &[X], n: usize) -> Counts {
    let wanted = total(reference.len(), n);
    // Runs of a length that the reference does not have are not held against the text.
    let written = if wanted == 0 { 0 } else { total(own.len(), n) };
    [written, wanted, common(&counts(own, n), &counts(reference, n))]
}

/// A text as characters and as words.
struct Parts<'a> {
    characters: Vec<char>,
    words: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str, with_words: bool) -> Self {
        let characters = text.chars().filter(|c| !is_space(*c)).collect();
        let words = if with_words { text.split(is_space).flat_map(without_punctuation).collect() } else { Vec::new() };
        Parts { characters, words }
    }
}

/// A word, and a mark of ASCII at its end, or else at its beginning, apart.
fn without_punctuation(word: &str) -> impl Iterator<Item = &str> {
    let mark = |c: Option<char>| c.is_some_and(|c| c.is_ascii_punctuation());
    let at = match word.chars().count() {
        0 | 1 => None,
        _ if mark(word.chars().next_back()) => Some(word.len() - 1),
        _ if mark(word.chars().next()) => Some(1),
        _ => None,
    };
    let (first, second) = at.map_or((word, ""), |at| word.split_at(at));
    [first, second].into_iter().filter(|part| !part.is_empty())
}
