//! Scaling to a range.

use super::{check_features, check_spread, map_features};
use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// low + (x − min)·(high − low) / (max − min), feature by feature, with the smallest and largest value of the data it is
/// fitted on.
///
/// Features lie along the last axis; the range is 0 to 1 unless [`range`](Self::range) says otherwise, and new values
/// outside min to max leave it. A feature that does not vary becomes `low` (max − min counts as 1). scikit-learn
/// `MinMaxScaler`.
///
/// ```
/// use gradus::prelude::*;
/// let x = Tensor::from([[1.0f32, 5.0], [3.0, 5.0], [2.0, 5.0]]);
/// let scaler = MinMaxScaler::fit(&x)?;
/// let scaled = scaler.transform(&x)?;
/// assert_eq!(scaled, Tensor::from([[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]]));
/// assert_eq!(scaler.inverse_transform(&scaled)?, x);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MinMaxScaler {
    min: Vec<f64>,
    max: Vec<f64>,
    low: f64,
    high: f64,
}

impl MinMaxScaler {
    /// The smallest and the largest value of each feature of `x` `[n, …, features]`.
    ///
    /// # Errors
    /// [`Error::Empty`] without values, [`Error::Shape`] for fewer than two axes, [`Error::NonFinite`] for NaN or infinity,
    /// [`Error::Argument`] where max − min exceeds `T`.
    #[inline(never)]
    pub fn fit<T: Float>(x: &Tensor<T>) -> Result<Self> {
        check_features("MinMaxScaler::fit", x, None)?;
        let width = x.shape().last();
        let (mut min, mut max) = (vec![f64::INFINITY; width], vec![f64::NEG_INFINITY; width]);
        for row in x.as_slice().chunks_exact(width) {
            for ((v, min), max) in row.iter().map(|v| v.as_f64()).zip(&mut min).zip(&mut max) {
                *min = min.min(v);
                *max = max.max(v);
            }
        }
        let ranges = min.iter().zip(&max).map(|(min, max)| T::of(max - min).as_f64());
        check_spread("MinMaxScaler::fit", "max − min", ranges)?;
        Ok(MinMaxScaler { min, max, low: 0.0, high: 1.0 })
    }

    /// Another range to scale to.
    ///
    /// # Errors
    /// [`Error::Argument`] unless both ends are finite and `low` is below `high`.
    pub fn range(mut self, low: f64, high: f64) -> Result<Self> {
        (self.low, self.high) = (low, high);
        if !self.has_range() {
            let got = format!("{low} to {high}");
            return Err(Error::argument("MinMaxScaler", "range", "finite, low below high", got, "0 to 1 is usual"));
        }
        Ok(self)
    }

    /// low + (x − min)·(high − low) / (max − min).
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::Shape`] for another number of features.
    #[inline(never)]
    pub fn transform<T: Float>(&self, x: &Tensor<T>) -> Result<Tensor<T>> {
        check_features("MinMaxScaler::transform", x, Some(self.min.len()))?;
        let (low, span) = (self.low, self.high - self.low);
        Ok(map_features(x, &self.min, &self.max, |v, min, max| low + (v - min) * (span / width(min, max))))
    }

    /// min + (x − low)·(max − min) / (high − low): takes [`transform`](Self::transform) back.
    ///
    /// # Errors
    /// As [`transform`](Self::transform).
    #[inline(never)]
    pub fn inverse_transform<T: Float>(&self, x: &Tensor<T>) -> Result<Tensor<T>> {
        check_features("MinMaxScaler::inverse_transform", x, Some(self.min.len()))?;
        let (low, span) = (self.low, self.high - self.low);
        Ok(map_features(x, &self.min, &self.max, |v, min, max| min + (v - low) * (width(min, max) / span)))
    }

    /// Whether the range is one that [`range`](Self::range) takes.
    pub(super) fn has_range(&self) -> bool {
        self.low < self.high && self.low.is_finite() && self.high.is_finite()
    }

    /// The smallest value of each feature.
    pub fn min(&self) -> &[f64] {
        &self.min
    }

    /// The largest value of each feature.
    pub fn max(&self) -> &[f64] {
        &self.max
    }
}

/// max − min, or 1 for a feature that does not vary (scikit-learn: by less than 10 ε).
fn width(min: f64, max: f64) -> f64 {
    let width = max - min;
    if width < 10.0 * f64::EPSILON { 1.0 } else { width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_back() {
        let x = Tensor::from([[-1.0f64, 2.0], [-0.5, 6.0], [0.0, 10.0], [1.0, 18.0]]);
        let scaler = MinMaxScaler::fit(&x).unwrap();
        assert_eq!((scaler.min(), scaler.max()), ([-1.0, 2.0].as_slice(), [1.0, 18.0].as_slice()));
        let expected = Tensor::from([[0.0, 0.0], [0.25, 0.25], [0.5, 0.5], [1.0, 1.0]]);
        assert_eq!(scaler.transform(&x).unwrap(), expected);
        assert_eq!(scaler.transform(&Tensor::from([[2.0, 2.0]])).unwrap().row(0), &[1.5, 0.0]);
        let scaler = scaler.range(-1.0, 1.0).unwrap();
        let scaled = scaler.transform(&x).unwrap();
        assert_eq!(scaled.row(1), &[-0.5, -0.5]);
        assert_eq!(scaler.inverse_transform(&scaled).unwrap(), x);
    }

    #[test]
    fn constant_features_become_the_lower_end() {
        let x = Tensor::from([[7.0f32], [7.0]]);
        let scaler = MinMaxScaler::fit(&x).unwrap().range(2.0, 3.0).unwrap();
        assert_eq!(scaler.transform(&x).unwrap().as_slice(), &[2.0, 2.0]);
        assert_eq!(scaler.inverse_transform(&Tensor::from([[2.0f32]])).unwrap().as_slice(), &[7.0]);
    }

    #[cfg(feature = "files")]
    #[test]
    fn round_trip_through_serde() {
        let scaler = MinMaxScaler::fit(&Tensor::from([[0.1f32, 2.0], [3.0, 7.0]])).unwrap();
        let json = serde_json::to_string(&scaler).unwrap();
        assert_eq!(serde_json::from_str::<MinMaxScaler>(&json).unwrap(), scaler);
    }

    #[test]
    fn bad_input_is_an_error() {
        let message = |r: Result<MinMaxScaler>| r.unwrap_err().to_string();
        assert!(message(MinMaxScaler::fit(&Tensor::<f32>::zeros([0, 3]))).contains("no samples"));
        assert!(message(MinMaxScaler::fit(&Tensor::<f32>::zeros([3, 0]))).contains("no samples"));
        assert!(message(MinMaxScaler::fit(&Tensor::from([[1.0f32], [f32::NAN]]))).contains("row 1, column 0"));
        assert_eq!(
            message(MinMaxScaler::fit(&Tensor::from([[1.0, f32::MAX], [2.0, f32::MIN]]))),
            "MinMaxScaler::fit: max − min must be finite, got inf in column 1; the values lie too far apart; divide them by a \
             large number first"
        );
        assert!(MinMaxScaler::fit(&Tensor::from([[f64::MAX], [f64::MIN]])).is_err());
        let scaler = MinMaxScaler::fit(&Tensor::from([[1.0f32, 2.0], [3.0, 4.0]])).unwrap();
        assert!(scaler.transform(&Tensor::from([[1.0f32]])).unwrap_err().to_string().contains("expected 2 features"));
        assert_eq!(
            message(scaler.range(1.0, 1.0)),
            "MinMaxScaler: range must be finite, low below high, got 1 to 1; 0 to 1 is usual"
        );
    }
}
