//! Tokens that never come.

use crate::tensor::Float;

/// Rules out some tokens: logit ← −∞.
///
/// Transformers `SuppressTokensLogitsProcessor`, and `SuppressTokensAtBeginLogitsProcessor` where it is called for the first new
/// token alone.
///
/// ```
/// let mut logits = [1.0f32, 2.0, 3.0];
/// gradus::generation::processors::suppress(&mut logits, &[2]);
/// assert_eq!(logits, [1.0, 2.0, f32::NEG_INFINITY]);
/// ```
pub fn suppress<T: Float>(logits: &mut [T], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = T::neg_infinity();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::suppress;

    #[test]
    fn past_the_end_is_nothing() {
        let mut logits = [1.0f64, 2.0];
        suppress(&mut logits, &[0, 0, 2, u32::MAX]);
        assert_eq!(logits, [f64::NEG_INFINITY, 2.0]);
    }
}
