//! The part of rows whose true class is among the k largest outputs.

use super::outputs::check_one_class;
use super::{Mean, Metric, MetricConfig, over_classes, rows, true_class};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// The part of rows in which fewer than k predictions are larger than that of the true class; k is 5 by default.
///
/// Targets are class numbers or one-hot rows. Keras `TopKCategoricalAccuracy` and `SparseTopKCategoricalAccuracy`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from_labels(&[1, 2]), Tensor::from([[0.5f32, 0.3, 0.2], [0.5, 0.3, 0.2]]));
/// assert_eq!(TopKAccuracy::default().k(2).score(&y_true, &y_pred, None)?, 0.5);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct TopKAccuracy {
    k: usize,
}

impl Default for TopKAccuracy {
    fn default() -> Self {
        TopKAccuracy { k: 5 }
    }
}

impl TopKAccuracy {
    /// How many of the largest predictions count; 5 by default.
    pub fn k(mut self, k: usize) -> Self {
        self.k = k;
        self
    }
}

impl<T: Float> Metric<T> for TopKAccuracy {
    fn name(&self) -> String {
        format!("top_{}_accuracy", self.k)
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::TopKAccuracy(self.clone())
    }

    fn sums(&self, _: Shape) -> usize {
        Mean::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        for (t, p, w) in rows(y_true, y_pred, weights) {
            let own = true_class(t).and_then(|class| p.get(class)).filter(|v| v.is_finite());
            let right = own.is_some_and(|own| p.iter().filter(|v| *v > own).count() < self.k);
            Mean::add(sums, f64::from(right), w);
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        Mean::result(sums)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        if self.k == 0 {
            return Err(Error::argument("TopKAccuracy", "k", "at least 1", 0, "5 is usual"));
        }
        over_classes("TopKAccuracy", y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        check_one_class("TopKAccuracy", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_labels_out_of_range_and_settings() {
        let a = TopKAccuracy::default().k(2);
        let p = Tensor::from([[0.3, 0.3, 0.3], [0.5, 0.3, 0.2], [f64::NAN, 0.3, 0.2]]);
        assert_eq!(a.score(&Tensor::from([2.0, 9.0, 0.0]), &p, None).unwrap(), 1.0 / 3.0);
        assert!(Metric::<f64>::check(&a.k(0), Shape::from([3]), p.shape()).is_err());
    }
}
