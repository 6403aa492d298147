//! What attention with scores of its own has in common: from scores to weights, and the values' mean by them.

use crate::error::{Error, Result};
use crate::kernels::batched::{each_sample, multiply};
use crate::kernels::gemm::Matrix;
use crate::kernels::rows;
use crate::kernels::simd::vectorised;
use crate::kernels::{additive, parallel};
use crate::layer::{Builder, Inputs, Pass, Slot};
use crate::layers::regularization::{check_rate, drop_values};
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = softmax(s)·v from scores `[T, S]`, with what masks, order and dropout do to them.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Weighing {
    pub causal: bool,
    pub dropout: f64,
    pub return_scores: bool,
    #[cfg_attr(feature = "serde", serde(skip))]
    stream: u64,
    /// Shapes of query and key.
    #[cfg_attr(feature = "serde", serde(skip))]
    built: Vec<Shape>,
}

/// Places in the slot: the weights, those that dropout leaves, and the gradient of scores.
const WEIGHTS: usize = 0;
const DROPPED: usize = 1;
pub(super) const D_SCORES: usize = 2;
/// Gradients of query and key that nobody asked for; or products that one is made of.
pub(super) const D_QUERY: usize = 3;
const D_KEY: usize = 4;
/// The weight of each feature's tangent, and the gradients of parameters by sample.
pub(super) const FEATURES: usize = 5;
const SUMS: usize = 6;

/// What is taken off the scores of keys that do not count, as in Keras: a query that sees none goes by the scores of all.
const UNSEEN: f64 = 1e9;

impl Weighing {
    pub fn outputs(&self) -> usize {
        1 + usize::from(self.return_scores)
    }

    /// The shapes of the output and of the scores.
    pub fn shapes(&self, op: &'static str, x: &[Shape]) -> Result<[Shape; 2]> {
        let same = |a: usize, b: usize| a == b || a == FREE || b == FREE;
        if !(2..=3).contains(&x.len()) {
            let hint = "pass what is asked, what is taken, and where they differ the keys";
            return Err(Error::shape(op, "2 or 3 inputs: query, value and key", x.len(), hint));
        }
        for (x, name) in x.iter().zip(["query", "value", "key"]) {
            if x.rank() != 2 || x.last() == FREE {
                let expected = format!("{name} [steps, features]");
                return Err(Error::shape(op, expected, x, "bring other axes together with a Reshape"));
            }
        }
        let (query, value, key) = (x[0], x[1], x[x.len() - 1]);
        if query.last() != key.last() {
            let expected = format!("a key of {} features, as many as the query's", query.last());
            return Err(Error::shape(op, expected, key, "bring one to the features of the other with a Dense layer"));
        }
        if !same(key.dims()[0], value.dims()[0]) {
            let expected = format!("as many values as keys, {key}");
            return Err(Error::shape(op, expected, value, "give each key a value"));
        }
        let steps = query.dims()[0];
        let (y, scores) = (query.with_last(value.last()), Shape::from([steps, key.dims()[0]]));
        // They are kept, whether they are returned or not.
        scores.open_len(op)?;
        Ok([y, scores])
    }

    pub fn build<T: Float>(&mut self, op: &'static str, x: &[Shape], b: &mut Builder<T>) -> Result<Vec<Shape>> {
        check_rate(op, self.dropout, false)?;
        let outputs = self.shapes(op, x)?;
        self.stream = b.stream();
        self.built = vec![x[0], x[x.len() - 1]];
        Ok(outputs[..self.outputs()].to_vec())
    }

    pub fn output_shapes(&self, op: &'static str, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        y.iter_mut().zip(self.shapes(op, x)?).for_each(|(y, shape)| *y = shape);
        Ok(())
    }

    /// The sizes of a batch.
    pub fn sizes(x: &[Shape]) -> additive::Sizes {
        let [query, key] = [x[0], x[x.len() - 1]].map(|x| [x.dims()[1], x.dims()[2]]);
        additive::Sizes { batch: x[0].first(), queries: query[0], keys: key[0], width: query[1] }
    }

    /// The sizes of so many samples of what it was built for.
    pub fn sizes_at_build(&self, samples: usize) -> additive::Sizes {
        let shape = |i: usize| self.built.get(i).map_or(Shape::from([samples, 0, 0]), |x| x.with_batch(samples));
        Self::sizes(&[shape(0), shape(1)])
    }

