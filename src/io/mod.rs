//! Files: containers of named arrays, and how they are written without ever leaving half of one.

#[cfg(any(feature = "files", feature = "plot"))]
pub(crate) mod atomic;
#[cfg(feature = "files")]
pub(crate) mod model;
#[cfg(feature = "files")]
mod safetensors;

#[cfg(feature = "files")]
pub use self::safetensors::{Archive, Stored};

#[cfg(feature = "files")]
pub(crate) use self::safetensors::{Array, write};
