//! The part of rows whose largest output is the true class.

use super::{Mean, Metric, class_hit, over_classes, rows};
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// The part of rows whose largest prediction is at the true class, the first of equals counting; targets are usually one-hot rows.
///
/// The same figure as [`Accuracy`](super::Accuracy) and [`SparseCategoricalAccuracy`](super::SparseCategoricalAccuracy), under Keras's other name; one-hot rows and
/// class numbers work in both. Keras `CategoricalAccuracy`.
///
/// ```
/// use gradus::prelude::*;
/// let mut accuracy = CategoricalAccuracy::default();
/// accuracy.update(&Tensor::from_labels(&[1, 0]), &Tensor::from([[0.2f32, 0.8], [0.4, 0.6]]), None);
/// accuracy.update(&Tensor::from([[0.0f32, 1.0]]), &Tensor::from([[0.1, 0.3]]), None);
/// assert_eq!(Metric::<f32>::result(&accuracy), 2.0 / 3.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CategoricalAccuracy {
    mean: Mean,
}

impl<T: Float> Metric<T> for CategoricalAccuracy {
    fn name(&self) -> String {
        "categorical_accuracy".into()
    }

    fn update(&mut self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            self.mean.add(f64::from(class_hit(t, p)), w);
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
        over_classes("CategoricalAccuracy", y_true, y_pred)
    }

    fn fresh(&self) -> Box<dyn Metric<T>> {
        Box::new(CategoricalAccuracy::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_out_of_range_are_wrong_and_weights_count() {
        let mut a = CategoricalAccuracy::default();
        let p = Tensor::from([[0.1, 0.9], [0.8, 0.2], [0.8, 0.2], [0.7, 0.3]]);
        a.update(&Tensor::from([1.0, 7.0, -1.0, 0.0]), &p, Some(&[3.0, 1.0, 1.0, 1.0]));
        assert_eq!(Metric::<f64>::result(&a), 4.0 / 6.0);
        Metric::<f64>::reset(&mut a);
        assert_eq!(Metric::<f64>::result(&a), 0.0);
    }

    #[test]
    fn one_column_has_no_classes() {
        let error =
            Metric::<f32>::check(&CategoricalAccuracy::default(), Shape::from([4]), Shape::from([4, 1])).unwrap_err();
        assert!(error.to_string().contains("BinaryAccuracy"), "{error}");
    }
}
