//! Convolutions over sequences `[length, channels]` and images `[height, width, channels]`.

mod conv;
mod conv_transpose;
mod depthwise_conv;
mod separable_conv;
mod size;

pub use conv::{Conv, Conv1d, Conv2d};
pub use conv_transpose::{Conv1dTranspose, Conv2dTranspose, ConvTranspose};
pub use depthwise_conv::{DepthwiseConv, DepthwiseConv1d, DepthwiseConv2d};
pub use separable_conv::{SeparableConv, SeparableConv1d, SeparableConv2d};
pub use size::{Padding, Size};

pub(crate) use size::{check_rank, check_sizes, output, window};

/// The methods that set how a convolution's window slides; the window is over positions of `$over`, one for each of `$each`.
macro_rules! window_builders {
    ($over:literal, $each:literal, $padding:literal) => {
        #[doc = concat!($over, " positions between two ", $each, " positions; 1 by default.")]
        pub fn strides(mut self, strides: impl Into<Size<D>>) -> Self {
            self.strides = strides.into();
            self
        }

        #[doc = $padding]
        pub fn padding(mut self, padding: Padding) -> Self {
            self.padding = padding;
            self
        }

        #[doc = concat!($over, " positions between two taps of the kernel; 1 by default.")]
        pub fn dilation_rate(mut self, rate: impl Into<Size<D>>) -> Self {
            self.dilation_rate = rate.into();
            self
        }
    };
}

use window_builders;
