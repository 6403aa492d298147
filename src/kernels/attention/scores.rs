//! A tile of scores, as far as each query sees its keys.

use std::ops::Range;

use super::buffers::{Shared, View, strided};
use super::rules::{Problem, Rules, Sizes, TILE};
use crate::kernels::simd::{self, Loop};
use crate::kernels::{float::Float, rows};

/// Lanes in which sums of a row are taken, and which rows of scores come in.
const LANES: usize = 16;
/// Queries that are taken together where not all of a block see all keys of a tile: a multiple of the rows of a product's tiles.
const PIECE: usize = 24;

/// One tile of scores, or a piece of one: queries of a block, keys of a tile.
pub(super) struct Tile<'a> {
    pub problem: &'a Problem,
    pub head: usize,
    pub queries: Range<usize>,
    pub keys: Range<usize>,
}

/// What a tile's scores are computed from.
pub(super) struct Call<'a, T> {
    pub sizes: Sizes,
    pub rules: &'a Rules<'a, T>,
    pub q: &'a [T],
    pub k: &'a [T],
    pub v: &'a [T],
}

impl Tile<'_> {
    /// How long a row of scores is: in whole lanes.
    pub fn row(&self) -> usize {
        self.keys.len().next_multiple_of(LANES)
    }
}

impl<T: Float> Call<'_, T> {
    /// The scores of a tile into rows of [`TILE`], of which it takes [`Tile::row`]; −∞ where a query does not see a key; with the slope of the soft cap
    /// where asked for.
    pub fn scores(&self, tile: &Tile<'_>, scores: &mut [T], mut slopes: Option<&mut [T]>) {
        let (sizes, rules) = (&self.sizes, self.rules);
        let Tile { problem, head, queries, keys } = tile;
        let (row, key_row, key_head) = (problem.row, problem.key_row, head / sizes.group());
        let (q, k) =
            (&self.q[sizes.query(row, queries.start, *head)..], &self.k[sizes.key(key_row, keys.start, key_head)..]);
        let (row_len, [own, others, _]) = (tile.row(), sizes.steps());
        let all = Shared::of(scores);
        // SAFETY: the buffer is this call's.
        unsafe {
            match queries.len() {
                // k·qᵀ reads keys as they stand; each score is the same chain.
                1 => strided([keys.len(), sizes.width, 1], View::rows(k, others), View::rows(q, 1), false, &all, 0, 1),
                n => strided(
                    [n, sizes.width, keys.len()],
                    View::rows(q, own),
                    View::columns(k, others),
                    false,
                    &all,
                    0,
                    TILE,
                ),
            }
        }
        simd::run(Scaled { scores: &mut scores[..queries.len() * TILE], row_len, scale: rules.scale });
        for (i, query) in queries.clone().enumerate() {
            let s = &mut scores[i * TILE..][..row_len];
            let seen = rules.seen(query, problem);
            let all = rules.query_mask.is_none_or(|mask| mask[row * sizes.queries + query]);
            let first = seen.start.clamp(keys.start, keys.end) - keys.start;
            let end = if all { seen.end.clamp(keys.start, keys.end) - keys.start } else { first };
            let end = end.max(first);
            if let Some(cap) = rules.soft_cap {
                let slopes = slopes.as_deref_mut().map(|slopes| &mut slopes[i * TILE..(i + 1) * TILE]);
                soft_cap(cap, &mut s[first..end], slopes.map(|slopes| &mut slopes[first..end]));
            }
            if let Some(bias) = rules.bias.filter(|_| first < end) {
                let distance = (keys.start + first) as isize - (query + problem.offset) as isize;
                let at = head * bias.distances + (distance - bias.first) as usize;
                s[first..end].iter_mut().zip(&bias.values[at..]).for_each(|(s, b)| *s += *b);
            }
            s[..first].fill(T::neg_infinity());
            s[end..].fill(T::neg_infinity());
            for mask in rules.key_masks.into_iter().flatten() {
                let mask = &mask[sizes.place(key_row, keys.start)..];
                hide(&mut s[first..end], mask[first..].iter().copied());
            }
            if let Some(mask) = rules.mask {
                let plane = if rules.by_head { row * sizes.heads + head } else { row };
                let mask = &mask[(plane * sizes.queries + query) * sizes.keys + keys.start..];
                hide(&mut s[first..end], mask[first..].iter().map(|m| *m != T::zero()));
            }
        }
    }

    /// Multiplies each probability of a tile by 0 or 1 / (1 − rate).
    pub fn drop(&self, tile: &Tile<'_>, values: &mut [T]) {
        let Some((rate, key)) = self.rules.dropout else { return };
        let key = key(tile.problem.row).with(tile.head as u64);
        let kept = T::of(1.0 / (1.0 - rate));
        for (i, query) in tile.queries.clone().enumerate() {
            let first = (query * self.sizes.keys + tile.keys.start) as u64;
            for (j, value) in values[i * TILE..][..tile.keys.len()].iter_mut().enumerate() {
                *value = if key.unit(first + j as u64) < rate { T::zero() } else { *value * kept };
            }
        }
    }

    /// The blocks of queries, tile after tile of what they see.
    pub fn tiles(&self, problem: &Problem, queries: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<T> {
        let seen = self.rules.seen_by(queries, problem);
        let origin = problem.keys.start;
        let first = origin + (seen.start - origin) / TILE * TILE;
        (first..seen.end).step_by(TILE).map(move |at| at..(at + TILE).min(seen.end))
    }

    /// The pieces of a block of queries and a tile of keys: all of it where every query sees every key by its position, else few queries with the keys
    /// that any of them sees. What is left out would be exact zeros.
    pub fn pieces<'p>(
        &self,
        problem: &'p Problem,
        head: usize,
        queries: &Range<usize>,
        keys: &Range<usize>,
    ) -> impl Iterator<Item = Tile<'p>> + use<'p, '_, T> {
        let (queries, keys, rules) = (queries.clone(), keys.clone(), self.rules);
        let sees = |query: usize| {
            let seen = rules.seen(query, problem);
            seen.start <= keys.start && seen.end >= keys.end
        };
        // What is seen moves on with the query.
        let is_whole = !queries.is_empty() && sees(queries.start) && sees(queries.end - 1);
        let step = if is_whole { queries.len() } else { PIECE };
        queries.clone().step_by(step).filter_map(move |start| {
            let queries = start..(start + step).min(queries.end);
            let seen = rules.seen_by(&queries, problem);
            let first = keys.start + seen.start.saturating_sub(keys.start) / LANES * LANES;
            let keys = first..seen.end.min(keys.end);
            (keys.start < keys.end).then_some(Tile { problem, head, queries, keys })
        })
    }
}

