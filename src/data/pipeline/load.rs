//! Samples gathered into a batch: several inputs and targets taken apart, smaller samples filled up.

use std::sync::OnceLock;

use crate::data::Batch;
use crate::data::idle::Idle;
use crate::data::source::{Source, missing_shapes, row_shape, total};
use crate::error::{Error, Result};
use crate::memory;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// What batches are made by, of whichever samples.
#[derive(Clone, Debug)]
pub(crate) struct Loader<T> {
    /// Samples a batch.
    pub size: usize,
    /// Whether a last batch that would be smaller is left out.
    pub drop_last: bool,
    /// What an input, and a target, is filled up with.
    pub pad: [f64; 2],
    /// The shapes of the parts of a sample, once they have been asked for.
    parts: OnceLock<[Vec<Shape>; 2]>,
    idle: Idle<Rows<T>>,
}

/// Samples on their way to a batch.
struct Rows<T> {
    x: Vec<T>,
    y: Vec<T>,
    /// Of all parts of the samples, one sample after another.
    shapes: Vec<Shape>,
    /// Of the parts in the batch.
    largest: Vec<Shape>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Rows { x: Vec::new(), y: Vec::new(), shapes: Vec::new(), largest: Vec::new() }
    }
}

impl<T> Loader<T> {
    pub fn new(size: usize) -> Self {
        Loader { size, drop_last: false, pad: [0.0; 2], parts: OnceLock::new(), idle: Idle::default() }
    }

    /// The batches of `n` samples.
    pub fn batches(&self, n: usize) -> usize {
        let size = self.size.max(1);
        if self.drop_last { n / size } else { n.div_ceil(size) }
    }
}

impl<T: Float> Loader<T> {
    /// The shapes of the inputs and of the targets of a sample that batches can be made of.
    #[inline(never)]
    pub fn parts(&self, source: &dyn Source<T>) -> Result<&[Vec<Shape>; 2]> {
        if let Some(parts) = self.parts.get() {
            return Ok(parts);
        }
        if self.size == 0 {
            return Err(Error::argument("batch", "n", "at least 1", 0, "32 is usual"));
        }
        let ((row_x, row_y), (x, y)) = (source.shapes(), source.all_shapes());
        let bad_input = x.iter().find(|shape| shape.is_empty());
        let many_axes = x.iter().chain(&y).find(|shape| shape.rank() >= crate::MAX_RANK);
        if let Some(shape) = bad_input.or(many_axes).copied().or(x.is_empty().then_some(row_x)) {
            let hint = "give every size at least 1, and at most five axes a sample";
            return Err(Error::shape("batch", "inputs with values", shape, hint));
        }
        for (row, parts) in [(row_x, &x), (row_y, &y)] {
            parts.iter().try_for_each(|part| part.open_len("batch").map(|_| ()))?;
            let together = row_shape(parts);
            if row.is_free() != together.is_free() || !row.is_free() && row.len() != together.len() {
                let hint = "let Source::shapes say one axis of all values of Source::all_shapes";
                return Err(Error::shape("batch", format!("samples of {} values", together.len()), row, hint));
            }
        }
        Ok(self.parts.get_or_init(|| [x, y]))
    }

