//! Convolutions over sequences `[length, channels]` and images `[height, width, channels]`.

mod conv;
mod conv_transpose;
mod depthwise_conv;
mod separable_conv;
mod size;
mod sliding;

pub use conv::{Conv, Conv1d, Conv2d};
pub use conv_transpose::{Conv1dTranspose, Conv2dTranspose, ConvTranspose};
pub use depthwise_conv::{DepthwiseConv, DepthwiseConv1d, DepthwiseConv2d};
pub use separable_conv::{SeparableConv, SeparableConv1d, SeparableConv2d};
pub use size::{Padding, Size};

use size::span;
pub(crate) use size::{check_rank, check_sizes, output, window};
