//! What was generated.

use std::ops::Index;

use super::stop::Finish;

/// A sequence that was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// The new tokens, with the end token where there is one, without the prompt.
    pub tokens: Vec<u32>,
    /// The natural logarithm of each token's probability as the model had it, before penalties, temperature and all the rest.
    pub log_probabilities: Vec<f64>,
    /// What sequences of one prompt are ordered by. From a beam search: the sum of log-probabilities behind the processors, divided by
    /// the number of new tokens to the power of the length penalty. Else the sum of `log_probabilities`.
    pub score: f64,
    /// Why it ended.
    pub finish: Finish,
}

/// What was generated for a batch of prompts: `output[i]` are the sequences of prompt i.
///
/// From a beam search the best comes first; there may be fewer sequences than were asked for where so few are possible.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    pub(super) rows: Vec<Vec<Sequence>>,
    pub(super) pad: u32,
}

impl Generated {
    /// The sequences of each prompt.
    pub fn rows(&self) -> &[Vec<Sequence>] {
        &self.rows
    }

    /// The sequences of each prompt, taken out.
    pub fn into_rows(self) -> Vec<Vec<Sequence>> {
        self.rows
    }

    /// The new tokens of all sequences one prompt after the other, those that ended filled up with the pad token, so that all are as
    /// long as the longest.
    pub fn padded(&self) -> Vec<Vec<u32>> {
        let all = || self.rows.iter().flatten().map(|sequence| &sequence.tokens);
        let longest = all().map(Vec::len).max().unwrap_or(0);
        let padded = |tokens: &Vec<u32>| {
            let mut row = tokens.clone();
            row.resize(longest, self.pad);
            row
        };
        all().map(padded).collect()
    }
}

impl Index<usize> for Generated {
    type Output = [Sequence];

    /// The sequences of a prompt.
    ///
    /// # Panics
    /// If there are not so many prompts, as a slice's index does.
    fn index(&self, row: usize) -> &[Sequence] {
        &self.rows[row]
    }
}
