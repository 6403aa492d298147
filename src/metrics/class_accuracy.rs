//! The part of rows whose largest output is the true class.

use super::outputs::check_one_class;
use super::{Mean, Metric, MetricConfig, class_hit, over_classes, rows};
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// The part of rows whose largest prediction is at the true class, the first of equals counting; targets are usually one-hot rows.
///
/// The same figure as [`Accuracy`](super::Accuracy) and [`SparseCategoricalAccuracy`], under Keras's other name; one-hot rows and class numbers
/// work in both. Keras `CategoricalAccuracy`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from_labels(&[1, 0]), Tensor::from([[0.2f32, 0.8], [0.4, 0.6]]));
/// assert_eq!(CategoricalAccuracy::default().score(&y_true, &y_pred, None)?, 0.5);
/// let (y_true, y_pred) = (Tensor::from([[0.0f32, 1.0]]), Tensor::from([[0.1, 0.3]]));
/// assert_eq!(CategoricalAccuracy::default().score(&y_true, &y_pred, None)?, 1.0);
/// # Ok::<(), gradus::Error>(())
/// ```
pub type CategoricalAccuracy = ClassAccuracy<false>;

/// The part of rows whose largest prediction is at the true class, the first of equals counting; targets are usually class numbers.
///
/// The same figure as [`Accuracy`](super::Accuracy) and [`CategoricalAccuracy`], under Keras's other name; one-hot rows and class numbers
/// work in both. Keras `SparseCategoricalAccuracy`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from_labels(&[1, 0]), Tensor::from([[0.2f32, 0.8], [0.4, 0.6]]));
/// assert_eq!(SparseCategoricalAccuracy::default().score(&y_true, &y_pred, None)?, 0.5);
/// let (y_true, y_pred) = (Tensor::from([[0.0f32, 1.0]]), Tensor::from([[0.1, 0.3]]));
/// assert_eq!(SparseCategoricalAccuracy::default().score(&y_true, &y_pred, None)?, 1.0);
/// # Ok::<(), gradus::Error>(())
/// ```
pub type SparseCategoricalAccuracy = ClassAccuracy<true>;

/// [`CategoricalAccuracy`] and [`SparseCategoricalAccuracy`], which differ in name only.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct ClassAccuracy<const SPARSE: bool> {}

impl<const SPARSE: bool> ClassAccuracy<SPARSE> {
    const NAME: &'static str = if SPARSE { "SparseCategoricalAccuracy" } else { "CategoricalAccuracy" };
}

impl<const SPARSE: bool, T: Float> Metric<T> for ClassAccuracy<SPARSE> {
    fn name(&self) -> String {
        if SPARSE { "sparse_categorical_accuracy".into() } else { "categorical_accuracy".into() }
    }

    fn config(&self) -> MetricConfig {
        match SPARSE {
            true => MetricConfig::SparseCategoricalAccuracy(ClassAccuracy {}),
            false => MetricConfig::CategoricalAccuracy(ClassAccuracy {}),
        }
    }

    fn sums(&self, _: Shape) -> usize {
        Mean::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            Mean::add(sums, f64::from(class_hit(t, p)), w);
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        Mean::result(sums)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        over_classes(Self::NAME, y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        check_one_class(Self::NAME, y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_out_of_range_are_wrong_and_weights_count() {
        let p = Tensor::from([[0.1, 0.9], [0.8, 0.2], [0.8, 0.2], [0.7, 0.3]]);
        let y = Tensor::from([1.0, 7.0, -1.0, 0.0]);
        let metrics: [&dyn Metric<f64>; 2] = [&CategoricalAccuracy::default(), &SparseCategoricalAccuracy::default()];
        for metric in metrics {
            assert_eq!(metric.score(&y, &p, Some(&[3.0, 1.0, 1.0, 1.0])).unwrap(), 4.0 / 6.0);
            assert_eq!(metric.result(&[0.0; 2]), 0.0);
            // One column has no classes.
            let error = metric.check(Shape::from([4]), Shape::from([4, 1])).unwrap_err();
            assert!(error.to_string().contains("BinaryAccuracy"), "{error}");
        }
    }
}
