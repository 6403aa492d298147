//! How many of the yes answers are right, and how many of the true cases are found.

use super::counts::{Counts, check_labels, each_label};
use super::outputs::{Outputs, Threshold};
use super::{Metric, MetricConfig};
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// tp / (tp + fp): the part of yes answers that are right; 0 where there are none.
///
/// An output counts as yes above the threshold, by default a probability of 0.5. With several outputs a row each of them is a yes–no question
/// and all are counted together, as Keras does: a softmax row without an output above the threshold names no class. One-hot
/// rows and class numbers both work; [`class_id`](Self::class_id) looks at one output only. For figures by class from the
/// largest output see [`ClassificationReport`](super::ClassificationReport). Keras `Precision`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([0.0f32, 1.0, 1.0, 1.0]), Tensor::from([[0.6], [0.8], [0.7], [0.1]]));
/// assert_eq!(Precision::default().score(&y_true, &y_pred, None)?, 2.0 / 3.0);
/// # Ok::<(), gradus::Error>(())
/// ```
pub type Precision = PrecisionRecall<false>;

/// tp / (tp + fn): the part of true cases that were answered with yes; 0 where there are none.
///
/// An output counts as yes above the threshold, by default a probability of 0.5. With several outputs a row each of them is a yes–no question
/// and all are counted together, as Keras does: a softmax row without an output above the threshold names no class. One-hot
/// rows and class numbers both work; [`class_id`](Self::class_id) looks at one output only. For figures by class from the
/// largest output see [`ClassificationReport`](super::ClassificationReport). Keras `Recall`.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([0.0f32, 1.0, 1.0, 1.0]), Tensor::from([[0.6], [0.8], [0.7], [0.1]]));
/// assert_eq!(Recall::default().score(&y_true, &y_pred, None)?, 2.0 / 3.0);
/// # Ok::<(), gradus::Error>(())
/// ```
pub type Recall = PrecisionRecall<true>;

/// [`Precision`] and [`Recall`], which have the same settings and counts.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct PrecisionRecall<const RECALL: bool> {
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Threshold::is_open"))]
    threshold: Threshold,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    class_id: Option<usize>,
}

impl<const RECALL: bool> PrecisionRecall<RECALL> {
    const NAME: &'static str = if RECALL { "Recall" } else { "Precision" };

    /// The output above which the answer is yes; by default a probability of 0.5, and of logits and margins, where `compile` finds
    /// them, what stands for that.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold.given = Some(threshold);
        self
    }

    /// Looks at the output of one class only; at all by default.
    pub fn class_id(mut self, class: usize) -> Self {
        self.class_id = Some(class);
        self
    }
}

impl<const RECALL: bool, T: Float> Metric<T> for PrecisionRecall<RECALL> {
    fn name(&self) -> String {
        if RECALL { "recall".into() } else { "precision".into() }
    }

    fn config(&self) -> MetricConfig {
        let Self { threshold, class_id } = *self;
        match RECALL {
            true => MetricConfig::Recall(PrecisionRecall { threshold, class_id }),
            false => MetricConfig::Precision(PrecisionRecall { threshold, class_id }),
        }
    }

    fn sums(&self, _: Shape) -> usize {
        Counts::SUMS
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let Ok(counts) = <&mut [f64; Counts::SUMS]>::try_from(sums) else { return };
        let (link, threshold) = self.threshold.rule();
        each_label(y_true, y_pred, weights, link, |column, truth, p, w| {
            if self.class_id.is_none_or(|class| class == column) {
                Counts::add(&mut *counts, truth, p > threshold, w);
            }
        });
    }

    fn result(&self, sums: &[f64]) -> f64 {
        let counts = Counts::of(sums).next();
        counts.map_or(f64::NAN, |counts| if RECALL { counts.recall() } else { counts.precision() })
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        check_labels(Self::NAME, self.threshold, self.class_id, y_true, y_pred)
    }

    fn prepare(&mut self, outputs: &Outputs) -> Result<()> {
        self.threshold.prepare(Self::NAME, outputs)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        self.threshold.check_targets(Self::NAME, y_true, y_pred)
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
            let score = |metric: &dyn Metric<f64>| metric.score(&y, &p, None).unwrap();
            assert_eq!((score(&Precision::default()), score(&Recall::default())), (0.5, 1.0 / 3.0));
            assert_eq!((score(&Precision::default().class_id(0)), score(&Recall::default().class_id(0))), (0.5, 1.0));
        }
    }

    fn settings<const RECALL: bool>(expected: f64) {
        let m = PrecisionRecall::<RECALL>::default();
        assert_eq!(Metric::<f32>::result(&m, &[0.0; 3]), 0.0);
        let (y, p) = (Tensor::from([7.0f32, 1.0]), Tensor::from([[0.9, 0.2], [0.1, 0.9]]));
        assert_eq!(m.score(&y, &p, Some(&[1.0, 3.0])).unwrap(), expected);
        assert!(m.clone().class_id(2).score(&y, &p, None).is_err());
        assert!(m.threshold(f64::NAN).score(&y, &p, None).is_err());
    }

    #[test]
    fn nothing_counted_weights_and_settings() {
        settings::<false>(0.75);
        settings::<true>(1.0);
    }
}
