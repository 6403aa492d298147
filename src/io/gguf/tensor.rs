//! What a file says of its tensors.

use super::kind::GgufKind;

/// How a file begins.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// The most axes of a tensor, as ggml has it.
pub(super) const MAX_DIMS: usize = 4;

/// The key of what tensors begin at multiples of.
pub(super) const ALIGNMENT: &str = "general.alignment";

/// What is known of one tensor of a [`Gguf`](super::Gguf).
#[derive(Clone, Debug, PartialEq)]
pub struct GgufTensor {
    /// Its name.
    pub name: String,
    /// Its shape; values of the last axis lie side by side (in the file's own words the axes are the other way round).
    pub shape: Vec<usize>,
    /// How its values are stored.
    pub kind: GgufKind,
    /// The number of its file, of a model in several.
    pub(super) part: usize,
    /// Where its bytes begin.
    pub(super) start: u64,
    pub(super) bytes: u64,
}

impl GgufTensor {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of bytes in the file.
    pub fn byte_len(&self) -> usize {
        self.bytes as usize
    }
}
