//! Data that comes in batches, and need not fit in memory.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use super::shard::Shard;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// One batch: inputs `[n, …]`, targets `[n, …]`, a weight for the loss of each sample, and what counts at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch<T = f32> {
    /// The inputs.
    pub x: Tensor<T>,
    /// The targets.
    pub y: Tensor<T>,
    /// The weights, one for each sample or, of outputs `[n, steps, …]`, one for each step; empty where all are 1.
    pub weights: Vec<T>,
    /// The inputs after the first, of models that have several, in their order.
    pub more_x: Vec<Tensor<T>>,
    /// The targets after the first.
    pub more_y: Vec<Tensor<T>>,
    /// The weights for the outputs after the first, one list each; where there are none, [`weights`](Self::weights) hold for all.
    pub more_weights: Vec<Vec<T>>,
    /// Whether each step of a target counts, in losses and metrics, as under a mask of the output; one list for each target, of as many
    /// values as weights of steps. None, or an empty list, where all do. Datasets that fill smaller samples up say so here.
    pub masks: Vec<Vec<bool>>,
}

impl<T> Batch<T> {
    /// All inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &Tensor<T>> + Clone {
        std::iter::once(&self.x).chain(&self.more_x)
    }

    /// All targets.
    pub fn targets(&self) -> impl Iterator<Item = &Tensor<T>> {
        std::iter::once(&self.y).chain(&self.more_y)
    }

    /// The target number `i`.
    pub(crate) fn target(&self, i: usize) -> Option<&Tensor<T>> {
        if i == 0 { Some(&self.y) } else { self.more_y.get(i - 1) }
    }

    /// The weights for target number `i`, where there are any.
    pub(crate) fn weights_of(&self, i: usize) -> Option<&[T]> {
        let own =
            if i == 0 || self.more_weights.is_empty() { Some(&self.weights) } else { self.more_weights.get(i - 1) };
        own.filter(|weights| !weights.is_empty()).map(Vec::as_slice)
    }

    /// The mask of target number `i`, where there is one.
    pub(crate) fn mask_of(&self, i: usize) -> Option<&[bool]> {
        self.masks.get(i).filter(|mask| !mask.is_empty()).map(Vec::as_slice)
    }

    /// Forgets all weights and masks.
    pub(crate) fn clear_weights(&mut self) {
        self.weights.clear();
        // Lists that are empty would say that the other outputs have none.
        self.more_weights.clear();
        self.masks.iter_mut().for_each(Vec::clear);
    }
}

impl<T: Float> Batch<T> {
    /// Drops all but some rows: of lists that have as many values for each sample, as many.
    pub(crate) fn keep_rows(&mut self, rows: Range<usize>) {
        fn keep<V: Copy>(values: &mut Vec<V>, n: usize, rows: &Range<usize>) {
            let each = values.len() / n.max(1);
            values.copy_within(rows.start * each..rows.end * each, 0);
            values.truncate(rows.len() * each);
        }
        let n = self.x.samples();
        let tensors = [&mut self.x, &mut self.y].into_iter().chain(&mut self.more_x).chain(&mut self.more_y);
        tensors.filter(|tensor| tensor.samples() == n).for_each(|tensor| tensor.keep_rows(rows.clone()));
        [&mut self.weights].into_iter().chain(&mut self.more_weights).for_each(|list| keep(list, n, &rows));
        self.masks.iter_mut().for_each(|mask| keep(mask, n, &rows));
    }
}

/// Batches by number: what [`fit_dataset`](crate::Model::fit_dataset) trains on.
///
/// A batch depends on its epoch and its number alone, so that a run can be resumed anywhere and any number of threads may load
/// ahead. Most datasets are made from a [`Source`](super::Source) of single samples: `source.shuffle(7).batch(32).prefetch(2)`.
///
/// PyTorch `DataLoader`, Keras `PyDataset`.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::Shape;
///
/// /// Endless batches of points and their squares.
/// #[derive(Debug)]
/// struct Squares;
/// impl Dataset for Squares {
///     fn shapes(&self) -> (Shape, Shape) {
///         ([1].into(), [1].into())
///     }
///     fn batches(&self) -> Option<usize> {
///         None
///     }
///     fn load(&self, _epoch: usize, index: usize, batch: &mut Batch) -> Result<(), Error> {
///         batch.x = Tensor::from_fn([8, 1], |i| (index * 8 + i) as f32 % 10.0 / 10.0);
///         batch.y = Tensor::from_fn([8, 1], |i| batch.x.as_slice()[i].powi(2));
///         Ok(())
///     }
/// }
/// let mut model = Sequential::new([1]).add(Dense::new(1)).build(0)?;
/// model.compile(Adam::default(), MeanSquaredError::default(), ())?;
/// model.fit_dataset(&Squares, &Fit::default().steps_per_epoch(10).verbose(Verbose::Silent), &mut [])?;
/// # Ok::<(), Error>(())
/// ```
pub trait Dataset<T: Float = f32>: Send + Sync + Debug {
    /// The shapes of one input sample and of one target; no axes for a target that is a class number.
    fn shapes(&self) -> (Shape, Shape);

    /// The shapes of one sample of every input and of every target, for models that have several; those of [`shapes`](Self::shapes) by
    /// default. Sizes that differ between batches are [`FREE`](crate::FREE).
    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        let (x, y) = self.shapes();
        (vec![x], vec![y])
    }

    /// The batches of an epoch; none for an endless stream. Of a stream, `fit` loads epoch 0 alone, whose numbers run on from one
    /// epoch of training to the next.
    fn batches(&self) -> Option<usize>;

    /// What can be known to be wrong before a batch is loaded; called before training.
    ///
    /// # Errors
    /// Settings that cannot work.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Fills `batch` with number `index` of an epoch. What it held before is to be overwritten, its memory may be reused.
    ///
    /// # Errors
    /// Whatever goes wrong; it ends training.
    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<()>;

    /// Fills `batch` with the rows of number `index` that belong to a [`Shard`], where there are any, and returns how many samples the
    /// whole batch has. Called where training goes by shards, on several ranks say. By default the whole is loaded and the others are
    /// dropped; a dataset that can reads its own rows alone. Rows that are filled up to one size may be so to that of the shard's largest.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    fn load_shard(&self, epoch: usize, index: usize, shard: Shard, batch: &mut Batch<T>) -> Result<usize> {
        self.load(epoch, index, batch)?;
        let samples = batch.x.samples();
        batch.keep_rows(shard.rows(samples));
        Ok(samples)
    }
}

macro_rules! delegate {
    ($($pointer:ty),+) => {$(
        impl<T: Float, D: Dataset<T> + ?Sized> Dataset<T> for $pointer {
            fn shapes(&self) -> (Shape, Shape) {
                (**self).shapes()
            }

            fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
                (**self).all_shapes()
            }

            fn batches(&self) -> Option<usize> {
                (**self).batches()
            }

            fn check(&self) -> Result<()> {
                (**self).check()
            }

            fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<()> {
                (**self).load(epoch, index, batch)
            }

            fn load_shard(&self, epoch: usize, index: usize, shard: Shard, batch: &mut Batch<T>) -> Result<usize> {
                (**self).load_shard(epoch, index, shard, batch)
            }
        }
    )+};
}

delegate!(&D, Box<D>, Arc<D>);
