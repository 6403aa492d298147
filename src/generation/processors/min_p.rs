//! Only tokens that are not far less likely than the likeliest.

use crate::generation::probability::keep_from;
use crate::generation::space::Space;
use crate::kernels::rows::largest;
use crate::tensor::Float;

/// Rules out every token whose probability is below `min_p` times that of the most likely one.
///
/// Nguyen et al.: "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs", 2024, section 3; Transformers
/// `MinPLogitsWarper`.
///
/// ```
/// use gradus::generation::{Space, processors::min_p};
/// let mut logits = [0.05f64.ln(), 0.65f64.ln(), 0.3f64.ln()];
/// min_p(&mut logits, 0.1, 1, &mut Space::default());
/// assert_eq!(logits, [f64::NEG_INFINITY, 0.65f64.ln(), 0.3f64.ln()]);
/// ```
pub fn min_p<T: Float>(logits: &mut [T], min_p: f64, at_least: usize, space: &mut Space<T>) {
    // p < m·p_max just where logit < logit_max + ln m.
    let limit = largest(logits) + T::of(min_p.ln());
    if at_least > 1 {
        space.rank(logits, |_, v| v);
        let gone = space.rest(at_least).1.iter().filter(|(v, _)| *v < limit);
        gone.for_each(|&(_, token)| logits[token as usize] = T::neg_infinity());
        return;
    }
    keep_from(logits, limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(logits: &[f64], p: f64, at_least: usize) -> Vec<usize> {
        let mut logits = logits.to_vec();
        min_p(&mut logits, p, at_least, &mut Space::default());
        (0..logits.len()).filter(|&i| logits[i] > f64::NEG_INFINITY).collect()
    }

    #[test]
    fn edges() {
        let logits = [0.0, 2.0, f64::NEG_INFINITY, 1.5, 2.0];
        assert_eq!(kept(&logits, 1.0, 1), [1, 4]);
        assert_eq!(kept(&logits, 0.5, 1), [1, 3, 4]);
        assert_eq!(kept(&logits, 0.0, 1), [0, 1, 3, 4]);
        assert_eq!(kept(&logits, 1.0, 3), [1, 3, 4]);
        assert_eq!(kept(&logits, 1.0, 9), [0, 1, 3, 4]);
        assert_eq!(kept(&[f64::NEG_INFINITY; 2], 0.5, 1), [0; 0]);
    }
}
