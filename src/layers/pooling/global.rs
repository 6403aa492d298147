//! What the two global pools have in common.

use crate::error::{Error, Result};
use crate::layers::convolutional::check_rank;
use crate::tensor::{Float, Shape, Tensor};

/// Positions and channels of the samples of a batch.
pub(super) fn sizes<T: Float>(x: &Tensor<T>) -> [usize; 2] {
    let sample = x.shape().sample();
    [sample.rows(), sample.last()]
}

/// The shape of what is left of a sample of `D` axes and channels.
pub(super) fn output<const D: usize>(op: &'static str, input: Shape, keepdims: bool) -> Result<Shape> {
    let [.., channels] = check_rank::<D>(op, input)?;
    if input.is_empty() {
        return Err(Error::shape(op, "at least one value", input, "give every size at least 1"));
    }
    Ok(match (keepdims, D) {
        (false, _) => Shape::from([channels]),
        (true, 1) => Shape::from([1, channels]),
        (true, _) => Shape::from([1, 1, channels]),
    })
}
