//! y and the logarithms of sums.

use std::ops::Range;

use super::buffers::{Shared, View, strided};
use super::rules::{BLOCK, Numbers, Problem, Rules, Sizes, TILE};
use super::scores::{Call, Exponentials};
use crate::kernels::{
    float::Float,
    parallel::{self, PerThread},
    simd,
};

/// Values of working space that a thread of [`forward`] needs.
pub(super) const SPACE: usize = BLOCK * (TILE + 3);

/// How many blocks of queries the longest problem has.
fn blocks(problems: &[Numbers]) -> usize {
    problems.iter().map(|[_, start, end, ..]| (*end as usize - *start as usize).div_ceil(BLOCK)).max().unwrap_or(0)
}

pub(super) fn parts(sizes: Sizes, problems: &[Numbers]) -> usize {
    let tasks = problems.len() * sizes.heads * blocks(problems);
    let keys = problems.iter().map(|[_, _, _, start, end, ..]| (end - start) as usize).max().unwrap_or(0);
    parallel::parts(tasks, sizes.work(keys).saturating_mul(BLOCK.min(sizes.queries)))
}

/// y = softmax(q·kᵀ·scale)·v by the rules; `sums` gets the logarithm of each query's sum of exponentials `[batch, queries, heads]`, +∞ where it saw no
/// key.
pub fn forward<T: Float>(
    sizes: Sizes,
    problems: &[Numbers],
    rules: &Rules<'_, T>,
    [q, k, v]: [&[T]; 3],
    y: &mut [T],
    sums: &mut [T],
    space: &mut [T],
) {
    let call = Call { sizes, rules, q, k, v };
    let (per_head, blocks) = (problems.len(), blocks(problems));
    let (outputs, logs) = (Shared::of(y), Shared::of(sums));
    let parts = self::parts(sizes, problems);
    let tasks = per_head * sizes.heads * blocks;
    parallel::par_chunks(0..tasks, parts, PerThread(space, SPACE), &|range, space| {
        for task in range {
            let problem = &Problem::from(problems[task / (sizes.heads * blocks)]);
            let rest = task % (sizes.heads * blocks);
            let (head, block) = (rest / blocks, rest % blocks);
            let start = problem.queries.start + block * BLOCK;
            let queries = start..(start + BLOCK).min(problem.queries.end);
            if start < queries.end {
                // SAFETY: each task has queries and a head of its own.
                unsafe { forward_block(&call, problem, head, queries, &outputs, &logs, space.0) };
            }
        }
    });
}

/// # Safety
/// No other task works on these queries of this head.
unsafe fn forward_block<T: Float>(
    call: &Call<'_, T>,
    problem: &Problem,
    head: usize,
    queries: Range<usize>,
    outputs: &Shared<T>,
    logs: &Shared<T>,
    space: &mut [T],
) {
    let sizes = &call.sizes;
    let (row, key_row, key_head) = (problem.row, problem.key_row, head / sizes.group());
    let width = sizes.value_width;
    let (scores, rest) = space.split_at_mut(BLOCK * TILE);
    let (tops, rest) = rest.split_at_mut(BLOCK);
    let (totals, rest) = rest.split_at_mut(BLOCK);
    let shrinks = &mut rest[..BLOCK];
    tops.fill(T::neg_infinity());
    totals.fill(T::zero());
    let at = |query: usize| sizes.output(row, query, head);
    // SAFETY: rows of y of this task, here and below.
    queries.clone().for_each(|query| unsafe { outputs.row(at(query), width) }.fill(T::zero()));
    for tile in call.tiles(problem, &queries).flat_map(|keys| call.pieces(problem, head, &queries, &keys)) {
        call.scores(&tile, scores, None);
        let (first, n) = (tile.queries.start - queries.start, tile.queries.len());
        let own = first..first + n;
        let [tops, totals] = [&mut tops[own.clone()], &mut totals[own]];
        let shrinks = &mut shrinks[..n];
        let part = &mut scores[..n * TILE];
        simd::run(Exponentials { scores: part, row_len: tile.row(), tops, totals, shrinks });
        for (shrink, query) in shrinks.iter().zip(tile.queries.clone()).filter(|(shrink, _)| **shrink != T::one()) {
            // SAFETY: as above.
            let y = unsafe { outputs.row(at(query), width) };
            y.iter_mut().for_each(|y| *y *= *shrink);
        }
        call.drop(&tile, scores);
        let a = View::rows(scores, TILE);
        let b = View::rows(&call.v[sizes.value(key_row, tile.keys.start, key_head)..], sizes.steps()[2]);
        // SAFETY: as above.
        unsafe {
            let size = [tile.queries.len(), tile.keys.len(), width];
            strided(size, a, b, true, outputs, at(tile.queries.start), sizes.heads * width);
        }
    }
    for (i, query) in queries.clone().enumerate() {
        // SAFETY: as above.
        let (y, log) = unsafe { (outputs.row(at(query), width), logs.row(sizes.sum(row, query, head), 1)) };
        if totals[i] == T::zero() {
            log[0] = T::infinity();
            if call.rules.even {
                mean_value(call, key_row, key_head, y);
            }
            continue;
        }
        let inverse = totals[i].recip();
        y.iter_mut().for_each(|y| *y *= inverse);
        let base = if tops[i] == T::neg_infinity() { T::zero() } else { tops[i] };
        log[0] = base + totals[i].ln();
    }
}

/// The mean of all values of a row of the batch.
fn mean_value<T: Float>(call: &Call<'_, T>, row: usize, key_head: usize, y: &mut [T]) {
    let sizes = &call.sizes;
    y.fill(T::zero());
    for key in 0..sizes.keys {
        let value = &call.v[sizes.value(row, key, key_head)..][..sizes.value_width];
        y.iter_mut().zip(value).for_each(|(y, v)| *y += *v);
    }
    let inverse = T::of(1.0 / sizes.keys.max(1) as f64);
    y.iter_mut().for_each(|y| *y *= inverse);
}
