//! Preparing data inside the model, so that it is saved with it.

mod normalization;
mod rescaling;

pub use normalization::Normalization;
pub use rescaling::Rescaling;
