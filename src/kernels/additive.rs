//! Scores of additive attention: each query with each key through a hyperbolic tangent.

use super::float::Float;
use super::parallel::{self, ChunksMut};
use super::rows;
use super::simd::vectorised;

/// Samples of a batch, steps of queries and of keys, and the features of both.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub width: usize,
}

impl Sizes {
    /// The cost of the tangents of a query, for the choice of threads.
    fn work(&self) -> usize {
        self.keys.saturating_mul(self.width).saturating_mul(TANH)
    }

    /// Gradients of a sample's parameters in [`backward`].
    pub fn sums(&self) -> usize {
        2 * self.width
    }
}

/// The cost of a tangent.
const TANH: usize = 8;

/// Features that are taken together.
const FEATURES: usize = 64;

/// s[t, s] = Σ_d w_d·tanh(c·(q[t, d] + k[s, d])) of every sample.
pub fn scores<T: Float>(n: Sizes, [q, k]: [&[T]; 2], w: &[T], c: T, s: &mut [T]) {
    let width = n.width;
    parallel::rows(s, n.keys, n.work(), |first, rows| {
        let mut bent = [T::zero(); FEATURES];
        for (at, row) in (first..).zip(rows.chunks_exact_mut(n.keys.max(1))) {
            let q = &q[at * width..(at + 1) * width];
            let k = &k[at / n.queries.max(1) * n.keys * width..];
            for (score, k) in row.iter_mut().zip(k.chunks_exact(width.max(1))) {
                let parts = q.chunks(FEATURES).zip(k.chunks(FEATURES)).zip(w.chunks(FEATURES));
                *score = parts.fold(T::zero(), |sum, ((q, k), w)| {
                    let bent = &mut bent[..q.len()];
                    tanh_of_sums(q, k, c, bent);
                    sum + rows::dot(w, bent)
                });
            }
        }
    });
}

/// tanh(c·(q + k)), value by value.
#[inline(always)]
fn tanh_of_sums<T: Float>(q: &[T], k: &[T], c: T, out: &mut [T]) {
    vectorised(|| out.iter_mut().zip(q).zip(k).for_each(|((h, q), k)| *h = (c * (*q + *k)).fast_tanh()));
}

/// The gradients from `ds`: `dq` is written, `dk` added to. Of each sample `sums` takes two values a feature: those of w_d, and those that make up
/// that of c.
pub fn backward<T: Float>(n: Sizes, [q, k, ds]: [&[T]; 3], w: &[T], c: T, [dq, dk, sums]: [&mut [T]; 3]) {
    let (width, all) = (n.width, n.work().saturating_mul(n.queries));
    let cut = (ChunksMut(dq, n.queries * width), ChunksMut(dk, n.keys * width), ChunksMut(sums, n.sums()));
    let parts = parallel::parts(n.batch, all);
    parallel::par_chunks(0..n.batch, parts, cut, &|samples, (dq, dk, sums)| {
        dq.0.fill(T::zero());
        sums.0.fill(T::zero());
        for (i, sample) in samples.enumerate() {
            let sums = &mut sums.0[i * n.sums()..(i + 1) * n.sums()];
            for query in 0..n.queries {
                let at = sample * n.queries + query;
                let (q, own) = (&q[at * width..][..width], i * n.queries + query);
                let dq = &mut dq.0[own * width..][..width];
                for key in 0..n.keys {
                    let g = ds[at * n.keys + key];
                    // Of a key that is not seen, nothing.
                    if g == T::zero() {
                        continue;
                    }
                    let k = &k[(sample * n.keys + key) * width..][..width];
                    let dk = &mut dk.0[(i * n.keys + key) * width..][..width];
                    pair([q, k, w], [c, g], dq, dk, sums);
                }
            }
        }
    });
}

/// Adds the gradients of one query with one key.
fn pair<T: Float>([q, k, w]: [&[T]; 3], [c, g]: [T; 2], dq: &mut [T], dk: &mut [T], sums: &mut [T]) {
    let (dw, dc) = sums.split_at_mut(w.len());
    vectorised(|| {
        let values = q.iter().zip(k).zip(w);
        let places = dq.iter_mut().zip(dk).zip(dw.iter_mut().zip(dc));
        for (((q, k), w), ((dq, dk), (dw, dc))) in values.zip(places) {
            let sum = *q + *k;
            let bent = (c * sum).fast_tanh();
            let inner = g * *w * (T::one() - bent * bent);
            *dq += c * inner;
            *dk += c * inner;
            *dw += g * bent;
            *dc += inner * sum;
        }
    });
}
