//! Logits as probabilities.

use crate::kernels::rows::exp_into;
use crate::kernels::simd;
use crate::tensor::Float;

/// ln Σ e^logit; −∞ where all are, NaN or ∞ where a logit is.
pub(super) fn log_sum_exp<T: Float>(logits: &[T]) -> f64 {
    let (top, sum) = exp_into(logits, None);
    if top == T::neg_infinity() && !logits.iter().any(|v| v.is_nan()) {
        return f64::NEG_INFINITY;
    }
    top.as_f64() + sum.as_f64().ln()
}

/// Rules out what is below a limit.
pub(super) fn keep_from<T: Float>(logits: &mut [T], limit: T) {
    simd::vectorised(|| logits.iter_mut().for_each(|v| *v = if *v < limit { T::neg_infinity() } else { *v }));
}

/// Turns logits into the natural logarithms of probabilities: logit − ln Σ e^logit.
///
/// Logits of −∞ stay; where all are, so do all.
///
/// ```
/// let mut logits = [0.0f64, 0.0, f64::NEG_INFINITY];
/// gradus::generation::log_softmax(&mut logits);
/// assert!((logits[0] - 0.5f64.ln()).abs() < 1e-15 && logits[2] == f64::NEG_INFINITY);
/// ```
pub fn log_softmax<T: Float>(logits: &mut [T]) {
    let norm = log_sum_exp(logits);
    if norm > f64::NEG_INFINITY {
        logits.iter_mut().for_each(|v| *v = T::of(v.as_f64() - norm));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges() {
        assert_eq!(log_sum_exp::<f32>(&[]), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 40]), f64::NEG_INFINITY);
        assert!(log_sum_exp(&[f32::NEG_INFINITY, f32::NAN]).is_nan());
        assert!(log_sum_exp(&[0.0, f32::NAN]).is_nan() && !log_sum_exp(&[0.0, f32::INFINITY]).is_finite());
        assert_eq!(log_sum_exp(&[1e30f32, f32::NEG_INFINITY]), f64::from(1e30f32));
        let mut none = [f64::NEG_INFINITY; 3];
        log_softmax(&mut none);
        assert_eq!(none, [f64::NEG_INFINITY; 3]);
        let mut many: Vec<f32> = (0..100).map(|i| i as f32 * 0.1 - 500.0).collect();
        log_softmax(&mut many);
        let sum: f64 = many.iter().map(|v| f64::from(*v).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}
