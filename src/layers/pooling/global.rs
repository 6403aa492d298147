//! What the two global pools have in common.

use crate::error::{Error, Result};
use crate::layers::convolutional::check_rank;
use crate::tensor::Shape;

/// Positions and channels of a sample of `D` axes and channels, and the shape of what is left of it.
pub(super) fn build<const D: usize>(op: &'static str, input: Shape, keepdims: bool) -> Result<([usize; 2], Shape)> {
    let [height, width, channels] = check_rank::<D>(op, input)?;
    if input.is_empty() {
        return Err(Error::shape(op, "at least one value", input, "give every size at least 1"));
    }
    let output = match (keepdims, D) {
        (false, _) => Shape::from([channels]),
        (true, 1) => Shape::from([1, channels]),
        (true, _) => Shape::from([1, 1, channels]),
    };
    Ok(([height * width, channels], output))
}
