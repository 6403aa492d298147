//! Methods of features that are switched off: they say which.

#[cfg(any(not(feature = "files"), not(feature = "keras")))]
use std::path::Path;

#[cfg(any(not(feature = "files"), not(feature = "keras")))]
use super::built::Model;
#[cfg(any(not(feature = "files"), not(feature = "keras")))]
use crate::error::{Error, Result};
#[cfg(not(feature = "files"))]
use crate::tensor::Float;

#[cfg(not(feature = "files"))]
impl Model<f32> {
    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn load(_path: impl AsRef<Path>) -> Result<Self> {
        Err(Error::feature("Model::load", "files"))
    }

    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn load_uncompiled(_path: impl AsRef<Path>) -> Result<Self> {
        Err(Error::feature("Model::load_uncompiled", "files"))
    }

    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn load_bytes(_bytes: &[u8]) -> Result<Self> {
        Err(Error::feature("Model::load_bytes", "files"))
    }
}

#[cfg(not(feature = "files"))]
impl<T: Float> Model<T> {
    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn save(&self, _path: impl AsRef<Path>) -> Result<()> {
        Err(Error::feature("save", "files"))
    }

    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn load_weights(&mut self, _path: impl AsRef<Path>) -> Result<()> {
        Err(Error::feature("load_weights", "files"))
    }

    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn save_checkpoint(&self, _path: impl AsRef<Path>) -> Result<()> {
        Err(Error::feature("save_checkpoint", "files"))
    }

    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn resume(&mut self, _path: impl AsRef<Path>) -> Result<()> {
        Err(Error::feature("resume", "files"))
    }

    /// Needs the feature `files`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn resume_changed(&mut self, _path: impl AsRef<Path>) -> Result<()> {
        Err(Error::feature("resume_changed", "files"))
    }
}

#[cfg(not(feature = "keras"))]
impl Model<f32> {
    /// Needs the feature `keras`.
    ///
    /// # Errors
    /// [`Error::Config`], always.
    pub fn load_keras(_path: impl AsRef<Path>) -> Result<Self> {
        Err(Error::feature("Model::load_keras", "keras"))
    }
}
