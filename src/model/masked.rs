//! What of an output counts in its loss and its metrics: weights of samples, and the output's mask.

use crate::losses::Loss;
use crate::tensor::{Float, Tensor};

/// The rows of an output under its mask.
#[derive(Debug, Default)]
pub(crate) struct MaskedRows<T> {
    /// 1 for each row that counts, else 0.
    counts: Vec<T>,
    /// The same times the weights of the samples; empty where they have none.
    weighted: Vec<T>,
    /// How many rows count.
    counted: usize,
}

impl<T: Float> MaskedRows<T> {
    /// Takes a mask over `rows` rows, which it has a step for each or for several of, and the weights: one for each sample.
    pub fn fill(&mut self, mask: &[bool], rows: usize, weights: Option<&[T]>) {
        let MaskedRows { counts, weighted, counted } = self;
        let value = |counts: bool| if counts { T::one() } else { T::zero() };
        let each = rows / mask.len().max(1);
        counts.clear();
        counts.extend(mask.iter().flat_map(|&counts| std::iter::repeat_n(value(counts), each)));
        *counted = mask.iter().filter(|counts| **counts).count() * each;
        weighted.clear();
        if let Some(weights) = weights.filter(|weights| !weights.is_empty()) {
            let n = counts.len().max(1);
            weighted.extend(counts.iter().enumerate().map(|(i, &counts)| counts * weights[i * weights.len() / n]));
        }
    }
}

/// What counts, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts<'a, T> {
    /// The weights of the samples.
    pub weights: Option<&'a [T]>,
    /// The rows, where the output carries a mask.
    pub rows: Option<&'a MaskedRows<T>>,
}

impl<'a, T: Float> Counts<'a, T> {
    /// Σ w·loss over the rows that count, divided by how many those are, and its gradient: 0 where none counts.
    pub fn loss(&self, loss: &dyn Loss<T>, t: &Tensor<T>, y: &Tensor<T>, dy: Option<&mut Tensor<T>>) -> f64 {
        match self.rows {
            None => loss.batch(t, y, self.weights, y.shape().rows(), dy),
            Some(MaskedRows { counted: 0, .. }) => {
                dy.into_iter().for_each(|dy| dy.as_mut_slice().fill(T::zero()));
                0.0
            }
            Some(rows) => loss.batch(t, y, self.metric(true), rows.counted, dy),
        }
    }

    /// The weights that a metric takes, of rows or of samples.
    pub fn metric(&self, weighted: bool) -> Option<&'a [T]> {
        match (self.rows, self.weights) {
            (None, weights) => weights.filter(|_| weighted),
            (Some(rows), Some(_)) if weighted && !rows.weighted.is_empty() => Some(&rows.weighted),
            (Some(rows), _) => Some(&rows.counts),
        }
    }
}
