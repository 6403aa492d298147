//! What a model's outputs are, as far as metrics over classes have to know.

use std::fmt;

use super::check_threshold;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// What the numbers that a model gives mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Meaning {
    /// Probabilities: a yes is above 0.5.
    #[default]
    Probabilities,
    /// Scores of yes or no, with 0 between the two: logits, and the margins of hinge losses.
    Logits,
    /// Logits of classes, which a softmax turns into probabilities.
    ClassLogits,
    /// Scores of classes that are no logits; the largest names the class.
    ClassScores,
    /// Numbers that the model is trained to hit.
    Numbers,
    /// Not known.
    Unknown,
}

/// The outputs of a model that is compiled: what its loss and last activation say of them. See
/// [`Metric::prepare`](super::Metric::prepare).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Outputs {
    /// What they mean.
    pub meaning: Meaning,
    /// The last activation, where it is known.
    pub activation: Option<Activation>,
    /// Outputs in a row.
    pub width: usize,
    /// The loss by its name; none for a model that is not compiled.
    pub loss: Option<&'static str>,
}

impl Outputs {
    pub(crate) fn new(
        meaning: Meaning,
        activation: Option<Activation>,
        width: usize,
        loss: Option<&'static str>,
    ) -> Self {
        Outputs { meaning, activation, width, loss }
    }
}

impl fmt::Display for Outputs {
    /// `3 outputs with linear, loss hinge`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} output{} with ", self.width, if self.width == 1 { "" } else { "s" })?;
        match self.activation {
            Some(activation) => write!(f, "{activation}, ")?,
            None => f.write_str("an activation of its own, ")?,
        }
        match self.loss {
            Some(loss) => write!(f, "loss {loss}"),
            None => f.write_str("not compiled"),
        }
    }
}

/// What outputs are turned into before they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Identity,
    Sigmoid,
    /// Of the row.
    Softmax,
}

impl Link {
    /// A function of the values of a row.
    pub fn of_row<T: Float>(self, row: &[T]) -> impl Fn(f64) -> f64 + use<T> {
        let (mut top, mut sum) = (0.0, 1.0);
        if self == Link::Softmax {
            top = row.iter().fold(f64::NEG_INFINITY, |top: f64, v| top.max(v.as_f64()));
            sum = row.iter().map(|v| (v.as_f64() - top).exp()).sum();
        }
        move |v| match self {
            Link::Identity => v,
            Link::Sigmoid => 1.0 / (1.0 + (-v).exp()),
            Link::Softmax => (v - top).exp() / sum,
        }
    }
}

/// Where yes begins: above a threshold of one's own, which outputs are compared with as they are, or above the middle that follows
/// from what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Option<f64>", into = "Option<f64>"))]
pub(super) struct Threshold {
    pub given: Option<f64>,
    meaning: Meaning,
}

#[cfg(feature = "serde")]
impl From<Option<f64>> for Threshold {
    fn from(given: Option<f64>) -> Self {
        Threshold { given, ..Threshold::default() }
    }
}

#[cfg(feature = "serde")]
impl From<Threshold> for Option<f64> {
    fn from(threshold: Threshold) -> Self {
        threshold.given
    }
}

impl Threshold {
    /// Whether nothing was given.
    #[cfg(feature = "serde")]
    pub fn is_open(&self) -> bool {
        self.given.is_none()
    }

    /// The link and the threshold behind it.
    pub fn rule(self) -> (Link, f64) {
        match (self.given, self.meaning) {
            (Some(threshold), _) => (Link::Identity, threshold),
            (None, Meaning::Logits) => (Link::Identity, 0.0),
            (None, Meaning::ClassLogits) => (Link::Softmax, 0.5),
            (None, _) => (Link::Identity, 0.5),
        }
    }

    /// Whether outputs are scores, among which 0 is one like any other.
    pub fn is_score(self) -> bool {
        matches!(self.meaning, Meaning::Logits | Meaning::ClassLogits | Meaning::ClassScores)
    }

