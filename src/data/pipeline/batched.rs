//! Batches of consecutive samples.

use super::Prefetch;
use crate::data::source::Source;
use crate::data::{Batch, Dataset};
use crate::error::{Error, Result};
use crate::memory;
use crate::tensor::{Float, Shape};

/// A source in batches; see [`Source::batch`].
#[derive(Clone, Debug)]
pub struct Batched<S> {
    source: S,
    size: usize,
    drop_last: bool,
}

impl<S> Batched<S> {
    pub(crate) fn new(source: S, size: usize) -> Self {
        Batched { source, size, drop_last: false }
    }

    /// Whether a last batch that would be smaller is left out; no by default.
    pub fn drop_last(mut self, drop: bool) -> Self {
        self.drop_last = drop;
        self
    }

    /// The shapes of a sample that batches can be made of.
    fn sizes<T: Float>(&self) -> Result<(Shape, Shape)>
    where
        S: Source<T>,
    {
        if self.size == 0 {
            return Err(Error::argument("batch", "n", "at least 1", 0, "32 is usual"));
        }
        let (x, y) = self.source.shapes();
        if x.is_empty() || x.rank() >= crate::MAX_RANK || y.rank() >= crate::MAX_RANK {
            let hint = "give every size at least 1, and at most five axes a sample";
            return Err(Error::shape("batch", "inputs with values", x, hint));
        }
        Ok((x, y))
    }

    /// Batches loaded ahead by worker threads; see [`Prefetch`].
    ///
    /// # Errors
    /// As [`Prefetch::new`].
    pub fn prefetch<T: Float>(self, workers: usize) -> Result<Prefetch<T>>
    where
        S: Source<T> + 'static,
    {
        Prefetch::new(self, workers)
    }
}

impl<T: Float, S: Source<T>> Dataset<T> for Batched<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn batches(&self) -> Option<usize> {
        let (n, size) = (self.source.samples()?, self.size.max(1));
        Some(if self.drop_last { n / size } else { n.div_ceil(size) })
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.sizes().map(|_| ())
    }

    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<()> {
        let (x, y) = self.sizes()?;
        let past = || {
            let expected = format!("a batch below {}", Dataset::<T>::batches(self).unwrap_or(usize::MAX));
            Error::shape("batch", expected, index, "ask for batches that there are")
        };
        let first = index.checked_mul(self.size).ok_or_else(past)?;
        let n = self.source.samples().map_or(self.size, |n| n.saturating_sub(first).min(self.size));
        if n == 0 || (self.drop_last && n < self.size) {
            return Err(past());
        }
        for (shape, tensor) in [(x, &mut batch.x), (y, &mut batch.y)] {
            let shape = shape.with_batch(n);
            let len = shape.checked_len("batch")?;
            if len > tensor.len() {
                memory::check_room::<T>("batch", format_args!("a batch of {n} samples"), len)?;
            }
            tensor.resize(shape);
        }
        batch.weights.clear();
        self.source.read(epoch, first, batch.x.as_mut_slice(), batch.y.as_mut_slice())
    }
}
