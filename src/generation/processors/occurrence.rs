//! Against what was written already, by how often it was.

use crate::generation::space::Space;
use crate::tensor::Float;

/// Takes from the logit of every token that was written before: `presence` once, `frequency` each time,
/// logit ← logit − presence − frequency·count where the count is not 0.
///
/// Only new tokens count, not the prompt. The formula of OpenAI's API reference ("Frequency and presence penalties"), which vLLM
/// has too.
///
/// ```
/// use gradus::generation::{Space, processors::occurrence_penalties};
/// let mut logits = [1.0f32, 1.0, 1.0];
/// occurrence_penalties(&mut logits, &[2, 0, 2], 0.5, 0.25, &mut Space::default());
/// assert_eq!(logits, [0.25, 1.0, 0.0]);
/// ```
pub fn occurrence_penalties<T: Float>(
    logits: &mut [T],
    new_tokens: &[u32],
    presence: f64,
    frequency: f64,
    space: &mut Space<T>,
) {
    space.counts.resize(space.counts.len().max(logits.len()), 0);
    for &token in new_tokens {
        if let Some(count) = space.counts.get_mut(token as usize) {
            *count += 1;
        }
    }
    for &token in new_tokens {
        let Some(logit) = logits.get_mut(token as usize) else { continue };
        let count = std::mem::take(&mut space.counts[token as usize]);
        if count > 0 {
            *logit -= T::of(presence + frequency * f64::from(count));
        }
    }
    forget(new_tokens, &mut space.counts);
}

/// Zeros again where these tokens were counted.
pub(super) fn forget(tokens: &[u32], counts: &mut [u32]) {
    for &token in tokens {
        if let Some(count) = counts.get_mut(token as usize) {
            *count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_forgets() {
        let mut space = Space::default();
        for _ in 0..2 {
            let mut logits = [0.0f64, 0.0, f64::NEG_INFINITY];
            occurrence_penalties(&mut logits, &[0, 0, 0, 2, 7], -1.0, 2.0, &mut space);
            assert_eq!(logits, [-5.0, 0.0, f64::NEG_INFINITY]);
            assert!(space.counts.iter().all(|&n| n == 0));
        }
    }
}