    /// Checks what was given.
    pub fn check(self, op: &'static str) -> Result<()> {
        self.given.map_or(Ok(()), |threshold| check_threshold(op, threshold))
    }

    /// Takes notice of what the outputs are; an error where nothing says where yes begins.
    pub fn prepare(&mut self, op: &'static str, outputs: &Outputs) -> Result<()> {
        self.meaning = outputs.meaning;
        if self.given.is_some() || !matches!(outputs.meaning, Meaning::ClassScores | Meaning::Unknown) {
            return Ok(());
        }
        let problem = format!("nothing says above which output a yes begins ({outputs})");
        let hint = "set .threshold(0.0) for logits or .threshold(0.5) for probabilities";
        Err(Error::Config { op, problem, hint: hint.into() })
    }

    /// Checks targets that stand for yes and no, one for each output; class numbers are left to the loss.
    pub fn check_targets<T: Float>(self, op: &'static str, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        if y_true.len() != y_pred.len() {
            return Ok(());
        }
        let numbers = self.meaning == Meaning::Numbers;
        let (zero, one) = (T::zero(), T::one());
        // Where a model is trained to hit the labels themselves, the middle between −1 and 1 is not 0.5.
        let minus = !numbers || self.given.is_some();
        let fits = |v: T| v == zero || v == one || minus && v == -one || !numbers && v > zero && v < one;
        let Some(at) = y_true.iter().position(|v| !fits(*v)) else { return Ok(()) };
        let got = y_true.as_slice()[at];
        let expected = match (numbers, minus) {
            (true, true) => "a label, 0 or 1, or -1 or 1",
            (true, false) => "a label, 0 or 1",
            (false, _) => "a label from 0 to 1, or -1 or 1",
        };
        let hint = match got == -one {
            true => "set .threshold(0.0) for labels of -1 and 1",
            false => NUMBERS,
        };
        Err(label(op, y_true, at, expected, got.to_string(), hint))
    }
}

const NUMBERS: &str = "for numbers to regress on use R2Score, RootMeanSquaredError or LossMetric";

fn label<T: Float>(op: &'static str, y_true: &Tensor<T>, at: usize, expected: &str, got: String, hint: &str) -> Error {
    let row = at / (y_true.len() / y_true.samples().max(1)).max(1);
    Error::Label { op, row, expected: expected.into(), got, hint: hint.into() }
}

