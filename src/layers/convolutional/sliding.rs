//! How the window of a convolution slides.

use super::{Padding, Size, window};
use crate::error::Result;
use crate::kernels::patches::Window;
use crate::tensor::Shape;

/// The settings that all convolutions have.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Sliding<const D: usize> {
    pub kernel_size: Size<D>,
    pub strides: Size<D>,
    pub padding: Padding,
    pub dilation_rate: Size<D>,
}

impl<const D: usize> Sliding<D> {
    /// A window of this size, step by step over what is there.
    pub fn new(kernel_size: Size<D>) -> Self {
        const { assert!(D == 1 || D == 2, "convolutions are over one or two axes") };
        let ones = Size([1; D]);
        Sliding { kernel_size, strides: ones, padding: Padding::Valid, dilation_rate: ones }
    }

    /// The window over samples of this shape.
    pub fn window(&self, op: &'static str, input: Shape) -> Result<Window> {
        window(op, input, self.kernel_size, self.strides, self.dilation_rate, self.padding)
    }
}

/// The methods that set how a convolution's window slides; the window is over positions of `$over`, one for each of `$each`.
macro_rules! sliding_builders {
    ($over:literal, $each:literal, $padding:literal) => {
        #[doc = concat!($over, " positions between two ", $each, " positions; 1 by default.")]
        pub fn strides(mut self, strides: impl Into<Size<D>>) -> Self {
            self.sliding.strides = strides.into();
            self
        }

        #[doc = $padding]
        pub fn padding(mut self, padding: Padding) -> Self {
            self.sliding.padding = padding;
            self
        }

        #[doc = concat!($over, " positions between two taps of the kernel; 1 by default.")]
        pub fn dilation_rate(mut self, rate: impl Into<Size<D>>) -> Self {
            self.sliding.dilation_rate = rate.into();
            self
        }
    };
}

pub(super) use sliding_builders;
