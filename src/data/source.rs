//! Samples by number, and the chain that makes batches of them.

use std::fmt::Debug;
use std::sync::Arc;

use super::augment::{Augment, Augmented};
use super::pipeline::subset::{split, targets_with_inputs};
use super::pipeline::{Batched, Bucketed, Map, MapKeyed, MapTo, Mixup, Part, Repeat, Shaped, Shuffle, Subset, Zip};
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
/// A sample depends on its epoch and position alone, never on what was read before. It may consist of several inputs and several
/// targets, for models that have as many: [`Samples::several`](super::Samples::several), [`zip`](Self::zip),
/// [`inputs`](Self::inputs). Sizes may differ between samples, as those of sentences do, see [`Ragged`](super::Ragged) and
/// [`bucket`](Self::bucket).
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
    /// The shapes of one input sample and of one target. Of several inputs, or targets, one axis of all their values; with
    /// [`FREE`](crate::FREE) in the place of sizes that differ between samples.
    fn shapes(&self) -> (Shape, Shape);

    /// The shapes of every input and of every target of a sample, where they are several; those of [`shapes`](Self::shapes) by
    /// default.
    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        let (x, y) = self.shapes();
        (vec![x], vec![y])
    }

    /// Appends the shapes of the sample at a position, of its inputs and then of its targets, with the sizes that
    /// [`all_shapes`](Self::all_shapes) leaves free.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        let _ = (epoch, position);
        let (x, y) = self.all_shapes();
        shapes.extend(x.into_iter().chain(y));
        Ok(())
    }

    /// How many samples there are; none for an endless stream.
    fn samples(&self) -> Option<usize>;

    /// Writes consecutive samples from position `first` on: as many inputs as `x` has room for, and their targets into `y`. Several
    /// inputs of a sample stand one after another, and so do several targets. Where sizes are free it is one sample that is asked
    /// for, with the room that [`shapes_at`](Self::shapes_at) says.
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

    /// Each sample beside the sample of another source at the same position: the inputs of both, and the targets of both. What has no
    /// values is left out: of `pictures.zip(table)` the table's targets may be `Tensor::zeros([n, 0])`.
    /// Both in an order that stays: shuffle afterwards.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let digits = digits();
    /// let slant = Samples::new(Tensor::<f32>::zeros([1797, 1]), Tensor::zeros([1797, 0]))?;
    /// let data = Samples::new(digits.x, digits.y)?.zip(slant).shuffle(1).batch(32);
    /// let mut batch = Batch::default();
    /// data.load(0, 0, &mut batch)?;
    /// assert_eq!((batch.x.dims(), batch.more_x[0].dims()), ([32, 64].as_slice(), [32, 1].as_slice()));
    /// assert_eq!((batch.y.dims(), batch.more_y.len()), ([32].as_slice(), 0));
    /// # Ok::<(), Error>(())
    /// ```
    fn zip<S: Source<T>>(self, other: S) -> Zip<Self, S>
    where
        Self: Sized,
    {
        Zip::new::<T>(self, other)
    }

    /// The values of a sample as several inputs of these shapes, in their order: columns of a table for a model with two inputs.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let table = Samples::new(Tensor::<f32>::zeros([100, 7]), Tensor::zeros([100, 1]))?;
    /// let (x, _) = Source::<f32>::all_shapes(&table.inputs([[3], [4]]));
    /// assert_eq!(x, [[3].into(), [4].into()]);
    /// # Ok::<(), Error>(())
    /// ```
    fn inputs<X: Into<Shape>>(self, shapes: impl IntoIterator<Item = X>) -> Shaped<Self>
    where
        Self: Sized,
    {
        Shaped::new::<T>(self, Some(shapes.into_iter().map(Into::into).collect()), None)
    }

    /// The values of a target as several targets of these shapes, in their order.
    fn targets<Y: Into<Shape>>(self, shapes: impl IntoIterator<Item = Y>) -> Shaped<Self>
    where
        Self: Sized,
    {
        Shaped::new::<T>(self, None, Some(shapes.into_iter().map(Into::into).collect()))
    }

    /// Batches of `n` consecutive samples; the last of an epoch may be smaller. Samples of different sizes are filled up to the
    /// largest of their batch, see [`Batched::pad`].
    fn batch(self, n: usize) -> Batched<Self, T>
    where
        Self: Sized,
    {
        Batched::new(self, n)
    }

    /// Batches of `n` samples of about the same size, so that little is filled up; see [`Bucketed`].
    fn bucket(self, n: usize) -> Bucketed<Self, T>
    where
        Self: Sized,
    {
        Bucketed::new(self, n)
    }
}