/// Checks target rows of which the largest value names the class; class numbers are left to the loss.
pub(super) fn check_one_class<T: Float>(op: &'static str, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
    let width = y_pred.last();
    if y_true.shape() != y_pred || width < 2 {
        return Ok(());
    }
    let fits = |row: &[T]| {
        let sum: f64 = row.iter().map(|v| v.as_f64()).sum();
        // Probabilities; or 1 for one class and −1 for the others.
        let probabilities = row.iter().all(|v| *v >= T::zero()) && (sum - 1.0).abs() < 1e-3;
        probabilities
            || (row.iter().all(|v| v.abs() == T::one()) && row.iter().filter(|v| **v == T::one()).count() == 1)
    };
    let Some(row) = y_true.as_slice().chunks_exact(width).position(|row| !fits(row)) else { return Ok(()) };
    const MAX_NAMED: usize = 8;
    let values = &y_true.as_slice()[row * width..][..width];
    let named: Vec<String> = values.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let got = format!("[{}{}]", named.join(", "), if width > MAX_NAMED { ", …" } else { "" });
    let hint = format!("for several labels a sample use BinaryAccuracy, or F1Score with a threshold; {NUMBERS}");
    Err(label(op, y_true, row * width, "a row that names one class: one-hot, or probabilities", got, &hint))
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    fn outputs(meaning: Meaning, width: usize) -> Outputs {
        Outputs { meaning, activation: Some(Activation::Linear), width, loss: Some("mine") }
    }

    fn prepared<M: Metric<f64>>(mut metric: M, meaning: Meaning, width: usize) -> M {
        metric.prepare(&outputs(meaning, width)).unwrap();
        metric
    }

    #[test]
    fn logits_are_compared_with_their_middle() {
        // Probabilities of 0.56, 0.27, 0.73 and 0.01.
        let (y, z) = (Tensor::from([1.0, 0.0, 1.0, 1.0]), Tensor::from([[0.25], [-1.0], [1.0], [-5.0]]));
        let minus = y.clone().map(|v| 2.0 * v - 1.0);
        for y in [y.clone().reshape([4, 1]).unwrap(), minus.reshape([4, 1]).unwrap()] {
            let score = |metric: &dyn Metric<f64>| metric.score(&y, &z, None).unwrap();
            let logits = Meaning::Logits;
            assert_eq!(score(&prepared(Accuracy::default(), logits, 1)), 0.75);
            assert_eq!(score(&prepared(BinaryAccuracy::default(), logits, 1)), 0.75);
            assert_eq!(score(&prepared(Precision::default(), logits, 1)), 1.0);
            assert_eq!(score(&prepared(Recall::default(), logits, 1)), 2.0 / 3.0);
            assert!((score(&prepared(F1Score::default(), logits, 1)) - 0.8).abs() < 1e-6);
            // Two of three pairs are in order.
            assert!((score(&prepared(Auc::default(), logits, 1)) - 2.0 / 3.0).abs() < 1e-12);
            assert!((score(&Auc::default().from_logits(true)) - 2.0 / 3.0).abs() < 1e-12);
            // A threshold of one's own stays.
            assert_eq!(score(&prepared(Accuracy::default().threshold(0.5), logits, 1)), 0.5);
        }
    }

    #[test]
    fn class_logits_go_through_a_softmax() {
        let z = Tensor::from([[2.0, 1.0, 0.0], [0.3, 0.2, 0.1], [-9.0, 0.0, -5.0], [900.0, 0.0, 0.0]]);
        let mut p = Tensor::new([4, 3], z.as_slice().to_vec()).unwrap();
        Activation::Softmax.forward(p.as_mut_slice(), 3);
        for y in [Tensor::from([0.0, 1.0, 1.0, 2.0]), Tensor::from([1.0, 0.0, 2.0, 0.0])] {
            let same = |metric: &dyn Metric<f64>, logits: &mut dyn Metric<f64>| {
                logits.prepare(&outputs(Meaning::ClassLogits, 3)).unwrap();
                let (a, b) = (metric.score(&y, &p, None).unwrap(), logits.score(&y, &z, None).unwrap());
                assert!((a - b).abs() < 1e-12, "{logits:?}: {a} {b}");
            };
            same(&Precision::default(), &mut Precision::default());
            same(&Recall::default(), &mut Recall::default());
            same(&Auc::default(), &mut Auc::default());
            // The largest of the third row is 0, which names a class all the same.
            same(&F1Score::default(), &mut F1Score::default());
            same(&Accuracy::default(), &mut Accuracy::default());
        }
    }

    #[test]
    fn what_nothing_is_known_of_is_refused() {
        let message = |metric: &mut dyn Metric<f64>, meaning, width| {
            metric.prepare(&outputs(meaning, width)).map_err(|e| e.to_string())
        };
        assert_eq!(
            message(&mut Accuracy::default(), Meaning::Unknown, 1),
            Err("Accuracy: nothing says above which output a yes begins (1 output with linear, loss mine); set .threshold(0.0) \
                 for logits or .threshold(0.5) for probabilities"
                .into())
        );
        assert_eq!(
            message(&mut Auc::default(), Meaning::Numbers, 1),
            Err("Auc: the outputs are not known to be probabilities (1 output with linear, loss mine); end the model with \
                 Activation::Sigmoid or Softmax, or set .from_logits(true) for logits, .from_logits(false) for numbers from 0 to 1"
                .into())
        );
        for meaning in [Meaning::Unknown, Meaning::ClassScores] {
            assert!(message(&mut BinaryAccuracy::default(), meaning, 3).is_err());
            assert!(message(&mut Precision::default(), meaning, 3).is_err());
            assert!(message(&mut Recall::default(), meaning, 3).is_err());
            assert!(message(&mut Auc::default(), meaning, 3).is_err());
            assert!(message(&mut Recall::default().threshold(0.0), meaning, 3).is_ok());
            assert!(message(&mut Auc::default().from_logits(false), meaning, 3).is_ok());
            // The largest of several needs no threshold.
            assert!(message(&mut Accuracy::default(), meaning, 3).is_ok());
            assert!(message(&mut F1Score::default(), meaning, 3).is_ok());
        }
        assert!(message(&mut F1Score::default(), Meaning::Unknown, 1).is_err());
    }

    #[test]
    fn targets_that_are_no_labels() {
        let rows = |values: &[f64], width: usize| Tensor::new([values.len() / width, width], values.to_vec()).unwrap();
        let check =
            |metric: &dyn Metric<f64>, y: &Tensor<f64>| metric.check_targets(y, y.shape()).map_err(|e| e.to_string());
        let numbers = |metric| prepared(metric, Meaning::Numbers, 1);
        assert_eq!(
            check(&numbers(Accuracy::default()), &rows(&[1.0, 21.5], 1)),
            Err("Accuracy: target in row 1 is 21.5, expected a label, 0 or 1; for numbers to regress on use R2Score, \
                 RootMeanSquaredError or LossMetric"
                .into())
        );
        assert!(check(&numbers(Accuracy::default()), &rows(&[0.0, 1.0], 1)).is_ok());
        let minus = check(&numbers(Accuracy::default()), &rows(&[-1.0, 1.0], 1)).unwrap_err();
        assert!(minus.ends_with("set .threshold(0.0) for labels of -1 and 1"), "{minus}");
        assert!(check(&numbers(Accuracy::default().threshold(0.0)), &rows(&[-1.0, 1.0], 1)).is_ok());
        assert!(check(&numbers(Accuracy::default()), &rows(&[0.5], 1)).is_err());
        // Soft labels are labels where the outputs are probabilities.
        assert!(check(&Accuracy::default(), &rows(&[0.9, 0.1], 1)).is_ok());
        assert!(check(&Accuracy::default(), &rows(&[f64::NAN], 1)).is_err());
        for metric in [
            &BinaryAccuracy::default() as &dyn Metric<f64>,
            &Precision::default(),
            &Recall::default(),
            &Auc::default(),
            &F1Score::default().threshold(0.5),
        ] {
            assert!(check(metric, &rows(&[0.0, 1.0, 1.0, 1.0], 2)).is_ok());
            assert!(check(metric, &rows(&[0.0, 1.0, 1.0, 7.0], 2)).unwrap_err().contains("target in row 1 is 7"));
            // Class numbers are the loss's.
            assert!(metric.check_targets(&Tensor::from([5.0, 6.0]), Shape::from([2, 9])).is_ok());
        }
        for metric in [
            &Accuracy::default() as &dyn Metric<f64>,
            &CategoricalAccuracy::default(),
            &SparseCategoricalAccuracy::default(),
            &TopKAccuracy::default(),
            &F1Score::default(),
        ] {
            assert!(check(metric, &rows(&[0.0, 1.0, 0.3, 0.7, -1.0, 1.0], 2)).is_ok());
            for bad in [[1.0, 1.0], [0.0, 0.0], [-1.0, -1.0], [2.5, 3.5], [-0.5, 1.5], [f64::NAN, 1.0]] {
                let error = check(metric, &rows(&bad, 2)).unwrap_err();
                assert!(error.contains("expected a row that names one class"), "{error}");
            }
            assert!(metric.check_targets(&Tensor::from([5.0, 6.0]), Shape::from([2, 9])).is_ok());
        }
    }
}
