//! The part of yes–no outputs that are right.

use super::{Mean, Metric, check_threshold, pairs, rows};
use crate::error::Result;
use crate::losses::same_shape;
use crate::tensor::{Float, Shape, Tensor};

/// The mean over all outputs of whether (ŷ > threshold) is the label, each output a yes–no question of its own.
///
/// Labels are 0 or 1; anything else counts as wrong, and so does a prediction of NaN. Weights are one a row. Keras `BinaryAccuracy`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([[0.0f32, 1.0], [1.0, 1.0]]), Tensor::from([[0.2, 0.8], [0.4, 0.6]]));
/// assert_eq!(BinaryAccuracy::default().score(&y_true, &y_pred, None)?, 0.75);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryAccuracy {
    threshold: f64,
}

impl Default for BinaryAccuracy {
    fn default() -> Self {
        BinaryAccuracy { threshold: 0.5 }
    }
}

impl BinaryAccuracy {
    /// The prediction above which an output counts as 1; 0.5 by default.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }
}

impl<T: Float> Metric<T> for BinaryAccuracy {
    fn name(&self) -> String {
        "binary_accuracy".into()
    }

    fn sums(&self, _: Shape) -> usize {
        Mean::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            let right = pairs(t, p).filter(|(t, p)| !p.is_nan() && *t == f64::from(*p > self.threshold));
            Mean::add(sums, right.count() as f64 / p.len() as f64, w);
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        Mean::result(sums)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        check_threshold("BinaryAccuracy", self.threshold)?;
        same_shape("BinaryAccuracy", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_and_weights() {
        let a = BinaryAccuracy::default().threshold(0.7);
        let (y, p) = (Tensor::from([[1.0], [0.0], [1.0]]), Tensor::from([[0.9f64], [0.6], [0.7]]));
        assert_eq!(a.score(&y, &p, Some(&[1.0, 2.0, 1.0])).unwrap(), 0.75);
        assert!(Metric::<f32>::check(&a, Shape::from([2]), Shape::from([2, 2])).is_err());
    }
}
