//! Gradients: the scores of each tile once more.

use std::ops::Range;

use super::buffers::{Shared, View, strided};
use super::rules::{BLOCK, Numbers, Problem, Rules, Sizes, TILE};
use super::scores::{Call, Probabilities, ScoreGradients, Tile};
use crate::kernels::{
    float::Float,
    parallel::{self, PerThread},
    rows, simd,
};

/// Values of working space that a thread of [`backward`] needs: probabilities, their gradients, slopes of the soft cap.
pub(super) const SPACE: usize = 3 * BLOCK * TILE;

pub(super) fn parts(sizes: Sizes, problems: &[Numbers]) -> usize {
    let work = sizes.work(sizes.keys).saturating_mul(3 * sizes.queries * sizes.group());
    parallel::parts(problems.len() * sizes.key_heads, work)
}

/// Where the gradients of a problem's biases stand, and how many there are for each head: one for each distance of a key to a query, from that of its
/// first key to its last query on, and one that is not used.
fn bias_range(sizes: &Sizes, problem: &Problem) -> (Range<usize>, usize) {
    let distances = problem.queries.len() + problem.keys.len();
    // Problems of a row follow each other, with their queries and with their keys.
    let start = (problem.row * (sizes.queries + sizes.keys) + problem.queries.start + problem.keys.start) * sizes.heads;
    (start..start + distances * sizes.heads, distances)
}

/// Calls `f` with the first distance of a problem and the gradients of its biases `[heads, distances]`.
pub fn each_bias<T>(sizes: Sizes, problems: &[Numbers], gradients: &[T], mut f: impl FnMut(isize, usize, &[T])) {
    for problem in problems.iter().map(|numbers| Problem::from(*numbers)).filter(|problem| !problem.keys.is_empty()) {
        let (range, distances) = bias_range(&sizes, &problem);
        f(problem.keys.start as isize + 1 - problem.queries.end as isize, distances, &gradients[range]);
    }
}

/// Gradients that are wanted; where q, k and v are joined, those of all are q's.
pub struct Gradients<'a, T> {
    pub q: Option<&'a mut [T]>,
    pub k: Option<&'a mut [T]>,
    pub v: Option<&'a mut [T]>,
    /// Of the bias by distance, for each problem and head, where [`bias_range`] says: `[batch, queries + keys, heads]` values in all.
    pub bias: Option<&'a mut [T]>,
    /// The probabilities `[batch, heads, queries, keys]` and the gradient with respect to them, where they are an output too.
    pub scores: Option<[&'a [T]; 2]>,
}

/// dq, dk, dv (and the bias's) from dy, what [`forward`] was given and gave, and `deltas` `[batch, queries, heads]`, which gets Σ dy·y.
#[allow(clippy::too_many_arguments)]
pub fn backward<T: Float>(
    sizes: Sizes,
    problems: &[Numbers],
    rules: &Rules<'_, T>,
    [q, k, v]: [&[T]; 3],
    [y, dy]: [&[T]; 2],
    sums: &[T],
    deltas: &mut [T],
    gradients: Gradients<'_, T>,
    space: &mut [T],
) {
    let width = sizes.value_width;
    parallel::rows(deltas, 1, width, |first, deltas| {
        for (i, delta) in (first..).zip(deltas) {
            let row = i * width..(i + 1) * width;
            *delta = rows::dot(&y[row.clone()], &dy[row]);
        }
    });
    let Gradients { q: dq, k: dk, v: dv, bias, scores } = gradients;
    if let Some([p, dp]) = scores {
        for (i, delta) in deltas.iter_mut().enumerate() {
            let (query, head) = (i / sizes.heads, i % sizes.heads);
            let plane = query / sizes.queries * sizes.heads + head;
            let at = (plane * sizes.queries + query % sizes.queries) * sizes.keys;
            *delta += rows::dot(&p[at..at + sizes.keys], &dp[at..at + sizes.keys]);
        }
    }
    let shared = |gradient: Option<&mut [T]>| {
        gradient.map(|gradient| {
            gradient.fill(T::zero());
            Shared::of(gradient)
        })
    };
    let (dq, dk, dv) = (shared(dq), shared(dk), shared(dv));
    let (dk, dv) = if sizes.joined { (dq, dq) } else { (dk, dv) };
    let back = Backward {
        call: Call { sizes, rules, q, k, v },
        dy,
        sums,
        deltas,
        dq,
        dk,
        dv,
        bias: shared(bias),
        scores: scores.map(|[_, dp]| dp),
    };
    let (heads, parts) = (sizes.key_heads, self::parts(sizes, problems));
    parallel::par_chunks(0..problems.len() * heads, parts, PerThread(space, SPACE), &|range, space| {
        for task in range {
            // SAFETY: each task has a problem and a head of keys of its own.
            unsafe { back.head(&problems[task / heads].into(), task % heads, space.0) };
        }
    });
    if rules.even && back.dv.is_some() && sums.contains(&T::infinity()) {
        back.even();
    }
}

