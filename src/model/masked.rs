//! What of an output counts in its loss and its metrics: weights, the output's mask, and that of its target.

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
    /// Takes the masks of an output and of its targets over `rows` rows, which each has a step for each or for several of, and the
    /// weights, of samples or of their steps.
    pub fn fill(&mut self, masks: [Option<&[bool]>; 2], rows: usize, weights: Option<&[T]>) {
        let MaskedRows { counts, weighted, counted } = self;
        counts.clear();
        counts.resize(rows, T::one());
        for mask in masks.into_iter().flatten().filter(|mask| !mask.is_empty()) {
            let rows = counts.chunks_mut((rows / mask.len()).max(1));
            mask.iter().zip(rows).filter(|(counts, _)| !**counts).for_each(|(_, rows)| rows.fill(T::zero()));
        }
        *counted = counts.iter().filter(|counts| **counts != T::zero()).count();
        weighted.clear();
        if let Some(weights) = weights.filter(|weights| !weights.is_empty()) {
            let n = counts.len().max(1);
            weighted.extend(counts.iter().enumerate().map(|(i, &counts)| counts * weights[i * weights.len() / n]));
        }
    }
}

/// Targets for a check of their values: what does not count, by weights of 0 or a mask, is replaced by what counts before it, in memory of
/// before; with the place of the first that counts. None where nothing does.
pub(crate) fn counting<'a, T: Float>(
    y: &'a Tensor<T>,
    weights: Option<&[T]>,
    mask: Option<&[bool]>,
    memory: &'a mut Tensor<T>,
) -> Option<(&'a Tensor<T>, usize)> {
    let n = weights.map_or(0, <[T]>::len).max(mask.map_or(0, <[bool]>::len));
    let counts = |i: &usize| {
        weights.is_none_or(|weights| weights[i * weights.len() / n] != T::zero())
            && mask.is_none_or(|mask| mask[i * mask.len() / n])
    };
    if (0..n).all(|i| counts(&i)) {
        return Some((y, 0));
    }
    let (first, width) = ((0..n).find(counts)?, y.len() / n);
    memory.copy_from(y);
    let mut last = first;
    for i in 0..n {
        match counts(&i) {
            true => last = i,
            false => memory.as_mut_slice().copy_within(last * width..(last + 1) * width, i * width),
        }
    }
    Some((memory, first))
}

/// What counts, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts<'a, T> {
    /// The weights of the samples, or of their steps.
    pub weights: Option<&'a [T]>,
    /// The rows, where the output or its target carries a mask.
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
