//! Files that tensors are read from: safetensors and GGUF.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::{Archive, Gguf, GgufTensor, Stored};
use crate::tensor::Float;

/// An open file.
#[derive(Debug)]
pub(super) enum Store {
    Safetensors(Archive<'static>),
    Gguf(Gguf<'static>),
}

/// What is known of one tensor of a [`Store`].
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Safetensors(Stored),
    Gguf(GgufTensor),
}

impl Entry {
    /// Its name in the file.
    pub fn name(&self) -> &str {
        match self {
            Entry::Safetensors(stored) => &stored.name,
            Entry::Gguf(tensor) => &tensor.name,
        }
    }

    pub fn shape(&self) -> &[usize] {
        match self {
            Entry::Safetensors(stored) => &stored.shape,
            Entry::Gguf(tensor) => &tensor.shape,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Entry::Safetensors(stored) => stored.len(),
            Entry::Gguf(tensor) => tensor.len(),
        }
    }
}

impl Store {
    pub fn path(&self) -> &Path {
        match self {
            Store::Safetensors(archive) => archive.path(),
            Store::Gguf(file) => file.path(),
        }
    }

    /// All tensors, in the order of the file.
    pub fn entries(&self) -> Vec<Entry> {
        match self {
            Store::Safetensors(archive) => archive.arrays().iter().cloned().map(Entry::Safetensors).collect(),
            Store::Gguf(file) => file.tensors().iter().cloned().map(Entry::Gguf).collect(),
        }
    }

    /// An error for a tensor that holds no floating-point numbers.
    pub fn check_floats(&self, entry: &Entry) -> Result<()> {
        match (self, entry) {
            (Store::Safetensors(archive), Entry::Safetensors(stored)) => archive.check_floats(stored),
            // All kinds that are read do.
            _ => Ok(()),
        }
    }

    /// Some values of a tensor of this file, from the one in place `first` on.
    pub fn read_part<T: Float>(&mut self, entry: &Entry, first: usize, out: &mut [T]) -> Result<()> {
        match (&mut *self, entry) {
            (Store::Safetensors(archive), Entry::Safetensors(stored)) => archive.read_part(stored, first, out),
            (Store::Gguf(file), Entry::Gguf(tensor)) => file.read_part(tensor, first, out),
            _ => Err(Error::file(self.path(), format!("{} is of another file", entry.name()), "open the model again")),
        }
    }
}