    /// Fills a batch with `n` samples, number `i` from position `at(i)`; those are consecutive, or not.
    #[inline(never)]
    pub fn load(
        &self,
        source: &dyn Source<T>,
        epoch: usize,
        (n, consecutive): (usize, bool),
        at: &dyn Fn(usize) -> usize,
        batch: &mut Batch<T>,
    ) -> Result<()> {
        let [x, y] = self.parts(source)?;
        batch.clear_weights();
        batch.more_x.resize_with(x.len() - 1, Tensor::default);
        batch.more_y.resize_with(y.len().saturating_sub(1), Tensor::default);
        let free = x.iter().chain(y).any(Shape::is_free);
        if let (false, true, [x], [y]) = (free, consecutive, &x[..], &y[..]) {
            resize(&mut batch.x, *x, n)?;
            resize(&mut batch.y, *y, n)?;
            return source.read(epoch, at(0), batch.x.as_mut_slice(), batch.y.as_mut_slice());
        }
        // Samples of one size that follow one another are read at once.
        let at_once = if consecutive && !free { n } else { 1 };
        self.idle.with(
            || Ok(Rows::default()),
            |rows| {
                self.largest(source, epoch, n, at, rows)?;
                let Batch { x: first_x, y: first_y, more_x, more_y, .. } = batch;
                let (largest_x, largest_y) = rows.largest.split_at(x.len());
                prepare(first_x, more_x, largest_x, n, self.pad[0])?;
                prepare(first_y, more_y, largest_y, n, self.pad[1])?;
                for first in (0..n).step_by(at_once.max(1)) {
                    let own = &rows.shapes[first * (x.len() + y.len())..];
                    let (own_x, own_y) = own[..x.len() + y.len()].split_at(x.len());
                    let what = format_args!("{at_once} samples");
                    for (row, own) in [(&mut rows.x, own_x), (&mut rows.y, own_y)] {
                        let len = total("batch", own)?.saturating_mul(at_once);
                        memory::resize("batch", what, row, len, T::zero())?;
                    }
                    source.read(epoch, at(first), &mut rows.x, &mut rows.y)?;
                    for i in first..first + at_once {
                        let (done_x, done_y) =
                            (rows.x.len() / at_once * (i - first), rows.y.len() / at_once * (i - first));
                        place(&rows.x[done_x..], own_x, first_x, more_x, i);
                        place(&rows.y[done_y..], own_y, first_y, more_y, i);
                    }
                }
                mark(batch, rows, [x, y], n);
                Ok(())
            },
        )
    }

    /// The shapes of `n` samples, and the largest of each part.
    fn largest(
        &self,
        source: &dyn Source<T>,
        epoch: usize,
        n: usize,
        at: &dyn Fn(usize) -> usize,
        rows: &mut Rows<T>,
    ) -> Result<()> {
        let [x, y] = self.parts(source)?;
        let Rows { shapes, largest, .. } = rows;
        shapes.clear();
        // An axis has at least one place, if all of it is filling.
        largest.clear();
        largest.extend(x.iter().chain(y).map(|shape| shape.counting_free(1)));
        let count = largest.len();
        for i in 0..n {
            match x.iter().chain(y).any(Shape::is_free) {
                true => source.shapes_at(epoch, at(i), shapes)?,
                false => shapes.extend(x.iter().chain(y)),
            }
            let own = &shapes[(i * count).min(shapes.len())..];
            if own.len() != count {
                return Err(missing_shapes(count, own.len()));
            }
            for ((own, open), largest) in own.iter().zip(x.iter().chain(y)).zip(&mut *largest) {
                *largest = union(*open, *own, *largest)?;
            }
        }
        Ok(())
    }
}

/// The least shape that holds a sample's part and what came before.
fn union(open: Shape, own: Shape, largest: Shape) -> Result<Shape> {
    let fits = own.rank() == open.rank() && own.dims().iter().zip(open.dims()).all(|(&a, &b)| b == FREE || a == b);
    if !fits || own.is_free() {
        let hint = "let Source::shapes_at give every size, those that are not free as in Source::all_shapes";
        return Err(Error::shape("batch", format!("samples of shape {open}"), own, hint));
    }
    let mut sizes = [0; crate::MAX_RANK];
    let both = own.dims().iter().zip(largest.dims());
    sizes.iter_mut().zip(both).for_each(|(size, (a, b))| *size = *a.max(b));
    Shape::try_from(&sizes[..own.rank()])
}

/// The tensors of a batch, the first and the further ones.
fn all<'a, T>(first: &'a mut Tensor<T>, more: &'a mut [Tensor<T>]) -> impl Iterator<Item = &'a mut Tensor<T>> {
    std::iter::once(first).chain(more)
}

/// Makes room for `n` samples.
fn resize<T: Float>(tensor: &mut Tensor<T>, sample: Shape, n: usize) -> Result<()> {
    let shape = sample.batched(n)?;
    let len = shape.checked_len("batch")?;
    if len > tensor.len() {
        memory::check_room::<T>("batch", format_args!("a batch of {n} samples"), len)?;
    }
    tensor.resize(shape);
    Ok(())
}