    pub fn sizes_of<T: Float>(x: Inputs<'_, T>) -> additive::Sizes {
        Self::sizes(&[x[0].shape(), Self::key(x).shape()])
    }

    /// The keys, which are the values where there are no others.
    pub fn key<'a, T: Float>(x: Inputs<'a, T>) -> &'a Tensor<T> {
        x.get(x.len() - 1)
    }

    /// Values that are kept for a batch of these inputs.
    pub fn space(&self, n: additive::Sizes, backward: bool) -> usize {
        let each = n.batch.saturating_mul(n.queries).saturating_mul(n.keys);
        each.saturating_mul(1 + usize::from(self.dropout > 0.0) + usize::from(backward))
    }

    /// Values that tangents take besides.
    pub fn additive_space(n: additive::Sizes, backward: bool) -> usize {
        let each = n.queries.saturating_add(n.keys).saturating_mul(n.width).saturating_add(n.sums());
        n.width.saturating_add(if backward { each.saturating_mul(n.batch) } else { 0 })
    }

    fn drops<T: Float>(&self, pass: &Pass<'_, T>) -> bool {
        pass.training && self.dropout > 0.0
    }

    /// The place of the scores, `[batch, T, S]`.
    pub fn scores<T: Float>(n: additive::Sizes, slot: &mut Slot<T>) -> &mut Tensor<T> {
        slot.tensor(WEIGHTS, Shape::from([n.batch, n.queries, n.keys]))
    }

    /// Scores by tangents, each feature's multiplied by what `features` writes.
    pub fn additive_scores<T: Float>(slot: &mut Slot<T>, x: Inputs<'_, T>, factor: T, features: impl FnOnce(&mut [T])) {
        let n = Self::sizes_of(x);
        features(&mut slot.scratch(FEATURES, n.width)[..n.width]);
        Self::scores(n, slot);
        let [scores, _, _, _, _, features] = slot.buffers();
        let qk = [x[0].as_slice(), Self::key(x).as_slice()];
        additive::scores(n, qk, &features.as_slice()[..n.width], factor, scores.as_mut_slice());
    }

    /// The gradients of query and key, and by sample those of the features' weights and of the factor, from that of the scores in the slot.
    pub fn additive_backward<'s, T: Float>(
        slot: &'s mut Slot<T>,
        x: Inputs<'_, T>,
        factor: T,
        dx: &mut [Option<Tensor<T>>],
    ) -> impl Iterator<Item = (&'s [T], &'s [T])> {
        let n = Self::sizes_of(x);
        let [queries, keys] = [n.queries, n.keys].map(|steps| n.batch * steps * n.width);
        let [first, .., last] = dx else { unreachable!("two or three of them") };
        slot.scratch(D_QUERY, if first.is_none() { queries } else { 0 });
        slot.scratch(D_KEY, if last.is_none() { keys } else { 0 });
        slot.scratch(SUMS, n.batch * n.sums());
        let [_, _, ds, dq, dk, features, sums] = slot.buffers();
        let dq = first.as_mut().map_or(&mut dq.as_mut_slice()[..], |dx| dx.as_mut_slice());
        let dk = match last {
            Some(dx) => {
                // That of the values is there where they are the keys.
                if x.len() > 2 {
                    dx.as_mut_slice().fill(T::zero());
                }
                dx.as_mut_slice()
            }
            None => dk.as_mut_slice(),
        };
        let values = [x[0].as_slice(), Self::key(x).as_slice(), ds.as_slice()];
        let sums = &mut sums.as_mut_slice()[..n.batch * n.sums()];
        let places = [&mut dq[..queries], &mut dk[..keys], &mut *sums];
        additive::backward(n, values, &features.as_slice()[..n.width], factor, places);
        sums.chunks_exact(n.sums().max(1)).map(move |sample| sample.split_at(n.width))
    }

    /// y, and the weights where asked for, from the scores in the slot, which become the weights.
    pub fn forward<T: Float>(&self, pass: &Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let n = Self::sizes_of(x);
        if self.drops(pass) {
            slot.tensor(DROPPED, Shape::from([n.batch, n.queries, n.keys]));
        }
        let [weights, dropped] = slot.buffers();
        self.weigh(pass.mask_of(1), n, weights.as_mut_slice());
        let weights = match self.drops(pass) {
            true => {
                drop_values(pass, self.stream, self.dropout, weights, dropped);
                dropped
            }
            false => weights,
        };
        let (values, width) = (x[1].as_slice(), x[1].shape().last());
        let size = [n.queries, n.keys, width];
        each_sample(y[0].as_mut_slice(), n.queries * width, size.iter().product(), |alone, sample, y| {
            let weights = Matrix::rows(&weights.as_slice()[sample * n.queries * n.keys..], n.keys);
            let values = Matrix::rows(&values[sample * n.keys * width..], width);
            multiply(alone, size, weights, values, T::zero(), y, width);
        });
        clear_unasked(pass.mask_of(0), width, &mut y[0]);
        if let [_, scores] = y {
            scores.copy_from(weights);
        }
    }

    /// Scores to weights.
    fn weigh<T: Float>(&self, mask: Option<&[bool]>, n: additive::Sizes, scores: &mut [T]) {
        let unseen = T::of(UNSEEN);
        parallel::rows(scores, n.keys, 8 * n.keys, |first, rows| {
            for (at, row) in (first..).zip(rows.chunks_exact_mut(n.keys.max(1))) {
                let (sample, query) = (at / n.queries.max(1), at % n.queries.max(1));
                let behind = if self.causal { (query + 1).min(n.keys) } else { n.keys };
                if let Some(mask) = mask {
                    let mask = &mask[sample * n.keys..][..behind];
                    row.iter_mut().zip(mask).filter(|(_, seen)| !**seen).for_each(|(score, _)| *score -= unseen);
                }
                row[behind..].iter_mut().for_each(|score| *score -= unseen);
                vectorised(|| {
                    let top = rows::largest(row);
                    let scale = T::one() / rows::exp_and_sum(row, top);
                    row.iter_mut().for_each(|weight| *weight *= scale);
                });
            }
        });
    }

    /// The gradient of scores into the slot, and that of the values where there is a place.
    pub fn backward<T: Float>(
        &self,
        pass: &Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        dy: &mut [Tensor<T>],
        dv: Option<&mut Tensor<T>>,
    ) {
        let n = Self::sizes_of(x);
        let (values, width) = (x[1].as_slice(), x[1].shape().last());
        let each = n.queries * n.keys;
        slot.tensor(D_SCORES, Shape::from([n.batch, n.queries, n.keys]));
        let [weights, dropped, d_scores] = slot.buffers();
        clear_unasked(pass.mask_of(0), width, &mut dy[0]);
        let d = dy[0].as_slice();
        if let Some(dv) = dv {
            let weights = if self.drops(pass) { dropped.as_slice() } else { weights.as_slice() };
            let size = [n.keys, n.queries, width];
            each_sample(dv.as_mut_slice(), n.keys * width, size.iter().product(), |alone, sample, dv| {
                let weights = Matrix::transposed(&weights[sample * each..], n.keys);
                let d = Matrix::rows(&d[sample * n.queries * width..], width);
                multiply(alone, size, weights, d, T::zero(), dv, width);
            });
        }
        let size = [n.queries, width, n.keys];
        each_sample(d_scores.as_mut_slice(), each, size.iter().product(), |alone, sample, ds| {
            let d = Matrix::rows(&d[sample * n.queries * width..], width);
            let values = Matrix::transposed(&values[sample * n.keys * width..], width);
            multiply(alone, size, d, values, T::zero(), ds, n.keys);
        });
        if let [_, of_scores] = dy {
            d_scores.as_mut_slice().iter_mut().zip(of_scores.as_slice()).for_each(|(ds, more)| *ds += *more);
        }
        if self.drops(pass) {
            // What dropout left is not needed any more.
            drop_values(pass, self.stream, self.dropout, d_scores, dropped);
            d_scores.copy_from(dropped);
        }
        let weights = weights.as_slice();
        parallel::rows(d_scores.as_mut_slice(), n.keys, 4 * n.keys, |first, rows| {
            let weights = weights[first * n.keys..].chunks_exact(n.keys.max(1));
            for (ds, weights) in rows.chunks_exact_mut(n.keys.max(1)).zip(weights) {
                let mean = rows::dot(ds, weights);
                ds.iter_mut().zip(weights).for_each(|(ds, weight)| *ds = *weight * (*ds - mean));
            }
        });
    }
}

/// Zeros for queries that do not count.
fn clear_unasked<T: Float>(mask: Option<&[bool]>, width: usize, y: &mut Tensor<T>) {
    let Some(mask) = mask else { return };
    let rows = y.as_mut_slice().chunks_exact_mut(width.max(1)).zip(mask);
    rows.filter(|(_, counts)| !**counts).for_each(|(row, _)| row.fill(T::zero()));
}
