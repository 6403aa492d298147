//! Focal loss over classes.

use super::{
    EPSILON, Loss, LossConfig, Options, check_classes, check_focus, classes_or_rows, clip, exp_into, expected,
    option_builders, power_slope, probabilities_over_classes, scaled_sum, through_sum,
};
use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// loss = −α Σ yᵢ·(1 − pᵢ)^γ·ln pᵢ over the classes: cross-entropy in which rows that are already right count less.
///
/// - Targets are one-hot rows, rows of probabilities, or class numbers. α is 0.25 and γ 2 by default.
/// - From probabilities (the default) p is divided by its sum and kept in [1e-7, 1 − 1e-7]:
///   dp = αy(γ(1 − p)^(γ−1)·ln p − (1 − p)^γ/p) inside, then through the division.
/// - From logits with p = softmax(z): g = p·dp as above without bounds, dz = g − p·Σg.
///
/// Keras `CategoricalFocalCrossentropy`. Lin et al. 2017, "Focal loss for dense object detection".
///
/// ```
/// use gradus::prelude::*;
/// let loss = CategoricalFocalCrossentropy::default();
/// let expected = -0.25 * 0.3f64.powi(2) * 0.7f64.ln();
/// assert!((loss.value(&[0.0, 1.0, 0.0], &[0.1, 0.7, 0.2]) - expected).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CategoricalFocalCrossentropy {
    alpha: f64,
    gamma: f64,
    options: Options,
}

impl Default for CategoricalFocalCrossentropy {
    fn default() -> Self {
        CategoricalFocalCrossentropy { alpha: 0.25, gamma: 2.0, options: Options::default() }
    }
}

impl CategoricalFocalCrossentropy {
    /// The factor of the whole loss, from 0 to 1; 0.25 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The power that turns attention to wrong rows; 2 by default.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    option_builders!("spread over all classes");
}

impl<T: Float> Loss<T> for CategoricalFocalCrossentropy {
    fn name(&self) -> &'static str {
        "categorical_focal_crossentropy"
    }

    fn config(&self) -> LossConfig {
        LossConfig::CategoricalFocalCrossentropy(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        let (n, one, gamma) = (y_pred.len(), T::one(), T::of(self.gamma));
        let target = |i| self.options.class_target(y_true, n, i);
        if self.options.from_logits {
            let (top, sum) = exp_into(y_pred, None);
            let log_sum = sum.ln();
            let term = |i: usize| {
                let log = y_pred[i] - top - log_sum;
                expected(target(i), || (one - log.fast_exp()).powf(gamma) * log)
            };
            return -T::of(self.alpha) * (0..n).map(term).sum::<T>();
        }
        let [top, sum] = scaled_sum(y_pred);
        let term = |i: usize| {
            let p = clip(y_pred[i] / top / sum, T::of(EPSILON), one - T::of(EPSILON));
            target(i) * (one - p).powf(gamma) * p.ln()
        };
        -T::of(self.alpha) * (0..n).map(term).sum::<T>()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        let (n, one, gamma, alpha) = (y_pred.len(), T::one(), T::of(self.gamma), T::of(self.alpha));
        let target = |i| self.options.class_target(y_true, n, i);
        if self.options.from_logits {
            let (top, sum) = exp_into(y_pred, None);
            let log_sum = sum.ln();
            let log = |i: usize| y_pred[i] - top - log_sum;
            let mut total = T::zero();
            for (i, d) in dy.iter_mut().take(n).enumerate() {
                let p = log(i).fast_exp();
                // p·ln p, which goes to 0 with p
                let p_log = if p == T::zero() { p } else { p * log(i) };
                *d = alpha * target(i) * (power_slope(one - p, gamma) * p_log - (one - p).powf(gamma));
                total += *d;
            }
            for (i, d) in dy.iter_mut().take(n).enumerate() {
                *d = scale * (*d - log(i).fast_exp() * total);
            }
            return;
        }
        through_sum(y_pred, scale, dy, |i, p| {
            if p < T::of(EPSILON) || p > one - T::of(EPSILON) {
                return T::zero();
            }
            alpha * target(i) * (power_slope(one - p, gamma) * p.ln() - (one - p).powf(gamma) / p)
        });
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        self.options.check("CategoricalFocalCrossentropy")?;
        check_focus::<T>("CategoricalFocalCrossentropy", self.gamma, self.alpha)?;
        classes_or_rows("CategoricalFocalCrossentropy", y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        check_classes("CategoricalFocalCrossentropy", y_true, y_pred)
    }

    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        probabilities_over_classes("CategoricalFocalCrossentropy", self.options.from_logits, activation, width)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        let options = self.options.with_logits().filter(|_| activation == Activation::Softmax)?;
        Some(CategoricalFocalCrossentropy { options, ..self.clone() }.boxed())
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
        let plain = CategoricalFocalCrossentropy::default();
        for loss in [plain.clone(), plain.clone().gamma(0.0), plain.gamma(0.7).alpha(1.0).label_smoothing(0.1)] {
            for y in [&one_hot, &Tensor::from_labels(&[1, 2])] {
                gradcheck::check_loss(&loss, y, &p).unwrap();
                gradcheck::check_loss(&loss.clone().from_logits(true), y, &z).unwrap();
            }
        }
    }

    #[test]
    fn large_logits_stay_finite() {
        let loss = CategoricalFocalCrossentropy::default().from_logits(true);
        let mut dy = [f32::NAN; 2];
        assert_eq!(loss.value_and_gradient(&[1.0], &[1000.0, 0.0], 1.0, &mut dy), 250.0);
        assert!(dy.iter().all(|d| d.is_finite()));
    }
}
