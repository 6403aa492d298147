//! Layers, grouped as Keras groups them; one layer, one file.

pub mod activations;
pub mod composite;
pub(crate) mod config;
pub mod core;
pub mod normalization;
pub mod preprocessing;
pub mod regularization;
pub mod reshaping;

pub use activations::{Elu, LeakyRelu, PRelu, Softmax};
pub use composite::{Block, Residual};
pub use config::LayerConfig;
pub use core::{Dense, Identity};
pub use normalization::UnitNormalization;
pub use preprocessing::{Normalization, Rescaling};
pub use regularization::{ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise};
pub use reshaping::{Flatten, Permute, RepeatVector, Reshape};
