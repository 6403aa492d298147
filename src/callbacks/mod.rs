//! What happens around training: stopping early, lowering the learning rate, logging.
//!
//! ```
//! use gradus::prelude::*;
//! let mut model = Sequential::new([2]).add(Dense::new(1)).build(0)?;
//! model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
//! let (x, y) = (Tensor::from([[0.0, 1.0], [1.0, 0.0]]), Tensor::from([[1.0], [0.0]]));
//! let mut stopping = EarlyStopping::default().monitor("loss").patience(3);
//! let mut slower = ReduceLrOnPlateau::default().monitor("loss").patience(2);
//! let how = Fit::default().epochs(5).verbose(Verbose::Silent);
//! model.fit_with(&x, &y, &how, &mut [&mut stopping, &mut slower])?;
//! # Ok::<(), gradus::Error>(())
//! ```

mod csv_logger;
mod early_stopping;
#[cfg(feature = "tools")]
mod event_file;
#[cfg(feature = "files")]
mod file_name;
mod lambda_callback;
mod learning_rate_scheduler;
#[cfg(feature = "files")]
mod model_checkpoint;
mod monitor;
mod prepare;
mod reduce_lr_on_plateau;
#[cfg(feature = "tools")]
mod tensor_board;
mod terminate_on_nan;
#[cfg(test)]
mod testing;

use std::fmt::Debug;

pub use csv_logger::CsvLogger;
pub use early_stopping::EarlyStopping;
pub use lambda_callback::LambdaCallback;
pub use learning_rate_scheduler::LearningRateScheduler;
#[cfg(feature = "files")]
pub use model_checkpoint::ModelCheckpoint;
pub use monitor::Mode;
pub(crate) use prepare::prepare_file;
#[cfg(any(feature = "files", feature = "tools"))]
pub(crate) use prepare::prepare_folder;
pub use reduce_lr_on_plateau::ReduceLrOnPlateau;
#[cfg(feature = "tools")]
pub use tensor_board::TensorBoard;
pub use terminate_on_nan::TerminateOnNan;

use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::io::Beside;
use crate::params::Params;
use crate::state::State;
use crate::tensor::Float;

/// Called by [`fit_with`](crate::Model::fit_with) at the points that the methods name; each does nothing by default. An
/// error ends training and is returned.
///
/// Keras `Callback`. Epochs and batches count from 0.
pub trait Callback<T: Float = f32>: Debug {
    /// Before anything is trained, written or asked of another callback: what is known of the run. Nothing by default.
    ///
    /// ```
    /// use gradus::callbacks::RunPlan;
    /// use gradus::prelude::*;
    /// /// Prints one figure of every epoch.
    /// #[derive(Debug)]
    /// struct Print(&'static str);
    /// impl Callback for Print {
    ///     fn check(&self, plan: &RunPlan<'_>) -> Result<(), Error> {
    ///         plan.check_figure("Print", self.0)
    ///     }
    /// }
    /// let mut model = Sequential::new([1]).add(Dense::new(1)).build(0)?;
    /// model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
    /// let x = Tensor::zeros([4, 1]);
    /// let how = Fit::default().verbose(Verbose::Silent);
    /// let error = model.fit_with(&x, &x, &how, &mut [&mut Print("accuracy")]).unwrap_err();
    /// assert!(error.to_string().starts_with("Print: monitor must be one of loss, got accuracy"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// Settings that cannot work; `fit` returns the error before the first step.
    fn check(&self, _plan: &RunPlan<'_>) -> Result<()> {
        Ok(())
    }

    /// What the callback is set up with, by name, where that changes what training comes to: a checkpoint keeps it beside the
    /// name of the type, and a run with other settings does not go on from there unasked. What changes from epoch to epoch
    /// belongs into [`save`](Self::save). Nothing by default; then the callback is not compared at all.
    fn settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The name under which a checkpoint keeps the [settings](Self::settings): that of the type by default.
    fn name(&self) -> &'static str {
        let name = std::any::type_name::<Self>();
        let name = name.split_once('<').map_or(name, |(name, _)| name);
        name.rsplit("::").next().unwrap_or(name)
    }

    /// Whether only rank 0 of a [distributed](crate::distributed) run calls it: what watches and writes files. No by default; what changes
    /// training has to be called on all ranks, and to do the same on each.
    fn rank_0_only(&self) -> bool {
        false
    }

    /// Before the first epoch.
    ///
    /// # Errors
    /// Whatever should end training.
    fn on_train_begin(&mut self, _run: &mut Run<'_, T>) -> Result<()> {
        Ok(())
    }

    /// Before an epoch.
    ///
    /// # Errors
    /// Whatever should end training.
    fn on_epoch_begin(&mut self, _epoch: usize, _run: &mut Run<'_, T>) -> Result<()> {
        Ok(())
    }

    /// After a step, with the loss of its batch.
    ///
    /// # Errors
    /// Whatever should end training.
    fn on_batch_end(&mut self, _batch: usize, _loss: f64, _run: &mut Run<'_, T>) -> Result<()> {
        Ok(())
    }

    /// After an epoch and its validation.
    ///
    /// # Errors
    /// Whatever should end training.
    fn on_epoch_end(&mut self, _epoch: usize, _logs: &Logs<'_>, _run: &mut Run<'_, T>) -> Result<()> {
        Ok(())
    }

    /// After a step that left the finite numbers, with the error that `fit` is about to return; the weights are the last
    /// finite ones. True ends training without the error, before the epoch's figures; every callback is asked.
    ///
    /// # Errors
    /// Whatever should be returned in place of the error.
    fn on_diverged(&mut self, _error: &Error, _run: &mut Run<'_, T>) -> Result<bool> {
        Ok(false)
    }

    /// After the last epoch; not after an error.
    ///
    /// # Errors
    /// Whatever went wrong.
    fn on_train_end(&mut self, _run: &mut Run<'_, T>) -> Result<()> {
        Ok(())
    }

    /// Writes all that changes from epoch to epoch, so that a run can be resumed; nothing by default.
    fn save(&self, _state: &mut State) {}

    /// Takes back what [`save`](Self::save) wrote, after `on_train_begin` of a run that is resumed.
    ///
    /// # Errors
    /// Those of the [`State`] for what is not there.
    fn restore(&mut self, _state: &State) -> Result<()> {
        Ok(())
    }
}

