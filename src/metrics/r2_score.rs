//! The coefficient of determination.

use super::squares::Squares;
use super::{Metric, MetricConfig, check_width, pairs, rows, width};
use crate::error::Result;
use crate::losses::same_shape;
use crate::tensor::{Float, Shape, Tensor};

/// R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)² of each output, averaged over outputs: 1 is perfect, 0 no better than the mean, below 0
/// worse.
///
/// An output whose targets are all equal counts as 0. Keras `R2Score`; the sums about the mean are kept as Welford 1962 does,
/// which does not cancel. Finite where the figure is: numbers whose squares would leave f64 are scaled.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([[1.0f32], [2.0], [3.0]]), Tensor::from([[1.0], [2.0], [4.0]]));
/// assert_eq!(R2Score::default().score(&y_true, &y_pred, None)?, 0.5);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct R2Score {}

/// The sums of one output.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Column {
    weight: f64,
    /// max |y|, which says by which power of two the next two are scaled.
    largest: f64,
    mean: f64,
    /// Σ w(y − ȳ)²
    spread: f64,
    /// Σ w(y − ŷ)²
    residual: [f64; Squares::SUMS],
}

/// k so that the squares of targets up to a magnitude stay within f64 when targets are divided by 2ᵏ; 0 for usual ones.
fn exponent(largest: f64) -> i32 {
    const USUAL: std::ops::RangeInclusive<f64> = 1e-120..=1e120;
    if largest == 0.0 || !largest.is_finite() || USUAL.contains(&largest) { 0 } else { libm::ilogb(largest) }
}

impl Column {
    const SUMS: usize = 4 + Squares::SUMS;

    fn of([weight, largest, mean, spread, residual @ ..]: [f64; Self::SUMS]) -> Self {
        Column { weight, largest, mean, spread, residual }
    }

    fn sums(self) -> [f64; Self::SUMS] {
        let [usual, large, small] = self.residual;
        [self.weight, self.largest, self.mean, self.spread, usual, large, small]
    }

    fn add(mut self, t: f64, p: f64, w: f64) -> Self {
        if w == 0.0 {
            return self;
        }
        let before = exponent(self.largest);
        self.largest = self.largest.max(t.abs());
        let now = exponent(self.largest);
        if now != before {
            self.mean = libm::ldexp(self.mean, before - now);
            self.spread = libm::ldexp(self.spread, 2 * (before - now));
        }
        let y = if now == 0 { t } else { libm::ldexp(t, -now) };
        self.weight += w;
        let from_mean = y - self.mean;
        self.mean += from_mean * w / self.weight;
        self.spread += w * from_mean * (y - self.mean);
        Squares::add(&mut self.residual, t, p, w);
        self
    }

    fn score(self) -> f64 {
        if self.spread == 0.0 {
            return 0.0;
        }
        let (residual, power) = Squares::total(&self.residual);
        1.0 - libm::ldexp(residual / self.spread, power - 2 * exponent(self.largest))
    }
}

impl<T: Float> Metric<T> for R2Score {
    fn name(&self) -> String {
        "r2_score".into()
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::R2Score(self.clone())
    }

    fn sums(&self, y_pred: Shape) -> usize {
        Column::SUMS.saturating_mul(width(y_pred))
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let columns = sums.as_chunks_mut().0;
        for (t, p, w) in rows(y_true, y_pred, weights) {
            for (column, (t, p)) in columns.iter_mut().zip(pairs(t, p)) {
                *column = Column::of(*column).add(t, p, w).sums();
            }
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        let columns = sums.as_chunks().0;
        columns.iter().map(|sums| Column::of(*sums).score()).sum::<f64>() / columns.len().max(1) as f64
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        check_width("R2Score", y_pred)?;
        same_shape("R2Score", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_count_as_repeats_and_equal_targets_as_zero() {
        let p = Tensor::from([[1.1, 0.0], [2.3, 0.0]]);
        let a = R2Score::default().score(&Tensor::from([[1.0, 5.0], [2.0, 5.0]]), &p, Some(&[2.0, 1.0])).unwrap();
        let p = Tensor::from([[1.1, 0.0], [1.1, 0.0], [2.3, 0.0]]);
        let b = R2Score::default().score(&Tensor::from([[1.0, 5.0], [1.0, 5.0], [2.0, 5.0]]), &p, None).unwrap();
        assert!((a - b).abs() < 1e-14 && (a - 0.5 * (1.0 - 0.11 / (2.0 / 3.0))).abs() < 1e-14, "{a} {b}");
        assert_eq!(Metric::<f32>::result(&R2Score::default(), &[0.0; 14]), 0.0);
    }

    #[test]
    fn numbers_of_any_size() {
        let score = |y: [f64; 4], p: [f64; 4]| {
            let column = |v: [f64; 4]| Tensor::new([4, 1], v.to_vec()).unwrap();
            R2Score::default().score(&column(y), &column(p), None).unwrap()
        };
        let times = |s: f64, v: [f64; 4]| v.map(|v| v * s);
        let (y, p) = ([1.0, 2.0, 3.0, 6.0], [1.0, 2.0, 4.0, 5.0]);
        // 1 − 2/14
        for scale in [1e-305, 1e-200, 1e-155, 1e-121, 1e-120, 1e-30, 1.0, 1e119, 1e120, 1e149, 1e155, 1e200, 1e307] {
            let got = score(times(scale, y), times(scale, p));
            assert!((got - 12.0 / 14.0).abs() < 1e-13, "{scale}: {got}");
            // Small targets before large ones: mean and spread are scaled anew, 1 − 1/0.75.
            let got = score([0.0, scale * 1e-10, 0.0, scale], [0.0, scale, 0.0, scale]);
            assert!((got + 1.0 / 3.0).abs() < 1e-9, "{scale}: {got}");
        }
        // Both ends of f64, and errors far larger or smaller than the targets.
        let max = f64::MAX;
        assert!((score([max, -max, max, -max], [-max, max, max, -max]) + 1.0).abs() < 1e-14);
        assert_eq!(score(y, times(1e200, p)), f64::NEG_INFINITY);
        assert!((score(times(1e200, y), p) - (1.0 - 50.0 / 14.0)).abs() < 1e-13);
        assert!((score(y, times(1.0 + 1e-9, y)) - 1.0).abs() < 1e-15);
        assert_eq!(score([1e200; 4], times(1e200, p)), 0.0);
        assert!(score([f64::NAN, 1.0, 2.0, 3.0], p).is_nan() && score(y, [f64::NAN; 4]).is_nan());
    }
}
