//! The coefficient of determination.

use super::{Metric, pairs, rows, width};
use crate::error::Result;
use crate::losses::same_shape;
use crate::tensor::{Float, Shape, Tensor};

/// R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)² of each output, averaged over outputs: 1 is perfect, 0 no better than the mean, below 0
/// worse.
///
/// An output whose targets are all equal counts as 0. Keras `R2Score`; the sums about the mean are kept as Welford 1962 does,
/// which does not cancel. Squares are those of f64: NaN where they overflow, from 1e154 on.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([[1.0f32], [2.0], [3.0]]), Tensor::from([[1.0], [2.0], [4.0]]));
/// assert_eq!(R2Score::default().score(&y_true, &y_pred, None)?, 0.5);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct R2Score {}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Column {
    weight: f64,
    mean: f64,
    /// Σ w(y − ȳ)²
    spread: f64,
    /// Σ w(y − ŷ)²
    residual: f64,
}

impl Column {
    const SUMS: usize = 4;

    fn of([weight, mean, spread, residual]: [f64; Self::SUMS]) -> Self {
        Column { weight, mean, spread, residual }
    }

    fn sums(self) -> [f64; Self::SUMS] {
        [self.weight, self.mean, self.spread, self.residual]
    }

    fn add(mut self, t: f64, p: f64, w: f64) -> Self {
        if w == 0.0 {
            return self;
        }
        self.weight += w;
        let before = t - self.mean;
        self.mean += before * w / self.weight;
        self.spread += w * before * (t - self.mean);
        self.residual += w * (t - p).powi(2);
        self
    }

    fn score(self) -> f64 {
        if self.spread == 0.0 { 0.0 } else { 1.0 - self.residual / self.spread }
    }
}

impl<T: Float> Metric<T> for R2Score {
    fn name(&self) -> String {
        "r2_score".into()
    }

    fn sums(&self, y_pred: Shape) -> usize {
        Column::SUMS * width(y_pred)
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
        assert_eq!(Metric::<f32>::result(&R2Score::default(), &[0.0; 8]), 0.0);
    }
}
