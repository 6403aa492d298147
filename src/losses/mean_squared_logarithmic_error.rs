//! Mean squared logarithmic error.

use super::{EPSILON, Loss, LossConfig, check_range, mean_gradient, mean_of};
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = (1/n) Σ (ln(1 + ŷ) − ln(1 + y))², with y and ŷ kept at 1e-7 or above; n the length of a row.
///
/// Gradient: dŷ = 2(ln(1 + ŷ) − ln(1 + y)) / (n(1 + ŷ)), 0 for ŷ below 1e-7. For targets from 0 up that span orders of
/// magnitude. Keras `MeanSquaredLogarithmicError`.
///
/// ```
/// use gradus::prelude::*;
/// let loss = MeanSquaredLogarithmicError::default();
/// assert!((loss.value(&[3.0f64], &[1.0]) - 2f64.ln().powi(2)).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct MeanSquaredLogarithmicError {}

/// ln(1 + max(v, 1e-7)); NaN stays NaN.
fn log<T: Float>(v: T) -> T {
    let low = T::of(EPSILON);
    (if v < low { low } else { v }).ln_1p()
}

impl<T: Float> Loss<T> for MeanSquaredLogarithmicError {
    fn name(&self) -> &'static str {
        "mean_squared_logarithmic_error"
    }

    fn config(&self) -> LossConfig {
        LossConfig::MeanSquaredLogarithmicError(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        mean_of(y_true, y_pred, |t, p| (log(p) - log(t)).powi(2))
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        mean_gradient(y_true, y_pred, scale, dy, |t, p| {
            if p < T::of(EPSILON) { T::zero() } else { T::of(2.0) * (log(p) - log(t)) / (T::one() + p) }
        });
    }

    fn check_targets(&self, y_true: &Tensor<T>, _: Shape) -> Result<()> {
        let hint = "use MeanSquaredError for targets below 0";
        check_range("MeanSquaredLogarithmicError", y_true, 0.0, f64::MAX, hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradient() {
        let (t, p) = (Tensor::from([[0.3, 1.0], [100.0, 0.0]]), Tensor::from([[0.1, 20.0], [2.0, -3.0]]));
        gradcheck::check_loss(&MeanSquaredLogarithmicError::default(), &t, &p).unwrap();
    }

    #[test]
    fn targets_below_zero_are_refused() {
        let loss = MeanSquaredLogarithmicError::default();
        let error = Loss::<f32>::check_targets(&loss, &Tensor::from([[1.0], [-0.5]]), Shape::from([2, 1]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("row 1 is -0.5"), "{error}");
    }
}
