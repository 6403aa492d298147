//! Callbacks from closures.

use std::fmt;

use super::{Callback, Logs, Run};
use crate::error::Result;
use crate::tensor::Float;

type EpochBegin<'a, T> = Box<dyn FnMut(usize, &mut Run<'_, T>) -> Result<()> + 'a>;
type BatchEnd<'a, T> = Box<dyn FnMut(usize, f64, &mut Run<'_, T>) -> Result<()> + 'a>;
type EpochEnd<'a, T> = Box<dyn FnMut(usize, &Logs<'_>, &mut Run<'_, T>) -> Result<()> + 'a>;

/// Calls closures.
///
/// Keras `LambdaCallback`.
///
/// ```
/// use gradus::prelude::*;
/// let mut losses = Vec::new();
/// let mut watch = LambdaCallback::default().on_batch_end(|_, loss, _| Ok(losses.push(loss)));
/// let mut model = Sequential::new([1]).add(Dense::new(1)).build(0)?;
/// model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
/// let x = Tensor::zeros([4, 1]);
/// let how = Fit::default().batch_size(2).verbose(Verbose::Silent);
/// model.fit_with(&x, &x, &how, &mut [&mut watch])?;
/// drop(watch);
/// assert_eq!(losses.len(), 2);
/// # Ok::<(), gradus::Error>(())
/// ```
pub struct LambdaCallback<'a, T: Float = f32> {
    epoch_begin: Option<EpochBegin<'a, T>>,
    batch_end: Option<BatchEnd<'a, T>>,
    epoch_end: Option<EpochEnd<'a, T>>,
}

impl<T: Float> Default for LambdaCallback<'_, T> {
    fn default() -> Self {
        LambdaCallback { epoch_begin: None, batch_end: None, epoch_end: None }
    }
}

impl<T: Float> fmt::Debug for LambdaCallback<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LambdaCallback")
    }
}

impl<'a, T: Float> LambdaCallback<'a, T> {
    /// Called before each epoch.
    pub fn on_epoch_begin(mut self, f: impl FnMut(usize, &mut Run<'_, T>) -> Result<()> + 'a) -> Self {
        self.epoch_begin = Some(Box::new(f));
        self
    }

    /// Called after each step, with the loss of its batch.
    pub fn on_batch_end(mut self, f: impl FnMut(usize, f64, &mut Run<'_, T>) -> Result<()> + 'a) -> Self {
        self.batch_end = Some(Box::new(f));
        self
    }

    /// Called after each epoch, with its figures.
    pub fn on_epoch_end(mut self, f: impl FnMut(usize, &Logs<'_>, &mut Run<'_, T>) -> Result<()> + 'a) -> Self {
        self.epoch_end = Some(Box::new(f));
        self
    }
}

impl<T: Float> Callback<T> for LambdaCallback<'_, T> {
    fn on_epoch_begin(&mut self, epoch: usize, run: &mut Run<'_, T>) -> Result<()> {
        self.epoch_begin.as_mut().map_or(Ok(()), |f| f(epoch, run))
    }

    fn on_batch_end(&mut self, batch: usize, loss: f64, run: &mut Run<'_, T>) -> Result<()> {
        self.batch_end.as_mut().map_or(Ok(()), |f| f(batch, loss, run))
    }

    fn on_epoch_end(&mut self, epoch: usize, logs: &Logs<'_>, run: &mut Run<'_, T>) -> Result<()> {
        self.epoch_end.as_mut().map_or(Ok(()), |f| f(epoch, logs, run))
    }
}
