//! Only the k most likely tokens.

use crate::generation::probability::keep_from;
use crate::generation::space::Space;
use crate::tensor::Float;

/// Rules out every token whose logit is below the k-th largest; all that equal it stay.
///
/// Fan, Lewis, Dauphin: "Hierarchical Neural Story Generation", 2018, section 5.4; Transformers `TopKLogitsWarper`. `k` counts as
/// `at_least` if it is smaller.
///
/// ```
/// use gradus::generation::{Space, processors::top_k};
/// let mut logits = [3.0f32, 1.0, 2.0, 2.0];
/// top_k(&mut logits, 2, 1, &mut Space::default());
/// assert_eq!(logits, [3.0, f32::NEG_INFINITY, 2.0, 2.0]);
/// ```
pub fn top_k<T: Float>(logits: &mut [T], k: usize, at_least: usize, space: &mut Space<T>) {
    let k = k.max(at_least).max(1);
    if let Some(limit) = space.kth(logits, k) {
        keep_from(logits, limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(logits: &[f64], k: usize, at_least: usize) -> Vec<usize> {
        let mut logits = logits.to_vec();
        top_k(&mut logits, k, at_least, &mut Space::default());
        (0..logits.len()).filter(|&i| logits[i] > f64::NEG_INFINITY).collect()
    }

    #[test]
    fn ties_and_edges() {
        let logits = [1.0, 5.0, f64::NEG_INFINITY, 5.0, 4.0, 4.0];
        assert_eq!(kept(&logits, 1, 1), [1, 3]);
        assert_eq!(kept(&logits, 3, 1), [1, 3, 4, 5]);
        assert_eq!(kept(&logits, 1, 3), [1, 3, 4, 5]);
        for k in [5, 6, usize::MAX] {
            assert_eq!(kept(&logits, k, 1), [0, 1, 3, 4, 5]);
        }
        assert_eq!(kept(&[f64::NEG_INFINITY; 3], 1, 1), [0; 0]);
    }
}
