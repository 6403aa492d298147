//! Metrics: numbers that tell a person how good predictions are. Averages over samples, kept in f64.
//!
//! Any loss is a metric through [`LossMetric`]. Metrics over classes take class numbers and one-hot rows alike; a class number
//! out of range counts as wrong, and so does a prediction of NaN. [`ConfusionMatrix`] and [`ClassificationReport`] are made from predicted classes at the end.
//!
//! `compile` tells metrics over classes what the model's outputs are, so that they agree with
//! [`predict_classes`](crate::Model::predict_classes): behind `from_logits(true)` and hinge losses a yes is above 0 and not above
//! 0.5 (Keras compares with 0.5 there), and several logits go through a softmax where probabilities are asked for. On targets that
//! are no labels `fit` refuses them. Called by hand, through [`Metric::score`], they take outputs for probabilities.

mod accuracy;
mod auc;
mod binary_accuracy;
mod class_accuracy;
mod classification_report;
mod config;
mod confusion_matrix;
mod cosine_score;
mod counts;
mod f1_score;
mod loss_metric;
mod outputs;
mod precision_recall;
mod r2_score;
mod root_mean_squared_error;
mod squares;
mod top_k_accuracy;

use std::fmt::Debug;

pub use accuracy::Accuracy;
pub use auc::{Auc, Curve};
pub use binary_accuracy::BinaryAccuracy;
pub use class_accuracy::{CategoricalAccuracy, ClassAccuracy, SparseCategoricalAccuracy};
pub use classification_report::{ClassScores, ClassificationReport};
pub use config::MetricConfig;
pub use confusion_matrix::ConfusionMatrix;
pub use cosine_score::CosineScore;
pub use f1_score::{Average, F1Score};
pub use loss_metric::LossMetric;
pub use outputs::{Meaning, Outputs};
pub use precision_recall::{Precision, PrecisionRecall, Recall};
pub use r2_score::R2Score;
pub use root_mean_squared_error::RootMeanSquaredError;
pub use top_k_accuracy::TopKAccuracy;

use crate::error::{Error, Result};
use crate::losses::{class_number, classes_or_rows};
use crate::tensor::{FREE, Float, Shape, Tensor, argmax};

