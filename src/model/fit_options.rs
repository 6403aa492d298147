//! How `fit` trains.

#[cfg(feature = "files")]
use super::checkpoint::Checkpoint;
use super::tensors::{Tensors, Weights};
use crate::callbacks::Callback;
use crate::data::Dataset;
use crate::distributed::{Alone, World};
use crate::error::{Error, Result};
use crate::tensor::Float;

/// What `fit` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbose {
    /// A progress bar on a terminal, a line an epoch where output is piped or the terminal cannot move its cursor (`TERM=dumb`).
    #[default]
    Auto,
    /// Nothing.
    Silent,
    /// A line an epoch.
    Lines,
    /// A progress bar (feature `progress`); a line an epoch without it, or where [`Auto`](Self::Auto) gives lines.
    Bar,
}

/// How `fit` trains.
///
/// Defaults are Keras's: 1 epoch, batches of 32, shuffled, no validation.
///
/// ```
/// use gradus::prelude::*;
/// let how: Fit = Fit::default().epochs(10).batch_size(64).validation_split(0.2).verbose(Verbose::Silent);
/// # let _ = how;
/// ```
#[derive(Clone, Debug)]
pub struct Fit<'a, T: Float = f32> {
    pub(super) epochs: usize,
    pub(super) initial_epoch: usize,
    pub(super) batch_size: usize,
    pub(super) shuffle: bool,
    pub(super) validation_split: f64,
    pub(super) validation_data: Option<(Tensors<'a, T>, Tensors<'a, T>)>,
    pub(super) validation_weight: Option<Weights<'a, T>>,
    pub(super) sample_weight: Option<Weights<'a, T>>,
    pub(super) class_weight: Option<&'a [f64]>,
    pub(super) verbose: Verbose,
    pub(super) check_finite: bool,
    pub(super) steps_per_epoch: Option<usize>,
    pub(super) validation_dataset: Option<&'a dyn Dataset<T>>,
    #[cfg(feature = "files")]
    pub(super) checkpoint: Option<&'a Checkpoint>,
    pub(super) shards: Option<usize>,
    #[cfg(feature = "files")]
    pub(super) world: Option<&'a dyn World>,
    pub(super) shard_optimizer: bool,
}

impl<T: Float> Default for Fit<'_, T> {
    fn default() -> Self {
        Fit {
            epochs: 1,
            initial_epoch: 0,
            batch_size: 32,
            shuffle: true,
            validation_split: 0.0,
            validation_data: None,
            validation_weight: None,
            sample_weight: None,
            class_weight: None,
            verbose: Verbose::Auto,
            check_finite: false,
            steps_per_epoch: None,
            validation_dataset: None,
            #[cfg(feature = "files")]
            checkpoint: None,
            shards: None,
            #[cfg(feature = "files")]
            world: None,
            shard_optimizer: false,
        }
    }
}

impl<'a, T: Float> Fit<'a, T> {
    /// The epoch to train up to; 1 by default.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The epoch to begin with, counted from 0, to continue an earlier run; 0 by default.
    pub fn initial_epoch(mut self, epoch: usize) -> Self {
        self.initial_epoch = epoch;
        self
    }

    /// Samples a step; 32 by default. The last batch of an epoch may be smaller.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// Whether samples are taken in a new order each epoch, which follows from the model's seed and the epoch; yes by
    /// default.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// The last part of the samples, from 0 (the default) to below 1, is kept from training and measured after each epoch. An error
    /// where the rows are sorted by class, so that training would lack what is measured; see
    /// [`train_test_split`](crate::data::train_test_split).
    pub fn validation_split(mut self, part: f64) -> Self {
        self.validation_split = part;
        self
    }

    /// Inputs and targets measured after each epoch, tensors or lists of them as `fit` takes; takes precedence over
    /// `validation_split`.
    pub fn validation_data(mut self, x: impl Into<Tensors<'a, T>>, y: impl Into<Tensors<'a, T>>) -> Self {
        self.validation_data = Some((x.into(), y.into()));
        self
    }

    /// A weight for each sample, or step, of [`validation_data`](Self::validation_data), in the loss and in weighted metrics; none by default.
    pub fn validation_weight(mut self, weights: impl Into<Weights<'a, T>>) -> Self {
        self.validation_weight = Some(weights.into());
        self
    }

    /// A weight for the loss of each sample, one for every sample of x, or, of outputs `[n, steps, …]`, one for each step; none by
    /// default. The batch's loss is Σ wᵢ·lossᵢ / n as in Keras, n the samples or steps. With a validation split the last ones weight its loss; metrics are not weighted, but for
    /// [`Head::weighted_metrics`](super::Head::weighted_metrics).
    ///
    /// Of a model with several outputs they are for all of them, or for those named: `.sample_weight([("click", &weights[..])])`.
    pub fn sample_weight(mut self, weights: impl Into<Weights<'a, T>>) -> Self {
        self.sample_weight = Some(weights.into());
        self
    }

