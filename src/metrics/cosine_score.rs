//! Cosine similarity as a metric.

use super::{Mean, Metric, MetricConfig, rows};
use crate::error::Result;
use crate::losses::{CosineSimilarity, Loss, same_shape};
use crate::tensor::{Float, Shape, Tensor};

/// The mean over rows of Σ y·ŷ / (|y||ŷ|): 1 for equal directions, −1 for opposite ones.
///
/// The loss [`CosineSimilarity`] has the other sign. Keras's metric `CosineSimilarity`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([[0.0f32, 2.0]]), Tensor::from([[3.0, 4.0]]));
/// assert!((CosineScore::default().score(&y_true, &y_pred, None)? - 0.8).abs() < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CosineScore {}

impl<T: Float> Metric<T> for CosineScore {
    fn name(&self) -> String {
        "cosine_similarity".into()
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::CosineScore(self.clone())
    }

    fn sums(&self, _: Shape) -> usize {
        Mean::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            Mean::add(sums, -CosineSimilarity::default().value(t, p).as_f64(), w);
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        Mean::result(sums)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        same_shape("CosineScore", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        let p = Tensor::from([[2.0f64, 0.0], [0.0, 3.0]]);
        let y = Tensor::from([[1.0, 0.0], [1.0, 0.0]]);
        assert_eq!(CosineScore::default().score(&y, &p, Some(&[3.0, 1.0])).unwrap(), 0.75);
    }
}
