//! A quiet end for training that diverges.

use super::{Callback, Run};
use crate::error::{Error, Result};
use crate::tensor::Float;

/// Ends training without an error when the loss, a gradient or a new weight is NaN or infinite.
///
/// Without this callback `fit` returns [`Error::Diverged`]. With it `fit` returns the history of the epochs before the one
/// that broke off, and [`error`](Self::error) tells what happened. In either case the model keeps the last finite weights,
/// while Keras leaves NaN in them and in the history.
///
/// Keras `TerminateOnNaN`.
///
/// ```
/// use gradus::prelude::*;
/// let mut model = Sequential::new([1]).add(Dense::new(1)).build(0)?;
/// model.compile(Sgd::default().learning_rate(1e30), MeanSquaredError::default(), ())?;
/// let (x, y) = (Tensor::full([4, 1], 1.0), Tensor::full([4, 1], 2.0));
/// let mut end = TerminateOnNan::default();
/// let history = model.fit_with(&x, &y, &Fit::default().epochs(9).verbose(Verbose::Silent), &mut [&mut end])?;
/// assert!(history.get("loss").is_none_or(|losses| losses.len() < 9));
/// assert!(end.error().is_some_and(|message| message.starts_with("fit: ")));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TerminateOnNan {
    error: Option<String>,
}

impl TerminateOnNan {
    /// What became NaN or infinite, and when, if training ended so.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

impl<T: Float> Callback<T> for TerminateOnNan {
    fn on_train_begin(&mut self, _: &mut Run<'_, T>) -> Result<()> {
        self.error = None;
        Ok(())
    }

    fn on_diverged(&mut self, error: &Error, _: &mut Run<'_, T>) -> Result<bool> {
        self.error = Some(error.to_string());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    /// One batch an epoch; the third epoch's learning rate throws the weights out of range.
    fn train(callbacks: &mut [&mut dyn Callback<f32>]) -> (Model, crate::Result<History>) {
        let mut model = Sequential::new([1]).add(Dense::new(1)).build(0).unwrap();
        model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
        let x = Tensor::full([4, 1], 1.0);
        let how = Fit::default().epochs(5).verbose(Verbose::Silent);
        let mut break_off = LambdaCallback::default().on_epoch_begin(|epoch, run| {
            if epoch == 2 {
                run.set_learning_rate(1e38)?;
            }
            Ok(())
        });
        let mut all: Vec<&mut dyn Callback<f32>> = vec![&mut break_off];
        all.extend(callbacks.iter_mut().map(|c| &mut **c as &mut dyn Callback<f32>));
        let history = model.fit_with(&x, &Tensor::full([4, 1], 100.0), &how, &mut all);
        drop(all);
        drop(break_off);
        (model, history)
    }

    #[test]
    fn the_history_so_far() {
        assert!(train(&mut []).1.unwrap_err().is_diverged());
        let mut end = TerminateOnNan::default();
        let (model, history) = train(&mut [&mut end]);
        assert!(model.params().values().iter().all(|w| w.is_finite()));
        assert_eq!(history.unwrap().get("loss").unwrap().len(), 2);
        assert!(end.error().unwrap().contains("in epoch 3, step 1"), "{:?}", end.error());
    }

    #[test]
    fn a_finite_run_is_left_alone() {
        let mut model = Sequential::new([1]).add(Dense::new(1)).build(0).unwrap();
        model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
        let (x, how) = (Tensor::full([4, 1], 1.0), Fit::default().epochs(3).verbose(Verbose::Silent));
        let mut end = TerminateOnNan::default();
        let history = model.fit_with(&x, &x, &how, &mut [&mut end]).unwrap();
        assert_eq!((history.get("loss").unwrap().len(), end.error()), (3, None));
    }
}
