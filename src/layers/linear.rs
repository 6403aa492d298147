//! The one door for products of rows with a weight matrix.
//!
//! Layers name the parameter and never see how it is stored, so that other storage (half precision, integers), a weight that
//! two layers share, or an adapter beside it changes this file and no layer.

use crate::kernels::gemm::{MADDS_PER_UPDATE, Matrix, gemm};
use crate::kernels::{packed, parallel};
use crate::layer::Pass;
use crate::layers::adapter;
use crate::params::ParamId;
use crate::tensor::{Float, Tensor};

/// y = x·W, row by row: x (N, in), W (in, out), y (N, out).
pub(crate) fn linear<T: Float>(pass: &mut Pass<'_, T>, weight: ParamId, x: &[T], y: &mut Tensor<T>) {
    let ([inputs, outputs], w) = pass.matrix(weight);
    let (rows, z) = (y.shape().rows(), y.as_mut_slice());
    match pass.packed(weight) {
        Some(w) => packed::product(x, rows, w, T::zero(), z),
        None => gemm([rows, inputs, outputs], Matrix::rows(x, inputs), Matrix::rows(w, outputs), T::zero(), z),
    }
    adapter::add(pass, weight, x, y);
}

/// dW += xᵀ·dz and dx = dz·Wᵀ, each where it is wanted, at the same time: no element of one waits for the other.
pub(crate) fn linear_backward<T: Float>(
    pass: &mut Pass<'_, T>,
    weight: ParamId,
    x: &[T],
    dz: &Tensor<T>,
    dx: Option<&mut [T]>,
) {
    backward(pass, weight, x, dz, dx, T::zero());
}

/// The same where x is the input of several products, and dx += dz·Wᵀ.
pub(crate) fn linear_backward_more<T: Float>(
    pass: &mut Pass<'_, T>,
    weight: ParamId,
    x: &[T],
    dz: &Tensor<T>,
    dx: Option<&mut [T]>,
) {
    backward(pass, weight, x, dz, dx, T::one());
}

/// dx = dz·Wᵀ + `before`·dx.
fn backward<T: Float>(
    pass: &mut Pass<'_, T>,
    weight: ParamId,
    x: &[T],
    dy: &Tensor<T>,
    mut dx: Option<&mut [T]>,
    before: T,
) {
    if back_through_packed(pass, weight, dy, dx.as_deref_mut(), before) {
        return adapter::add_backward(pass, weight, x, dy, dx);
    }
    let ([inputs, outputs], w) = pass.matrix(weight);
    let (rows, trained) = (dy.shape().rows(), pass.wants(weight));
    let (w, dz) = (Matrix::transposed(w, outputs), dy.as_slice());
    let (dw, beta) = pass.gradient_with_beta(weight);
    let weights = trained.then_some(|| {
        gemm([inputs, rows, outputs], Matrix::transposed(x, inputs), Matrix::rows(dz, outputs), beta, dw);
    });
    let below = dx.as_deref_mut();
    let below = below.map(|dx| move || gemm([rows, outputs, inputs], Matrix::rows(dz, outputs), w, before, dx));
    where_wanted(rows * inputs * outputs, weights, below);
    adapter::add_backward(pass, weight, x, dy, dx);
}

/// y = x·Wᵀ, row by row: x (N, in), W (out, in), y (N, out). For heads that use the matrix of an embedding.
pub(crate) fn linear_transposed<T: Float>(pass: &Pass<'_, T>, weight: ParamId, x: &[T], y: &mut Tensor<T>) {
    let ([outputs, inputs], w) = pass.matrix(weight);
    let (rows, y) = (y.shape().rows(), y.as_mut_slice());
    match pass.packed(weight) {
        Some(w) => packed::product(x, rows, w, T::zero(), y),
        None => gemm([rows, inputs, outputs], Matrix::rows(x, inputs), Matrix::transposed(w, inputs), T::zero(), y),
    }
}

/// dW += dzᵀ·x and dx = dz·W, each where it is wanted, at the same time.
pub(crate) fn linear_transposed_backward<T: Float>(
    pass: &mut Pass<'_, T>,
    weight: ParamId,
    x: &[T],
    dz: &Tensor<T>,
    mut dx: Option<&mut [T]>,
) {
    if back_through_packed(pass, weight, dz, dx.as_deref_mut(), T::zero()) {
        return;
    }
    let ([outputs, inputs], w) = pass.matrix(weight);
    let (rows, trained) = (dz.shape().rows(), pass.wants(weight));
    let (w, dz) = (Matrix::rows(w, inputs), dz.as_slice());
    let (dw, beta) = pass.gradient_with_beta(weight);
    let weights = trained.then_some(|| {
        gemm([outputs, rows, inputs], Matrix::transposed(dz, outputs), Matrix::rows(x, inputs), beta, dw);
    });
    let below = dx.map(|dx| move || gemm([rows, outputs, inputs], Matrix::rows(dz, outputs), w, T::zero(), dx));
    where_wanted(rows * inputs * outputs, weights, below);
}

/// dx of a weight that is stored in panels, and has no gradient; false for others.
fn back_through_packed<T: Float>(
    pass: &Pass<'_, T>,
    weight: ParamId,
    dz: &Tensor<T>,
    dx: Option<&mut [T]>,
    before: T,
) -> bool {
    let Some(w) = pass.packed(weight) else { return false };
    if let Some(dx) = dx {
        packed::product_back(dz.as_slice(), dz.shape().rows(), w, before, dx);
    }
    true
}

/// The products of a backward pass that are wanted, side by side; each has so many multiplications.
fn where_wanted(madds: usize, weights: Option<impl FnOnce() + Send>, below: Option<impl FnOnce() + Send>) {
    match (weights, below) {
        (Some(weights), Some(below)) => parallel::both(2 * madds / MADDS_PER_UPDATE, weights, below),
        (Some(weights), None) => weights(),
        (None, Some(below)) => below(),
        (None, None) => {}
    }
}
