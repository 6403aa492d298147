//! GGUF, the files of llama.cpp: settings and tokens under keys, then tensors, many of them in blocks of few bits.
//!
//! Versions 2 and 3 in little-endian order are read, version 3 is written. The format is described by ggml's `docs/gguf.md`.

mod file;
mod header;
mod kind;
mod parts;
mod tensor;
mod value;
mod writer;

pub use self::file::Gguf;
pub use self::kind::GgufKind;
pub use self::tensor::GgufTensor;
pub use self::value::{GgufArray, GgufValue};
pub use self::writer::GgufWriter;
pub(crate) use self::writer::{Planned, write};
