//! Sums of tensors, with an activation or into one of them.

use crate::kernels::parallel::{self, ChunksMut};
use crate::layers::epilogue::{EpiloguePass, cache_block};
use crate::tensor::{Float, Tensor};

/// y = f(sum of the terms), the sum itself into `z` where backward needs it.
pub(crate) fn forward<'a, T: Float>(
    epilogue: EpiloguePass<'_, T>,
    terms: impl Iterator<Item = &'a Tensor<T>> + Clone + Sync,
    y: &mut Tensor<T>,
    z: &mut Tensor<T>,
) {
    forward_by(epilogue, terms.clone().count(), y, z, |first, y| {
        let part = first..first + y.len();
        let mut terms = terms.clone().map(|t| &t.as_slice()[part.clone()]);
        match (terms.next(), terms.next()) {
            (Some(a), Some(b)) => y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = *a + *b),
            (Some(a), None) => y.copy_from_slice(a),
            _ => y.fill(T::zero()),
        }
        for term in terms {
            y.iter_mut().zip(term).for_each(|(y, t)| *y += *t);
        }
    });
}

/// The same, where `sum(first, part)` writes the sum from its value number `first` on, at a cost of `work` a value.
pub(crate) fn forward_by<T: Float>(
    epilogue: EpiloguePass<'_, T>,
    work: usize,
    y: &mut Tensor<T>,
    z: &mut Tensor<T>,
    sum: impl Fn(usize, &mut [T]) + Sync,
) {
    let width = y.shape().last().max(1);
    let block = cache_block(width);
    let z = epilogue.keep_z(y.shape(), z);
    let (rows, work) = (y.len() / width, work * width + epilogue.work());
    let cut = (ChunksMut(y.as_mut_slice(), width), ChunksMut(z, width));
    parallel::par_chunks(0..rows, parallel::parts(rows, work), cut, &|range, (y, z)| {
        let mut z = z.0.chunks_mut(block);
        for (i, y) in y.0.chunks_mut(block).enumerate() {
            sum(range.start * width + i * block, y);
            epilogue.forward(y, z.next().unwrap_or(&mut []));
        }
    });
}

/// dz = dy·f'(z) in place of dy, and a copy of it into `copy` unless that is empty.
pub(crate) fn backward<T: Float>(
    epilogue: EpiloguePass<'_, T>,
    z: &Tensor<T>,
    y: &Tensor<T>,
    dy: &mut Tensor<T>,
    copy: &mut Tensor<T>,
) {
    let width = y.shape().last().max(1);
    let block = cache_block(width);
    let (rows, work) = (y.len() / width, width + epilogue.work());
    let cut = (ChunksMut(dy.as_mut_slice(), width), ChunksMut(copy.as_mut_slice(), width));
    parallel::par_chunks(0..rows, parallel::parts(rows, work), cut, &|range, (dy, copy)| {
        let mut copy = copy.0.chunks_mut(block);
        for (i, dy) in dy.0.chunks_mut(block).enumerate() {
            let first = range.start * width + i * block;
            epilogue.backward(z, y, dy, first..first + dy.len());
            if let Some(copy) = copy.next() {
                copy.copy_from_slice(dy);
            }
        }
    });
}

/// sum += more.
pub(crate) fn add<T: Float>(sum: &mut Tensor<T>, more: &Tensor<T>) {
    let row = sum.shape().last().max(1);
    let more = more.as_slice();
    parallel::rows(sum.as_mut_slice(), row, row, |first, sum| {
        sum.iter_mut().zip(&more[first * row..]).for_each(|(s, m)| *s += *m);
    });
}