/// What is known of a run before its first step.
#[derive(Clone, Copy, Debug)]
pub struct RunPlan<'a> {
    pub(crate) figures: &'a [String],
    pub(crate) epochs: usize,
    pub(crate) resumed: bool,
}

impl RunPlan<'_> {
    /// The names of the figures that every epoch will have, in the order in which they are printed.
    pub fn figures(&self) -> impl Iterator<Item = &str> {
        self.figures.iter().map(String::as_str)
    }

    /// The epoch up to which the run is to train.
    pub fn epochs(&self) -> usize {
        self.epochs
    }

    /// Whether the run goes on from a checkpoint.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Checks that there will be a figure of this name.
    ///
    /// # Errors
    /// [`Error::Argument`] if not; it lists those that there will be.
    pub fn check_figure(&self, op: &'static str, name: &str) -> Result<()> {
        if self.figures().any(|figure| figure == name) { Ok(()) } else { Err(no_figure(op, name, self.figures())) }
    }
}

fn no_figure<'a>(op: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<_> = known.collect();
    let hint = match name.strip_prefix("val_") {
        Some(plain) if known.contains(&plain) => "val_… figures need validation data",
        _ => "figures are named after the loss and the metrics of compile, with val_ in front for validation data",
    };
    Error::argument(op, "monitor", format!("one of {}", known.join(", ")), name, hint)
}

/// The figures of an epoch: `"loss"`, `"accuracy"`, `"val_loss"` …
#[derive(Clone, Copy, Debug)]
pub struct Logs<'a>(pub(crate) &'a [(String, f64)]);

impl Logs<'_> {
    /// A figure by name.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none of that name; it lists those that there are.
    pub fn get(&self, op: &'static str, name: &str) -> Result<f64> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| *v)
            .ok_or_else(|| no_figure(op, name, self.0.iter().map(|(n, _)| n.as_str())))
    }

    /// Names and values in the order in which they are printed.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(n, v)| (n.as_str(), *v))
    }
}

/// What a model is made of, beside its weights.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "files"), allow(dead_code))]
pub(crate) struct Described<'a> {
    pub graph: &'a Graph,
    pub seed: u64,
    pub beside: &'a Beside,
}

/// What a callback sees of the training, and may change.
#[derive(Debug)]
pub struct Run<'a, T: Float = f32> {
    /// Read where models are written to files.
    #[cfg_attr(not(feature = "files"), allow(dead_code))]
    pub(crate) described: Described<'a>,
    pub(crate) params: &'a mut Params<T>,
    pub(crate) rate: &'a mut Option<f64>,
    pub(crate) scheduled: f64,
    pub(crate) resumed: bool,
    pub(crate) stop: &'a mut bool,
    pub(crate) notes: &'a mut Vec<String>,
}

impl<T: Float> Run<'_, T> {
    /// All weights.
    pub fn params(&self) -> &Params<T> {
        self.params
    }

    /// The values of all weights, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [T] {
        self.params.values_mut()
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.rate.unwrap_or(self.scheduled)
    }

    /// Replaces the learning rate, or the schedule, from the next step on.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        if !rate.is_finite() || rate < 0.0 {
            return Err(Error::argument(
                "callback",
                "learning_rate",
                "finite and not negative",
                rate,
                "check the rule",
            ));
        }
        *self.rate = Some(rate);
        Ok(())
    }

    /// Writes the model as it is now, as [`Model::save`](crate::Model::save) does.
    ///
    /// # Errors
    /// As [`Model::save`](crate::Model::save).
    #[cfg(feature = "files")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        let Described { graph, seed, beside } = self.described;
        crate::io::model::save(path.as_ref(), graph, seed, beside, self.params)
    }

    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    #[cfg(not(feature = "files"))]
    pub fn save(&self, _path: impl AsRef<std::path::Path>) -> Result<()> {
        Err(Error::feature("Run::save", "files"))
    }

    /// Whether a file holds this model: weights of its names and shapes, and an architecture.
    #[cfg(feature = "files")]
    pub(crate) fn is_model(&self, path: &std::path::Path) -> bool {
        let Ok(archive) = crate::io::Archive::open(path) else { return false };
        let holds = |spec: &crate::ParamSpec| {
            archive.arrays().iter().any(|s| s.name == spec.name && s.shape == spec.shape.dims())
        };
        archive.about().is_some() && self.params.specs().iter().all(holds)
    }

    /// Whether this run goes on from a checkpoint; then [`Callback::restore`] follows on `on_train_begin`.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Prints a line with those of the run after the epoch, where `fit` is not silent.
    pub fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }

    /// Ends training after this epoch.
    pub fn stop(&mut self) {
        *self.stop = true;
    }
}
