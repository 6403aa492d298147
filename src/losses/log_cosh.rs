//! The logarithm of the hyperbolic cosine of the error.

use super::{Loss, LossConfig, mean_gradient, mean_of};
use crate::tensor::Float;

/// loss = (1/n) Σ ln cosh(ŷ − y), n the length of a row: about e²/2 for small errors and |e| − ln 2 for large ones.
///
/// Gradient: dŷ = tanh(ŷ − y)/n. ln 2 is taken as an `f32` in `f64` too, because Keras does: values agree with Keras's and lie
/// 2e-9 below the exact ones. Keras `LogCosh`.
///
/// ```
/// use gradus::prelude::*;
/// let loss = LogCosh::default();
/// assert!((loss.value(&[0.0f64], &[1.0]) - 1f64.cosh().ln()).abs() < 1e-8);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct LogCosh {}

impl<T: Float> Loss<T> for LogCosh {
    fn name(&self) -> &'static str {
        "log_cosh"
    }

    fn config(&self) -> LossConfig {
        LossConfig::LogCosh(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        // |e| + ln(1 + exp(−2|e|)) − ln 2 does not overflow.
        mean_of(y_true, y_pred, |t, p| {
            let e = (p - t).abs();
            e + (T::of(-2.0) * e).exp().ln_1p() - T::of(f64::from(std::f32::consts::LN_2))
        })
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        mean_gradient(y_true, y_pred, scale, dy, |t, p| (p - t).fast_tanh());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, gradcheck};

    #[test]
    fn gradient_and_large_errors() {
        let (t, p) = (Tensor::from([[0.3, -1.0], [1.0, 2.0]]), Tensor::from([[0.1, 0.9], [2.2, -3.0]]));
        gradcheck::check_loss(&LogCosh::default(), &t, &p).unwrap();
        assert!((LogCosh::default().value(&[0.0f32], &[-1000.0]) - 999.306).abs() < 1e-3);
    }
}
