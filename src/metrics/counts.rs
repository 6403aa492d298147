//! Right and wrong yes–no answers, counted with weights.

use super::outputs::{Link, Threshold};
use super::rows;
use crate::error::{Error, Result};
use crate::losses::{class_target, classes_or_rows};
use crate::tensor::{Float, Shape, Tensor};

/// Weights of true positives, false positives and false negatives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub tp: f64,
    pub fp: f64,
    pub fneg: f64,
}

impl Counts {
    /// The sums of one column.
    pub const SUMS: usize = 3;

    /// Adds one answer to the sums of its column.
    pub fn add(sums: &mut [f64; Self::SUMS], truth: bool, answer: bool, weight: f64) {
        let [tp, fp, fneg] = sums;
        match (truth, answer) {
            (true, true) => *tp += weight,
            (false, true) => *fp += weight,
            (true, false) => *fneg += weight,
            (false, false) => {}
        }
    }

    /// Each column's.
    pub fn of(sums: &[f64]) -> impl ExactSizeIterator<Item = Self> + Clone {
        sums.as_chunks().0.iter().map(|&[tp, fp, fneg]| Counts { tp, fp, fneg })
    }

    pub fn precision(&self) -> f64 {
        ratio(self.tp, self.tp + self.fp)
    }

    pub fn recall(&self) -> f64 {
        ratio(self.tp, self.tp + self.fneg)
    }
}

/// a/b, 0 for b = 0.
pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// Calls `f(column, truth, prediction, weight)` for every output behind a link; class numbers count as one-hot rows, and what is
/// above 0 as a true yes.
pub(crate) fn each_label<T: Float>(
    y_true: &Tensor<T>,
    y_pred: &Tensor<T>,
    weights: Option<&[T]>,
    link: Link,
    mut f: impl FnMut(usize, bool, f64, f64),
) {
    for (t, p, w) in rows(y_true, y_pred, weights) {
        let link = link.of_row(p);
        for (column, v) in p.iter().enumerate() {
            let target = class_target(t, p.len(), column);
            // A target of NaN shows in the counts.
            f(column, target > T::zero() || target.is_nan(), link(v.as_f64()), w);
        }
    }
}

/// Shapes, threshold and class of metrics on yes–no answers.
pub(crate) fn check_labels(
    op: &'static str,
    threshold: Threshold,
    class: Option<usize>,
    y_true: Shape,
    y_pred: Shape,
) -> Result<()> {
    threshold.check(op)?;
    if let Some(class) = class.filter(|c| *c >= y_pred.last()) {
        let expected = format!("below {}, the number of outputs", y_pred.last());
        return Err(Error::argument(op, "class_id", expected, class, "classes are counted from 0"));
    }
    classes_or_rows(op, y_true, y_pred)
}
