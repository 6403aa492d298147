//! Layers, grouped as Keras groups them; one layer, one file.

pub mod activations;
pub(crate) mod adapter;
pub mod attention;
pub(crate) mod config;
pub mod convolutional;
pub mod core;
pub(crate) mod epilogue;
pub(crate) mod geometry;
pub(crate) mod linear;
pub mod merging;
pub mod normalization;
mod op_config;
pub mod operators;
pub mod pooling;
pub mod positions;
pub mod preprocessing;
pub mod regularization;
pub mod reshaping;
pub(crate) mod sum;
pub(crate) mod table;

pub use activations::{Elu, LeakyRelu, PRelu, Softmax};
pub use attention::{AdditiveAttention, Attention, DotProductAttention, MultiHeadAttention, PositionBias};
pub use config::{ContainerConfig, LayerConfig, NamedConfig};
pub use convolutional::{
    Conv, Conv1d, Conv1dTranspose, Conv2d, Conv2dTranspose, ConvTranspose, DepthwiseConv, DepthwiseConv1d,
    DepthwiseConv2d, Padding, SeparableConv, SeparableConv1d, SeparableConv2d, Size,
};
pub use core::{ClassToken, Dense, Embedding, GatedDense, Identity, Masking, TiedDense, TimeDistributed};
pub use normalization::{BatchNorm, GroupNorm, LayerNorm, RmsNorm, UnitNormalization};
pub use op_config::OpConfig;
pub use operators::{Absolute, Arithmetic, Negative, Operation, Slice};
pub use pooling::{
    AveragePooling, AveragePooling1d, AveragePooling2d, GlobalAveragePooling, GlobalAveragePooling1d,
    GlobalAveragePooling2d, GlobalMaxPooling, GlobalMaxPooling1d, GlobalMaxPooling2d, MaxPooling, MaxPooling1d,
    MaxPooling2d,
};
pub use positions::{PositionEmbedding, Rotary, RotaryPositions, RotaryScaling, SinusoidalPositions};
pub use preprocessing::{Normalization, Rescaling};
pub use regularization::{
    ActivityRegularization, AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout, SpatialDropout1d,
    SpatialDropout2d,
};
pub use reshaping::{
    Cropping, Cropping1d, Cropping2d, Flatten, Interpolation, Margins, Permute, RepeatVector, Reshape, UpSampling,
    UpSampling1d, UpSampling2d, ZeroPadding, ZeroPadding1d, ZeroPadding2d,
};
