//! Only the most likely tokens that make up a probability.

use crate::generation::space::Space;
use crate::tensor::Float;

/// Rules out the least likely tokens while all that are ruled out have a probability of at most 1 − p together.
///
/// Of equals the one with the higher id goes first. Holtzman et al.: "The Curious Case of Neural Text Degeneration", 2019,
/// section 3.1; Transformers `TopPLogitsWarper`.
///
/// ```
/// use gradus::generation::{Space, processors::top_p};
/// let mut logits = [0.15f64.ln(), 0.6f64.ln(), 0.25f64.ln()];
/// top_p(&mut logits, 0.8, 1, &mut Space::default());
/// assert_eq!(logits, [f64::NEG_INFINITY, 0.6f64.ln(), 0.25f64.ln()]);
/// ```
pub fn top_p<T: Float>(logits: &mut [T], p: f64, at_least: usize, space: &mut Space<T>) {
    if p >= 1.0 {
        return;
    }
    let Some(total) = space.exponentials(logits) else { return };
    let exps = std::mem::take(&mut space.exps);
    space.rank(logits, |_, v| v);
    let stay = space.reach(total - (1.0 - p) * total, |token| exps[token].as_f64());
    let (_, gone) = space.rest(stay.max(at_least));
    gone.iter().for_each(|&(_, token)| logits[token as usize] = T::neg_infinity());
    space.exps = exps;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(probabilities: &[f64], p: f64, at_least: usize) -> Vec<usize> {
        let mut logits: Vec<f64> = probabilities.iter().map(|p| p.ln()).collect();
        top_p(&mut logits, p, at_least, &mut Space::default());
        (0..logits.len()).filter(|&i| logits[i] > f64::NEG_INFINITY).collect()
    }

    #[test]
    fn edges() {
        let p = [0.125, 0.5, 0.0, 0.25, 0.125];
        assert_eq!(kept(&p, 0.9, 1), [0, 1, 3, 4], "the last two have 0.25 together, one alone more than 0.1");
        assert_eq!(kept(&p, 0.8, 1), [0, 1, 3], "of equals the higher id goes");
        assert_eq!(kept(&p, 0.74, 1), [1, 3]);
        assert_eq!(kept(&p, 1e-9, 1), [1]);
        assert_eq!(kept(&p, 1e-9, 3), [0, 1, 3]);
        assert_eq!(kept(&p, 1.0, 1), [0, 1, 3, 4]);
        assert_eq!(kept(&[0.0, 0.0], 0.5, 1), [0; 0]);
    }

    /// The same set as from the smallest up, over several blocks.
    #[test]
    fn many_tokens() {
        let p: Vec<f64> = (0..3000).map(|i| 1.0 + f64::from(i * 733 % 3000)).collect();
        let sum: f64 = p.iter().sum();
        for top in [0.1, 0.5, 0.97] {
            let mut order: Vec<usize> = (0..3000).collect();
            order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
            let mut gone = 0.0;
            let first = order.iter().position(|&i| {
                gone += p[i];
                gone > (1.0 - top) * sum
            });
            let mut expected = order[first.unwrap()..].to_vec();
            expected.sort_unstable();
            assert_eq!(kept(&p, top, 1), expected);
        }
    }
}
