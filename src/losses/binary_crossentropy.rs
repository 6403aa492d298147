//! Cross-entropy of yes–no probabilities.

use super::{
    EPSILON, Loss, LossConfig, Options, check_range, clip, each_a_probability, mean_gradient, mean_of, option_builders,
    same_shape,
};
use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = −(1/n) Σ (y ln p + (1 − y) ln(1 − p)), each output a yes–no question of its own; n the length of a row.
///
/// - From probabilities (the default) p is kept in [1e-7, 1 − 1e-7], as Keras does: dp = ((1 − y)/(1 − p) − y/p)/n inside,
///   0 outside. Behind a sigmoid layer, training goes through the stable form from logits instead.
/// - From logits ([`from_logits`](Self::from_logits)): p = σ(z), loss = max(z, 0) − z·y + ln(1 + e^−|z|), dz = (σ(z) − y)/n.
/// - [`label_smoothing`](Self::label_smoothing) s: y becomes y(1 − s) + s/2; 0 by default.
///
/// Keras `BinaryCrossentropy`; PyTorch `BCELoss` and, from logits, `BCEWithLogitsLoss`.
///
/// ```
/// use gradus::prelude::*;
/// let loss = BinaryCrossentropy::default();
/// assert!((loss.value(&[1.0f64], &[0.8]) + 0.8f64.ln()).abs() < 1e-12);
/// assert!((loss.from_logits(true).value(&[1.0f64], &[0.0]) - 2f64.ln()).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct BinaryCrossentropy {
    options: Options,
}

impl BinaryCrossentropy {
    option_builders!("moved towards ½");
}

/// The loss at logit z, and σ(z).
#[inline(always)]
pub(super) fn from_logit<T: Float>(t: T, z: T) -> (T, T) {
    let e = (-z.abs()).exp();
    let small = e / (T::one() + e);
    let (positive, p) = if z < T::zero() { (T::zero(), small) } else { (z, T::one() - small) };
    if z.is_infinite() {
        // The limit: nothing where the truth is certain of it.
        return (if p == t { T::zero() } else { T::infinity() }, p);
    }
    (positive - z * t + e.ln_1p(), p)
}

/// The loss at probability p.
pub(super) fn from_probability<T: Float>(t: T, p: T) -> T {
    let p = clip(p, T::of(EPSILON), T::one() - T::of(EPSILON));
    -(t * p.ln() + (T::one() - t) * (T::one() - p).ln())
}

/// Its derivative, 0 outside the bounds.
pub(super) fn probability_slope<T: Float>(t: T, p: T) -> T {
    let one = T::one();
    if p < T::of(EPSILON) || p > one - T::of(EPSILON) { T::zero() } else { (one - t) / (one - p) - t / p }
}

impl<T: Float> Loss<T> for BinaryCrossentropy {
    fn name(&self) -> &'static str {
        "binary_crossentropy"
    }

    fn config(&self) -> LossConfig {
        LossConfig::BinaryCrossentropy(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        if self.options.from_logits {
            return mean_of(y_true, y_pred, |t, z| from_logit(self.options.smooth(t, 2), z).0);
        }
        mean_of(y_true, y_pred, |t, p| from_probability(self.options.smooth(t, 2), p))
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        if self.options.from_logits {
            self.value_and_gradient(y_true, y_pred, scale, dy);
            return;
        }
        mean_gradient(y_true, y_pred, scale, dy, |t, p| probability_slope(self.options.smooth(t, 2), p));
    }

    fn value_and_gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) -> T {
        if !self.options.from_logits {
            self.gradient(y_true, y_pred, scale, dy);
            return self.value(y_true, y_pred);
        }
        if y_true.len() != y_pred.len() {
            dy.fill(T::nan());
            return T::nan();
        }
        // Both need e^−|z|.
        let n = T::of(y_pred.len() as f64);
        let (mut sum, scale) = (T::zero(), scale / n);
        for ((d, &t), &z) in dy.iter_mut().zip(y_true).zip(y_pred) {
            let t = self.options.smooth(t, 2);
            let (loss, p) = from_logit(t, z);
            sum += loss;
            *d = scale * (p - t);
        }
        if sum.is_infinite() { self.value(y_true, y_pred) } else { sum / n }
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        self.options.check("BinaryCrossentropy")?;
        same_shape("BinaryCrossentropy", y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, _: Shape) -> Result<()> {
        let hint = "pass 0 or 1; for class numbers use CategoricalCrossentropy and one unit a class";
        check_range("BinaryCrossentropy", y_true, 0.0, 1.0, hint)
    }

    fn check_activation(&self, activation: Activation, _width: usize) -> Result<()> {
        each_a_probability("BinaryCrossentropy", self.options.from_logits, activation)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        let options = self.options.with_logits().filter(|_| activation == Activation::Sigmoid)?;
        Some(BinaryCrossentropy { options }.boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradients() {
        let t = Tensor::from([[0.0, 1.0, 0.3], [1.0, 0.0, 1.0]]);
        let p = Tensor::from([[0.2, 0.5, 0.4], [0.6, 0.1, -0.3]]);
        let z = Tensor::from([[2.0, -1.0, 0.3], [0.1, -30.0, -4.0]]);
        for smoothing in [0.0, 0.1] {
            let loss = BinaryCrossentropy::default().label_smoothing(smoothing);
            gradcheck::check_loss(&loss, &t, &p).unwrap();
            gradcheck::check_loss(&loss.from_logits(true), &t, &z).unwrap();
        }
    }

    #[test]
    fn both_ways_give_the_same_bits() {
        let loss = BinaryCrossentropy::default().from_logits(true);
        let (t, z) = ([1.0f32, 0.0, 1.0], [0.3f32, 90.0, -1000.0]);
        let mut dy = [f32::NAN; 3];
        assert_eq!(loss.value_and_gradient(&t, &z, 1.0, &mut dy), loss.value(&t, &z));
        assert!(dy.iter().all(|d| d.is_finite()));
    }

    #[test]
    fn what_does_not_fit() {
        let loss = BinaryCrossentropy::default();
        let fits = |l: &BinaryCrossentropy, a| Loss::<f32>::check_activation(l, a, 2);
        assert!(fits(&loss, Activation::Softmax).unwrap_err().to_string().contains("CategoricalCrossentropy"));
        assert!(fits(&loss, Activation::Linear).is_err() && fits(&loss, Activation::Sigmoid).is_ok());
        let logits = loss.clone().from_logits(true);
        assert!(fits(&logits, Activation::Sigmoid).is_err() && fits(&logits, Activation::Linear).is_ok());
        assert!(Loss::<f32>::check_targets(&loss, &Tensor::from([0.0, 2.0]), Shape::from([2, 1])).is_err());
        let shape = Shape::from([2, 1]);
        assert!(Loss::<f32>::check(&loss.label_smoothing(1.5), shape, shape).is_err());
    }
}
