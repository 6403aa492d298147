//! The coefficient of determination.

use super::{Metric, pairs, rows};
use crate::error::Result;
use crate::losses::same_shape;
use crate::tensor::{Float, Shape, Tensor};

/// R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)² of each output, averaged over outputs: 1 is perfect, 0 no better than the mean, below 0
/// worse.
///
/// An output whose targets are all equal counts as 0. Keras `R2Score`; the sums about the mean are kept as Welford 1962 does,
/// which does not cancel.
///
/// ```
/// use gradus::prelude::*;
/// let mut r2 = R2Score::default();
/// r2.update(&Tensor::from([[1.0f32], [2.0], [3.0]]), &Tensor::from([[1.0], [2.0], [4.0]]), None);
/// assert_eq!(Metric::<f32>::result(&r2), 0.5);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct R2Score {
    columns: Vec<Column>,
}

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
    fn add(&mut self, t: f64, p: f64, w: f64) {
        if w == 0.0 {
            return;
        }
        self.weight += w;
        let before = t - self.mean;
        self.mean += before * w / self.weight;
        self.spread += w * before * (t - self.mean);
        self.residual += w * (t - p).powi(2);
    }

    fn score(&self) -> f64 {
        if self.spread == 0.0 { 0.0 } else { 1.0 - self.residual / self.spread }
    }
}

impl<T: Float> Metric<T> for R2Score {
    fn name(&self) -> String {
        "r2_score".into()
    }

    fn update(&mut self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let width = if y_pred.shape().rank() < 2 { 1 } else { y_pred.shape().last() };
        self.columns.resize(width, Column::default());
        for (t, p, w) in rows(y_true, y_pred, weights) {
            for (column, (t, p)) in self.columns.iter_mut().zip(pairs(t, p)) {
                column.add(t, p, w);
            }
        }
    }

    fn result(&self) -> f64 {
        self.columns.iter().map(Column::score).sum::<f64>() / self.columns.len().max(1) as f64
    }

    fn reset(&mut self) {
        self.columns.fill(Column::default());
    }

    fn totals(&self) -> Vec<f64> {
        self.columns.iter().flat_map(|c| [c.weight, c.mean, c.spread, c.residual]).collect()
    }

    fn set_totals(&mut self, totals: &[f64]) -> bool {
        let (columns, rest) = totals.as_chunks();
        let column = |&[weight, mean, spread, residual]: &[f64; 4]| Column { weight, mean, spread, residual };
        self.columns = columns.iter().map(column).collect();
        rest.is_empty()
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        same_shape("R2Score", y_true, y_pred)
    }

    fn fresh(&self) -> Box<dyn Metric<T>> {
        Box::new(R2Score::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_count_as_repeats_and_equal_targets_as_zero() {
        let (mut a, mut b) = (R2Score::default(), R2Score::default());
        let p = Tensor::from([[1.1, 0.0], [2.3, 0.0]]);
        a.update(&Tensor::from([[1.0, 5.0], [2.0, 5.0]]), &p, Some(&[2.0, 1.0]));
        let p = Tensor::from([[1.1, 0.0], [1.1, 0.0], [2.3, 0.0]]);
        b.update(&Tensor::from([[1.0, 5.0], [1.0, 5.0], [2.0, 5.0]]), &p, None);
        let (a, b) = (Metric::<f64>::result(&a), Metric::<f64>::result(&b));
        assert!((a - b).abs() < 1e-14 && (a - 0.5 * (1.0 - 0.11 / (2.0 / 3.0))).abs() < 1e-14, "{a} {b}");
        assert_eq!(Metric::<f32>::result(&R2Score::default()), 0.0);
    }
}
