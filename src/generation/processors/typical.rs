//! Only tokens about as surprising as can be expected.

use crate::generation::probability::log_sum_exp;
use crate::generation::space::Space;
use crate::tensor::Float;

/// Leaves the tokens whose surprise −ln p is nearest to the entropy H = −Σ p·ln p: from the nearest on until they have a
/// probability of `mass` together, and all that are as near as the last of them.
///
/// Meister et al.: "Locally Typical Sampling", 2022, section 4; Transformers `TypicalLogitsWarper`.
///
/// ```
/// use gradus::generation::{Space, processors::typical_p};
/// let p = [0.7f64, 0.1, 0.1, 0.1]; // H = 0.94, −ln p = 0.36 and 2.3
/// let mut logits = p.map(f64::ln);
/// typical_p(&mut logits, 0.5, 1, &mut Space::default());
/// assert_eq!(logits, [0.7f64.ln(), f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY]);
/// ```
pub fn typical_p<T: Float>(logits: &mut [T], mass: f64, at_least: usize, space: &mut Space<T>) {
    let norm = log_sum_exp(logits);
    if !norm.is_finite() {
        return;
    }
    let entropy = entropy(logits, norm);
    // The nearest has the largest value.
    space.rank(logits, |_, v| T::of(-((norm - v.as_f64()) - entropy).abs()));
    let stay = space.reach(mass, |token| (logits[token].as_f64() - norm).exp());
    let (limit, _) = space.rest(stay);
    let (_, rest) = space.rest(stay.max(at_least));
    let gone = rest.iter().filter(|(value, _)| *value < limit);
    gone.for_each(|&(_, token)| logits[token as usize] = T::neg_infinity());
}

/// H = −Σ p·ln p, for ln p = logit − norm.
pub(super) fn entropy<T: Float>(logits: &[T], norm: f64) -> f64 {
    let finite = logits.iter().filter(|v| **v > T::neg_infinity());
    -finite.map(|v| v.as_f64() - norm).map(|log| log * log.exp()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(p: &[f64], mass: f64, at_least: usize) -> Vec<usize> {
        let mut logits: Vec<f64> = p.iter().map(|p| p.ln()).collect();
        typical_p(&mut logits, mass, at_least, &mut Space::default());
        (0..logits.len()).filter(|&i| logits[i] > f64::NEG_INFINITY).collect()
    }

    #[test]
    fn edges() {
        // H = 1.16; surprises 0.69, 1.2, 2.3, 2.3: the second is the nearest, then the first.
        let p = [0.5, 0.3, 0.1, 0.0, 0.1];
        assert_eq!(kept(&p, 0.2, 1), [1]);
        assert_eq!(kept(&p, 0.2, 2), [0, 1]);
        assert_eq!(kept(&p, 0.5, 1), [0, 1]);
        assert_eq!(kept(&p, 0.85, 1), [0, 1, 2, 4], "equally far ones stay together");
        assert_eq!(kept(&p, 0.2, 99), [0, 1, 2, 4]);
        assert_eq!(kept(&[0.25; 4], 0.1, 1), [0, 1, 2, 3]);
        assert_eq!(kept(&[0.0; 4], 0.1, 1), [0; 0]);
    }
}
