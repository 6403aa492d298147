//! Loops over slices: matrix products, rows, threads, random numbers. Knows no tensors, layers or models; the only place
//! with `unsafe` code.
//!
//! Every kernel computes each output element on one thread, with the reduction in an order that depends on sizes only, so
//! that the number of threads never changes a bit, nor the number of rows a row.

pub(crate) mod additive;
pub(crate) mod algorithm;
pub(crate) mod angles;
#[cfg(feature = "text")]
pub(crate) mod ascii;
pub(crate) mod attention;
pub(crate) mod batched;
pub(crate) mod beside;
pub(crate) mod blocks;
pub(crate) mod bounds;
pub(crate) mod broadcast;
pub(crate) mod bytes;
pub(crate) mod channels;
pub(crate) mod convolution;
pub(crate) mod depthwise;
pub(crate) mod float;
pub(crate) mod frequencies;
pub mod gemm;
#[cfg(target_arch = "x86_64")]
pub(crate) mod gemv;
pub(crate) mod half;
pub(crate) mod math;
pub mod packed;
pub(crate) mod pages;
pub mod parallel;
pub(crate) mod patches;
pub(crate) mod pooling;
pub mod quantised;
pub(crate) mod random;
pub(crate) mod rotary;
pub(crate) mod rounding;
pub(crate) mod rows;
pub(crate) mod simd;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tile;
#[cfg(target_arch = "x86_64")]
pub(crate) mod tiles;
pub(crate) mod winograd;
