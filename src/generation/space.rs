//! Memory that is kept from token to token.

use std::cmp::Ordering;

use crate::kernels::rows::exp_into;
use crate::tensor::Float;

/// Memory of the processors, empty at first, which is kept from call to call so that a token takes none.
#[derive(Clone, Debug, Default)]
pub struct Space<T> {
    /// e^(logit − largest).
    pub(super) exps: Vec<T>,
    /// What is ranked, and its token.
    ranked: Vec<(T, u32)>,
    /// The largest so far, in their order.
    largest: Vec<T>,
    /// How often each token occurs; zeros between two calls.
    pub(super) counts: Vec<u32>,
}

/// The larger before the smaller, the lower id before the higher.
fn order<T: Float>(a: &(T, u32), b: &(T, u32)) -> Ordering {
    b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
}

impl<T: Float> Space<T> {
    /// e^(logit − largest) of all into `exps`, and their sum; none where no logit is finite.
    pub(super) fn exponentials(&mut self, logits: &[T]) -> Option<f64> {
        self.exps.resize(logits.len(), T::zero());
        exp_into(logits, Some(&mut self.exps));
        let sum: f64 = self.exps.iter().map(|e| e.as_f64()).sum();
        (sum.is_finite() && sum > 0.0).then_some(sum)
    }

    /// Takes the tokens whose logits are not −∞, each with a value to be ranked by, and says how many they are.
    pub(super) fn rank(&mut self, logits: &[T], value: impl Fn(usize, T) -> T) -> usize {
        self.ranked.clear();
        // For all, as others may be left in the next step.
        self.ranked.reserve(logits.len());
        let kept = logits.iter().enumerate().filter(|(_, v)| **v > T::neg_infinity());
        self.ranked.extend(kept.map(|(i, &v)| (value(i, v), i as u32)));
        self.ranked.len()
    }

    /// The smallest number of ranked tokens, from the largest value on, whose weights add up to `goal`; all if they do not.
    /// [`rest`](Self::rest) splits them off. Nothing is sorted but the last few: halves are taken as a whole (Hoare's selection).
    pub(super) fn reach(&mut self, goal: f64, weight: impl Fn(usize) -> f64) -> usize {
        let (mut start, mut end, mut sum) = (0, self.ranked.len(), 0.0);
        while end - start > 32 {
            let half = (end - start) / 2;
            self.ranked[start..end].select_nth_unstable_by(half, order);
            let mass: f64 = self.ranked[start..start + half].iter().map(|(_, token)| weight(*token as usize)).sum();
            if sum + mass >= goal {
                end = start + half;
            } else {
                (sum, start) = (sum + mass, start + half);
            }
        }
        self.ranked[start..end].sort_unstable_by(order);
        let reached = self.ranked[start..end].iter().position(|(_, token)| {
            sum += weight(*token as usize);
            sum >= goal
        });
        reached.map_or(end, |at| start + at + 1)
    }

    /// The value of the last of the first `n` ranked tokens, and all behind them, in no order.
    pub(super) fn rest(&mut self, n: usize) -> (T, &[(T, u32)]) {
        if n == 0 || n > self.ranked.len() {
            return (T::infinity(), &[]);
        }
        let (_, last, rest) = self.ranked.select_nth_unstable_by(n - 1, order);
        (last.0, rest)
    }

    /// The k-th largest of the logits that are not −∞; none where there are fewer.
    pub(super) fn kth(&mut self, logits: &[T], k: usize) -> Option<T> {
        // Where few are looked for, most logits cost one comparison.
        const FEW: usize = 256;
        if k == 0 || k > logits.len() {
            return None;
        }
        if k > FEW {
            return (self.rank(logits, |_, v| v) >= k).then(|| self.rest(k).0);
        }
        self.largest.clear();
        self.largest.resize(k, T::neg_infinity());
        for &v in logits {
            if v > self.largest[k - 1] {
                self.largest.pop();
                self.largest.insert(self.largest.partition_point(|other| *other >= v), v);
            }
        }
        Some(self.largest[k - 1]).filter(|v| *v > T::neg_infinity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_as_far_as_needed() {
        let mut space = Space::default();
        // 1,000 values, each five times, and some that do not count.
        let logits: Vec<f64> =
            (0..5000).map(|i| if i % 7 == 3 { f64::NEG_INFINITY } else { f64::from(i * 367 % 1000) }).collect();
        let mut expected: Vec<(f64, u32)> = (0..5000).map(|i| (logits[i as usize], i)).collect();
        expected.retain(|(v, _)| v.is_finite());
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let n = space.rank(&logits, |_, v| v);
        assert_eq!(n, expected.len());
        for goal in [1, 2, 777, n - 1] {
            assert_eq!(space.reach(goal as f64 - 0.5, |_| 1.0), goal);
            let (last, rest) = space.rest(goal);
            let mut rest = rest.to_vec();
            rest.sort_by(order);
            assert_eq!((last, &rest[..]), (expected[goal - 1].0, &expected[goal..]));
        }
        assert_eq!((space.reach(0.0, |_| 1.0), space.reach(1e9, |_| 1.0)), (1, n));
        assert_eq!(space.rest(n).1, []);
        for k in [1, 2, 64, 256, 257, n] {
            assert_eq!(space.kth(&logits, k), Some(expected[k - 1].0));
        }
        assert_eq!([0, n + 1, 5001].map(|k| space.kth(&logits, k)), [None; 3]);
        assert_eq!(space.kth(&[f64::NEG_INFINITY, 1.0], 2), None);
    }
}
