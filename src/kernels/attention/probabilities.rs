//! The probabilities themselves, where somebody wants to see them.

use super::rules::{BLOCK, Numbers, Problem, Rules, Sizes, TILE};
use super::scores::{Call, Tile};
use crate::kernels::float::Float;

/// The probabilities themselves `[batch, heads, queries, keys]`, from what [`forward`] gave; 0 where a query sees no key.
pub fn probabilities<T: Float>(
    sizes: Sizes,
    problems: &[Numbers],
    rules: &Rules<'_, T>,
    [q, k, v]: [&[T]; 3],
    sums: &[T],
    out: &mut [T],
    space: &mut [T],
) {
    let call = Call { sizes, rules, q, k, v };
    out.fill(T::zero());
    for problem in problems.iter().map(|numbers| Problem::from(*numbers)) {
        let problem = &problem;
        for (head, start) in
            (0..sizes.heads).flat_map(|head| problem.queries.clone().step_by(BLOCK).map(move |start| (head, start)))
        {
            let queries = start..(start + BLOCK).min(problem.queries.end);
            for keys in call.tiles(problem, &queries) {
                let tile = Tile { problem, head, queries: queries.clone(), keys: keys.clone() };
                call.scores(&tile, space, None);
                for (i, query) in queries.clone().enumerate() {
                    let log = sums[sizes.sum(problem.row, query, head)];
                    let at = ((problem.row * sizes.heads + head) * sizes.queries + query) * sizes.keys + keys.start;
                    let each = out[at..at + keys.len()].iter_mut().zip(&space[i * TILE..]);
                    each.for_each(|(p, s)| *p = (*s - log).fast_exp_or_zero());
                }
            }
        }
    }
}
