//! How many of the true cases are found.

use super::Metric;
use super::counts::{Counts, check_labels, each_label};
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// tp / (tp + fn): the part of true cases that were answered with yes; 0 where there are none.
///
/// An output counts as yes above the threshold, 0.5 by default. With several outputs a row each of them is a yes–no question
/// and all are counted together, as Keras does: a softmax row without an output above the threshold names no class. One-hot
/// rows and class numbers both work; [`class_id`](Self::class_id) looks at one output only. For figures by class from the
/// largest output see [`ClassificationReport`](super::ClassificationReport). Keras `Recall`.
///
/// ```
/// use gradus::prelude::*;
/// let mut metric = Recall::default();
/// metric.update(&Tensor::from([0.0f32, 1.0, 1.0, 1.0]), &Tensor::from([[0.6], [0.8], [0.7], [0.1]]), None);
/// assert_eq!(Metric::<f32>::result(&metric), 2.0 / 3.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recall {
    counts: Counts,
    threshold: f64,
    class_id: Option<usize>,
}

impl Default for Recall {
    fn default() -> Self {
        Recall { counts: Counts::default(), threshold: 0.5, class_id: None }
    }
}

impl Recall {
    /// The prediction above which an output counts as yes; 0.5 by default.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Looks at the output of one class only; at all by default.
    pub fn class_id(mut self, class: usize) -> Self {
        self.class_id = Some(class);
        self
    }
}

impl<T: Float> Metric<T> for Recall {
    fn name(&self) -> String {
        "recall".into()
    }

    fn update(&mut self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let (threshold, class) = (self.threshold, self.class_id);
        each_label(y_true, y_pred, weights, |column, truth, p, w| {
            if class.is_none_or(|c| c == column) {
                self.counts.add(truth, p > threshold, w);
            }
        });
    }

    fn result(&self) -> f64 {
        self.counts.recall()
    }

    fn reset(&mut self) {
        self.counts = Counts::default();
    }

    fn totals(&self) -> Vec<f64> {
        self.counts.totals().to_vec()
    }

    fn set_totals(&mut self, totals: &[f64]) -> bool {
        totals.try_into().map(|totals| self.counts = Counts::from_totals(totals)).is_ok()
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        check_labels("Recall", Some(self.threshold), self.class_id, y_true, y_pred)
    }

    fn fresh(&self) -> Box<dyn Metric<T>> {
        Box::new(Recall { counts: Counts::default(), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_numbers_as_one_hot_rows() {
        let p = Tensor::from([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.4, 0.4, 0.2]]);
        let one_hot = Tensor::from([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        for y in [one_hot, Tensor::from_labels(&[0, 1, 2])] {
            let mut all = Recall::default();
            let mut first = Recall::default().class_id(0);
            all.update(&y, &p, None);
            first.update(&y, &p, None);
            assert_eq!((Metric::<f64>::result(&all), Metric::<f64>::result(&first)), (1.0 / 3.0, 1.0));
        }
    }

    #[test]
    fn nothing_counted_weights_and_settings() {
        let mut m = Recall::default();
        assert_eq!(Metric::<f32>::result(&m), 0.0);
        m.update(&Tensor::from([7.0f32, 1.0]), &Tensor::from([[0.9, 0.2], [0.1, 0.9]]), Some(&[1.0, 3.0]));
        assert_eq!(Metric::<f32>::result(&m), 1.0);
        let shapes = (Shape::from([2]), Shape::from([2, 2]));
        assert!(Metric::<f32>::check(&m, shapes.0, shapes.1).is_ok());
        assert!(Metric::<f32>::check(&m.clone().class_id(2), shapes.0, shapes.1).is_err());
        assert!(Metric::<f32>::check(&m.threshold(f64::NAN), shapes.0, shapes.1).is_err());
    }
}
