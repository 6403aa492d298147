//! Functions of the feature `image` where it is switched off: they say so.

use std::path::Path;

use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// Needs the feature `image`.
///
/// # Errors
/// [`Error::Config`], always.
pub fn read_image<T: Float>(_path: impl AsRef<Path>, _channels: usize) -> Result<Tensor<T>> {
    Err(Error::feature("read_image", "image"))
}

/// Needs the feature `image`.
///
/// # Errors
/// [`Error::Config`], always.
pub fn resize_image<T: Float>(_x: &Tensor<T>, _size: [usize; 2]) -> Result<Tensor<T>> {
    Err(Error::feature("resize_image", "image"))
}

/// Needs the feature `image`.
///
/// # Errors
/// [`Error::Config`], always.
pub fn save_image<T: Float>(_x: &Tensor<T>, _path: impl AsRef<Path>) -> Result<()> {
    Err(Error::feature("save_image", "image"))
}
