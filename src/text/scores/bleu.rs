//! BLEU.

use std::hash::Hash;

use super::ngrams::{counts, total};
use super::{check_pairs, check_references};
use crate::error::{Error, Result};

/// What stands for a precision of which no run of tokens was found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Smoothing {
    /// Half of one run for the first such length, a quarter for the next, and so on: NIST's.
    #[default]
    Exponential,
    /// So many runs in the place of none; 0.1 is usual.
    Floor(f64),
    /// So many runs more, found and written, for lengths from 2 on; 1 is usual.
    AddK(f64),
    /// Nothing: the score is 0.
    None,
}

/// Bilingual evaluation understudy: how many runs of 1 to 4 tokens of what was written stand in the references too.
///
/// With p_n the part of the runs of n tokens, over all texts, that a reference has (each no more often than the reference that has it
/// most), c the tokens written and r those of the references nearest in length: min(1, e^(1 − r/c)) · (p_1 … p_4)^¼ · 100.
///
/// - Defaults: runs of up to 4, exponential smoothing, all lengths count in short texts too.
///
/// Papineni et al.: "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002; equal to sacrebleu's with its tokens
/// (`tokenize="none"`).
///
/// ```
/// use gradus::text::Bleu;
/// let (written, wanted) = ([vec![1, 2, 3, 4, 5]], [vec![vec![1, 2, 3, 4, 6]]]);
/// let score = Bleu::default().corpus(&written, &wanted)?;
/// assert_eq!(score.precisions[..2], [80.0, 75.0]);
/// assert!((score.score - 66.87).abs() < 0.01);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bleu {
    order: usize,
    smoothing: Smoothing,
    effective_order: bool,
}

impl Default for Bleu {
    fn default() -> Self {
        Bleu { order: 4, smoothing: Smoothing::Exponential, effective_order: false }
    }
}

/// BLEU, and what it was made of.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BleuScore {
    /// From 0 to 100.
    pub score: f64,
    /// For runs of 1, 2, … tokens, from 0 to 100; 0 for lengths from the first on that was never written.
    pub precisions: Vec<f64>,
    /// What too short a text costs, from 0 to 1.
    pub brevity_penalty: f64,
    /// Tokens that were written.
    pub written: usize,
    /// Tokens of the references that are nearest in length, the shorter of two.
    pub wanted: usize,
}

impl Bleu {
    /// Runs of up to so many tokens; 4 by default.
    pub fn order(mut self, n: usize) -> Self {
        self.order = n;
        self
    }

    /// What stands for precisions of none; [`Smoothing::Exponential`] by default.
    pub fn smoothing(mut self, smoothing: Smoothing) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// Whether lengths of which nothing was written are left out, as they should be for single sentences; no by default.
    pub fn effective_order(mut self, effective: bool) -> Self {
        self.effective_order = effective;
        self
    }

    /// The score of many texts together, each with one reference or more.
    ///
    /// # Errors
    /// [`Error::Empty`] for no texts; [`Error::Shape`] if there are not as many lists of references, or one is empty;
    /// [`Error::Argument`] for a setting out of its range.
    pub fn corpus<X: Eq + Hash>(&self, written: &[Vec<X>], wanted: &[Vec<Vec<X>>]) -> Result<BleuScore> {
        const OP: &str = "Bleu";
        self.check()?;
        check_pairs(OP, written.len(), wanted.len())?;
        check_references(OP, wanted)?;
        let (mut found, mut all) = (vec![0usize; self.order], vec![0usize; self.order]);
        let mut lens = (0, 0);
        for (text, references) in written.iter().zip(wanted) {
            lens.0 += text.len();
            // The nearest in length, and of two that are as near the shorter.
            let nearest = references.iter().map(Vec::len).min_by_key(|n| (n.abs_diff(text.len()), *n));
            lens.1 += nearest.unwrap_or(0);
            for n in 1..=self.order {
                all[n - 1] += total(text.len(), n);
                let own = counts(text, n);
                let theirs: Vec<_> = references.iter().map(|reference| counts(reference, n)).collect();
                found[n - 1] += own
                    .iter()
                    .map(|(run, &count)| {
                        let most = theirs.iter().filter_map(|counts| counts.get(run)).max();
                        most.map_or(0, |&most| count.min(most))
                    })
                    .sum::<usize>();
            }
        }
        Ok(self.of(&found, &all, lens))
    }

    /// The score of one text; [`effective_order`](Self::effective_order) is to be set for it.
    ///
    /// # Errors
    /// As [`corpus`](Self::corpus).
    pub fn sentence<X: Eq + Hash + Clone>(&self, written: &[X], wanted: &[Vec<X>]) -> Result<BleuScore> {
        self.corpus(&[written.to_vec()], &[wanted.to_vec()])
    }

    fn check(&self) -> Result<()> {
        if !(1..=64).contains(&self.order) {
            return Err(Error::argument("Bleu", "order", "from 1 to 64", self.order, "4 is usual"));
        }
        match self.smoothing {
            Smoothing::Floor(value) | Smoothing::AddK(value) if !(value.is_finite() && value >= 0.0) => {
                Err(Error::argument("Bleu", "smoothing", "finite and not negative", value, "0.1 for a floor, 1 to add"))
            }
            _ => Ok(()),
        }
    }

    fn of(&self, found: &[usize], all: &[usize], (written, wanted): (usize, usize)) -> BleuScore {
        let brevity_penalty = match (written, written < wanted) {
            (_, false) => 1.0,
            (0, true) => 0.0,
            (_, true) => (1.0 - wanted as f64 / written as f64).exp(),
        };
        let mut precisions = vec![0.0; self.order];
        let mut score = 0.0;
        if found.iter().any(|&n| n > 0) {
            let (mut halves, mut order) = (1.0, self.order);
            for n in 0..self.order {
                let more = match self.smoothing {
                    Smoothing::AddK(k) if n > 0 => k,
                    _ => 0.0,
                };
                let (own, whole) = (found[n] as f64 + more, all[n] as f64 + more);
                if whole == 0.0 {
                    break;
                }
                if self.effective_order {
                    order = n + 1;
                }
                precisions[n] = match (self.smoothing, own == 0.0) {
                    (_, false) => 100.0 * own / whole,
                    (Smoothing::Exponential, true) => {
                        halves *= 2.0;
                        100.0 / (halves * whole)
                    }
                    (Smoothing::Floor(value), true) => 100.0 * value / whole,
                    (_, true) => 0.0,
                };
            }
            if precisions[..order].iter().all(|&p| p > 0.0) {
                let logs: f64 = precisions[..order].iter().map(|p| p.ln()).sum();
                score = brevity_penalty * (logs / order as f64).exp();
            }
        }
        BleuScore { score, precisions, brevity_penalty, written, wanted }
    }
}