/// Room for `n` samples of some parts, all of it filling.
fn prepare<T: Float>(first: &mut Tensor<T>, more: &mut [Tensor<T>], parts: &[Shape], n: usize, pad: f64) -> Result<()> {
    if parts.is_empty() {
        return resize(first, Shape::from([0]), n);
    }
    all(first, more).zip(parts).try_for_each(|(tensor, shape)| {
        resize(tensor, *shape, n)?;
        tensor.as_mut_slice().fill(T::of(pad));
        Ok(())
    })
}

/// Puts the parts of a sample at their places in a batch.
fn place<T: Float>(mut row: &[T], own: &[Shape], first: &mut Tensor<T>, more: &mut [Tensor<T>], i: usize) {
    for (shape, tensor) in own.iter().zip(all(first, more)) {
        let (part, rest) = row.split_at(shape.len());
        let whole = tensor.shape().sample();
        copy_into(part, *shape, tensor.row_mut(i), whole);
        row = rest;
    }
}

/// Copies values of a shape to the beginning of each axis of a larger one.
fn copy_into<T: Copy>(from: &[T], shape: Shape, to: &mut [T], whole: Shape) {
    if shape == whole {
        return to.copy_from_slice(from);
    }
    let runs = from.chunks_exact(shape.last().max(1));
    runs.zip(starts(shape, whole)).for_each(|(run, start)| to[start..][..run.len()].copy_from_slice(run));
}

/// Where the last axis of a shape begins in a larger one, for each place along the axes before.
fn starts(shape: Shape, whole: Shape) -> impl Iterator<Item = usize> {
    (0..if shape.is_empty() { 0 } else { shape.rows() }).map(move |row| {
        // The row's number in the mixed radix of the smaller shape, read in that of the larger one.
        let (mut left, mut at, mut step) = (row, 0, whole.last());
        for axis in (0..shape.rank().saturating_sub(1)).rev() {
            at += left % shape.dims()[axis] * step;
            left /= shape.dims()[axis];
            step *= whole.dims()[axis];
        }
        at
    })
}

/// Masks for steps of targets that are filling.
fn mark<T: Float>(batch: &mut Batch<T>, rows: &Rows<T>, [x, y]: [&[Shape]; 2], n: usize) {
    let count = x.len() + y.len();
    let filled = |part: usize| (0..n).any(|i| rows.shapes[i * count + x.len() + part] != rows.largest[x.len() + part]);
    if !(0..y.len()).any(filled) {
        return;
    }
    batch.masks.resize_with(y.len(), Vec::new);
    for (part, mask) in batch.masks.iter_mut().enumerate() {
        mask.clear();
        if !filled(part) {
            continue;
        }
        // All axes up to the last that is free.
        let axes = y[part].dims().iter().rposition(|&size| size == FREE).map_or(0, |axis| axis + 1);
        let steps = |shape: Shape| Shape::try_from(&shape.dims()[..axes]).unwrap_or(Shape::SCALAR);
        let whole = steps(rows.largest[x.len() + part]);
        mask.resize(n * whole.len(), false);
        for (i, mask) in mask.chunks_exact_mut(whole.len().max(1)).enumerate() {
            let own = steps(rows.shapes[i * count + x.len() + part]);
            starts(own, whole).for_each(|start| mask[start..][..own.last()].fill(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_shapes_keep_to_the_beginning_of_each_axis() {
        let mut to = [0; 24];
        copy_into(&[1, 2, 3, 4, 5, 6, 7, 8], Shape::from([2, 2, 2]), &mut to, Shape::from([2, 3, 4]));
        let expected = [[1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0], [5, 6, 0, 0, 7, 8, 0, 0, 0, 0, 0, 0]];
        assert_eq!(to, expected.concat()[..]);
        copy_into(&[], Shape::from([0, 3, 4]), &mut to, Shape::from([2, 3, 4]));
        copy_into(&[9], Shape::SCALAR, &mut to[..1], Shape::SCALAR);
        assert_eq!(to[..2], [9, 2]);
    }
}
