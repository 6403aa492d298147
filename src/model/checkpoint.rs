//! Where and how often a run is written down.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where and how often `fit` writes the state of a run, and that it goes on from there.
///
/// The file holds all that the run needs: weights, the optimizer's moments and step, the place in the epoch, the history, the
/// callbacks with their best weights, the seed. A program that is killed at any instant and started again ends with the same
/// bits as one that never was, on any number of threads: `fit` looks for the file and goes on from it. To begin anew, remove the
/// file. More epochs continue a run that is done; with nothing left to train, `fit` returns the run's history at once. Which of
/// the three it is, `fit` prints in a line and [`History::start`](super::History::start) tells.
///
/// The file also knows what the run was set up with. Where anything of that has changed, `fit` does not go on but returns an error
/// that lists the changes; see [`accept_changes`](Self::accept_changes). Compared are:
///
/// - Layers, seed, element type, frozen weights, learning-rate factors, and a digest of the weights at the start.
/// - Optimizer with its schedule, losses with their weights, metrics and weighted metrics, by what their `Debug` prints.
/// - Callbacks that take part in training, by [`Callback::settings`](crate::Callback::settings): EarlyStopping, ReduceLrOnPlateau,
///   that there is a LearningRateScheduler, and your own that say something; those that only watch are not.
/// - Batch size, order, weights of samples (to train and to validate on) and classes, for each output.
/// - Tensors, to train and to validate on, by their shapes and a digest of all values.
/// - Datasets, to train and to validate on, by the shapes of their samples, the number of batches, and a digest of the first and of the
///   last batch of epoch 0, their weights and masks included, which are loaded for that once more before the first step. A shuffle, augmentation or batch size that differs
///   shows there, and so do other data, unless they differ in the batches between alone.
///
/// What is not compared: the number of epochs, the code of functions and closures but for what it makes of those two batches, and
/// the version of this crate.
///
/// The folder of the file is made where there is none.
///
/// A file is written beside the old one and then takes its place, so there is always a whole one. Writing goes on in the
/// background while training does; a checkpoint that falls due meanwhile waits for its end. Because it is a model's file with
/// more in it, [`Model::load`](crate::Model::load) reads it too.
///
/// Defaults: after every epoch and at the end, in the background, going on from a file that exists.
///
/// Keras `BackupAndRestore`.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("gradus_doc_checkpoint_{}.safetensors", std::process::id()));
/// use gradus::prelude::*;
/// let (x, y) = (Tensor::from([[0.0], [1.0], [2.0]]), Tensor::from([[1.0], [3.0], [5.0]]));
/// let train = |epochs| {
///     let mut model = Sequential::new([1]).add(Dense::new(1)).build(7)?;
///     model.compile(Adam::default(), MeanSquaredError::default(), ())?;
///     let checkpoint = Checkpoint::new(&path).every_steps(100);
///     model.fit(&x, &y, &Fit::default().epochs(epochs).checkpoint(&checkpoint).verbose(Verbose::Silent))
/// };
/// train(2)?;
/// // Started again: two epochs are done, three are to come.
/// assert_eq!(train(5)?.epochs, [0, 1, 2, 3, 4]);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub(super) path: PathBuf,
    pub(super) every_steps: Option<usize>,
    pub(super) every_epochs: usize,
    pub(super) background: bool,
    pub(super) resume: bool,
    pub(super) accept_changes: bool,
}

impl Checkpoint {
    /// A checkpoint in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Checkpoint {
            path: path.into(),
            every_steps: None,
            every_epochs: 1,
            background: true,
            resume: true,
            accept_changes: false,
        }
    }

    /// Writes after so many batches too, counted from the last time it was due; only after epochs by default.
    pub fn every_steps(mut self, steps: usize) -> Self {
        self.every_steps = Some(steps);
        self
    }

    /// Writes after every so many epochs; 1 by default.
    pub fn every_epochs(mut self, epochs: usize) -> Self {
        self.every_epochs = epochs;
        self
    }

    /// Whether files are written on a thread of their own while training goes on, from a copy of the state; yes by default.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Whether a run goes on from a file that exists, else it is overwritten; yes by default.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Whether a run goes on from a file of a run with other settings or data, with the new ones; no by default, which makes that
    /// an error. The file then holds the new settings. An epoch that was begun with batches of another number or size begins again, a
    /// callback in the place of another begins anew; moments of another [storage](crate::optimizers::MomentStorage) are converted; a file whose weights or moments do not fit the model stays an error.
    ///
    /// A run that a callback ended goes on too, up to the epochs asked for or until a callback ends it again; so leave this out once
    /// the changed run has begun.
    pub fn accept_changes(mut self, accept: bool) -> Self {
        self.accept_changes = accept;
        self
    }

    /// Whether there is a file to go on from.
    pub(crate) fn found(&self) -> bool {
        self.resume && self.path.exists()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn check(&self) -> Result<()> {
        let bad = |name, hint| Err(Error::argument("Checkpoint", name, "at least 1", 0, hint));
        if self.every_steps == Some(0) {
            return bad("every_steps", "1000 steps is usual");
        }
        if self.every_epochs == 0 {
            return bad("every_epochs", "1 writes after every epoch");
        }
        Ok(())
    }
}