struct Backward<'a, T> {
    call: Call<'a, T>,
    dy: &'a [T],
    sums: &'a [T],
    deltas: &'a [T],
    dq: Option<Shared<T>>,
    dk: Option<Shared<T>>,
    dv: Option<Shared<T>>,
    bias: Option<Shared<T>>,
    scores: Option<&'a [T]>,
}

impl<T: Float> Backward<'_, T> {
    /// One head of keys, tile after tile, with all queries that see it.
    ///
    /// # Safety
    /// No other task works on this problem and head.
    unsafe fn head(&self, problem: &Problem, key_head: usize, space: &mut [T]) {
        let sizes = &self.call.sizes;
        let starts = problem.keys.clone().step_by(TILE);
        for start in starts {
            let keys = start..(start + TILE).min(problem.keys.end);
            for head in key_head * sizes.group()..(key_head + 1) * sizes.group() {
                for start in problem.queries.clone().step_by(BLOCK) {
                    let queries = start..(start + BLOCK).min(problem.queries.end);
                    let seen = self.call.rules.seen_by(&queries, problem);
                    if seen.start >= keys.end || seen.end <= keys.start {
                        continue;
                    }
                    for tile in self.call.pieces(problem, head, &queries, &keys) {
                        // SAFETY: the caller's promise.
                        unsafe { self.tile(&tile, key_head, space) };
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`head`](Self::head).
    unsafe fn tile(&self, tile: &Tile<'_>, key_head: usize, space: &mut [T]) {
        let (sizes, rules) = (&self.call.sizes, self.call.rules);
        let (n, keys, row) = (tile.queries.len(), tile.keys.len(), tile.problem.row);
        let (scores, rest) = space.split_at_mut(BLOCK * TILE);
        let (grads, slopes) = rest.split_at_mut(BLOCK * TILE);
        let slopes = rules.soft_cap.is_some().then_some(slopes);
        let mut slopes = slopes;
        self.call.scores(tile, scores, slopes.as_deref_mut());
        let of = |list: &[T]| {
            let mut own = [T::zero(); BLOCK];
            own.iter_mut().zip(tile.queries.clone()).for_each(|(own, at)| *own = list[sizes.sum(row, at, tile.head)]);
            own
        };
        let row_len = tile.row();
        simd::run(Probabilities { scores: &mut scores[..n * TILE], row_len, logs: &of(self.sums) });
        let ([query, key, value], output) = (sizes.steps(), sizes.heads * sizes.value_width);
        let dy = &self.dy[sizes.output(row, tile.queries.start, tile.head)..];
        let v = &self.call.v[sizes.value(row, tile.keys.start, key_head)..];
        if let Some(dv) = &self.dv {
            let at = sizes.value(row, tile.keys.start, key_head);
            let dropped = rules.dropout.is_some();
            if dropped {
                grads[..n * TILE].copy_from_slice(&scores[..n * TILE]);
                self.call.drop(tile, grads);
            }
            let p = View::columns(if dropped { &*grads } else { &*scores }, TILE);
            // SAFETY: values of this task's keys and head.
            unsafe { strided([keys, n, sizes.value_width], p, View::rows(dy, output), true, dv, at, value) };
        }
        if self.dq.is_none() && self.dk.is_none() && self.bias.is_none() {
            return;
        }
        let (a, b) = (View::rows(dy, output), View::columns(v, value));
        // SAFETY: the buffer is this task's.
        unsafe { strided([n, sizes.value_width, keys], a, b, false, &Shared::of(grads), 0, TILE) };
        self.call.drop(tile, grads);
        if let Some(dp) = self.scores {
            for (g, at) in grads.chunks_exact_mut(TILE).zip(tile.queries.clone()) {
                let at = ((row * sizes.heads + tile.head) * sizes.queries + at) * sizes.keys + tile.keys.start;
                g[..keys].iter_mut().zip(&dp[at..]).for_each(|(g, dp)| *g += *dp);
            }
        }
        // The scale comes last, behind what a bias and the cap's slope need.
        let is_plain = self.bias.is_none() && slopes.is_none();
        let factor = if is_plain { rules.scale } else { T::one() };
        let (p, dp, deltas) = (&scores[..n * TILE], &mut grads[..n * TILE], &of(self.deltas));
        simd::run(ScoreGradients { p, dp, row_len, deltas, factor });
        for (i, at) in tile.queries.clone().enumerate().filter(|_| !is_plain) {
            let g = &mut grads[i * TILE..][..keys];
            if let Some(bias) = &self.bias {
                let (whole, distances) = bias_range(sizes, tile.problem);
                let first = tile.keys.start - tile.problem.keys.start + tile.problem.queries.end - 1 - at;
                // SAFETY: the distances of this problem and head.
                let bias = unsafe { bias.row(whole.start + tile.head * distances + first, keys) };
                bias.iter_mut().zip(&*g).for_each(|(b, g)| *b += *g);
            }
            if let Some(slopes) = &slopes {
                // Where nothing is seen the slope is not written, and the gradient is 0.
                let each = g.iter_mut().zip(&slopes[i * TILE..]);
                each.for_each(|(g, slope)| *g = if *g == T::zero() { *g } else { *g * *slope });
            }
            g.iter_mut().for_each(|g| *g *= rules.scale);
        }
        if let Some(dq) = &self.dq {
            let at = sizes.query(row, tile.queries.start, tile.head);
            let k = View::rows(&self.call.k[sizes.key(row, tile.keys.start, key_head)..], key);
            // SAFETY: queries of a head that goes with this task's.
            unsafe { strided([n, keys, sizes.width], View::rows(grads, TILE), k, true, dq, at, query) };
        }
        if let Some(dk) = &self.dk {
            let at = sizes.key(row, tile.keys.start, key_head);
            let q = View::rows(&self.call.q[sizes.query(row, tile.queries.start, tile.head)..], query);
            // SAFETY: keys of this task's head.
            unsafe { strided([keys, n, sizes.width], View::columns(grads, TILE), q, true, dk, at, key) };
        }
    }

    /// The gradient of the mean of all values, for queries that saw no key.
    fn even(&self) {
        let sizes = &self.call.sizes;
        let Some(dv) = &self.dv else { return };
        let inverse = T::of(1.0 / sizes.keys.max(1) as f64);
        for (i, _) in self.sums.iter().enumerate().filter(|(_, sum)| **sum == T::infinity()) {
            let (row, head) = (i / (sizes.queries * sizes.heads), i % sizes.heads);
            let dy = &self.dy[i * sizes.value_width..(i + 1) * sizes.value_width];
            for key in 0..sizes.keys {
                // SAFETY: no other task runs.
                let dv = unsafe { dv.row(sizes.value(row, key, head / sizes.group()), sizes.value_width) };
                dv.iter_mut().zip(dy).for_each(|(dv, dy)| *dv += *dy * inverse);
            }
        }
    }
}
