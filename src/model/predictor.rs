//! Predictions into memory that is kept.

use std::ops::Range;

use super::built::Model;
use super::checks::all_finite;
use super::tensors::Tensors;
use crate::error::{Error, Result};
use crate::graph::{Ending, Given, RowNode, Work};
use crate::kernels::gemm::MADDS_PER_UPDATE;
use crate::kernels::parallel;
use crate::layer::Pass;
use crate::tensor::{Float, Tensor};

/// Fewer rows take as long as so many, as all weights are read.
const FEW: usize = 4;

/// The buffers of a prediction.
#[derive(Debug, Default)]
pub(crate) struct Workspace<T> {
    work: Work<T>,
    /// Rows that go through the layers together, of every input, and their outputs.
    batch: Vec<Tensor<T>>,
    out: Vec<Tensor<T>>,
    /// The masks of the outputs of all rows, where they carry one.
    masks: Vec<Option<Vec<bool>>>,
    /// Samples for which there is known to be memory.
    pub room: usize,
    /// Values of the inputs of a part of the rows for which there is, where sizes are free.
    open_room: usize,
}

impl<T> Workspace<T> {
    /// The mask of an output of the last pass.
    pub fn mask(&self, output: usize) -> Option<&[bool]> {
        self.masks.get(output)?.as_deref()
    }
}

