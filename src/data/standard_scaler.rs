//! Scaling to mean 0 and variance 1.

use super::{check_features, check_spread, map_features};
use crate::error::Result;
use crate::tensor::{Float, Tensor};

/// (x − mean) / scale, feature by feature, with the mean and the standard deviation (of the population, Σ(x − mean)²/n) of
/// the data it is fitted on.
///
/// Features lie along the last axis. A feature that does not vary has scale 1, so that it becomes 0. Fit on the training
/// part only and apply to both parts. scikit-learn `StandardScaler`.
///
/// ```
/// use gradus::prelude::*;
/// let x = Tensor::from([[1.0f32, 5.0], [3.0, 5.0]]);
/// let scaler = StandardScaler::fit(&x)?;
/// let scaled = scaler.transform(&x)?;
/// assert_eq!(scaled, Tensor::from([[-1.0, 0.0], [1.0, 0.0]]));
/// assert_eq!(scaler.inverse_transform(&scaled)?, x);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StandardScaler {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl StandardScaler {
    /// Mean and standard deviation of each feature of `x` `[n, …, features]`, in f64.
    ///
    /// # Errors
    /// [`Error::Empty`](crate::Error::Empty) without values, [`Error::Shape`](crate::Error::Shape) for fewer than two axes,
    /// [`Error::NonFinite`](crate::Error::NonFinite) for NaN or infinity, [`Error::Argument`](crate::Error::Argument) where
    /// the variance exceeds f64.
    #[inline(never)]
    pub fn fit<T: Float>(x: &Tensor<T>) -> Result<Self> {
        check_features("StandardScaler::fit", x, None)?;
        let width = x.shape().last();
        let n = x.shape().rows() as f64;
        let mean = column_sums(x, |v, _| v).map(|s| s / n);
        let mean: Vec<f64> = mean.collect();
        let variances: Vec<f64> = column_sums(x, |v, j| (v - mean[j % width]).powi(2)).map(|s| s / n).collect();
        check_spread("StandardScaler::fit", "variance", variances.iter().copied())?;
        let scale = variances.into_iter().zip(&mean).map(|(variance, m)| {
            // Rounding of the mean alone can leave this much (scikit-learn's rule for constant features).
            let rounding = n * f64::EPSILON * variance + (n * m * f64::EPSILON).powi(2);
            if variance <= rounding { 1.0 } else { variance.sqrt() }
        });
        Ok(StandardScaler { scale: scale.collect(), mean })
    }

    /// (x − mean) / scale.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::Shape`](crate::Error::Shape) for another number of features.
    #[inline(never)]
    pub fn transform<T: Float>(&self, x: &Tensor<T>) -> Result<Tensor<T>> {
        check_features("StandardScaler::transform", x, Some(self.mean.len()))?;
        Ok(map_features(x, &self.mean, &self.scale, |v, mean, scale| (v - mean) / scale))
    }

    /// x·scale + mean: takes [`transform`](Self::transform) back.
    ///
    /// # Errors
    /// As [`transform`](Self::transform).
    #[inline(never)]
    pub fn inverse_transform<T: Float>(&self, x: &Tensor<T>) -> Result<Tensor<T>> {
        check_features("StandardScaler::inverse_transform", x, Some(self.mean.len()))?;
        Ok(map_features(x, &self.mean, &self.scale, |v, mean, scale| v * scale + mean))
    }

    /// The mean of each feature.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The standard deviation of each feature, 1 where it does not vary.
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }
}

