//! The harmonic mean of precision and recall.

use super::counts::{Counts, check_labels, each_label};
use super::{Metric, rows};
use crate::error::Result;
use crate::losses::class_target;
use crate::tensor::{Float, Shape, Tensor};

/// How figures of several classes become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
/// (then 0.5), every output above it. Targets are class numbers or one-hot rows. As Keras, 1e-7 is added to each divisor.
///
/// Keras `F1Score` (whose default gives a figure for each class; see [`ClassificationReport`](super::ClassificationReport)).
///
/// ```
/// use gradus::prelude::*;
/// let mut f1 = F1Score::default().average(Average::Micro);
/// f1.update(&Tensor::from_labels(&[1, 0]), &Tensor::from([[0.2f32, 0.8], [0.4, 0.6]]), None);
/// assert!((Metric::<f32>::result(&f1) - 0.5).abs() < 1e-6);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct F1Score {
    counts: Vec<Counts>,
    average: Average,
    threshold: Option<f64>,
}

impl F1Score {
    /// How the classes are averaged; [`Average::Macro`] by default.
    pub fn average(mut self, average: Average) -> Self {
        self.average = average;
        self
    }

    /// Takes every output above this as an answer, instead of the largest of a row.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }
}

fn f1(c: &Counts) -> f64 {
    const EPSILON: f64 = 1e-7;
    let precision = c.tp / (c.tp + c.fp + EPSILON);
    let recall = c.tp / (c.tp + c.fneg + EPSILON);
    2.0 * precision * recall / (precision + recall + EPSILON)
}

impl<T: Float> Metric<T> for F1Score {
    fn name(&self) -> String {
        "f1_score".into()
    }

    fn update(&mut self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let width = if y_pred.shape().rank() < 2 { 1 } else { y_pred.shape().last() };
        self.counts.resize(width, Counts::default());
        let counts = &mut self.counts;
        if let Some(threshold) = self.threshold.or((width == 1).then_some(0.5)) {
            return each_label(y_true, y_pred, weights, |i, truth, p, w| counts[i].add(truth, p > threshold, w));
        }
        for (t, p, w) in rows(y_true, y_pred, weights) {
            let top = p.iter().fold(T::neg_infinity(), |m, &v| if v > m { v } else { m });
            for (i, (count, &v)) in counts.iter_mut().zip(p).enumerate() {
                // A row of zeros names no class.
                let answer = v >= top && v.abs() > T::of(1e-9);
                count.add(class_target(t, p.len(), i) != T::zero(), answer, w);
            }
        }
    }

    fn result(&self) -> f64 {
        let each = self.counts.iter();
        match self.average {
            Average::Macro if self.counts.is_empty() => 0.0,
            Average::Macro => each.map(f1).sum::<f64>() / self.counts.len() as f64,
            Average::Micro => {
                let sum = each.fold(Counts::default(), |s, c| Counts {
                    tp: s.tp + c.tp,
                    fp: s.fp + c.fp,
                    fneg: s.fneg + c.fneg,
                });
                f1(&sum)
            }
            Average::Weighted => {
                let total: f64 = each.clone().map(|c| c.tp + c.fneg).sum::<f64>() + 1e-7;
                each.map(|c| f1(c) * (c.tp + c.fneg) / total).sum()
            }
        }
    }

    fn reset(&mut self) {
        self.counts.fill(Counts::default());
    }

    fn totals(&self) -> Vec<f64> {
        self.counts.iter().flat_map(|counts| counts.totals()).collect()
    }

    fn set_totals(&mut self, totals: &[f64]) -> bool {
        let (counts, rest) = totals.as_chunks();
        self.counts = counts.iter().map(|&totals| Counts::from_totals(totals)).collect();
        rest.is_empty()
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        check_labels("F1Score", self.threshold, None, y_true, y_pred)
    }

    fn fresh(&self) -> Box<dyn Metric<T>> {
        Box::new(F1Score { counts: Vec::new(), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_output_is_compared_with_a_half() {
        let mut f = F1Score::default();
        f.update(&Tensor::from([0.0f32, 1.0, 1.0, 1.0]), &Tensor::from([[0.6], [0.8], [0.7], [0.1]]), None);
        assert!((Metric::<f32>::result(&f) - 2.0 / 3.0).abs() < 1e-6);
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
            let mut f = F1Score::default().average(average);
            assert_eq!(Metric::<f64>::result(&f), 0.0);
            f.update(&y, &p, None);
            let result = Metric::<f64>::result(&f);
            assert!((result - expected).abs() < 1e-6, "{average:?} {result} {expected}");
            let held = f.counts.as_ptr();
            Metric::<f64>::reset(&mut f);
            f.update(&y, &p, None);
            assert_eq!((Metric::<f64>::result(&f), f.counts.as_ptr()), (result, held));
        }
    }
}
