//! The inputs of a net: what they are, and whether tensors fit.

use super::given::Given;
use super::net::Net;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

impl<T: Float> Net<T> {
    /// How many inputs there are.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// The names of the inputs, in their order.
    pub fn input_names(&self) -> Vec<&str> {
        self.inputs.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The shapes of one sample of each input, with [`FREE`](crate::FREE) sizes where they were left open.
    pub fn input_shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(|(_, shape)| *shape).collect()
    }

    /// The shape of one sample of an input, by position.
    pub(crate) fn input_shape(&self, input: usize) -> Shape {
        self.shapes[input]
    }

    /// How many token ids there are for an input of those.
    pub(crate) fn token_ids(&self, input: u32) -> Option<usize> {
        self.token_ids.iter().filter(|(at, _)| *at == input).map(|(_, count)| *count).min()
    }

    /// Checks the inputs of a pass: how many, their shapes, and as many samples in each.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of inputs; [`Error::Shape`] for one that does not fit, by name.
    pub fn check_inputs(&self, op: &'static str, x: &[&Tensor<T>]) -> Result<()> {
        self.check_given(op, Given::Refs(x))
    }

    /// [`check_inputs`](Self::check_inputs), wherever they are.
    pub(crate) fn check_given(&self, op: &'static str, x: Given<'_, T>) -> Result<()> {
        if x.len() != self.inputs.len() {
            let names = self.input_names().join(", ");
            let hint = "pass one tensor for each input, in their order";
            return Err(Error::argument(op, "inputs", format!("{} ({names})", self.inputs.len()), x.len(), hint));
        }
        for ((name, shape), x) in self.inputs.iter().zip(x.iter()) {
            if !x.fits(shape) {
                let expected = format!("the input {name} of shape {}, n samples", shape.of_samples());
                let order = self.input_names().join(", ");
                return Err(Error::shape(op, expected, x.shape(), format!("the inputs are, in order: {order}")));
            }
        }
        let samples = x.samples();
        for ((name, _), x) in self.inputs.iter().zip(x.iter()) {
            if x.samples() != samples {
                let expected = format!("{samples} samples in the input {name}, as in {}", self.inputs[0].0);
                return Err(Error::shape(op, expected, x.samples(), "pass as many samples to every input"));
            }
        }
        self.check_values(op, x)
    }

    /// Checks inputs of the right shapes as to their values: that token ids and positions are some.
    pub(crate) fn check_values(&self, op: &'static str, x: Given<'_, T>) -> Result<()> {
        for &(input, count) in &self.token_ids {
            if let Some((row, position, got)) = self.none_of(x, input, count) {
                let input = self.inputs[input as usize].0.clone();
                return Err(Error::TokenId { op, input, row, position, got, count });
            }
        }
        for &(input, count) in &self.position_ids {
            if let Some((row, step, got)) = self.none_of(x, input, count) {
                let input = self.inputs[input as usize].0.clone();
                return Err(Error::Position { op, input, row, step, got, count });
            }
        }
        Ok(())
    }

    /// The first value of an input that is no whole number from 0 on and below `count`, with its row and its place in that.
    fn none_of(&self, x: Given<'_, T>, input: u32, count: usize) -> Option<(usize, usize, String)> {
        let x = x.get(input as usize)?;
        let is_id = |v: &T| *v >= T::zero() && v.as_f64() < count as f64 && v.fract() == T::zero();
        let at = x.iter().position(|v| !is_id(v))?;
        let width = x.shape().sample().len();
        Some((at / width, at % width, x.as_slice()[at].to_string()))
    }
}
