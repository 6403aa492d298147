//! The area under the curve of a yes–no answer.

use super::counts::{check_labels, each_label, ratio};
use super::outputs::{Link, Meaning, Outputs, Threshold};
use super::{Metric, MetricConfig};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// Which curve the area lies under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Curve {
    /// Recall over the rate of false alarms: 0.5 for chance, 1 for a perfect order.
    #[default]
    Roc,
    /// Precision over recall; better where yes is rare.
    PrecisionRecall,
}

/// The area under the ROC (default) or precision–recall curve through the points at evenly spaced thresholds.
///
/// Predictions are probabilities, and others are taken into [0, 1]; logits and margins, where `compile` finds them or
/// [`from_logits`](Self::from_logits) says so, go through a sigmoid (logits of classes through a softmax) first. Each of n thresholds (200 by default, the first just below 0 and the last just above 1)
/// gives a point; ROC is summed by trapezia, precision–recall by interpolating true positives between points: with p = tp + fp,
/// s = Δtp/Δp and i = tp₁ − s·p₁, each interval adds s(Δtp + i·ln(p₀/p₁)) / (tp₁ + fn₁). Several outputs a row are taken
/// together; class numbers count as one-hot rows.
///
/// Keras `AUC` with `summation_method="interpolation"`. Davis, Goadrich 2006, "The relationship between precision-recall and
/// ROC curves".
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from([0.0f32, 0.0, 1.0, 1.0]), Tensor::from([[0.0], [0.5], [0.3], [0.9]]));
/// assert!((Auc::default().score(&y_true, &y_pred, None)? - 0.75).abs() < 1e-12);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Auc {
    curve: Curve,
    num_thresholds: usize,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    from_logits: Option<bool>,
    #[cfg_attr(feature = "serde", serde(skip))]
    meaning: Meaning,
}

/// More thresholds than this are refused.
const MAX_THRESHOLDS: usize = 1_000_000;

impl Default for Auc {
    fn default() -> Self {
        Auc { curve: Curve::Roc, num_thresholds: 200, from_logits: None, meaning: Meaning::default() }
    }
}

impl Auc {
    /// The curve; [`Curve::Roc`] by default.
    pub fn curve(mut self, curve: Curve) -> Self {
        self.curve = curve;
        self
    }

    /// The number of thresholds, from 2 to a million; 200 by default.
    pub fn num_thresholds(mut self, n: usize) -> Self {
        // One too many is enough for `check` to refuse it.
        self.num_thresholds = n.min(MAX_THRESHOLDS + 1);
        self
    }

    /// Whether predictions are logits of yes and no, which a sigmoid turns into probabilities; by default what `compile` finds out
    /// from the loss, and no where the metric is called by hand.
    pub fn from_logits(mut self, from_logits: bool) -> Self {
        self.from_logits = Some(from_logits);
        self
    }

    fn link(&self) -> Link {
        match (self.from_logits, self.meaning) {
            (Some(true), _) | (None, Meaning::Logits) => Link::Sigmoid,
            (None, Meaning::ClassLogits) => Link::Softmax,
            _ => Link::Identity,
        }
    }
}

/// The area under the ROC curve. `yes` and `no` are the weights of true and false labels by the last threshold that the
/// prediction exceeds.
fn roc(yes: &[f64], no: &[f64]) -> f64 {
    let (all_yes, all_no) = (yes.iter().sum(), no.iter().sum());
    // From the highest threshold down; at the highest nothing is a yes.
    let (mut tp, mut fp, mut area) = (0.0, 0.0, 0.0);
    let (mut x, mut y) = (0.0, 0.0);
    for (yes, no) in yes.iter().zip(no).rev() {
        tp += yes;
        fp += no;
        let (next_x, next_y) = (ratio(fp, all_no), ratio(tp, all_yes));
        area += (next_x - x) * (y + next_y) / 2.0;
        (x, y) = (next_x, next_y);
    }
    area
}

