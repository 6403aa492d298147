//! What of an output counts in its loss and its metrics: weights, the output's mask, that of its target, and targets of an ignored class.

use crate::losses::Loss;
use crate::tensor::{Float, Tensor};

/// The rows of an output that count, where not all do.
#[derive(Debug, Default)]
pub(crate) struct CountedRows<T> {
    /// Whether this says more than that all count.
    known: bool,
    /// 1 for each row that counts, else 0.
    counts: Vec<T>,
    /// The same times the weights of the samples; empty where they have none.
    weighted: Vec<T>,
    /// How many rows count.
    counted: usize,
}

impl<T: Float> CountedRows<T> {
    /// All count, as their samples weigh.
    pub fn forget(&mut self) {
        self.known = false;
    }

    /// Takes the masks of an output and of its targets over `rows` rows, which each has a step for each or for several of, targets of a class
    /// that is ignored, and the weights, of samples or of their steps.
    pub fn fill(
        &mut self,
        masks: [Option<&[bool]>; 2],
        rows: usize,
        ignored: Option<(f64, &Tensor<T>)>,
        weights: Option<&[T]>,
    ) {
        let CountedRows { known, counts, weighted, counted } = self;
        *known = true;
        counts.clear();
        counts.resize(rows, T::one());
        for mask in masks.into_iter().flatten().filter(|mask| !mask.is_empty()) {
            let rows = counts.chunks_mut((rows / mask.len()).max(1));
            mask.iter().zip(rows).filter(|(counts, _)| !**counts).for_each(|(_, rows)| rows.fill(T::zero()));
        }
        if let Some((class, targets)) = ignored.filter(|(_, targets)| targets.len() == rows) {
            let class = T::of(class);
            let rows = targets.iter().zip(&mut *counts);
            rows.filter(|(target, _)| **target == class).for_each(|(_, counts)| *counts = T::zero());
        }
        *counted = counts.iter().filter(|counts| **counts != T::zero()).count();
        weighted.clear();
        if let Some(weights) = weights.filter(|weights| !weights.is_empty()) {
            let n = counts.len().max(1);
            weighted.extend(counts.iter().enumerate().map(|(i, &counts)| counts * weights[i * weights.len() / n]));
        }
    }

    /// How many of so many rows count.
    pub fn counted(&self, rows: usize) -> usize {
        if self.known { self.counted } else { rows }
    }

    /// Which of so many rows count.
    pub fn counting(&self, rows: usize) -> impl Iterator<Item = usize> {
        (0..rows).filter(|&row| !self.known || self.counts[row] != T::zero())
    }

    /// What each row counts, times its weight or not.
    pub fn weights(&self, weighted: bool) -> &[T] {
        if weighted && !self.weighted.is_empty() { &self.weighted } else { &self.counts }
    }

    /// These rows, if not all count.
    pub fn some(&self) -> Option<&Self> {
        self.known.then_some(self)
    }
}

/// Targets for a check of their values: what does not count, by weights of 0, a mask or an ignored class, is replaced by what counts before it,
/// in memory of before; with the place of the first that counts, and the number of places. None where nothing does.
pub(crate) fn counting<'a, T: Float>(
    y: &'a Tensor<T>,
    weights: Option<&[T]>,
    mask: Option<&[bool]>,
    ignored: Option<f64>,
    memory: &'a mut Tensor<T>,
) -> Option<(&'a Tensor<T>, [usize; 2])> {
    let places = weights.map_or(0, <[T]>::len).max(mask.map_or(0, <[bool]>::len));
    let n = if ignored.is_some() { y.len() } else { places };
    let counts = |i: &usize| {
        weights.is_none_or(|weights| weights[i * weights.len() / n] != T::zero())
            && mask.is_none_or(|mask| mask[i * mask.len() / n])
            && ignored.is_none_or(|class| y.as_slice()[*i] != T::of(class))
    };
    if (0..n).all(|i| counts(&i)) {
        return Some((y, [0, n]));
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
    Some((memory, [first, n]))
}

/// What counts, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts<'a, T> {
    /// The weights of the samples, or of their steps.
    pub weights: Option<&'a [T]>,
    /// The rows that count, where not all do.
    pub rows: Option<&'a CountedRows<T>>,
}

impl<'a, T: Float> Counts<'a, T> {
    /// Σ w·loss over the rows that count, divided by how many those are, and its gradient: 0 where none counts.
    pub fn loss(&self, loss: &dyn Loss<T>, t: &Tensor<T>, y: &Tensor<T>, dy: Option<&mut Tensor<T>>) -> f64 {
        match self.rows {
            None => loss.batch(t, y, self.weights, y.shape().rows(), dy),
            Some(CountedRows { counted: 0, .. }) => {
                dy.into_iter().for_each(|dy| dy.as_mut_slice().fill(T::zero()));
                0.0
            }
            Some(rows) => loss.batch(t, y, self.metric(true), rows.counted, dy),
        }
    }

    /// The weights that a metric takes, of rows or of samples.
    pub fn metric(&self, weighted: bool) -> Option<&'a [T]> {
        match self.rows {
            None => self.weights.filter(|_| weighted),
            Some(rows) => Some(rows.weights(weighted && self.weights.is_some())),
        }
    }
}
