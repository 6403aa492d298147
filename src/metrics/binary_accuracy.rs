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
/// let mut accuracy = BinaryAccuracy::default();
/// accuracy.update(&Tensor::from([[0.0f32, 1.0], [1.0, 1.0]]), &Tensor::from([[0.2, 0.8], [0.4, 0.6]]), None);
/// assert_eq!(Metric::<f32>::result(&accuracy), 0.75);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryAccuracy {
    mean: Mean,
    threshold: f64,
}

impl Default for BinaryAccuracy {
    fn default() -> Self {
        BinaryAccuracy { mean: Mean::default(), threshold: 0.5 }
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

    fn update(&mut self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            let right = pairs(t, p).filter(|(t, p)| !p.is_nan() && *t == f64::from(*p > self.threshold));
            self.mean.add(right.count() as f64 / p.len() as f64, w);
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
        check_threshold("BinaryAccuracy", self.threshold)?;
        same_shape("BinaryAccuracy", y_true, y_pred)
    }

    fn fresh(&self) -> Box<dyn Metric<T>> {
        Box::new(BinaryAccuracy { mean: Mean::default(), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_and_weights() {
        let mut a = BinaryAccuracy::default().threshold(0.7);
        a.update(&Tensor::from([1.0, 0.0, 1.0]), &Tensor::from([[0.9], [0.6], [0.7]]), Some(&[1.0, 2.0, 1.0]));
        assert_eq!(Metric::<f64>::result(&a), 0.75);
        assert_eq!(Metric::<f64>::fresh(&a).result(), 0.0);
        assert!(Metric::<f32>::check(&a, Shape::from([2]), Shape::from([2, 2])).is_err());
    }
}
