//! Cross-entropy between class probabilities.

use super::{Loss, check_class_numbers, check_range, classes_or_rows};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// loss = −Σ yᵢ ln pᵢ over the classes; targets are one-hot rows, rows of probabilities, or class numbers.
///
/// - From probabilities (the default) p is divided by its sum and kept in [1e-7, 1 − 1e-7], as Keras does. Behind a softmax
///   layer, training goes through the stable form from logits instead, whose gradient is p − y.
/// - From logits ([`from_logits`](Self::from_logits)): p = softmax(z), loss = Σ yᵢ·(ln Σ eᶻ − zᵢ), dz = p·Σy − y.
/// - [`label_smoothing`](Self::label_smoothing) s: y becomes y(1 − s) + s/classes; 0 by default.
///
/// Keras `CategoricalCrossentropy` and, with class numbers, `SparseCategoricalCrossentropy`; PyTorch `CrossEntropyLoss`
/// (from logits).
///
/// ```
/// use gradus::prelude::*;
/// let loss = CategoricalCrossentropy::default();
/// let p = [0.1f64, 0.7, 0.2];
/// assert!((loss.value(&[0.0, 1.0, 0.0], &p) + 0.7f64.ln()).abs() < 1e-12);
/// assert_eq!(loss.value(&[1.0], &p), loss.value(&[0.0, 1.0, 0.0], &p));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CategoricalCrossentropy {
    from_logits: bool,
    label_smoothing: f64,
}

/// Keras's fuzz factor.
pub(crate) const EPSILON: f64 = 1e-7;

impl CategoricalCrossentropy {
    /// Whether predictions are logits instead of probabilities; no by default.
    pub fn from_logits(mut self, from_logits: bool) -> Self {
        self.from_logits = from_logits;
        self
    }

    /// The part of the targets spread over all classes, from 0 (the default) to 1.
    pub fn label_smoothing(mut self, part: f64) -> Self {
        self.label_smoothing = part;
        self
    }

    /// The target of class `i`, smoothed, from a one-hot row or a class number.
    #[inline(always)]
    fn target<T: Float>(&self, y_true: &[T], classes: usize, i: usize) -> T {
        let y = if y_true.len() == classes {
            y_true[i]
        } else if y_true[0] == T::of(i as f64) {
            T::one()
        } else {
            T::zero()
        };
        if self.label_smoothing == 0.0 {
            return y;
        }
        y * T::of(1.0 - self.label_smoothing) + T::of(self.label_smoothing / classes as f64)
    }
}

/// (max, Σ e^(z − max))
fn exp_sum<T: Float>(z: &[T]) -> (T, T) {
    let top = z.iter().fold(T::neg_infinity(), |m, &v| if v > m { v } else { m });
    (top, z.iter().map(|&v| (v - top).exp()).sum())
}

impl<T: Float> Loss<T> for CategoricalCrossentropy {
    fn name(&self) -> &'static str {
        "categorical_crossentropy"
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        let n = y_pred.len();
        if self.from_logits {
            let (top, sum) = exp_sum(y_pred);
            let log_sum = sum.ln();
            return (0..n).map(|i| self.target(y_true, n, i) * (log_sum - (y_pred[i] - top))).sum();
        }
        let sum: T = y_pred.iter().copied().sum();
        let (low, high) = (T::of(EPSILON), T::one() - T::of(EPSILON));
        -(0..n).map(|i| self.target(y_true, n, i) * clip(y_pred[i] / sum, low, high).ln()).sum::<T>()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        let n = y_pred.len();
        if self.from_logits {
            // dz = p·Σy − y
            let (top, sum) = exp_sum(y_pred);
            let total: T = (0..n).map(|i| self.target(y_true, n, i)).sum();
            let factor = total / sum;
            for i in 0..n {
                dy[i] = scale * ((y_pred[i] - top).exp() * factor - self.target(y_true, n, i));
            }
            return;
        }
        // q = p/Σp: dq = −y/q inside the clip, dp = (dq − Σ dq·q)/Σp
        let sum: T = y_pred.iter().copied().sum();
        let (low, high) = (T::of(EPSILON), T::one() - T::of(EPSILON));
        let mut dot = T::zero();
        for i in 0..n {
            let q = y_pred[i] / sum;
            dy[i] = if q >= low && q <= high { -self.target(y_true, n, i) / q } else { T::zero() };
            dot += dy[i] * q;
        }
        dy.iter_mut().for_each(|d| *d = scale * (*d - dot) / sum);
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            let hint = "0.1 is usual";
            return Err(Error::argument(
                "CategoricalCrossentropy",
                "label_smoothing",
                "from 0 to 1",
                self.label_smoothing,
                hint,
            ));
        }
        classes_or_rows("CategoricalCrossentropy", y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, width: usize) -> Result<()> {
        if y_true.shape().last() == width && y_true.shape().rank() > 1 && width > 1 {
            let hint = "pass one-hot rows, probabilities or class numbers";
            return check_range("CategoricalCrossentropy", y_true, 0.0, 1.0, hint);
        }
        check_class_numbers("CategoricalCrossentropy", y_true.as_slice(), width)
    }

    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        probabilities_over_classes("CategoricalCrossentropy", self.from_logits, activation, width)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        (activation == Activation::Softmax && !self.from_logits)
            .then(|| Box::new(CategoricalCrossentropy { from_logits: true, ..self.clone() }) as Box<dyn Loss<T>>)
    }
}

fn clip<T: Float>(v: T, low: T, high: T) -> T {
    if v < low {
        low
    } else if v > high {
        high
    } else {
        v
    }
}

/// Whether a loss over class probabilities (or their logits) fits a last activation.
pub(crate) fn probabilities_over_classes(
    loss: &'static str,
    from_logits: bool,
    activation: Activation,
    width: usize,
) -> Result<()> {
    let mismatch = |why, hint: &str| {
        Err(Error::LossMismatch { loss: loss.into(), activation: activation.to_string(), why, hint: hint.into() })
    };
    if width < 2 {
        return mismatch(
            "it needs a unit for each class, and there is one unit",
            "use BinaryCrossentropy with a sigmoid",
        );
    }
    match (from_logits, activation) {
        (true, Activation::Softmax | Activation::Sigmoid | Activation::LogSoftmax) => {
            mismatch("from_logits applies the softmax itself", "remove the activation or from_logits")
        }
        (false, Activation::Softmax | Activation::Sigmoid | Activation::HardSigmoid) => Ok(()),
        (false, _) => {
            mismatch("it needs probabilities", "end the model with Activation::Softmax, or use from_logits(true)")
        }
        (true, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradients() {
        let p = Tensor::from([[0.2, 0.5, 0.4], [0.6, 0.1, 0.3]]);
        let z = Tensor::from([[2.0, -1.0, 0.3], [0.1, 0.1, -4.0]]);
        let one_hot = Tensor::from([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let numbers = Tensor::from_labels(&[1, 2]);
        for smoothing in [0.0, 0.1] {
            let loss = CategoricalCrossentropy::default().label_smoothing(smoothing);
            for y in [&one_hot, &numbers] {
                gradcheck::check_loss(&loss, y, &p).unwrap();
                gradcheck::check_loss(&loss.clone().from_logits(true), y, &z).unwrap();
            }
        }
    }

    #[test]
    fn large_logits_stay_finite() {
        let loss = CategoricalCrossentropy::default().from_logits(true);
        assert_eq!(loss.value(&[1.0], &[1000.0f32, 0.0]), 1000.0);
    }
}
