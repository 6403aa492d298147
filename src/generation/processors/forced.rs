//! Tokens that have to come.

use crate::tensor::Float;

/// Leaves only some tokens, all alike: their logits become 0, all others −∞.
///
/// What ruled them out before is forgotten. Transformers `ForcedBOSTokenLogitsProcessor` (for a row of one token) and
/// `ForcedEOSTokenLogitsProcessor` (for the last token that there is room for).
///
/// ```
/// let mut logits = [1.0f32, 2.0, 3.0];
/// gradus::generation::processors::forced(&mut logits, &[1]);
/// assert_eq!(logits, [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY]);
/// ```
pub fn forced<T: Float>(logits: &mut [T], tokens: &[u32]) {
    logits.fill(T::neg_infinity());
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = T::zero();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::forced;

    #[test]
    fn what_was_ruled_out_comes_back() {
        let mut logits = [f64::NEG_INFINITY, 7.0, f64::NEG_INFINITY];
        forced(&mut logits, &[0, 2, 9]);
        assert_eq!(logits, [0.0, f64::NEG_INFINITY, 0.0]);
    }
}
