//! Predictions into memory that is kept.

use std::ops::Range;

use super::built::Model;
use super::checks::{all_finite, blame};
#[allow(unused_imports)] // The documentation speaks of it.
use crate::error::Error;
use crate::error::Result;
use crate::graph::{Ending, Work};
use crate::layer::Pass;
use crate::tensor::{Float, Tensor};

/// The buffers of a prediction.
#[derive(Debug, Default)]
pub(crate) struct Workspace<T> {
    work: Work<T>,
    /// Rows that go through the layers together, and their outputs.
    batch: Tensor<T>,
    out: Tensor<T>,
    /// Samples for which there is known to be memory.
    pub room: usize,
}

impl<T: Float> Model<T> {
    /// The outputs for samples `x` `[n, …input]`, `[n, …output]`.
    ///
    /// A sample's output does not depend, to the bit, on the others in the call. NaN in `x` is an error, and so is an infinity whose
    /// output is not finite; finite samples whose output exceeds the type give infinities.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` does not have the model's input shape; [`Error::NonFinite`] with
    /// row and column where `x` is the cause of outputs that are not finite, [`Error::Config`] for an output of NaN where it is
    /// not. No samples give no outputs.
    #[inline(never)]
    pub fn predict(&self, x: &Tensor<T>) -> Result<Tensor<T>> {
        self.check_input("predict", x)?;
        self.check_room("predict", x.samples(), &mut 0)?;
        let mut out = Tensor::default();
        self.predict_with(&mut Workspace::default(), x, &mut out);
        self.check_output("predict", x, &out)?;
        Ok(out)
    }

    /// This model with a workspace of its own, for predictions that allocate nothing after the first.
    ///
    /// # Errors
    /// None today.
    #[inline(never)]
    pub fn predictor(&self) -> Result<Predictor<'_, T>> {
        Ok(Predictor::new(self))
    }

    /// An error for outputs that are no numbers; inputs are looked at only where an output is not finite, as every layer lets NaN
    /// through.
    #[inline]
    pub(crate) fn check_output(&self, op: &'static str, x: &Tensor<T>, y: &Tensor<T>) -> Result<()> {
        if all_finite(y.as_slice()) { Ok(()) } else { blame(op, x, y) }
    }

    /// The outputs for checked samples, into `out`.
    pub(crate) fn predict_with(&self, work: &mut Workspace<T>, x: &Tensor<T>, out: &mut Tensor<T>) {
        out.resize_batch(&self.output, x.samples());
        self.forward_rows(work, x, 0..x.samples(), out);
    }

    /// The inference pass over some rows of `x`, into `y`, which has as many. Gives what layers add to the loss.
    pub(crate) fn forward_rows(
        &self,
        buffers: &mut Workspace<T>,
        x: &Tensor<T>,
        rows: Range<usize>,
        y: &mut Tensor<T>,
    ) -> f64 {
        let Workspace { work, batch, out, .. } = buffers;
        let mut forward = |x: &Tensor<T>, y: &mut Tensor<T>| {
            let mut pass = Pass::inference(&self.params);
            // The net writes where y is.
            self.net.exchange(work, 0, y);
            self.net.run(&mut pass, work, &[x]);
            self.net.exchange(work, 0, y);
            pass.penalty()
        };
        let (n, width) = (rows.len(), self.output.len());
        if n == x.samples() && n <= self.rows_together {
            // Small inputs are read and written where they are.
            return if n > 0 { forward(x, y) } else { 0.0 };
        }
        let mut penalty = 0.0;
        for start in (0..n).step_by(self.rows_together) {
            let part = start..(start + self.rows_together).min(n);
            x.copy_rows(rows.start + part.start..rows.start + part.end, batch);
            penalty += forward(batch, out) * part.len() as f64;
            y.as_mut_slice()[part.start * width..part.end * width].copy_from_slice(out.as_slice());
        }
        penalty / n.max(1) as f64
    }

    /// The same without the activation that a loss takes over.
    pub(crate) fn leave_out(&self, buffers: &mut Workspace<T>, ending: Option<Ending>) {
        self.net.leave_out(&mut buffers.work, ending.into_iter());
    }
}

/// A model and the buffers to predict with it again and again: after the first call of a size nothing is allocated, and
/// small inputs stay on the calling thread.
///
/// Made by [`Model::predictor`]. One model can have many, one for each thread that serves it.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([3]).add(Dense::new(2)).build(0)?;
/// let mut predictor = model.predictor()?;
/// let (x, mut y) = (Tensor::from([[0.1, 0.2, 0.3]]), Tensor::default());
/// predictor.predict_into(&x, &mut y)?;
/// assert_eq!(y, model.predict(&x)?);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor<'a, T: Float = f32> {
    model: &'a Model<T>,
    work: Workspace<T>,
}

impl<'a, T: Float> Predictor<'a, T> {
    pub(crate) fn new(model: &'a Model<T>) -> Self {
        Predictor { model, work: Workspace::default() }
    }

    /// The outputs for samples `x` `[n, …input]` into `y`, which gets the shape `[n, …output]`; the same bits as
    /// [`Model::predict`].
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if `x` does not have the model's input shape; `y` is unchanged then.
    /// Those of [`Model::predict`] for outputs that are not finite.
    #[inline(never)]
    pub fn predict_into(&mut self, x: &Tensor<T>, y: &mut Tensor<T>) -> Result<()> {
        self.model.check_input("predict_into", x)?;
        self.model.check_room("predict_into", x.samples(), &mut self.work.room)?;
        self.model.predict_with(&mut self.work, x, y);
        self.model.check_output("predict_into", x, y)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn the_same_bits_in_any_company() {
        let layers = Sequential::new([5]).add(Dense::new(7).activation(Activation::Gelu));
        let model = layers.add(Dense::new(3).activation(Activation::Softmax)).build(3).unwrap();
        let x = Tensor::from_fn([600, 5], |i| ((i * 37 % 101) as f32) * 0.02 - 1.0);
        let all = model.predict(&x).unwrap();
        let (mut predictor, mut y) = (model.predictor().unwrap(), Tensor::default());
        for n in [600, 1, 256, 257, 0, 17] {
            predictor.predict_into(&x.rows(0..n).unwrap(), &mut y).unwrap();
            assert_eq!(y, all.rows(0..n).unwrap());
        }
        for i in 0..600 {
            predictor.predict_into(&x.rows(i..i + 1).unwrap(), &mut y).unwrap();
            assert_eq!(y.as_slice(), all.row(i));
        }
    }

    #[test]
    fn memory_is_kept() {
        let model = Sequential::new([5]).add(Dense::new(7)).build(3).unwrap();
        let (mut predictor, x, mut y) = (model.predictor().unwrap(), Tensor::zeros([4, 5]), Tensor::default());
        predictor.predict_into(&x, &mut y).unwrap();
        let at = y.as_slice().as_ptr();
        predictor.predict_into(&x, &mut y).unwrap();
        assert_eq!(y.as_slice().as_ptr(), at);
    }

    #[test]
    fn wrong_shapes() {
        let model = Sequential::new([5]).add(Dense::new(7)).build(0).unwrap();
        let mut y = Tensor::default();
        assert!(model.predictor().unwrap().predict_into(&Tensor::zeros([1, 4]), &mut y).unwrap_err().is_shape());
    }
}
