//! The root of the mean squared error.

use super::squares::Squares;
use super::{Metric, MetricConfig, pairs, rows};
use crate::error::Result;
use crate::losses::same_shape;
use crate::tensor::{Float, Shape, Tensor};

/// √(mean (ŷ − y)²) over all values of all rows, in the targets' unit. Keras `RootMeanSquaredError`.
///
/// Finite where the figure is: errors whose squares would leave f64 are scaled.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([[1.0f32], [2.0]]), Tensor::from([[1.0], [4.0]]));
/// assert_eq!(RootMeanSquaredError::default().score(&y_true, &y_pred, None)?, 2f64.sqrt());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RootMeanSquaredError {}

impl<T: Float> Metric<T> for RootMeanSquaredError {
    fn name(&self) -> String {
        "root_mean_squared_error".into()
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::RootMeanSquaredError(self.clone())
    }

    fn sums(&self, _: Shape) -> usize {
        1 + Squares::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let Some((weight, squares)) = sums.split_first_mut() else { return };
        let Ok(squares) = <&mut [f64; Squares::SUMS]>::try_from(squares) else { return };
        for (t, p, w) in rows(y_true, y_pred, weights).filter(|(_, _, w)| *w != 0.0) {
            for (t, p) in pairs(t, p) {
                Squares::add(squares, t, p, w);
                *weight += w;
            }
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        let Some((&weight, squares)) = sums.split_first() else { return f64::NAN };
        let Ok(squares) = squares.try_into() else { return f64::NAN };
        if weight == 0.0 {
            return 0.0;
        }
        let (sum, exponent) = Squares::total(squares);
        libm::ldexp((sum / weight).sqrt(), exponent / 2)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        same_shape("RootMeanSquaredError", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_any_size() {
        let score = |errors: [f64; 2]| {
            let p = Tensor::from([[errors[0]], [errors[1]]]);
            RootMeanSquaredError::default().score(&Tensor::zeros([2, 1]), &p, None).unwrap()
        };
        for scale in [1e-300, 1e-200, 1e-30, 1e30, 1e200, 1e300] {
            assert!((score([scale, -7.0 * scale]) / (5.0 * scale) - 1.0).abs() < 1e-14, "{scale}");
            // The smaller one is lost beside the other.
            let alone = scale / 2f64.sqrt();
            assert!((score([scale, scale * 1e-9]) / alone - 1.0).abs() < 1e-14, "{scale}");
        }
        // On both sides of where squares are scaled: √((1 + 49) / 2) = 5.
        for scale in [0.5e150, 0.5e-150] {
            assert!((score([scale, 7.0 * scale]) / (5.0 * scale) - 1.0).abs() < 1e-14, "{scale}");
        }
        assert_eq!((score([0.0, 0.0]), score([f64::INFINITY, 0.0])), (0.0, f64::INFINITY));
        // The error of one value is beyond f64, that of four is not.
        let (max, y) = (f64::MAX, Tensor::from([[f64::MAX], [0.0], [0.0], [0.0]]));
        let far =
            RootMeanSquaredError::default().score(&y, &Tensor::from([[-max], [0.0], [0.0], [0.0]]), None).unwrap();
        assert!((far / max - 1.0).abs() < 1e-14, "{far}");
        assert!(score([f64::NAN, 0.0]).is_nan());
        let p = Tensor::from([[f64::NAN], [2.0]]);
        let weighted = RootMeanSquaredError::default().score(&Tensor::zeros([2, 1]), &p, Some(&[0.0, 1.0]));
        assert_eq!(weighted.unwrap(), 2.0);
    }

    #[test]
    fn weights() {
        let m = RootMeanSquaredError::default();
        let (y, p) = (Tensor::from([[0.0f64], [0.0]]), Tensor::from([[2.0], [4.0]]));
        assert_eq!(m.score(&y, &p, Some(&[3.0, 1.0])).unwrap(), 7f64.sqrt());
        assert!(Metric::<f64>::check(&m, Shape::from([2, 2]), Shape::from([2, 1])).is_err());
    }
}
