//! NaN and infinities in data and predictions, with the input or output that has them.

use std::ops::Range;

use super::built::Model;
use super::checks::check_finite;
use super::trained_head::of_head;
use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

impl<T: Float> Model<T> {
    /// An error that names the first NaN or infinity in some rows of inputs.
    pub(super) fn check_finite_inputs(&self, op: &'static str, x: &[&Tensor<T>], rows: Range<usize>) -> Result<()> {
        x.iter().enumerate().try_for_each(|(i, x)| {
            check_finite(op, "x", x, rows.clone()).map_err(|error| match self.net.inputs() {
                1 => error,
                _ => Error::Input { name: self.net.input_names()[i].to_owned(), source: Box::new(error) },
            })
        })
    }

    /// An error that names the first NaN or infinity in some rows of inputs and targets.
    pub(super) fn check_all_finite(
        &self,
        op: &'static str,
        x: &[&Tensor<T>],
        y: &[&Tensor<T>],
        rows: Range<usize>,
    ) -> Result<()> {
        self.check_finite_inputs(op, x, rows.clone())?;
        let Some(training) = &self.training else { return Err(self.not_compiled(op)) };
        y.iter().enumerate().try_for_each(|(i, y)| {
            check_finite(op, "y", y, rows.clone()).map_err(|error| of_head(&training.heads, i, error))
        })
    }

    /// Outputs that are not finite: an error where an input is to blame, or where they are not even numbers.
    #[cold]
    pub(super) fn blame(&self, op: &'static str, x: &[&Tensor<T>], y: &Tensor<T>) -> Result<()> {
        self.check_finite_inputs(op, x, 0..x.first().map_or(0, |x| x.samples()))?;
        match y.as_slice().iter().position(|v| v.is_nan()) {
            None => Ok(()),
            Some(at) => {
                let row = at / y.shape().sample().len().max(1);
                let problem = format!(
                    "the output of row {row} is NaN, though the row is finite: a number inside overflows, or is a mean over no \
                     steps, where all are masked"
                );
                let hint =
                    "scale the inputs as in training, or use an f64 model; leave out samples without steps".into();
                Err(Error::Config { op, problem, hint })
            }
        }
    }
}
