//! Fewer positions: the largest or the mean value under a window, or of a whole sample.

mod average_pooling;
mod global;
mod global_average_pooling;
mod global_max_pooling;
mod max_pooling;

pub use average_pooling::{AveragePooling, AveragePooling1d, AveragePooling2d};
pub use global_average_pooling::{GlobalAveragePooling, GlobalAveragePooling1d, GlobalAveragePooling2d};
pub use global_max_pooling::{GlobalMaxPooling, GlobalMaxPooling1d, GlobalMaxPooling2d};
pub use max_pooling::{MaxPooling, MaxPooling1d, MaxPooling2d};

/// The methods that set how a window slides.
macro_rules! pool_builders {
    () => {
        /// Input positions between two output positions; the pool size by default.
        pub fn strides(mut self, strides: impl Into<Size<D>>) -> Self {
            self.strides = Some(strides.into());
            self
        }

        /// What is added around the input, where it does not count; `Padding::Valid`, nothing, by default.
        pub fn padding(mut self, padding: Padding) -> Self {
            self.padding = padding;
            self
        }

        /// Where the window stands over the samples of a batch.
        fn window_over<T: Float>(&self, x: &Tensor<T>) -> Window {
            self.window.of(x, |sample| self.window(sample))
        }

        /// Where the window stands over samples of a shape.
        fn window(&self, input: Shape) -> Result<Window> {
            if self.padding == Padding::Causal {
                let hint = "a pool looks at no past";
                return Err(Error::argument(Self::NAME, "padding", "Valid or Same", "Causal", hint));
            }
            check_sizes(Self::NAME, "pool_size", self.pool_size)?;
            window(
                Self::NAME,
                input,
                self.pool_size,
                self.strides.unwrap_or(self.pool_size),
                Size([1; D]),
                self.padding,
            )
        }
    };
}

use pool_builders;
