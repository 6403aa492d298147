//! Layers, grouped as Keras groups them; one layer, one file.

pub mod activations;
pub(crate) mod affine;
pub mod composite;
pub(crate) mod config;
pub mod convolutional;
pub mod core;
pub mod normalization;
pub mod preprocessing;
pub mod regularization;
pub mod reshaping;

pub use activations::{Elu, LeakyRelu, PRelu, Softmax};
pub use composite::{Block, Residual};
pub use config::LayerConfig;
pub use convolutional::{
    Conv, Conv1d, Conv1dTranspose, Conv2d, Conv2dTranspose, ConvTranspose, DepthwiseConv, DepthwiseConv1d,
    DepthwiseConv2d, Padding, SeparableConv, SeparableConv1d, SeparableConv2d, Size,
};
pub use core::{Dense, Identity};
pub use normalization::UnitNormalization;
pub use preprocessing::{Normalization, Rescaling};
pub use regularization::{ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise};
pub use reshaping::{Flatten, Permute, RepeatVector, Reshape};