macro_rules! delegate {
    ($($pointer:ty),+) => {$(
        impl<T: Float, S: Source<T> + ?Sized> Source<T> for $pointer {
            fn shapes(&self) -> (Shape, Shape) {
                (**self).shapes()
            }

            fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
                (**self).all_shapes()
            }

            fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
                (**self).shapes_at(epoch, position, shapes)
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

/// How the values of a stretch fall into samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Samples.
    pub n: usize,
    /// Values of the inputs of a sample.
    pub width: usize,
    /// Values of its targets.
    pub target: usize,
}

impl Stretch {
    /// The stretch that has so many values of inputs and of targets; one sample where sizes are free.
    pub fn new((x, y): (Shape, Shape), values: usize, targets: usize) -> Self {
        if x.is_free() || y.is_free() {
            return Stretch { n: 1, width: values, target: targets };
        }
        let (width, target) = (x.len(), y.len());
        let n = values.checked_div(width).or_else(|| targets.checked_div(target)).unwrap_or(0);
        Stretch { n, width, target }
    }

    /// The samples one by one: their numbers within the stretch, their inputs and targets.
    pub fn each<'a, T>(
        self,
        mut x: &'a mut [T],
        mut y: &'a mut [T],
    ) -> impl Iterator<Item = (usize, &'a mut [T], &'a mut [T])> {
        let Stretch { n, width, target } = self;
        (0..n).map(move |i| {
            let own = x.split_off_mut(..width).unwrap_or_default();
            (i, own, y.split_off_mut(..target).unwrap_or_default())
        })
    }
}

/// The values of the inputs and of the targets of the sample at a position, with room for its shapes.
pub(crate) fn widths_at<T: Float>(
    source: &(impl Source<T> + ?Sized),
    epoch: usize,
    position: usize,
    shapes: &mut Vec<Shape>,
) -> Result<(usize, usize)> {
    let (x, y) = source.shapes();
    if !x.is_free() && !y.is_free() {
        return Ok((x.len(), y.len()));
    }
    let inputs = source.all_shapes().0.len();
    shapes.clear();
    source.shapes_at(epoch, position, shapes)?;
    let (x, y) = shapes.split_at_checked(inputs).ok_or_else(|| missing_shapes(inputs, shapes.len()))?;
    Ok((total("Source", x)?, total("Source", y)?))
}

/// The values of several shapes together.
pub(crate) fn total(op: &'static str, shapes: &[Shape]) -> Result<usize> {
    shapes.iter().try_fold(0, |sum: usize, shape| Ok(sum.saturating_add(shape.checked_len(op)?)))
}

/// A sample has other parts than its source says.
pub(crate) fn missing_shapes(expected: usize, got: usize) -> Error {
    let hint = "let Source::shapes_at append a shape for each input and each target of Source::all_shapes";
    Error::shape("Source", format!("{expected} shapes"), got, hint)
}

/// The shape of a row of all the values of some parts: theirs, where it is one.
pub(crate) fn row_shape(parts: &[Shape]) -> Shape {
    match parts {
        [one] => *one,
        _ if parts.iter().any(Shape::is_free) => Shape::from([crate::FREE]),
        _ => Shape::from([parts.iter().map(Shape::len).fold(0, usize::saturating_add)]),
    }
}
