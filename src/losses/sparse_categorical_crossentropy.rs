//! Cross-entropy between class probabilities and class numbers.

use super::{
    EPSILON, Loss, LossConfig, Options, check_classes, class_target, classes_or_rows, clip, option_builders,
    probabilities_over_classes, softmax_crossentropy,
};
use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = −ln p of the true class, for targets that are class numbers; one-hot rows work too.
///
/// - From probabilities (the default) p is kept in [1e-7, 1 − 1e-7] and then divided by its sum, as Keras does:
///   loss = ln Σp − ln p_y, dp = 1/Σp − y/p inside the bounds, 0 outside. Behind a softmax layer, training goes through the
///   stable form from logits instead.
/// - From logits ([`from_logits`](Self::from_logits)): p = softmax(z), loss = ln Σ eᶻ − z_y, dz = p − y.
///
/// It differs from [`CategoricalCrossentropy`](super::CategoricalCrossentropy) only for probabilities at the bounds. Keras
/// `SparseCategoricalCrossentropy`, PyTorch `CrossEntropyLoss` (from logits).
///
/// ```
/// use gradus::prelude::*;
/// let loss = SparseCategoricalCrossentropy::default();
/// assert!((loss.value(&[1.0], &[0.1f64, 0.7, 0.2]) + 0.7f64.ln()).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct SparseCategoricalCrossentropy {
    options: Options,
}

impl SparseCategoricalCrossentropy {
    option_builders!();
}

impl<T: Float> Loss<T> for SparseCategoricalCrossentropy {
    fn name(&self) -> &'static str {
        "sparse_categorical_crossentropy"
    }

    fn config(&self) -> LossConfig {
        LossConfig::SparseCategoricalCrossentropy(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        if self.options.from_logits {
            return softmax_crossentropy(y_true, y_pred, &self.options, T::one(), None);
        }
        let bounded = |i: usize| clip(y_pred[i], T::of(EPSILON), T::one() - T::of(EPSILON));
        let n = y_pred.len();
        let log_sum = (0..n).map(bounded).sum::<T>().ln();
        (0..n).map(|i| class_target(y_true, n, i) * (log_sum - bounded(i).ln())).sum()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        if self.options.from_logits {
            softmax_crossentropy(y_true, y_pred, &self.options, scale, Some(dy));
            return;
        }
        let (low, high) = (T::of(EPSILON), T::one() - T::of(EPSILON));
        let n = y_pred.len();
        let total: T = (0..n).map(|i| class_target(y_true, n, i)).sum();
        // Σy/Σp
        let ratio = total / y_pred.iter().map(|&p| clip(p, low, high)).sum::<T>();
        for (i, (d, &p)) in dy.iter_mut().zip(y_pred).enumerate() {
            let inside = p >= low && p <= high;
            *d = if inside { scale * (ratio - class_target(y_true, n, i) / p) } else { T::zero() };
        }
    }

    fn value_and_gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) -> T {
        if self.options.from_logits {
            return softmax_crossentropy(y_true, y_pred, &self.options, scale, Some(dy));
        }
        self.gradient(y_true, y_pred, scale, dy);
        self.value(y_true, y_pred)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        classes_or_rows("SparseCategoricalCrossentropy", y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        check_classes("SparseCategoricalCrossentropy", y_true, y_pred)
    }

    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        probabilities_over_classes("SparseCategoricalCrossentropy", self.options.from_logits, activation, width)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        let options = self.options.with_logits().filter(|_| activation == Activation::Softmax)?;
        Some(SparseCategoricalCrossentropy { options }.boxed())
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
        let loss = SparseCategoricalCrossentropy::default();
        for y in [one_hot, Tensor::from_labels(&[1, 2])] {
            gradcheck::check_loss(&loss, &y, &p).unwrap();
            gradcheck::check_loss(&loss.clone().from_logits(true), &y, &z).unwrap();
        }
    }

    #[test]
    fn labels_out_of_range_are_refused() {
        let loss = SparseCategoricalCrossentropy::default();
        for label in [3.0f32, -1.0, 0.5, f32::NAN] {
            let error = loss.check_targets(&Tensor::from([0.0, label]), Shape::from([2, 3])).unwrap_err().to_string();
            assert!(error.contains("row 1"), "{error}");
        }
        assert!(loss.check_targets(&Tensor::from([0.0f32, 2.0]), Shape::from([2, 3])).is_ok());
    }
}
