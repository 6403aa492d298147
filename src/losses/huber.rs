//! Huber's loss.

use super::{Loss, LossConfig, mean_gradient, mean_of, sign};
use crate::error::{Error, Result};
use crate::losses::same_shape;
use crate::tensor::{Float, Shape};

/// With e = ŷ − y, the mean over a row of e²/2 where |e| ≤ δ and δ|e| − δ²/2 beyond: square near 0, straight far out.
///
/// Gradient: dŷ = e/n where |e| ≤ δ, else δ·sign(e)/n. δ is 1 by default. Keras `Huber`, PyTorch `HuberLoss`. Huber 1964,
/// "Robust estimation of a location parameter".
///
/// ```
/// use gradus::prelude::*;
/// let loss = Huber::default();
/// assert_eq!(loss.value(&[0.0f64, 0.0], &[0.5, 3.0]), (0.125 + 2.5) / 2.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Huber {
    delta: f64,
}

impl Default for Huber {
    fn default() -> Self {
        Huber { delta: 1.0 }
    }
}

impl Huber {
    /// The error beyond which the loss is straight; 1 by default.
    pub fn delta(mut self, delta: f64) -> Self {
        self.delta = delta;
        self
    }
}

impl<T: Float> Loss<T> for Huber {
    fn name(&self) -> &'static str {
        "huber"
    }

    fn config(&self) -> LossConfig {
        LossConfig::Huber(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        let (delta, half) = (T::of(self.delta), T::of(0.5));
        mean_of(y_true, y_pred, |t, p| {
            let e = (p - t).abs();
            if e <= delta { half * e * e } else { delta * e - half * delta * delta }
        })
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        let delta = T::of(self.delta);
        mean_gradient(y_true, y_pred, scale, dy, |t, p| {
            let e = p - t;
            if e.abs() <= delta { e } else { delta * sign(e) }
        });
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        // As an element it must not be 0, which would leave no loss at all.
        if !self.delta.is_finite() || T::of(self.delta) <= T::zero() {
            let expected = format!("above 0 and finite, as {} too", T::NAME);
            return Err(Error::argument("Huber", "delta", expected, self.delta, "1 is usual"));
        }
        same_shape("huber", y_true, y_pred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tensor, gradcheck};

    #[test]
    fn gradient() {
        let (t, p) = (Tensor::from([[0.3, -1.0], [1.0, 2.0]]), Tensor::from([[0.1, 0.9], [2.2, -3.0]]));
        for delta in [1.0, 0.15, 1.3] {
            gradcheck::check_loss(&Huber::default().delta(delta), &t, &p).unwrap();
        }
        assert!(gradcheck::check_loss(&Huber::default().delta(0.0), &t, &p).is_err());
        assert_eq!(Huber::default().delta(2.0).value(&[0.0f32], &[3.0]), 4.0);
    }
}
