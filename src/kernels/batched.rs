//! Products of matrices, sample by sample.

use super::float::Float;
use super::gemm::{MADDS_PER_UPDATE, Matrix, gemm, product};
use super::parallel;

/// C = A·B + beta·C, on many threads where this product is `alone`.
pub fn multiply<T: Float>(
    alone: bool,
    size: [usize; 3],
    a: Matrix<T>,
    b: Matrix<T>,
    beta: T,
    c: &mut [T],
    stride: usize,
) {
    if alone && stride == size[2] { gemm(size, a, b, beta, c) } else { product(size, a, b, beta, c, stride) }
}

/// Calls `f(alone, sample, values)` for the samples of `data`, of `len` values and a product of `work` each: samples at the same time,
/// or one after the other, each on many threads, where they are too few.
pub fn each_sample<T: Float>(data: &mut [T], len: usize, work: usize, f: impl Fn(bool, usize, &mut [T]) + Sync) {
    let (len, work) = (len.max(1), work.div_ceil(MADDS_PER_UPDATE));
    let samples = data.len() / len;
    let alone = samples == 1 || work >= 2 * parallel::WORTH_A_THREAD && samples < parallel::threads();
    if alone {
        return data.chunks_exact_mut(len).enumerate().for_each(|(sample, values)| f(true, sample, values));
    }
    parallel::rows(data, len, work, |first, data| {
        for (sample, values) in (first..).zip(data.chunks_exact_mut(len)) {
            f(false, sample, values);
        }
    });
}
