//! Batches of samples that are about as long.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::Prefetch;
use super::batched::past;
use super::load::Loader;
use crate::data::source::Source;
use crate::data::{Batch, Dataset, Shard};
use crate::error::{Error, Result};
use crate::memory;
use crate::random::{Key, Purpose};
use crate::tensor::{Float, Shape};

/// A source in batches of samples of about the same size, so that little is filled up; made by [`Source::bucket`].
///
/// The samples of 64 batches at a time, as they come, are sorted by the number of their values, dealt out into batches, and the batches
/// take turns at random. A batch is filled up to its own largest sample, as by [`Batched::pad`](super::Batched::pad). It depends on epoch
/// and number alone; a source that is shuffled before gives other batches in each epoch.
///
/// Keras: `tf.data.Dataset.bucket_by_sequence_length`.
///
/// ```
/// use gradus::prelude::*;
/// // Sentences of one to nine words, as numbers from 1 on, and whether each is long.
/// let sentences: Vec<Tensor> = (0..200).map(|i| Tensor::full([1 + i % 9], 1.0 + (i % 50) as f32)).collect();
/// let long = Tensor::from_fn([200, 1], |i| f32::from(i % 9 > 4));
/// let data = Ragged::new(sentences, long)?.shuffle(7).bucket(20);
/// let mut model = Sequential::new([FREE])
///     .add(Embedding::new(51, 8).mask_zero(true))
///     .add(GlobalAveragePooling1d::new())
///     .add(Dense::new(1).activation(Activation::Sigmoid))
///     .build(0)?;
/// model.compile(Adam::default(), BinaryCrossentropy::default(), ())?;
/// model.fit_dataset(&data, &Fit::default().verbose(Verbose::Silent), &mut [])?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Bucketed<S, T = f32> {
    source: S,
    loader: Loader<T>,
    /// Batches whose samples are sorted together.
    window: usize,
    /// The positions of windows that were asked for last, batch by batch.
    orders: Mutex<VecDeque<Order>>,
}

#[derive(Clone, Debug)]
struct Order {
    epoch: usize,
    window: usize,
    /// The batches one after another, and where each begins; the last number is the end.
    positions: Arc<(Vec<usize>, Vec<usize>)>,
}

/// Orders that are kept: two neighbours for each of a few readers.
const KEPT: usize = 4;

/// Sets the draws apart from those of other steps.
const STREAM: u64 = 0x6275_636B_6574;

impl<S, T: Float> Bucketed<S, T> {
    pub(crate) fn new(source: S, size: usize) -> Self {
        Bucketed { source, loader: Loader::new(size), window: 64, orders: Mutex::default() }
    }

    /// So many batches are sorted together; 64 by default. More waste less, fewer mix better.
    pub fn window(mut self, batches: usize) -> Self {
        self.window = batches;
        self
    }

    /// As [`Batched::drop_last`](super::Batched::drop_last): the last samples of an epoch, before they are sorted.
    pub fn drop_last(mut self, drop: bool) -> Self {
        self.loader.drop_last = drop;
        self
    }

    /// As [`Batched::pad`](super::Batched::pad).
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

impl<T: Float, S: Source<T>> Bucketed<S, T> {
    /// The samples of a window.
    fn len(&self) -> Result<usize> {
        self.loader.parts(&self.source)?;
        match self.loader.size.checked_mul(self.window) {
            Some(len) if len > 0 => Ok(len),
            _ => Err(Error::argument("bucket", "window", "at least 1", self.window, "64 is usual")),
        }
    }

    /// The batches of a window.
    fn order(&self, epoch: usize, window: usize) -> Result<Arc<(Vec<usize>, Vec<usize>)>> {
        let kept = || self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(order) = kept().iter().find(|order| order.epoch == epoch && order.window == window) {
            return Ok(Arc::clone(&order.positions));
        }
        let positions = Arc::new(self.sorted(epoch, window)?);
        let mut kept = kept();
        kept.truncate(KEPT - 1);
        kept.push_front(Order { epoch, window, positions: Arc::clone(&positions) });
        Ok(positions)
    }

    fn sorted(&self, epoch: usize, window: usize) -> Result<(Vec<usize>, Vec<usize>)> {
        let (len, size) = (self.len()?, self.loader.size);
        let first = window.saturating_mul(len);
        let mut n = self.source.samples().map_or(len, |n| n.saturating_sub(first).min(len));
        // A stream ends where numbers do.
        n = n.min(usize::MAX - first);
        if self.loader.drop_last {
            n -= n % size;
        }
        let positions = by_size(&self.source, epoch, first..first + n)?;
        let key = Key::new(0, Purpose::Shuffle).with(STREAM).with(epoch as u64).with(window as u64);
        let (mut turns, mut ordered, mut starts) = (Vec::new(), Vec::new(), vec![0]);
        memory::reserve("bucket", format_args!("the order of {n} samples"), &mut ordered, n)?;
        key.permutation(n.div_ceil(size), &mut turns);
        for batch in turns {
            ordered.extend(&positions[batch * size..n.min((batch + 1) * size)]);
            starts.push(ordered.len());
        }
        Ok((ordered, starts))
    }
}

/// Some positions in the order of the values of their samples.
#[inline(never)]
pub(crate) fn by_size<T: Float>(source: &dyn Source<T>, epoch: usize, range: Range<usize>) -> Result<Vec<usize>> {
    let (mut sizes, mut shapes) = (Vec::new(), Vec::new());
    memory::reserve("bucket", format_args!("the order of {} samples", range.len()), &mut sizes, range.len())?;
    for position in range {
        shapes.clear();
        source.shapes_at(epoch, position, &mut shapes)?;
        sizes.push((shapes.iter().map(Shape::len).fold(0, usize::saturating_add), position));
    }
    sizes.sort_unstable();
    let mut positions = Vec::new();
    memory::reserve("bucket", format_args!("the order of {} samples", sizes.len()), &mut positions, sizes.len())?;
    positions.extend(sizes.iter().map(|(_, position)| position));
    Ok(positions)
}

impl<T: Float, S: Source<T>> Dataset<T> for Bucketed<S, T> {
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
        self.len().map(|_| ())
    }

    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<()> {
        self.load_rows(epoch, index, |n| 0..n, batch).map(|_| ())
    }

    fn load_shard(&self, epoch: usize, index: usize, shard: Shard, batch: &mut Batch<T>) -> Result<usize> {
        self.load_rows(epoch, index, |n| shard.rows(n), batch)
    }
}

impl<T: Float, S: Source<T>> Bucketed<S, T> {
    /// Loads the rows of a batch that are asked for, given how many it has; that number.
    fn load_rows(
        &self,
        epoch: usize,
        index: usize,
        rows: impl FnOnce(usize) -> Range<usize>,
        batch: &mut Batch<T>,
    ) -> Result<usize> {
        self.len()?;
        if self.batches().is_some_and(|n| index >= n) {
            return Err(past(index, self.batches()));
        }
        let order = self.order(epoch, index / self.window)?;
        let (positions, starts) = &*order;
        let within = index % self.window;
        let Some(&[start, end]) = starts.get(within..within + 2) else { return Err(past(index, self.batches())) };
        let own = &positions[start..end];
        let rows = &own[rows(own.len())];
        if !rows.is_empty() {
            self.loader.load(&self.source, epoch, (rows.len(), false), &|i| rows[i], batch)?;
        }
        Ok(own.len())
    }
}
