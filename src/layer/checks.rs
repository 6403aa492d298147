//! What can be wrong with any layer: its name, its place, and the shape of what it gives.

use crate::error::{Error, Result};
use crate::state::CHECKPOINT_PREFIX;
use crate::tensor::{MAX_RANK, Shape};

/// The most values of one output sample, a gigabyte in f32: past what a layer can mean, so that a slip of a digit, or a file
/// that is meant to do harm, is an error.
const MAX_OUTPUTS: usize = 1 << 28;

/// The most layers inside one another; readers of JSON end at a depth of 128, and a layer takes three.
const MAX_DEPTH: usize = 32;

/// Checks a layer's name, which begins the names of its weights, and how deep it lies: what is built can be saved and loaded.
pub(crate) fn check_place(name: &str, depth: usize) -> Result<()> {
    if name.is_empty() || name.starts_with(CHECKPOINT_PREFIX) || name.contains(|c: char| c == '/' || c.is_control()) {
        let expected =
            format!("not empty, without slashes and control characters, and not beginning with {CHECKPOINT_PREFIX}");
        return Err(Error::argument("build", "name", expected, format!("{name:?}"), "give the layer another name"));
    }
    if depth > MAX_DEPTH {
        let problem = format!("more than {MAX_DEPTH} layers inside one another");
        return Err(Error::Config { op: "build", problem, hint: "put layers one after the other instead".into() });
    }
    Ok(())
}

/// Checks what a layer gives; a size that is free counts as 1.
pub(crate) fn check_open_output(op: &'static str, shape: Shape) -> Result<Shape> {
    if shape.rank() >= MAX_RANK {
        let expected = format!("at most {} axes a sample", MAX_RANK - 1);
        return Err(Error::shape(op, expected, shape, "reshape it to fewer axes"));
    }
    shape.open_len(op)?;
    let len = shape.counting_free(1).len();
    if len > MAX_OUTPUTS {
        return Err(Error::too_large(op, shape));
    }
    if len == 0 {
        return Err(Error::shape(op, "an output with at least one value", shape, "give every size at least 1"));
    }
    Ok(shape)
}