impl<T: Float> Model<T> {
    /// The outputs for samples `x` `[n, …input]`, `[n, …output]`; of a model with several inputs, `x` is a list of tensors, by position
    /// or name.
    ///
    /// A sample's output does not depend, to the bit, on the others in the call. NaN in `x` is an error, and so is an infinity whose
    /// output is not finite; finite samples whose output exceeds the type give infinities.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` does not have the model's input shape; [`Error::NonFinite`] with
    /// row and column where `x` is the cause of outputs that are not finite, [`Error::Config`] for an output of NaN where it is
    /// not, and for a model with several outputs, see [`predict_all`](Self::predict_all). No samples give no outputs.
    pub fn predict<'a>(&self, x: impl Into<Tensors<'a, T>>) -> Result<Tensor<T>> {
        self.predict_tensors(x.into())
    }

    #[inline(never)]
    pub(crate) fn predict_tensors(&self, x: Tensors<'_, T>) -> Result<Tensor<T>> {
        if self.net.outputs() != 1 {
            let names = self.net.output_names();
            let problem = format!("the model has {} outputs ({})", names.len(), names.join(", "));
            let hint = "predict_all gives one tensor for each";
            return Err(Error::Config { op: "predict", problem, hint: hint.into() });
        }
        Ok(self.predict_list("predict", x)?.pop().unwrap_or_default())
    }

    /// The outputs of a model, one tensor for each, in the order of [`output_names`](Self::output_names).
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_all<'a>(&self, x: impl Into<Tensors<'a, T>>) -> Result<Vec<Tensor<T>>> {
        self.predict_list("predict_all", x.into())
    }

    #[inline(never)]
    pub(crate) fn predict_list(&self, op: &'static str, x: Tensors<'_, T>) -> Result<Vec<Tensor<T>>> {
        let x = x.ordered(op, "x", self.net.inputs(), || self.net.input_names())?;
        self.check_inputs(op, &x)?;
        let n = x[0].samples();
        self.check_room(op, n, &mut 0, &[])?;
        let mut out = vec![Tensor::default(); self.net.outputs()];
        self.forward_rows(&mut Workspace::default(), &x, 0..n, &mut out)?;
        self.check_outputs(op, &x, &out)?;
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
    pub(crate) fn check_outputs(&self, op: &'static str, x: &[&Tensor<T>], y: &[Tensor<T>]) -> Result<()> {
        match y.iter().find(|y| !all_finite(y.as_slice())) {
            None => Ok(()),
            Some(y) => self.blame(op, x, y),
        }
    }

    /// The inference pass over some rows of `x`, into `y`, one for each output. Gives what layers add to the loss.
    pub(crate) fn forward_rows(
        &self,
        buffers: &mut Workspace<T>,
        x: &[&Tensor<T>],
        rows: Range<usize>,
        y: &mut [Tensor<T>],
    ) -> Result<f64> {
        let Workspace { work, batch, out, masks, open_room, .. } = buffers;
        let n = rows.len();
        if self.net.is_masked() {
            masks.resize_with(y.len(), || None);
            masks.iter_mut().flatten().for_each(Vec::clear);
        }
        if n == x[0].samples() && n <= self.rows_together {
            // Small inputs are read and written where they are.
            let penalty = self.forward_here(work, open_room, Given::Refs(x), y)?;
            self.keep_masks(work, masks);
            return Ok(penalty);
        }
        batch.resize_with(x.len(), Tensor::default);
        out.resize_with(y.len(), Tensor::default);
        let mut penalty = 0.0;
        for start in (0..n).step_by(self.rows_together) {
            let part = start..(start + self.rows_together).min(n);
            for (x, batch) in x.iter().zip(&mut *batch) {
                x.copy_rows(rows.start + part.start..rows.start + part.end, batch);
            }
            let Some((first, more)) = batch.split_first() else { break };
            penalty += self.forward_here(work, open_room, Given::Batch(first, more), out)? * part.len() as f64;
            self.keep_masks(work, masks);
            for (y, out) in y.iter_mut().zip(&*out) {
                if start == 0 {
                    y.resize_batch(&out.shape().sample(), n);
                }
                let width = out.shape().sample().len();
                y.as_mut_slice()[part.start * width..part.end * width].copy_from_slice(out.as_slice());
            }
        }
        Ok(penalty / n.max(1) as f64)
    }

    /// Adds the masks of the outputs of some rows to those before.
    fn keep_masks(&self, work: &Work<T>, masks: &mut [Option<Vec<bool>>]) {
        if !self.net.is_masked() {
            return;
        }
        for (output, kept) in masks.iter_mut().enumerate() {
            if let Some(mask) = self.net.output_mask(work, output) {
                kept.get_or_insert_default().extend_from_slice(mask);
            }
        }
    }

    /// The same for all rows at once.
    fn forward_here(
        &self,
        work: &mut Work<T>,
        open_room: &mut usize,
        x: Given<'_, T>,
        y: &mut [Tensor<T>],
    ) -> Result<f64> {
        self.net.prepare(work, x)?;
        if self.net.is_open() {
            self.net.check_room("predict", work, None, x, open_room)?;
        }
        let mut pass = Pass::inference(&self.params);
        let size = self.work_of(x);
        if let [y] = y {
            // The net writes where y is.
            self.net.exchange(work, 0, y);
            parallel::enter_awake(size, || self.net.run(&mut pass, work, x));
            self.net.keep_rows_before(work, x);
            self.net.exchange(work, 0, y);
            return Ok(pass.penalty());
        }
        let exchange = |work: &mut Work<T>, y: &mut [Tensor<T>]| {
            let own = y.iter_mut().enumerate().filter(|(i, _)| self.net.same_output(*i).is_none());
            own.for_each(|(i, y)| self.net.exchange(work, i, y));
        };
        exchange(work, y);
        parallel::enter_awake(size, || self.net.run(&mut pass, work, x));
        self.net.keep_rows_before(work, x);
        exchange(work, y);
        for i in 1..y.len() {
            if let Some(first) = self.net.same_output(i) {
                let (before, rest) = y.split_at_mut(i);
                rest[0].copy_from(&before[first]);
            }
        }
        Ok(pass.penalty())
    }

    /// The work of the largest product of rows with a weight, as products count theirs: where it is worth a second thread, the pass runs on a thread of the
    /// pool, and hands parts on from there.
    fn work_of(&self, x: Given<'_, T>) -> usize {
        // Of open sizes each value may be a row.
        let rows = if self.net.is_open() { x.get(0).map_or(0, Tensor::len) } else { x.samples() };
        self.heaviest.saturating_mul(rows.max(FEW)) / MADDS_PER_UPDATE
    }

    /// Lets out the activations that losses take over, and the nodes that do; then what these read stands for their outputs.
    pub(crate) fn leave_out(
        &self,
        buffers: &mut Workspace<T>,
        endings: impl Iterator<Item = Ending>,
        by_rows: &[RowNode],
    ) {
        self.net.leave_out(&mut buffers.work, endings);
        self.net.leave_by_rows(&mut buffers.work, by_rows);
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
        if self.model.net.outputs() != 1 {
            self.model.check_single("predict_into")?;
        }
        self.run("predict_into", &[x], std::slice::from_mut(y))
    }

    /// The outputs of a model with several inputs or outputs, into `y`, a tensor for each output; the same bits as
    /// [`Model::predict_all`].
    ///
    /// # Errors
    /// As [`predict_into`](Self::predict_into); [`Error::Argument`](crate::Error::Argument) for another number of inputs or outputs.
    #[inline(never)]
    pub fn predict_all_into(&mut self, x: &[&Tensor<T>], y: &mut [Tensor<T>]) -> Result<()> {
        const OP: &str = "predict_all_into";
        if y.len() != self.model.net.outputs() {
            let names = self.model.net.output_names();
            let expected = format!("{} ({})", names.len(), names.join(", "));
            return Err(Error::argument(OP, "y", expected, y.len(), "pass one tensor for each output"));
        }
        self.run(OP, x, y)
    }

    fn run(&mut self, op: &'static str, x: &[&Tensor<T>], y: &mut [Tensor<T>]) -> Result<()> {
        self.model.check_inputs(op, x)?;
        let n = x[0].samples();
        self.model.check_room(op, n, &mut self.work.room, &[])?;
        self.model.forward_rows(&mut self.work, x, 0..n, y)?;
        self.model.check_outputs(op, x, y)
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
