//! Against repeating what was written.

use crate::generation::space::Space;
use crate::tensor::Float;

/// Makes every token that occurs in the history less likely, once however often it occurs: a positive logit is divided by the
/// penalty, a negative one multiplied.
///
/// The prompt counts as history. Above 1 repetition is discouraged, from 0 to 1 encouraged. Keskar et al.: "CTRL: A Conditional
/// Transformer Language Model for Controllable Generation", 2019, section 4.1; Transformers `RepetitionPenaltyLogitsProcessor`.
///
/// ```
/// use gradus::generation::{Space, processors::repetition_penalty};
/// let mut logits = [4.0f32, -4.0, 4.0];
/// repetition_penalty(&mut logits, &[0, 1, 1], 2.0, &mut Space::default());
/// assert_eq!(logits, [2.0, -8.0, 4.0]);
/// ```
pub fn repetition_penalty<T: Float>(logits: &mut [T], history: &[u32], penalty: f64, space: &mut Space<T>) {
    let penalty = T::of(penalty);
    space.counts.resize(space.counts.len().max(logits.len()), 0);
    for &token in history {
        let Some(logit) = logits.get_mut(token as usize) else { continue };
        let count = &mut space.counts[token as usize];
        if *count == 0 {
            *logit = if *logit < T::zero() { *logit * penalty } else { *logit / penalty };
        }
        *count = 1;
    }
    super::occurrence::forget(history, &mut space.counts);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_token_and_nothing_is_kept() {
        let (mut logits, mut space) = ([3.0f64, -2.0, 0.0, f64::NEG_INFINITY], Space::default());
        for expected in [[2.0, -3.0, 0.0], [2.0 / 1.5, -4.5, 0.0]] {
            repetition_penalty(&mut logits, &[1, 0, 9, 1, 3, 2, 0], 1.5, &mut space);
            assert_eq!((&logits[..3], logits[3]), (&expected[..], f64::NEG_INFINITY));
        }
        assert!(space.counts.iter().all(|&n| n == 0));
        // A shorter row, as another model may have.
        repetition_penalty(&mut logits[..1], &[3, 0], 2.0, &mut space);
        assert_eq!(logits[0], 1.0 / 1.5);
    }
}
