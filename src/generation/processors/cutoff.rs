//! Only tokens above a probability.

use super::typical::entropy;
use crate::generation::probability::{keep_from, log_sum_exp};
use crate::generation::space::Space;
use crate::tensor::Float;

/// Rules out every token whose probability is below `epsilon`.
///
/// The most likely tokens stay, `at_least` of them and those equal to the last. Hewitt, Manning, Liang: "Truncation Sampling as
/// Language Model Desmoothing", 2022, section 4; Transformers `EpsilonLogitsWarper`.
///
/// ```
/// use gradus::generation::{Space, processors::epsilon_cutoff};
/// let mut logits = [0.04f64.ln(), 0.66f64.ln(), 0.3f64.ln()];
/// epsilon_cutoff(&mut logits, 0.05, 1, &mut Space::default());
/// assert_eq!(logits, [f64::NEG_INFINITY, 0.66f64.ln(), 0.3f64.ln()]);
/// ```
pub fn epsilon_cutoff<T: Float>(logits: &mut [T], epsilon: f64, at_least: usize, space: &mut Space<T>) {
    let norm = log_sum_exp(logits);
    cut(logits, norm, epsilon, at_least, space);
}

/// [`epsilon_cutoff`] at min(ε, √ε·e^(−H)), H = −Σ p·ln p: where the next token is open, less likely ones stay too.
///
/// The same paper, equation 8; Transformers `EtaLogitsWarper`.
///
/// ```
/// use gradus::generation::{Space, processors::eta_cutoff};
/// let mut logits = [0.04f64.ln(), 0.66f64.ln(), 0.3f64.ln()]; // H = 0.76: √0.01·e^(−H) = 0.047
/// eta_cutoff(&mut logits, 0.01, 1, &mut Space::default());
/// assert_eq!(logits[0], 0.04f64.ln());
/// eta_cutoff(&mut logits, 0.05, 1, &mut Space::default());
/// assert_eq!(logits[0], f64::NEG_INFINITY);
/// ```
pub fn eta_cutoff<T: Float>(logits: &mut [T], epsilon: f64, at_least: usize, space: &mut Space<T>) {
    let norm = log_sum_exp(logits);
    if norm.is_finite() {
        let eta = epsilon.min(epsilon.sqrt() * (-entropy(logits, norm)).exp());
        cut(logits, norm, eta, at_least, space);
    }
}

/// Rules out what is less likely than `least` and than the `at_least` most likely.
fn cut<T: Float>(logits: &mut [T], norm: f64, least: f64, at_least: usize, space: &mut Space<T>) {
    // p < ε just where logit < ln ε + ln Σ e^logit.
    let limit = T::of(norm + least.ln());
    if let Some(stays) = space.kth(logits, at_least.max(1)) {
        keep_from(logits, limit.min(stays));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges() {
        let kept = |p: &[f64], epsilon, at_least| {
            let mut logits: Vec<f64> = p.iter().map(|p| p.ln()).collect();
            epsilon_cutoff(&mut logits, epsilon, at_least, &mut Space::default());
            (0..logits.len()).filter(|&i| logits[i] > f64::NEG_INFINITY).collect::<Vec<_>>()
        };
        let p = [0.1, 0.3, 0.0, 0.3, 0.2, 0.1];
        assert_eq!(kept(&p, 0.15, 1), [1, 3, 4]);
        assert_eq!(kept(&p, 0.9, 1), [1, 3], "equals of the most likely stay");
        assert_eq!(kept(&p, 0.9, 4), [0, 1, 3, 4, 5]);
        assert_eq!(kept(&p, 0.9, 9), [0, 1, 3, 4, 5]);
        assert_eq!(kept(&[0.0; 3], 0.5, 1), [0; 0]);
    }
}
