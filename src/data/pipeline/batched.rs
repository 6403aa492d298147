//! Batches of consecutive samples.

use super::Prefetch;
use super::load::Loader;
use crate::data::source::Source;
use crate::data::{Batch, Dataset, Shard};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

/// A source in batches; see [`Source::batch`].
#[derive(Clone, Debug)]
pub struct Batched<S, T = f32> {
    source: S,
    loader: Loader<T>,
}

impl<S, T: Float> Batched<S, T> {
    pub(crate) fn new(source: S, size: usize) -> Self {
        Batched { source, loader: Loader::new(size) }
    }

    /// Whether a last batch that would be smaller is left out; no by default.
    pub fn drop_last(mut self, drop: bool) -> Self {
        self.loader.drop_last = drop;
        self
    }

    /// What inputs and targets that are smaller than the largest of their batch are filled up with, at the end of each axis; 0 and 0
    /// by default. Steps of targets that are filling do not count in losses and metrics ([`Batch::masks`]). That inputs are filled up the
    /// model has to be told, by [`Masking`](crate::layers::Masking) or [`Embedding::mask_zero`](crate::layers::Embedding::mask_zero), or it takes
    /// the filling for values; so does what no mask goes through, such as a convolution.
    pub fn pad(mut self, x: f64, y: f64) -> Self {
        self.loader.pad = [x, y];
        self
    }

    /// Batches loaded ahead by worker threads; see [`Prefetch`].
    ///
    /// # Errors
    /// As [`Prefetch::new`].
    pub fn prefetch(self, workers: usize) -> Result<Prefetch<T>>
    where
        S: Source<T> + 'static,
    {
        Prefetch::new(self, workers)
    }
}

impl<T: Float, S: Source<T>> Dataset<T> for Batched<S, T> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn batches(&self) -> Option<usize> {
        Some(self.loader.batches(self.source.samples()?))
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.loader.parts(&self.source).map(|_| ())
    }

    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<()> {
        let (first, n) = self.place(index)?;
        self.loader.load(&self.source, epoch, (n, true), &|i| first.saturating_add(i), batch)
    }

    fn load_shard(&self, epoch: usize, index: usize, shard: Shard, batch: &mut Batch<T>) -> Result<usize> {
        let (first, n) = self.place(index)?;
        let rows = shard.rows(n);
        if !rows.is_empty() {
            let first = first.saturating_add(rows.start);
            self.loader.load(&self.source, epoch, (rows.len(), true), &|i| first.saturating_add(i), batch)?;
        }
        Ok(n)
    }
}

impl<T: Float, S: Source<T>> Batched<S, T> {
    /// The first sample of a batch, and how many it has.
    fn place(&self, index: usize) -> Result<(usize, usize)> {
        let first = index.checked_mul(self.loader.size).filter(|_| self.batches().is_none_or(|n| index < n));
        let Some(first) = first else { return Err(past(index, self.batches())) };
        let size = self.loader.size;
        Ok((first, self.source.samples().map_or(size, |n| n.saturating_sub(first).min(size))))
    }
}

/// A batch that is not there.
pub(super) fn past(index: usize, batches: Option<usize>) -> Error {
    let expected = format!("a batch below {}", batches.unwrap_or(usize::MAX));
    Error::shape("batch", expected, index, "ask for batches that there are")
}
