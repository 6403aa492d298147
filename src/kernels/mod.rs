//! Loops over slices: matrix products, rows, threads, random numbers. Knows no tensors, layers or models; the only place
//! with `unsafe` code.
//!
//! Every kernel computes each output element on one thread, with the reduction in an order that depends on sizes only, so
//! that the number of threads never changes a bit, nor the number of rows a row.

pub mod algorithm;
pub mod blocks;
pub mod channels;
pub mod convolution;
pub mod depthwise;
pub mod float;
pub mod gemm;
pub mod math;
pub mod parallel;
pub mod patches;
pub mod pooling;
pub mod random;
pub mod rows;
pub mod simd;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tiles;
pub mod winograd;