/// The area under the precision–recall curve of the same weights.
fn precision_recall(yes: &[f64], no: &[f64]) -> f64 {
    let all_yes: f64 = yes.iter().sum();
    let (mut tp, mut p, mut area) = (0.0, 0.0, 0.0);
    for (yes, no) in yes.iter().zip(no).rev() {
        let (dtp, dp) = (*yes, yes + no);
        let slope = ratio(dtp, dp);
        let intercept = tp - slope * p;
        let log = if p > 0.0 { ((p + dp) / p).ln() } else { 0.0 };
        area += ratio(slope * (dtp + intercept * log), all_yes);
        tp += dtp;
        p += dp;
    }
    area
}

impl<T: Float> Metric<T> for Auc {
    fn name(&self) -> String {
        match self.curve {
            Curve::Roc => "auc".into(),
            Curve::PrecisionRecall => "auc_pr".into(),
        }
    }

    fn config(&self) -> MetricConfig {
        MetricConfig::Auc(self.clone())
    }

    fn sums(&self, _: Shape) -> usize {
        2 * self.num_thresholds
    }

    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) {
        let (yes, no) = sums.split_at_mut(sums.len() / 2);
        let Some(last) = yes.len().checked_sub(1) else { return };
        each_label(y_true, y_pred, weights, self.link(), |_, truth, p, w| {
            // A prediction has to be above a threshold; the first lies below 0. NaN goes there too.
            let at = ((p.clamp(0.0, 1.0) * last as f64).ceil() - 1.0).max(0.0) as usize;
            let side = if truth { &mut *yes } else { &mut *no };
            side[at.min(last)] += w;
        });
    }

    fn result(&self, sums: &[f64]) -> f64 {
        let (yes, no) = sums.split_at(sums.len() / 2);
        match self.curve {
            Curve::Roc => roc(yes, no),
            Curve::PrecisionRecall => precision_recall(yes, no),
        }
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        if !(2..=MAX_THRESHOLDS).contains(&self.num_thresholds) {
            let expected = format!("from 2 to {MAX_THRESHOLDS}");
            return Err(Error::argument("Auc", "num_thresholds", expected, self.num_thresholds, "200 is usual"));
        }
        check_labels("Auc", Threshold::default(), None, y_true, y_pred)
    }

    fn prepare(&mut self, outputs: &Outputs) -> Result<()> {
        self.meaning = outputs.meaning;
        let known = matches!(self.meaning, Meaning::Probabilities | Meaning::Logits | Meaning::ClassLogits);
        if known || self.from_logits.is_some() {
            return Ok(());
        }
        let problem = format!("the outputs are not known to be probabilities ({outputs})");
        let hint = "end the model with Activation::Sigmoid or Softmax, or set .from_logits(true) for logits, .from_logits(false) \
                    for numbers from 0 to 1";
        Err(Error::Config { op: "Auc", problem, hint: hint.into() })
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        Threshold::default().check_targets("Auc", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_reversed_and_empty() {
        let (y, p) = (Tensor::from([0.0f64, 0.0, 1.0, 1.0]), Tensor::from([[0.1], [0.2], [0.8], [1.7]]));
        for curve in [Curve::Roc, Curve::PrecisionRecall] {
            let auc = Auc::default().curve(curve);
            assert_eq!(Metric::<f64>::result(&auc, &[0.0; 400]), 0.0);
            assert!((auc.score(&y, &p, None).unwrap() - 1.0).abs() < 1e-12);
        }
        assert_eq!(Auc::default().score(&y.map(|v| 1.0 - v), &p, None).unwrap(), 0.0);
    }

    #[test]
    fn weights_count_as_repeats() {
        let auc = Auc::default().num_thresholds(5);
        let (mut a, mut b) = ([0.0; 10], [0.0; 10]);
        auc.update(&mut a, &Tensor::from([0.0f32, 1.0]), &Tensor::from([[0.3], [0.6]]), Some(&[2.0, 1.0]));
        auc.update(&mut a, &Tensor::from([1.0f32]), &Tensor::from([[0.1]]), None);
        let p = Tensor::from([[0.3], [0.3], [0.6], [0.1]]);
        auc.update(&mut b, &Tensor::from([0.0f32, 0.0, 1.0, 1.0]), &p, None);
        assert_eq!(a, b);
        for (n, fits) in [(0, false), (1, false), (2, true), (usize::MAX, false)] {
            let auc = Auc::default().num_thresholds(n);
            assert_eq!(Metric::<f32>::check(&auc, Shape::from([2]), Shape::from([2, 1])).is_ok(), fits);
        }
    }
}
