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
        let kept = logits.iter().enumerate().filter(|(_, v)| **v > T::neg_infinity());
        self.ranked.extend(kept.map(|(i, &v)| (value(i, v), i as u32)));
        self.ranked.len()
    }

    /// Goes through the ranked tokens from the largest value on, as long as `visit(rank, value, token)` says so, and returns those
    /// it did not go on to, in no order. Only as many are sorted as are visited, more or less.
    pub(super) fn descend(&mut self, mut visit: impl FnMut(usize, T, usize) -> bool) -> &[(T, u32)] {
        let (mut start, mut block) = (0, 64);
        while start < self.ranked.len() {
            let rest = &mut self.ranked[start..];
            let part = if rest.len() > block {
                rest.select_nth_unstable_by(block, order);
                &mut rest[..block]
            } else {
                rest
            };
            part.sort_unstable_by(order);
            let len = part.len();
            if let Some(at) = (0..len).find(|&i| !visit(start + i, part[i].0, part[i].1 as usize)) {
                return &self.ranked[start + at..];
            }
            start += len;
            block *= 4;
        }
        &[]
    }

    /// The k-th largest value of those that were ranked, if there are more than k.
    pub(super) fn kth(&mut self, k: usize) -> Option<T> {
        if k == 0 || self.ranked.len() <= k {
            return None;
        }
        Some(self.ranked.select_nth_unstable_by(k - 1, order).1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_in_blocks() {
        let mut space = Space::default();
        // 1,000 values, each five times, and some that do not count.
        let logits: Vec<f64> =
            (0..5000).map(|i| if i % 7 == 3 { f64::NEG_INFINITY } else { f64::from(i * 367 % 1000) }).collect();
        let mut expected: Vec<(f64, u32)> = (0..5000).map(|i| (logits[i as usize], i)).collect();
        expected.retain(|(v, _)| v.is_finite());
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let n = space.rank(&logits, |_, v| v);
        assert_eq!(n, expected.len());
        let mut seen = Vec::new();
        let rest = space.descend(|rank, value, token| {
            assert_eq!(rank, seen.len());
            seen.push((value, token as u32));
            seen.len() < 777
        });
        // The last one visited is the first of those that are left.
        let mut rest = rest.to_vec();
        rest.sort_by(order);
        assert_eq!(seen, expected[..777]);
        assert_eq!(rest, expected[776..]);
        assert!(space.descend(|_, _, _| true).is_empty());
        for k in [1, 64, 65, n - 1] {
            space.rank(&logits, |_, v| v);
            assert_eq!(space.kth(k), Some(expected[k - 1].0));
        }
        assert_eq!((space.kth(0), space.kth(n)), (None, None));
    }
}
