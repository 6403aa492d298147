//! Runs of tokens, and how often they come.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each run of `n` tokens comes. Only sums of the counts are taken, so their order is of no account.
pub(super) fn counts<X: Eq + Hash>(tokens: &[X], n: usize) -> HashMap<&[X], usize> {
    let mut counts = HashMap::new();
    tokens.windows(n.max(1)).for_each(|run| *counts.entry(run).or_insert(0) += 1);
    counts
}

/// Runs of both, each as often as the one that has it less often.
pub(super) fn common<X: Eq + Hash>(a: &HashMap<&[X], usize>, b: &HashMap<&[X], usize>) -> usize {
    a.iter().map(|(run, &n)| b.get(run).map_or(0, |&m| n.min(m))).sum()
}

/// How many runs of `n` tokens there are.
pub(super) fn total(tokens: usize, n: usize) -> usize {
    (tokens + 1).saturating_sub(n)
}
