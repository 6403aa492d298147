//! Files that tensors are read from: safetensors and GGUF.

use std::path::Path;

use crate::error::{Error, Result};
use crate::io::{Archive, Gguf, GgufKind, GgufTensor, Stored};
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

    /// The file that a tensor lies in, where there are several.
    pub fn file_of(&self, entry: &Entry) -> &Path {
        match (self, entry) {
            (Store::Gguf(file), Entry::Gguf(tensor)) => file.file_of(tensor),
            _ => self.path(),
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

    /// How a tensor's values are stored.
    pub fn kind(&self, entry: &Entry) -> Option<GgufKind> {
        match entry {
            Entry::Safetensors(stored) => stored.floats(),
            Entry::Gguf(tensor) => Some(tensor.kind),
        }
    }

    /// Bytes of a tensor of this file from byte `at` on, read by any thread.
    pub fn bytes_at(&self, entry: &Entry, at: usize, bytes: &mut [u8]) -> Result<()> {
        match (self, entry) {
            (Store::Safetensors(archive), Entry::Safetensors(stored)) => archive.bytes_at(stored, at, bytes),
            (Store::Gguf(file), Entry::Gguf(tensor)) => file.bytes_at(tensor, at, bytes),
            _ => Err(self.other_file(entry)),
        }
    }

    fn other_file(&self, entry: &Entry) -> Error {
        Error::file(self.path(), format!("{} is of another file", entry.name()), "open the model again")
    }

    /// Some values of a tensor of this file, from the one in place `first` on.
    pub fn read_part<T: Float>(&mut self, entry: &Entry, first: usize, out: &mut [T]) -> Result<()> {
        match (&mut *self, entry) {
            (Store::Safetensors(archive), Entry::Safetensors(stored)) => archive.read_part(stored, first, out),
            (Store::Gguf(file), Entry::Gguf(tensor)) => file.read_part(tensor, first, out),
            _ => Err(self.other_file(entry)),
        }
    }
}