/// Scores times the scale.
struct Scaled<'a, T> {
    scores: &'a mut [T],
    row_len: usize,
    scale: T,
}

impl<T: Float> Loop for Scaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for s in self.scores.chunks_exact_mut(TILE) {
            s[..self.row_len].iter_mut().for_each(|s| *s *= self.scale);
        }
    }
}

/// Scores of a tile become exponentials, less the largest so far of each query; sums go on.
pub(super) struct Exponentials<'a, T> {
    pub scores: &'a mut [T],
    pub row_len: usize,
    /// Of each query: the largest score so far, the sum of exponentials, and what sums before are to be multiplied by.
    pub tops: &'a mut [T],
    pub totals: &'a mut [T],
    pub shrinks: &'a mut [T],
}

impl<T: Float> Loop for Exponentials<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let sums = self.tops.iter_mut().zip(self.totals).zip(self.shrinks);
        for (s, ((known, total), shrink)) in self.scores.chunks_exact_mut(TILE).zip(sums) {
            let s = &mut s[..self.row_len];
            let top = rows::largest(s);
            let top = if top > *known { top } else { *known };
            // Where nothing is seen yet, or all scores are −∞ or NaN.
            let base = if top == T::neg_infinity() { T::zero() } else { top };
            s.iter_mut().for_each(|s| *s = (*s - base).fast_exp_or_zero());
            *shrink = (*known - base).fast_exp_or_zero();
            *total = *total * *shrink + sum_of_tile(s);
            *known = top;
        }
    }
}

/// Scores of a tile become probabilities, by the logarithm of each query's sum.
pub(super) struct Probabilities<'a, T> {
    pub scores: &'a mut [T],
    pub row_len: usize,
    pub logs: &'a [T],
}

impl<T: Float> Loop for Probabilities<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (s, log) in self.scores.chunks_exact_mut(TILE).zip(self.logs) {
            s[..self.row_len].iter_mut().for_each(|s| *s = (*s - *log).fast_exp_or_zero());
        }
    }
}

/// ds = p ∘ (dp − δ), times a factor.
pub(super) struct ScoreGradients<'a, T> {
    pub p: &'a [T],
    pub dp: &'a mut [T],
    pub row_len: usize,
    pub deltas: &'a [T],
    pub factor: T,
}

impl<T: Float> Loop for ScoreGradients<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((p, dp), delta) in self.p.chunks_exact(TILE).zip(self.dp.chunks_exact_mut(TILE)).zip(self.deltas) {
            let each = dp[..self.row_len].iter_mut().zip(&p[..self.row_len]);
            each.for_each(|(dp, p)| *dp = *p * (*dp - *delta) * self.factor);
        }
    }
}

/// s ← c·tanh(s / c), and its slope 1 − tanh².
fn soft_cap<T: Float>(cap: T, s: &mut [T], slopes: Option<&mut [T]>) {
    let inverse = cap.recip();
    simd::vectorised(|| s.iter_mut().for_each(|s| *s = (*s * inverse).fast_tanh()));
    if let Some(slopes) = slopes {
        slopes.iter_mut().zip(&*s).for_each(|(slope, t)| *slope = T::one() - *t * *t);
    }
    s.iter_mut().for_each(|s| *s *= cap);
}

fn hide<T: Float>(s: &mut [T], seen: impl Iterator<Item = bool>) {
    s.iter_mut().zip(seen).for_each(|(s, seen)| *s = if seen { *s } else { T::neg_infinity() });
}

/// Σ of a row of a tile, always in the same chains.
#[inline(always)]
fn sum_of_tile<T: Float>(row: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    for part in row.chunks_exact(LANES) {
        lanes.iter_mut().zip(part).for_each(|(lane, v)| *lane += *v);
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            let other = lanes[i + half];
            lanes[i] += other;
        }
    }
    lanes[0]
}