    /// A weight for the loss of each class, by its number; none by default. Multiplied by the sample's weight; validation is not
    /// weighted by class. Targets are class numbers or one-hot rows (of soft ones the largest counts); a sample of several labels
    /// or none is an error, as only [`sample_weight`](Self::sample_weight) can weigh it.
    pub fn class_weight(mut self, weights: &'a [f64]) -> Self {
        self.class_weight = Some(weights);
        self
    }

    /// What is printed.
    pub fn verbose(mut self, verbose: Verbose) -> Self {
        self.verbose = verbose;
        self
    }

    /// Whether the inputs and targets to train on are searched for NaN and infinities before training; no by default: what makes
    /// the loss NaN is found then, and named. What is validated on is always searched.
    pub fn check_finite(mut self, check: bool) -> Self {
        self.check_finite = check;
        self
    }

    /// How many batches of a [`Dataset`] make an epoch, the first ones; all by default. An endless one needs it, and goes on where the
    /// epoch before ended.
    pub fn steps_per_epoch(mut self, steps: usize) -> Self {
        self.steps_per_epoch = Some(steps);
        self
    }

    /// Batches measured after each epoch: those of the dataset's epoch 0; takes precedence over the other kinds of validation.
    pub fn validation_dataset(mut self, data: &'a dyn Dataset<T>) -> Self {
        self.validation_dataset = Some(data);
        self
    }

    /// Writes the state of the run to a file again and again, and continues from that file where it exists; see [`Checkpoint`].
    #[cfg(feature = "files")]
    pub fn checkpoint(mut self, checkpoint: &'a Checkpoint) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// Cuts every batch into so many logical [shards](crate::data::Shard): consecutive rows, whose gradients are added up in an order that
    /// depends on their number alone. One for each rank of a [distributed](Self::distributed) run by default, none in a single process.
    ///
    /// Runs with as many shards end with the same bits on any number of ranks. A shard is to its batch what a batch is to
    /// [gradient accumulation](crate::optimizers::OptimizerOptions::gradient_accumulation_steps): losses and gradients are means over the rows of the
    /// whole batch that count (of several outputs, over those of all), random draws are those of the row in the batch; layers that look at the batch as a
    /// whole, [`BatchNorm`](crate::layers::BatchNorm) (unless [synchronised](crate::layers::BatchNorm::synchronized)) and [`InfoNce`](crate::layers::merging::InfoNce), see a shard, and the moving averages of
    /// statistics become the mean of those of the shards. [`Metric`](crate::Metric)s of your own have to add to their sums and no more.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Trains together with the other ranks of a [`World`], each on its shards of every batch; see [`distributed`](crate::distributed).
    ///
    /// All ranks call `fit` with the same model, data and settings, which is looked at before the first step. Weights, the optimizer's
    /// moments, the seed, and what is resumed come from rank 0, which alone prints, and writes checkpoints and the files of callbacks. What
    /// `fit` returns is the same on all ranks. An error on one rank ends all.
    #[cfg(feature = "files")]
    pub fn distributed(mut self, world: &'a dyn World) -> Self {
        self.world = Some(world);
        self
    }

    /// Divides the optimizer's moments among the ranks of a [distributed](Self::distributed) run: each keeps and updates a part and hands the
    /// updated weights to the others, so that Adam takes 4 + 8/N bytes a weight on each of N ranks beside the gradients, and not 12. No by default; it changes no
    /// bit. A step moves half as much again between ranks. Checkpoints hold all moments, as without it; when `fit` ends, all ranks have
    /// all of them again.
    ///
    /// `fit` refuses rules that go through whole parameters (Muon, Adafactor) and moving averages of weights.
    ///
    /// ZeRO, stage 1 (Rajbhandari et al. 2020).
    #[cfg(feature = "files")]
    pub fn shard_optimizer(mut self, shard: bool) -> Self {
        self.shard_optimizer = shard;
        self
    }

    /// The ranks of the run.
    pub(super) fn ranks(&self) -> &'a dyn World {
        #[cfg(feature = "files")]
        if let Some(world) = self.world {
            return world;
        }
        &Alone
    }

    /// Whether this process writes files and prints.
    pub(super) fn is_first(&self) -> bool {
        self.ranks().rank() == 0
    }

    /// Whether this rank calls a callback.
    pub(super) fn calls(&self, callback: &dyn Callback<T>) -> bool {
        self.is_first() || !callback.rank_0_only()
    }

    /// How many shards a batch is cut into, if any.
    pub(super) fn shard_count(&self) -> Result<Option<usize>> {
        const MOST: usize = 1 << 16;
        let ranks = self.ranks().size();
        #[cfg(feature = "files")]
        let alone = self.world.is_none();
        #[cfg(not(feature = "files"))]
        let alone = true;
        let shards = match self.shards {
            None if alone => return Ok(None),
            None => ranks,
            Some(shards) => shards,
        };
        if !(ranks.max(1)..=MOST).contains(&shards) {
            let expected = format!("from {ranks}, one for each rank, to {MOST}");
            return Err(Error::argument("fit", "shards", expected, shards, "leave it out for one a rank"));
        }
        Ok(Some(shards))
    }
}