/// A figure gathered over the batches of an epoch.
///
/// A metric is configuration; what it has gathered are sums that stand outside of it, zeros at first. [`score`](Self::score)
/// is the figure of a single batch.
///
/// `Debug` is to print settings alone: a checkpoint keeps what it says, and a run that says otherwise does not go on from there
/// unasked.
///
/// ```
/// use gradus::prelude::*;
/// let (y_true, y_pred) = (Tensor::from_labels(&[1, 0]), Tensor::from([[0.2f32, 0.8], [0.4, 0.6]]));
/// assert_eq!(Accuracy::default().score(&y_true, &y_pred, None)?, 0.5);
///
/// /// The part of outputs that are off by at most a tolerance.
/// #[derive(Debug)]
/// struct Within(f32);
///
/// impl Metric for Within {
///     fn name(&self) -> String {
///         "within".into()
///     }
///
///     fn sums(&self, _: Shape) -> usize {
///         2
///     }
///
///     fn update(&self, sums: &mut [f64], y_true: &Tensor, y_pred: &Tensor, _: Option<&[f32]>) {
///         let pairs = y_true.as_slice().iter().zip(y_pred.as_slice());
///         sums[0] += pairs.filter(|(t, p)| (*t - *p).abs() <= self.0).count() as f64;
///         sums[1] += y_true.len() as f64;
///     }
///
///     fn result(&self, sums: &[f64]) -> f64 {
///         sums[0] / sums[1]
///     }
/// }
///
/// let (mut sums, within) = (vec![0.0; 2], Within(0.1));
/// within.update(&mut sums, &Tensor::from([[1.0], [2.0]]), &Tensor::from([[1.05], [2.5]]), None);
/// within.update(&mut sums, &Tensor::from([[3.0], [4.0]]), &Tensor::from([[3.0], [4.0]]), None);
/// assert_eq!(within.result(&sums), 0.75);
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait Metric<T: Float = f32>: Send + Sync + Debug {
    /// The name in the history, such as `"accuracy"`.
    fn name(&self) -> String;

    /// The number of sums kept over batches whose predictions have this shape, batch axis included. A checkpoint within an
    /// epoch keeps them.
    fn sums(&self, y_pred: Shape) -> usize;

    /// Adds a batch of shapes that [`check`](Self::check) accepts to the sums, and nothing else: those of two parts of a batch, taken from zero, add up to
    /// those of the whole, as [shards](crate::model::Fit::shards) have it. Weights, where there are any, are one a row or
    /// one a sample. Lengths that do not fit make the result NaN, or a figure without meaning; the metrics of this library do
    /// not panic.
    fn update(&self, sums: &mut [f64], y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>);

    /// The figure over all batches in the sums.
    fn result(&self, sums: &[f64]) -> f64;

    /// Checks the settings, and the shapes of targets against those of predictions, both with the batch axis. By default they
    /// must agree.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not fit, [`Error::Argument`] for a setting out of its range.
    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        crate::losses::same_shape("metric", y_true, y_pred)
    }

    /// Takes notice of what the model's outputs are; called by `compile` once settings and shapes are checked. A metric that finds answers in outputs
    /// takes from there how. Does nothing by default.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::LossMismatch`] where the metric has no meaning for such outputs.
    fn prepare(&mut self, outputs: &Outputs) -> Result<()> {
        let _ = outputs;
        Ok(())
    }

    /// Checks the values of the targets for predictions of shape `y_pred`; called by `fit` and `evaluate`. Anything goes by default.
    ///
    /// # Errors
    /// [`Error::Label`] for a target that the metric has no meaning for.
    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        let _ = (y_true, y_pred);
        Ok(())
    }

    /// The figure of one batch.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::Shape`] if the weights are neither one a row nor one a sample.
    fn score(&self, y_true: &Tensor<T>, y_pred: &Tensor<T>, weights: Option<&[T]>) -> Result<f64> {
        self.check(y_true.shape(), y_pred.shape())?;
        if let Some(w) = weights.filter(|w| !y_pred.is_empty() && weight(Some(w), 0, y_pred.shape().rows()).is_none()) {
            let expected = format!("{} weights, one a row, or one a sample", y_pred.shape().rows());
            return Err(Error::shape("score", expected, w.len(), "pass as many weights as samples"));
        }
        let mut sums = vec![0.0; self.sums(y_pred.shape())];
        self.update(&mut sums, y_true, y_pred, weights);
        Ok(self.result(&sums))
    }

    /// The configuration from which the metric can be made again; for one of your own by default its name alone. Where it has settings,
    /// `MetricConfig::own("name", self)` carries them, and `Registry::with_metric` reads them.
    fn config(&self) -> MetricConfig {
        MetricConfig::Custom { class: self.name(), settings: String::new() }
    }

    /// The metric in a box. Called where the crate itself makes one, so that its code is compiled with the crate and not again in every
    /// program (see docs/design.md, "Compiled once").
    #[doc(hidden)]
    #[inline(never)]
    fn boxed(self) -> Box<dyn Metric<T>>
    where
        Self: Sized + 'static,
    {
        Box::new(self)
    }
}

/// What `compile` takes as metrics: `()` for none, an array or vector of one kind, a tuple of several kinds, or boxed ones.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::metrics::MetricSet;
/// let two: Vec<Box<dyn Metric<f32>>> = (Accuracy::default(), Accuracy::default()).boxed();
/// assert_eq!(two.len(), 2);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of metrics for elements of `{T}`",
    note = "pass `()` for none, `[Accuracy::default()]` for one, `(Accuracy::default(), Recall::default())` for several; a loss becomes a metric with `LossMetric::new(loss)`"
)]
pub trait MetricSet<T: Float> {
    /// The metrics as a list.
    fn boxed(self) -> Vec<Box<dyn Metric<T>>>;
}

impl<T: Float> MetricSet<T> for () {
    fn boxed(self) -> Vec<Box<dyn Metric<T>>> {
        Vec::new()
    }
}

impl<T: Float, M: Metric<T> + 'static, const N: usize> MetricSet<T> for [M; N] {
    fn boxed(self) -> Vec<Box<dyn Metric<T>>> {
        self.into_iter().map(Metric::boxed).collect()
    }
}

