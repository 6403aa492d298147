//! Samples by number, and the chain that makes batches of them.

use std::fmt::Debug;
use std::sync::Arc;

use super::augment::{Augment, Augmented};
use super::pipeline::subset::{split, targets_with_inputs};
use super::pipeline::{Batched, Map, MapKeyed, MapTo, Mixup, Part, Repeat, Shuffle, Subset};
use super::split::Split;
use crate::error::{Error, Result};
use crate::random::Key;
use crate::tensor::{Float, Shape};

/// What a position of a source stands for, which decides whether the source may be parted: with [`take`](Source::take),
/// [`skip`](Source::skip) or [`split`](Source::split).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// One sample, the same in every epoch and at no other position.
    #[default]
    Fixed,
    /// A sample that comes again at later positions, as after [`repeat`](Source::repeat).
    Repeated,
    /// Another sample in another epoch, as after [`shuffle`](Source::shuffle).
    Shuffled,
    /// A sample with parts of others, as after [`mixup`](Source::mixup).
    Mixed,
}

impl Order {
    /// An error where samples of one part would come up in another.
    pub(crate) fn keeps_apart(self, op: &'static str) -> Result<()> {
        let (got, hint) = match self {
            Order::Fixed => return Ok(()),
            Order::Repeated => (
                "one that is repeated, so that its parts would share samples",
                "part it first: let (train, validation) = source.split(0.2, seed)?; train.repeat()",
            ),
            Order::Shuffled => (
                "one that is shuffled anew each epoch, so that samples would change between its parts",
                "split first and shuffle the part to train on: let (train, validation) = source.split(0.2, seed)?; \
                 train.shuffle(seed); or, for a part of an epoch, Fit::steps_per_epoch",
            ),
            Order::Mixed => (
                "one whose samples are mixed with others, so that its parts would share samples",
                "split first and mix the part to train on: let (train, validation) = source.split(0.2, seed)?; \
                 train.mixup(alpha, seed)",
            ),
        };
        Err(Error::argument(op, "source", "in an order that stays", got, hint))
    }
}

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

    /// Writes the targets alone of consecutive samples of epoch 0, as many as `y` has room for. By default the inputs are read
    /// with them; a source that can do without should.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        targets_with_inputs(self, first, y)
    }

    /// What a position stands for. A source made of another one hands on the other's.
    fn order(&self) -> Order {
        Order::Fixed
    }

    /// What can be known to be wrong before a sample is read; called before training. A source made of another one asks that too.
    ///
    /// # Errors
    /// Settings that cannot work.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// A part to train on and a part that is held out, the same samples in every epoch, in the order of the source: of n samples,
    /// ⌈n·`part`⌉ drawn at random are held out. They are those that [`train_test_split`](super::train_test_split) chooses for
    /// the same seed. Shuffle, augment and mix afterwards.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let digits = digits();
    /// let (train, validation) = Samples::new(digits.x, digits.y)?.split(0.2, 1)?;
    /// assert_eq!((train.positions().len(), validation.positions().len()), (1437, 360));
    /// let (train, validation) = (train.shuffle(7).batch(32), validation.batch(256));
    /// # let _ = (Dataset::<f32>::batches(&train), Dataset::<f32>::batches(&validation));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a part that is not above 0 and below 1, or leaves less than two samples to train on; for a source
    /// without end, or one that is shuffled, repeated or mixed already.
    fn split(self, part: f64, seed: u64) -> Result<(Subset<Self>, Subset<Self>)>
    where
        Self: Sized,
    {
        split("split", self, &Split::default().test_size(part).seed(seed))
    }

    /// [`split`](Self::split) in which each class has the same share of both parts, to within one sample; equal targets (class
    /// numbers or one-hot rows) are a class. Reads all targets once.
    ///
    /// # Errors
    /// As [`split`](Self::split); [`Error::Argument`] for a class of one sample, or a part that is smaller than the number of
    /// classes.
    fn split_stratified(self, part: f64, seed: u64) -> Result<(Subset<Self>, Subset<Self>)>
    where
        Self: Sized,
    {
        split("split_stratified", self, &Split::default().test_size(part).seed(seed).stratify(true))
    }

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

    /// A new order in each epoch, which follows from seed and epoch; that of [`fit`](crate::Model::fit) where the seed is the
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

    /// The first `n` samples, or all if there are fewer. An error, when it is read, of a source that is shuffled: the first `n` are
    /// others in each epoch; [`split`](Self::split) makes parts that stay.
    fn take(self, n: usize) -> Part<Self>
    where
        Self: Sized,
    {
        Part::new(self, 0, Some(n))
    }

    /// All samples but the first `n`. An error, when it is read, of a source that is shuffled or repeated; see
    /// [`split`](Self::split).
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

macro_rules! delegate {
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

            fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
                (**self).read_targets(first, y)
            }

            fn order(&self) -> Order {
                (**self).order()
            }

            fn check(&self) -> Result<()> {
                (**self).check()
            }
        }
    )+};
}

delegate!(&S, Box<S>, Arc<S>);

/// The samples of a stretch one by one: their numbers within it, their inputs and targets.
pub(crate) fn each<'a, T>(
    width: (usize, usize),
    x: &'a mut [T],
    y: &'a mut [T],
) -> impl Iterator<Item = (usize, &'a mut [T], &'a mut [T])> {
    // A target may have no values at all.
    let mut rest = y;
    x.chunks_exact_mut(width.0.max(1))
        .enumerate()
        .map(move |(i, x)| (i, x, rest.split_off_mut(..width.1).unwrap_or_default()))
}

/// The values of an input and of a target.
pub(crate) fn widths((x, y): (Shape, Shape)) -> (usize, usize) {
    (x.len(), y.len())
}
