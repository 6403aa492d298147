//! Focal loss on yes–no probabilities.

use super::binary_crossentropy::{from_logit, from_probability, probability_slope};
use super::{
    Loss, LossConfig, Options, check_focus, check_range, each_a_probability, mean_gradient, mean_of, option_builders,
    power_slope, same_shape,
};
use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = (1/n) Σ w·(1 − q)^γ·h with h the binary cross-entropy of p and y, and q = y·p + (1 − y)(1 − p) the probability given
/// to the truth: rows that are already right count less.
///
/// - γ is 2 by default; 0 gives [`BinaryCrossentropy`](super::BinaryCrossentropy).
/// - w = 1, or with [`alpha`](Self::alpha) w = α·y + (1 − α)(1 − y).
/// - dp = w(−γ(1 − q)^(γ−1)·(2y − 1)·h + (1 − q)^γ·dh)/n; from logits dz = p(1 − p)·dp, without bounds on p.
///
/// Keras `BinaryFocalCrossentropy`. Lin et al. 2017, "Focal loss for dense object detection".
///
/// ```
/// use gradus::prelude::*;
/// let loss = BinaryFocalCrossentropy::default();
/// assert!((loss.value(&[1.0f64], &[0.8]) + 0.04 * 0.8f64.ln()).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct BinaryFocalCrossentropy {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    alpha: Option<f64>,
    gamma: f64,
    options: Options,
}

impl Default for BinaryFocalCrossentropy {
    fn default() -> Self {
        BinaryFocalCrossentropy { alpha: None, gamma: 2.0, options: Options::default() }
    }
}

impl BinaryFocalCrossentropy {
    /// The weight of class 1, from 0 to 1, class 0 getting the rest; both count fully by default. Keras's
    /// `apply_class_balancing=True` with its `alpha`, 0.25 there.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// The power that turns attention to wrong rows; 2 by default.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    option_builders!("moved towards ½");

    /// The smoothed target and its weight w.
    fn target<T: Float>(&self, y: T) -> (T, T) {
        let t = self.options.smooth(y, 2);
        (t, self.alpha.map_or(T::one(), |a| t * T::of(a) + (T::one() - t) * T::of(1.0 - a)))
    }
}

impl<T: Float> Loss<T> for BinaryFocalCrossentropy {
    fn name(&self) -> &'static str {
        "binary_focal_crossentropy"
    }

    fn config(&self) -> LossConfig {
        LossConfig::BinaryFocalCrossentropy(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        let gamma = T::of(self.gamma);
        mean_of(y_true, y_pred, |y, v| {
            let (t, w) = self.target(y);
            let (h, p) = if self.options.from_logits { from_logit(t, v) } else { (from_probability(t, v), v) };
            // 1 − q
            let wrong = t * (T::one() - p) + (T::one() - t) * p;
            w * wrong.powf(gamma) * h
        })
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        let (one, gamma) = (T::one(), T::of(self.gamma));
        mean_gradient(y_true, y_pred, scale, dy, |y, v| {
            let (t, w) = self.target(y);
            // h, p, and the derivatives of both by the prediction
            let (h, p, dh, dp) = if self.options.from_logits {
                let (h, p) = from_logit(t, v);
                (h, p, p - t, p * (one - p))
            } else {
                (from_probability(t, v), v, probability_slope(t, v), one)
            };
            let wrong = t * (one - p) + (one - t) * p;
            // h may be infinite where p no longer changes.
            let change = if dp == T::zero() { dp } else { power_slope(wrong, gamma) * (one - t - t) * dp * h };
            w * (change + wrong.powf(gamma) * dh)
        });
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        self.options.check("BinaryFocalCrossentropy")?;
        check_focus::<T>("BinaryFocalCrossentropy", self.gamma, self.alpha.unwrap_or(0.25))?;
        same_shape("BinaryFocalCrossentropy", y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, _: Shape) -> Result<()> {
        let hint = "pass 0 or 1; for class numbers use CategoricalFocalCrossentropy and one unit a class";
        check_range("BinaryFocalCrossentropy", y_true, 0.0, 1.0, hint)
    }

    fn check_activation(&self, activation: Activation, _width: usize) -> Result<()> {
        each_a_probability("BinaryFocalCrossentropy", self.options.from_logits, activation)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        let options = self.options.with_logits().filter(|_| activation == Activation::Sigmoid)?;
        Some(BinaryFocalCrossentropy { options, ..self.clone() }.boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradients() {
        let t = Tensor::from([[0.0, 1.0, 0.3], [1.0, 0.0, 1.0]]);
        let p = Tensor::from([[0.2, 0.5, 0.4], [0.6, 0.1, 0.3]]);
        let z = Tensor::from([[2.0, -1.0, 0.3], [0.1, -30.0, -4.0]]);
        let plain = BinaryFocalCrossentropy::default();
        for loss in [plain.clone(), plain.clone().gamma(0.0), plain.gamma(0.7).alpha(0.3).label_smoothing(0.1)] {
            gradcheck::check_loss(&loss, &t, &p).unwrap();
            gradcheck::check_loss(&loss.from_logits(true), &t, &z).unwrap();
        }
    }

    #[test]
    fn logits_and_probabilities_agree() {
        let loss = BinaryFocalCrossentropy::default().alpha(0.25);
        let z = 0.7f32;
        let p = 1.0 / (1.0 + (-z).exp());
        let (a, b) = (loss.value(&[1.0], &[p]), loss.from_logits(true).value(&[1.0], &[z]));
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }

    #[test]
    fn settings_are_checked() {
        let shape = Shape::from([2, 1]);
        let check = |l: BinaryFocalCrossentropy| Loss::<f32>::check(&l, shape, shape);
        assert!(check(BinaryFocalCrossentropy::default()).is_ok());
        assert!(check(BinaryFocalCrossentropy::default().gamma(-1.0)).is_err());
        assert!(check(BinaryFocalCrossentropy::default().alpha(f64::NAN)).is_err());
    }
}
