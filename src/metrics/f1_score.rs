//! The harmonic mean of precision and recall.

use super::counts::{Counts, check_labels, each_label};
use super::outputs::{Outputs, Threshold, check_one_class};
use super::{Metric, MetricConfig, check_width, rows, width};
use crate::error::Result;
use crate::losses::class_target;
use crate::tensor::{Float, Shape, Tensor};

/// How figures of several classes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Average {
    /// The mean over classes, each counting the same.
    #[default]
    Macro,
    /// All answers counted together.
    Micro,
    /// The mean over classes, each counting by how often it is true.
    Weighted,
}

/// F₁ = 2·precision·recall / (precision + recall) of every class, averaged over classes (by default [`Average::Macro`]).
///
/// A row names the class of its largest output, all of equals; with a [`threshold`](Self::threshold), and with a single output
/// (then 0.5, or 0 for logits and margins), every output above it. Targets are class numbers or one-hot rows. As Keras, 1e-7 is
/// added to each divisor, and a row of zeros names no class (unless `compile` finds that it is scores).
///
/// Keras `F1Score` (whose default gives a figure for each class; see [`ClassificationReport`](super::ClassificationReport)).
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from_labels(&[1, 0]), Tensor::from([[0.2f32, 0.8], [0.4, 0.6]]));
/// assert!((F1Score::default().average(Average::Micro).score(&y_true, &y_pred, None)? - 0.5).abs() < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct F1Score {
    average: Average,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Threshold::is_open"))]
    threshold: Threshold,
}

impl F1Score {
    /// How the classes are averaged; [`Average::Macro`] by default.
    pub fn average(mut self, average: Average) -> Self {
        self.average = average;
        self
    }

    /// Takes every output above this as an answer, instead of the largest of a row.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold.given = Some(threshold);
        self
    }

    /// Whether the largest of a row of this width names the class.
    fn by_largest(&self, width: usize) -> bool {
        self.threshold.given.is_none() && width > 1
    }
}

fn f1(c: Counts) -> f64 {
    const EPSILON: f64 = 1e-7;
    let precision = c.tp / (c.tp + c.fp + EPSILON);
    let recall = c.tp / (c.tp + c.fneg + EPSILON);
    2.0 * precision * recall / (precision + recall + EPSILON)
}

impl<T: Float> Metric<T> for F1Score {
    fn name(&self) -> String {
        "f1_score".into()
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::F1Score(self.clone())
    }

    fn sums(&self, y_pred: Shape) -> usize {
        Counts::SUMS.saturating_mul(width(y_pred))
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let counts = sums.as_chunks_mut().0;
        if !self.by_largest(width(y_pred.shape())) {
            let (link, threshold) = self.threshold.rule();
            return each_label(y_true, y_pred, weights, link, |i, truth, p, w| {
                counts.get_mut(i).into_iter().for_each(|count| Counts::add(count, truth, p > threshold, w));
            });
        }
        for (t, p, w) in rows(y_true, y_pred, weights) {
            let top = p.iter().fold(T::neg_infinity(), |m, &v| if v > m { v } else { m });
            for (i, (count, &v)) in counts.iter_mut().zip(p).enumerate() {
                let answer = v >= top && (self.threshold.is_score() || v.abs() > T::of(1e-9));
                Counts::add(count, class_target(t, p.len(), i) != T::zero(), answer, w);
            }
        }
    }

    fn result(&self, sums: &[f64]) -> f64 {
        let each = Counts::of(sums);
        let n = each.len();
        match self.average {
            Average::Macro if n == 0 => 0.0,
            Average::Macro => each.map(f1).sum::<f64>() / n as f64,
            Average::Micro => f1(each.fold(Counts::default(), |s, c| Counts {
                tp: s.tp + c.tp,
                fp: s.fp + c.fp,
                fneg: s.fneg + c.fneg,
            })),
            Average::Weighted => {
                let total: f64 = each.clone().map(|c| c.tp + c.fneg).sum::<f64>() + 1e-7;
                each.map(|c| f1(c) * (c.tp + c.fneg) / total).sum()
            }
        }
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        check_width("F1Score", y_pred)?;
        check_labels("F1Score", self.threshold, None, y_true, y_pred)
    }

    fn prepare(&mut self, outputs: &Outputs) -> Result<()> {
        let prepared = self.threshold.prepare("F1Score", outputs);
        if self.by_largest(outputs.width) { Ok(()) } else { prepared }
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        if self.by_largest(width(y_pred)) {
            return check_one_class("F1Score", y_true, y_pred);
        }
        self.threshold.check_targets("F1Score", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_output_is_compared_with_a_half() {
        let (y, p) = (Tensor::from([0.0f32, 1.0, 1.0, 1.0]), Tensor::from([[0.6], [0.8], [0.7], [0.1]]));
        assert!((F1Score::default().score(&y, &p, None).unwrap() - 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn averages_by_hand() {
        // class 0: tp 1, fp 1, fn 0; class 1: tp 1, fp 0, fn 1; class 2 does not occur
        let p = Tensor::from([[0.9f64, 0.1, 0.0], [0.6, 0.3, 0.1], [0.2, 0.8, 0.0]]);
        let y = Tensor::from_labels(&[0, 1, 1]);
        let each = [2.0 / 3.0, 2.0 / 3.0, 0.0];
        for (average, expected) in [
            (Average::Macro, each.iter().sum::<f64>() / 3.0),
            (Average::Micro, 2.0 / 3.0),
            (Average::Weighted, (each[0] + 2.0 * each[1]) / 3.0),
        ] {
            let f = F1Score::default().average(average);
            assert_eq!(Metric::<f64>::result(&f, &[0.0; 9]), 0.0);
            let result = f.score(&y, &p, None).unwrap();
            assert!((result - expected).abs() < 1e-6, "{average:?} {result} {expected}");
        }
    }
}
