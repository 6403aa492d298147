//! Functions of the feature `npz` where it is switched off: they say so.

use std::path::Path;

use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// Needs the feature `npz`.
///
/// # Errors
/// [`Error::Config`], always.
pub fn read_npz<T: Float>(_path: impl AsRef<Path>) -> Result<Vec<(String, Tensor<T>)>> {
    Err(Error::feature("read_npz", "npz"))
}

/// Needs the feature `npz`.
///
/// # Errors
/// [`Error::Config`], always.
pub fn read_npz_up_to<T: Float>(_path: impl AsRef<Path>, _bytes: u64) -> Result<Vec<(String, Tensor<T>)>> {
    Err(Error::feature("read_npz_up_to", "npz"))
}

/// Needs the feature `npz`.
///
/// # Errors
/// [`Error::Config`], always.
pub fn write_npz<T: Float>(_path: impl AsRef<Path>, _arrays: &[(&str, &Tensor<T>)]) -> Result<()> {
    Err(Error::feature("write_npz", "npz"))
}
