//! Against ending too early.

use super::suppress;
use crate::tensor::Float;

/// Rules out the end tokens while there are fewer than `min` tokens.
///
/// With the row's length, prompt counted, it is Transformers' `MinLengthLogitsProcessor`, with the number of new tokens
/// `MinNewTokensLengthLogitsProcessor`.
///
/// ```
/// let mut logits = [1.0f32, 2.0];
/// gradus::generation::processors::min_length(&mut logits, 3, 3, &[1]);
/// assert_eq!(logits, [1.0, 2.0]);
/// gradus::generation::processors::min_length(&mut logits, 2, 3, &[1]);
/// assert_eq!(logits, [1.0, f32::NEG_INFINITY]);
/// ```
pub fn min_length<T: Float>(logits: &mut [T], length: usize, min: usize, end_tokens: &[u32]) {
    if length < min {
        suppress(logits, end_tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::min_length;

    #[test]
    fn all_end_tokens() {
        let mut logits = [1.0f64; 3];
        min_length(&mut logits, 0, 1, &[0, 2]);
        assert_eq!(logits, [f64::NEG_INFINITY, 1.0, f64::NEG_INFINITY]);
    }
}
