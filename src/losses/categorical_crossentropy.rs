//! Cross-entropy between class probabilities.

use super::{
    EPSILON, Loss, LossConfig, Options, check_classes, classes_or_rows, clip, option_builders,
    probabilities_over_classes, scaled_sum, softmax_crossentropy, through_sum,
};
use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = −Σ yᵢ ln pᵢ over the classes; targets are one-hot rows, rows of probabilities, or class numbers.
///
/// - From probabilities (the default) p is divided by its sum and kept in [1e-7, 1 − 1e-7], as Keras does. Behind a softmax
///   layer, training goes through the stable form from logits instead, whose gradient is p − y.
/// - From logits ([`from_logits`](Self::from_logits)): p = softmax(z), loss = Σ yᵢ·(ln Σ eᶻ − zᵢ), dz = p·Σy − y. A class whose
///   logit is −∞ costs nothing unless it is the true one.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct CategoricalCrossentropy {
    options: Options,
}

impl CategoricalCrossentropy {
    option_builders!("spread over all classes");
}

impl<T: Float> Loss<T> for CategoricalCrossentropy {
    fn name(&self) -> &'static str {
        "categorical_crossentropy"
    }

    fn config(&self) -> LossConfig {
        LossConfig::CategoricalCrossentropy(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        if self.options.from_logits {
            return softmax_crossentropy(y_true, y_pred, (&self.options, 0.0), T::one(), None);
        }
        let n = y_pred.len();
        let [top, sum] = scaled_sum(y_pred);
        let (low, high) = (T::of(EPSILON), T::one() - T::of(EPSILON));
        let target = |i| self.options.class_target(y_true, n, i);
        -(0..n).map(|i| target(i) * clip(y_pred[i] / top / sum, low, high).ln()).sum::<T>()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        if self.options.from_logits {
            softmax_crossentropy(y_true, y_pred, (&self.options, 0.0), scale, Some(dy));
            return;
        }
        let (low, high) = (T::of(EPSILON), T::one() - T::of(EPSILON));
        through_sum(y_pred, scale, dy, |i, p| {
            let inside = p >= low && p <= high;
            if inside { -self.options.class_target(y_true, y_pred.len(), i) / p } else { T::zero() }
        });
    }

    fn value_and_gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) -> T {
        if self.options.from_logits {
            return softmax_crossentropy(y_true, y_pred, (&self.options, 0.0), scale, Some(dy));
        }
        self.gradient(y_true, y_pred, scale, dy);
        self.value(y_true, y_pred)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        self.options.check("CategoricalCrossentropy")?;
        classes_or_rows("CategoricalCrossentropy", y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        check_classes("CategoricalCrossentropy", y_true, y_pred)
    }

    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        probabilities_over_classes("CategoricalCrossentropy", self.options.from_logits, activation, width)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        let options = self.options.with_logits().filter(|_| activation == Activation::Softmax)?;
        Some(CategoricalCrossentropy { options }.boxed())
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
    fn class_numbers_of_sequences_as_long_as_there_are_classes() {
        let loss = CategoricalCrossentropy::default();
        let (numbers, y_pred) = (Tensor::<f32>::from([[2.0, 0.0, 1.0]]), Shape::from([1, 3, 3]));
        Loss::<f32>::check(&loss, numbers.shape(), y_pred).unwrap();
        loss.check_targets(&numbers, y_pred).unwrap();
    }

    #[test]
    fn large_logits_stay_finite() {
        let loss = CategoricalCrossentropy::default().from_logits(true);
        assert_eq!(loss.value(&[1.0], &[1000.0f32, 0.0]), 1000.0);
    }

    #[test]
    fn every_way_gives_the_same_bits() {
        let loss = CategoricalCrossentropy::default().from_logits(true);
        let (z, one_hot) = ([0.3f32, -1.7, 2.9, 0.01], [0.0, 0.0, 0.0, 1.0]);
        let (mut a, mut b) = ([f32::NAN; 4], [f32::NAN; 4]);
        assert_eq!(loss.value_and_gradient(&[3.0], &z, 0.7, &mut a), loss.value(&[3.0], &z));
        assert_eq!(loss.value(&[3.0], &z), loss.value(&one_hot, &z));
        loss.gradient(&one_hot, &z, 0.7, &mut b);
        assert_eq!(a, b);
    }

    #[test]
    fn a_class_number_out_of_range_is_no_number() {
        let loss = CategoricalCrossentropy::default().from_logits(true);
        let mut dy = [f32::NAN; 2];
        assert!(loss.value_and_gradient(&[7.0], &[0.5, 0.1], 1.0, &mut dy).is_nan());
        assert_eq!(dy, [0.0, 0.0]);
    }
}
