//! Against repeating n-grams.

use crate::tensor::Float;

/// Rules out every token that would make the last `n` tokens a run that the history already has.
///
/// The prompt counts as history; `n` of 1 rules out all that was written, 0 nothing. Paulus, Xiong, Socher: "A Deep Reinforced
/// Model for Abstractive Summarization", 2017, section 2.5; Transformers `NoRepeatNGramLogitsProcessor`.
///
/// ```
/// let mut logits = [1.0f32; 4];
/// // 1 2 was followed by 3; now 1 2 stands at the end again.
/// gradus::generation::processors::no_repeat_ngram(&mut logits, &[1, 2, 3, 1, 2], 3);
/// assert_eq!(logits, [1.0, 1.0, 1.0, f32::NEG_INFINITY]);
/// ```
pub fn no_repeat_ngram<T: Float>(logits: &mut [T], history: &[u32], n: usize) {
    if n == 0 || history.len() < n {
        return;
    }
    let end = &history[history.len() + 1 - n..];
    for run in history.windows(n) {
        let (last, before) = run.split_last().expect("n is not 0");
        if before == end
            && let Some(logit) = logits.get_mut(*last as usize)
        {
            *logit = T::neg_infinity();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::no_repeat_ngram;

    fn banned(history: &[u32], n: usize) -> Vec<u32> {
        let mut logits = [0.0f64; 5];
        no_repeat_ngram(&mut logits, history, n);
        (0..5).filter(|&i| logits[i as usize] == f64::NEG_INFINITY).collect()
    }

    #[test]
    fn runs_that_were_there() {
        assert_eq!(banned(&[4, 0, 4, 1, 4], 2), [0, 1]);
        assert_eq!(banned(&[3, 3, 3], 2), [3]);
        assert_eq!(banned(&[3, 1], 1), [1, 3]);
        assert_eq!(banned(&[3, 3], 3), [0; 0]);
        assert_eq!(banned(&[1, 2, 9, 1, 2], 3), [0; 0], "an id past the end");
        assert_eq!(banned(&[1, 1], 0), [0; 0]);
        assert_eq!(banned(&[0; 0], 1), [0; 0]);
    }
}