impl<T: Float> MetricSet<T> for Vec<Box<dyn Metric<T>>> {
    fn boxed(self) -> Vec<Box<dyn Metric<T>>> {
        self
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<T: Float, $($name: Metric<T> + 'static),+> MetricSet<T> for ($($name,)+) {
            #[allow(non_snake_case)]
            fn boxed(self) -> Vec<Box<dyn Metric<T>>> {
                let ($($name,)+) = self;
                vec![$(Metric::boxed($name)),+]
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);

/// A weighted mean over samples: its sums are Σ value·weight and Σ weight.
pub(crate) struct Mean;

impl Mean {
    pub const SUMS: usize = 2;

    pub fn add(sums: &mut [f64], value: f64, weight: f64) {
        // What has no weight has no part, not even as NaN.
        if let ([sum, total], true) = (sums, weight != 0.0) {
            *sum += value * weight;
            *total += weight;
        }
    }

    /// 0 where nothing was added, NaN for another number of sums.
    pub fn result(sums: &[f64]) -> f64 {
        match *sums {
            [_, 0.0] => 0.0,
            [sum, weight] => sum / weight,
            _ => f64::NAN,
        }
    }
}

/// Rows of targets and predictions with their weight: one row for each along all axes but the last of y_pred. Targets that
/// cannot be dealt out come as empty rows of weight NaN.
pub(crate) fn rows<'a, T: Float>(
    y_true: &'a Tensor<T>,
    y_pred: &'a Tensor<T>,
    weights: Option<&'a [T]>,
) -> impl Iterator<Item = (&'a [T], &'a [T], f64)> {
    let width = width(y_pred.shape()).max(1);
    let n = y_pred.len() / width;
    let target = y_true.len() / n.max(1);
    let fits = target > 0 && target * n == y_true.len();
    y_pred.as_slice().chunks_exact(width).enumerate().map(move |(i, p)| {
        if !fits {
            return (&[][..], p, f64::NAN);
        }
        (&y_true.as_slice()[i * target..][..target], p, weight(weights, i, n).unwrap_or(f64::NAN))
    })
}

/// The weight of row i of n; weights are one a row or one a sample, and none if they are neither.
fn weight<T: Float>(weights: Option<&[T]>, i: usize, n: usize) -> Option<f64> {
    match weights {
        None => Some(1.0),
        Some(w) if w.is_empty() || !n.is_multiple_of(w.len()) => None,
        Some(w) => Some(w[i * w.len() / n].as_f64()),
    }
}

/// The number of predictions in a row.
pub(crate) fn width(y_pred: Shape) -> usize {
    if y_pred.rank() < 2 { 1 } else { y_pred.last() }
}

/// Sums for each column need their number before there are batches.
pub(crate) fn check_width(op: &'static str, y_pred: Shape) -> Result<()> {
    match width(y_pred) {
        FREE => Err(Error::shape(
            op,
            "outputs whose last axis has a fixed size, as it sums by column",
            y_pred,
            "use a metric that counts all values alike, or give the model's input a fixed size",
        )),
        _ => Ok(()),
    }
}

/// Every prediction of a row after its target, which is NaN where the lengths differ.
pub(crate) fn pairs<'a, T: Float>(y_true: &'a [T], y_pred: &'a [T]) -> impl Iterator<Item = (f64, f64)> + 'a {
    let fits = y_true.len() == y_pred.len();
    y_pred.iter().enumerate().map(move |(i, p)| (if fits { y_true[i].as_f64() } else { f64::NAN }, p.as_f64()))
}

/// A threshold that predictions are compared with.
pub(crate) fn check_threshold(op: &'static str, threshold: f64) -> Result<()> {
    if threshold.is_finite() {
        return Ok(());
    }
    Err(Error::argument(op, "threshold", "finite", threshold, "0.5 is usual"))
}

/// The position of the largest of a row; none where that is NaN.
fn winner<T: Float>(row: &[T]) -> Option<usize> {
    let best = argmax(row);
    row.get(best).filter(|v| !v.is_nan()).map(|_| best)
}

/// The class that a target row names: the number itself if it can be one, or the position of the largest of several.
pub(crate) fn true_class<T: Float>(y_true: &[T]) -> Option<usize> {
    if y_true.len() == 1 { class_number(y_true[0], usize::MAX) } else { winner(y_true) }
}

/// Whether the largest prediction of a row is at the true class; one of NaN never is.
pub(crate) fn class_hit<T: Float>(y_true: &[T], y_pred: &[T]) -> bool {
    winner(y_pred).is_some_and(|class| true_class(y_true) == Some(class))
}

/// Class numbers or one-hot rows, and at least two outputs a row.
pub(crate) fn over_classes(op: &'static str, y_true: Shape, y_pred: Shape) -> Result<()> {
    if y_pred.rank() < 2 || y_pred.last() < 2 {
        return Err(Error::shape(op, "one output a class, at least two", y_pred, "use BinaryAccuracy or Accuracy"));
    }
    classes_or_rows(op, y_true, y_pred)
}
