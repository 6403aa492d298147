//! Words that never come.

use crate::tensor::Float;

/// Rules out the last token of every word whose other tokens stand at the end of the history.
///
/// A word of one token is always ruled out, unless it is an end token: that is left alone. Transformers
/// `NoBadWordsLogitsProcessor`.
///
/// ```
/// let mut logits = [1.0f32; 4];
/// gradus::generation::processors::bad_words(&mut logits, &[0, 1, 2], &[vec![0], vec![1, 2, 3], vec![0, 2]], &[]);
/// assert_eq!(logits, [f32::NEG_INFINITY, 1.0, 1.0, f32::NEG_INFINITY]);
/// ```
pub fn bad_words<T: Float>(logits: &mut [T], history: &[u32], words: &[Vec<u32>], end_tokens: &[u32]) {
    for word in words {
        let Some((last, before)) = word.split_last() else { continue };
        let ends = before.is_empty() && end_tokens.contains(last);
        if !ends
            && history.ends_with(before)
            && let Some(logit) = logits.get_mut(*last as usize)
        {
            *logit = T::neg_infinity();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bad_words;

    #[test]
    fn an_end_token_is_left_alone_when_it_stands_alone() {
        let mut logits = [0.0f64; 4];
        let words = [vec![2], vec![1, 2], vec![3], vec![], vec![9], vec![0, 1, 1, 0]];
        bad_words(&mut logits, &[0, 1], &words[..1], &[2]);
        assert_eq!(logits, [0.0; 4]);
        bad_words(&mut logits, &[0, 1], &words, &[2]);
        assert_eq!(logits, [0.0, 0.0, f64::NEG_INFINITY, f64::NEG_INFINITY]);
    }
}
