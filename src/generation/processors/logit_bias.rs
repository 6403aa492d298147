//! Numbers added to logits.

use crate::tensor::Float;

/// Adds a number to the logits of some tokens: logit ← logit + bias. −∞ rules a token out.
///
/// OpenAI's `logit_bias`; Transformers `SequenceBiasLogitsProcessor` for single tokens.
///
/// ```
/// let mut logits = [1.0f32, 2.0, 3.0];
/// gradus::generation::processors::logit_bias(&mut logits, &[(0, 2.5), (2, f64::NEG_INFINITY)]);
/// assert_eq!(logits, [3.5, 2.0, f32::NEG_INFINITY]);
/// ```
pub fn logit_bias<T: Float>(logits: &mut [T], bias: &[(u32, f64)]) {
    for &(token, bias) in bias {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit += T::of(bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::logit_bias;

    #[test]
    fn adds_up() {
        let mut logits = [1.0f64, f64::NEG_INFINITY];
        logit_bias(&mut logits, &[(0, 2.0), (0, -0.5), (1, 100.0), (2, 1.0)]);
        assert_eq!(logits, [2.5, f64::NEG_INFINITY]);
    }
}
