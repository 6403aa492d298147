//! Weights in few bytes, laid out for products.
//!
//! A matrix W `[inputs, outputs]` is cut into panels of 16 outputs, and these into groups of 32 inputs; a group has the weights of its first
//! input for all outputs of the panel, then those of the second, and so on, where they have less than 16 bits those of as many inputs as a word of 32 bits
//! holds, and in front of them a scale for each output. So a row
//! is multiplied by it in one go through memory, with as many sums side by side as a register holds; for more rows a block is widened once and multiplied by
//! the kernels of [`gemm`](super::gemm). Either way a result is the same chain of fused multiply-adds as with weights that stand as numbers.

#[cfg(target_arch = "x86_64")]
mod few;
mod formats;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod many;
mod matrix;

pub use many::{product, product_back};
pub use matrix::{Packed, WeightStorage};
