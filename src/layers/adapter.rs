//! Two thin matrices beside a weight: y += scale · (d(x)·A)·B, where d is dropout.

use crate::kernels::gemm::{Matrix, gemm};
use crate::kernels::parallel;
use crate::layer::{Pass, Thin};
use crate::params::{Adapter, ParamId};
use crate::tensor::{Float, Tensor};

/// Where a product is: its input, how many samples that has, and how many rows, and features of input and output.
#[derive(Clone, Copy)]
struct Product<'x, T> {
    x: &'x [T],
    samples: usize,
    rows: usize,
    inputs: usize,
    outputs: usize,
}

/// y += what the adapters beside a weight give.
pub(super) fn add<T: Float>(pass: &mut Pass<'_, T>, weight: ParamId, x: &[T], y: &mut Tensor<T>) {
    let params = pass.params();
    let Some(spec) = params.spec(weight).filter(|spec| spec.adapters.iter().any(Adapter::applies)) else { return };
    let mut thin = std::mem::take(&mut pass.common.thin);
    let product = Product {
        x,
        samples: y.dims().first().copied().unwrap_or(1),
        rows: y.shape().rows(),
        inputs: spec.shape.rows(),
        outputs: spec.shape.last(),
    };
    for adapter in spec.adapters.iter().filter(|adapter| adapter.applies()) {
        let x = product.dropped(pass, adapter, &mut thin.wide);
        product.encode(pass, adapter, x, &mut thin.code);
        let (b, size) = (pass.weight(adapter.b), [product.rows, adapter.rank, product.outputs]);
        let code = Matrix::rows(&thin.code, adapter.rank);
        gemm(size, code, Matrix::rows(b, product.outputs), T::one(), y.as_mut_slice());
    }
    pass.common.thin = thin;
}

/// dA, dB, each where it is wanted, and dx += what comes through the adapters.
pub(super) fn add_backward<T: Float>(
    pass: &mut Pass<'_, T>,
    weight: ParamId,
    x: &[T],
    dz: &Tensor<T>,
    mut dx: Option<&mut [T]>,
) {
    let params = pass.params();
    let Some(spec) = params.spec(weight).filter(|spec| spec.adapters.iter().any(Adapter::applies)) else { return };
    let Thin { mut wide, mut code, mut back } = std::mem::take(&mut pass.common.thin);
    let product = Product {
        x,
        samples: dz.dims().first().copied().unwrap_or(1),
        rows: dz.shape().rows(),
        inputs: spec.shape.rows(),
        outputs: spec.shape.last(),
    };
    let Product { rows, inputs, outputs, .. } = product;
    let dy = Matrix::rows(dz.as_slice(), outputs);
    for adapter in spec.adapters.iter().filter(|adapter| adapter.applies()) {
        let rank = adapter.rank;
        let dropped = product.dropped(pass, adapter, &mut wide);
        if pass.wants(adapter.b) {
            product.encode(pass, adapter, dropped, &mut code);
            let (db, beta) = pass.gradient_with_beta(adapter.b);
            gemm([rank, rows, outputs], Matrix::transposed(&code, rank), dy, beta, db);
        }
        if dx.is_none() && !pass.wants(adapter.a) {
            continue;
        }
        back.resize(rows * rank, T::zero());
        let b = Matrix::transposed(pass.weight(adapter.b), outputs);
        gemm([rows, outputs, rank], dy, b, T::zero(), &mut back);
        scale(&mut back, T::of(adapter.scale));
        if pass.wants(adapter.a) {
            let (da, beta) = pass.gradient_with_beta(adapter.a);
            let x = Matrix::transposed(dropped, inputs);
            gemm([inputs, rows, rank], x, Matrix::rows(&back, rank), beta, da);
        }
        let Some(dx) = dx.as_deref_mut() else { continue };
        let (back, a) = (Matrix::rows(&back, rank), Matrix::transposed(pass.weight(adapter.a), rank));
        if !pass.training || adapter.dropout == 0.0 {
            gemm([rows, rank, inputs], back, a, T::one(), dx);
            continue;
        }
        wide.resize(rows * inputs, T::zero());
        gemm([rows, rank, inputs], back, a, T::zero(), &mut wide);
        product.each(pass, adapter, |i, factor| dx[i] += wide[i] * factor);
    }
    pass.common.thin = Thin { wide, code, back };
}

/// Multiplies all values.
fn scale<T: Float>(values: &mut [T], by: T) {
    if by != T::one() {
        values.iter_mut().for_each(|v| *v *= by);
    }
}

impl<'x, T: Float> Product<'x, T> {
    /// d(x): the input itself outside of training.
    fn dropped<'w>(self, pass: &Pass<'_, T>, adapter: &Adapter, wide: &'w mut Vec<T>) -> &'w [T]
    where
        'x: 'w,
    {
        if !pass.training || adapter.dropout == 0.0 {
            return self.x;
        }
        wide.resize(self.rows * self.inputs, T::zero());
        self.each(pass, adapter, |i, factor| wide[i] = self.x[i] * factor);
        wide
    }

    /// code = scale · x·A.
    fn encode(self, pass: &Pass<'_, T>, adapter: &Adapter, x: &[T], code: &mut Vec<T>) {
        let (rank, a) = (adapter.rank, pass.weight(adapter.a));
        code.resize(self.rows * rank, T::zero());
        gemm([self.rows, self.inputs, rank], Matrix::rows(x, self.inputs), Matrix::rows(a, rank), T::zero(), code);
        scale(code, T::of(adapter.scale));
    }

    /// Calls `f` with the place of each value of the input and what dropout multiplies it by: 0 or 1 / (1 − rate), drawn for each sample by itself.
    fn each(self, pass: &Pass<'_, T>, adapter: &Adapter, mut f: impl FnMut(usize, T)) {
        let (rate, kept) = (adapter.dropout, T::of(1.0 / (1.0 - adapter.dropout)));
        let of_a_sample = self.rows * self.inputs / self.samples.max(1);
        for sample in 0..self.samples {
            let key = pass.key(adapter.stream, sample);
            for i in 0..of_a_sample {
                f(sample * of_a_sample + i, if key.unit(i as u64) < rate { T::zero() } else { kept });
            }
        }
    }
}

/// W += sign · scale · A·B, by parts of rows.
pub(crate) fn merge<T: Float>(adapter: &Adapter, [a, b]: [&[T]; 2], outputs: usize, subtract: bool, w: &mut [T]) {
    let (rank, inputs) = (adapter.rank, w.len() / outputs.max(1));
    let factor = T::of(if subtract { -adapter.scale } else { adapter.scale });
    // A·B first, so that what is added is the same in both directions.
    let mut sums = vec![T::zero(); w.len()];
    gemm([inputs, rank, outputs], Matrix::rows(a, rank), Matrix::rows(b, outputs), T::zero(), &mut sums);
    parallel::rows(w, outputs, 1, |first, w| {
        let sums = &sums[first * outputs..][..w.len()];
        w.iter_mut().zip(sums).for_each(|(w, sum)| *w += *sum * factor);
    });
}
