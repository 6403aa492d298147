//! Layers that move values: other shapes, margins, more positions.

mod cropping;
mod flatten;
mod margins;
mod permute;
mod repeat_vector;
mod reshape;
mod up_sampling;
mod zero_padding;

pub use cropping::{Cropping, Cropping1d, Cropping2d};
pub use flatten::Flatten;
pub use margins::Margins;
pub use permute::Permute;
pub use repeat_vector::RepeatVector;
pub use reshape::Reshape;
pub use up_sampling::{Interpolation, UpSampling, UpSampling1d, UpSampling2d};
pub use zero_padding::{ZeroPadding, ZeroPadding1d, ZeroPadding2d};
