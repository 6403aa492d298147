//! Samples by number, and the chain that makes batches of them.

use std::fmt::Debug;
use std::sync::Arc;

use super::augment::{Augment, Augmented};
use super::pipeline::{Batched, Map, MapKeyed, MapTo, Mixup, Part, Repeat, Shuffle};
use crate::error::Result;
use crate::random::Key;
use crate::tensor::{Float, Shape};

/// Samples with their targets, by position: tensors, CSV or IDX files, a function of your own.
///
/// A sample depends on its epoch and position alone, never on what was read before.
///
/// ```
/// use gradus::prelude::*;
/// let source = Samples::new(Tensor::from_fn([100, 3], |i| i as f32), Tensor::zeros([100, 1]))?;
/// let data = source.map(|x, _| x[0] /= 100.0).shuffle(7).batch(32).prefetch(2)?;
/// assert_eq!(data.batches(), Some(4));
/// let mut batch = Batch::default();
/// data.load(0, 3, &mut batch)?;
/// assert_eq!(batch.x.dims(), [4, 3]);
/// # Ok::<(), Error>(())
/// ```
pub trait Source<T: Float = f32>: Send + Sync + Debug {
    /// The shapes of one input sample and of one target.
    fn shapes(&self) -> (Shape, Shape);

    /// How many samples there are; none for an endless stream.
    fn samples(&self) -> Option<usize>;

    /// Writes consecutive samples from position `first` on: as many inputs as `x` has room for, and their targets into `y`.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()>;

    /// Every sample through a function that changes input and target in place.
    fn map<F: Fn(&mut [T], &mut [T]) + Send + Sync>(self, f: F) -> Map<Self, F>
    where
        Self: Sized,
    {
        Map::new(self, f)
    }

    /// Every sample through a function that may draw random numbers: its key follows from seed, epoch and position, so that
    /// augmented samples are the same for any number of workers and after a resume.
    fn map_keyed<F: Fn(Key, &mut [T], &mut [T]) + Send + Sync>(self, seed: u64, f: F) -> MapKeyed<Self, F>
    where
        Self: Sized,
    {
        MapKeyed::new(self, seed, f)
    }

    /// Every sample through a function that writes input and target of other shapes: `f(x, y, new_x, new_y)`.
    fn map_to<F: Fn(&[T], &[T], &mut [T], &mut [T]) + Send + Sync>(
        self,
        x: impl Into<Shape>,
        y: impl Into<Shape>,
        f: F,
    ) -> MapTo<Self, F>
    where
        Self: Sized,
    {
        MapTo::new(self, x.into(), y.into(), f)
    }

    /// Every image turned, shifted or coloured at random; what becomes of a sample follows from seed, epoch and position, as with
    /// [`map_keyed`](Self::map_keyed).
    fn augment(self, augment: Augment, seed: u64) -> Augmented<Self>
    where
        Self: Sized,
    {
        Augmented::new(self, augment, seed)
    }

    /// Every sample mixed with another, see [`Mixup`].
    fn mixup(self, alpha: f64, seed: u64) -> Mixup<Self>
    where
        Self: Sized,
    {
        Mixup::new(self, alpha, seed)
    }

    /// A new order in each epoch, which follows from seed and epoch; that of [`fit`](crate::Sequential::fit) where the seed is the
    /// model's.
    fn shuffle(self, seed: u64) -> Shuffle<Self, T>
    where
        Self: Sized,
    {
        Shuffle::new(self, seed, 1)
    }

    /// A new order in each epoch for files that are slow to read in leaps: blocks of `block` consecutive samples change places, and
    /// so do the samples within each block. Four blocks are kept in memory.
    fn shuffle_blocks(self, seed: u64, block: usize) -> Shuffle<Self, T>
    where
        Self: Sized,
    {
        Shuffle::new(self, seed, block)
    }

    /// The first `n` samples, or all if there are fewer.
    fn take(self, n: usize) -> Part<Self>
    where
        Self: Sized,
    {
        Part::new(self, 0, Some(n))
    }

    /// All samples but the first `n`.
    fn skip(self, n: usize) -> Part<Self>
    where
        Self: Sized,
    {
        Part::new(self, n, None)
    }

    /// The samples again and again without end; each round is one more epoch to what comes before.
    fn repeat(self) -> Repeat<Self>
    where
        Self: Sized,
    {
        Repeat::new(self)
    }

    /// Batches of `n` consecutive samples; the last of an epoch may be smaller.
    fn batch(self, n: usize) -> Batched<Self>
    where
        Self: Sized,
    {
        Batched::new(self, n)
    }
}

macro_rules! through {
    ($($pointer:ty),+) => {$(
        impl<T: Float, S: Source<T> + ?Sized> Source<T> for $pointer {
            fn shapes(&self) -> (Shape, Shape) {
                (**self).shapes()
            }

            fn samples(&self) -> Option<usize> {
                (**self).samples()
            }

            fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
                (**self).read(epoch, first, x, y)
            }
        }
    )+};
}

through!(&S, Box<S>, Arc<S>);

/// The samples of a stretch one by one: their numbers within it, their inputs and targets.
pub(crate) fn each<'a, T>(
    width: (usize, usize),
    x: &'a mut [T],
    y: &'a mut [T],
) -> impl Iterator<Item = (usize, &'a mut [T], &'a mut [T])> {
    // A target may have no values at all.
    let mut rest = y;
    x.chunks_exact_mut(width.0.max(1)).enumerate().map(move |(i, x)| {
        let (y, after) = std::mem::take(&mut rest).split_at_mut(width.1);
        rest = after;
        (i, x, y)
    })
}

/// The values of an input and of a target.
pub(crate) fn widths((x, y): (Shape, Shape)) -> (usize, usize) {
    (x.len(), y.len())
}