/// Σ f(value, column) of each column.
fn column_sums<T: Float>(x: &Tensor<T>, f: impl Fn(f64, usize) -> f64) -> std::vec::IntoIter<f64> {
    let mut sums = vec![0.0; x.shape().last()];
    for row in x.as_slice().chunks_exact(sums.len()) {
        for (j, (sum, v)) in sums.iter_mut().zip(row).enumerate() {
            *sum += f(v.as_f64(), j);
        }
    }
    sums.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn population_variance_as_scikit_learn() {
        // StandardScaler().fit(x): mean_ 2.5, 20.25; scale_ √1.25, √(Σ(x − 20.25)²/4)
        let x = Tensor::from([[1.0f64, 10.0], [2.0, 20.0], [3.0, 40.0], [4.0, 11.0]]);
        let scaler = StandardScaler::fit(&x).unwrap();
        assert_eq!(scaler.mean(), &[2.5, 20.25]);
        assert_eq!(scaler.scale(), &[1.25f64.sqrt(), (580.75f64 / 4.0).sqrt()]);
        let scaled = scaler.transform(&x).unwrap();
        assert!((scaled.row(0)[0] + 1.341_640_786_499_874).abs() < 1e-15);
        let back = scaler.inverse_transform(&scaled).unwrap();
        assert!(back.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-14));
    }

    #[test]
    fn constant_features_become_zero_despite_rounding() {
        // Σ of 0.1 three times, divided by 3, is not 0.1
        let x = Tensor::from([[0.1f64, 1e9], [0.1, 1e9], [0.1, 1e9]]);
        let scaler = StandardScaler::fit(&x).unwrap();
        assert_eq!(scaler.scale(), &[1.0, 1.0]);
        assert!(scaler.transform(&x).unwrap().iter().all(|v| v.abs() < 1e-15));
    }

    #[test]
    fn sequences_scale_their_last_axis() {
        let x = Tensor::from([[[1.0f32, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]);
        let scaler = StandardScaler::fit(&x).unwrap();
        assert_eq!(scaler.mean(), &[4.0, 5.0]);
        assert_eq!(scaler.transform(&x).unwrap().dims(), &[2, 2, 2]);
    }

    #[cfg(feature = "files")]
    #[test]
    fn round_trip_through_serde() {
        let scaler = StandardScaler::fit(&Tensor::from([[0.1f32, 2.0], [3.0, 7.0]])).unwrap();
        let json = serde_json::to_string(&scaler).unwrap();
        assert_eq!(serde_json::from_str::<StandardScaler>(&json).unwrap(), scaler);
    }

    #[test]
    fn bad_input_is_an_error() {
        let message = |r: Result<StandardScaler>| r.unwrap_err().to_string();
        assert_eq!(
            message(StandardScaler::fit(&Tensor::<f32>::zeros([0, 3]))),
            "StandardScaler::fit: x has no samples; pass at least one row"
        );
        assert_eq!(
            message(StandardScaler::fit(&Tensor::from([[1.0f32, 2.0], [3.0, f32::NAN]]))),
            "StandardScaler::fit: x has NaN in row 1, column 1; remove or impute it"
        );
        assert_eq!(
            message(StandardScaler::fit(&Tensor::from([[1.0, f64::MAX], [2.0, f64::MIN]]))),
            "StandardScaler::fit: variance must be finite, got inf in column 1; the values lie too far apart; divide them by \
             a large number first"
        );
        assert!(StandardScaler::fit(&Tensor::from([[f64::MAX], [f64::MAX]])).is_err());
        // The variance of any f32 fits in f64.
        let huge = Tensor::from([[f32::MAX], [f32::MIN]]);
        assert_eq!(StandardScaler::fit(&huge).unwrap().transform(&huge).unwrap().as_slice(), &[1.0, -1.0]);
        assert_eq!(
            message(StandardScaler::fit(&Tensor::from([1.0f32, 2.0]))),
            "StandardScaler::fit: expected at least two axes, got [2]; put samples along the first axis and features \
             along the last; one feature is .reshape([n, 1])"
        );
        let scaler = StandardScaler::fit(&Tensor::from([[1.0f32, 2.0], [3.0, 4.0]])).unwrap();
        assert_eq!(
            scaler.transform(&Tensor::from([[1.0f32, 2.0, 3.0]])).unwrap_err().to_string(),
            "StandardScaler::transform: expected 2 features, got 3; pass the columns that the scaler was fitted on"
        );
        assert!(scaler.inverse_transform(&Tensor::from([[f32::INFINITY, 2.0]])).is_err());
    }
}
