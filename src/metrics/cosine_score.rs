//! Cosine similarity as a metric.

use super::{Mean, Metric, rows};
use crate::error::Result;
use crate::losses::{CosineSimilarity, Loss, same_shape};
use crate::tensor::{Float, Shape, Tensor};

/// The mean over rows of Σ y·ŷ / (|y||ŷ|): 1 for equal directions, −1 for opposite ones.
///
/// The loss [`CosineSimilarity`] has the other sign. Keras's metric `CosineSimilarity`.
///
/// ```
/// use gradus::prelude::*;
/// let mut cosine = CosineScore::default();
/// cosine.update(&Tensor::from([[0.0f32, 2.0]]), &Tensor::from([[3.0, 4.0]]), None);
/// assert!((Metric::<f32>::result(&cosine) - 0.8).abs() < 1e-6);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CosineScore {
    mean: Mean,
}

impl<T: Float> Metric<T> for CosineScore {
    fn name(&self) -> String {
        "cosine_similarity".into()
    }

    fn update(&mut self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            self.mean.add(-CosineSimilarity::default().value(t, p).as_f64(), w);
        }
    }

    fn result(&self) -> f64 {
        self.mean.result()
    }

    fn reset(&mut self) {
        self.mean = Mean::default();
    }

    fn totals(&self) -> Vec<f64> {
        self.mean.totals()
    }

    fn set_totals(&mut self, totals: &[f64]) -> bool {
        self.mean.set_totals(totals)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        same_shape("CosineScore", y_true, y_pred)
    }

    fn fresh(&self) -> Box<dyn Metric<T>> {
        Box::new(CosineScore::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        let mut m = CosineScore::default();
        let p = Tensor::from([[2.0f64, 0.0], [0.0, 3.0]]);
        m.update(&Tensor::from([[1.0, 0.0], [1.0, 0.0]]), &p, Some(&[3.0, 1.0]));
        assert_eq!(Metric::<f64>::result(&m), 0.75);
    }
}
