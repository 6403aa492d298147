//! Half a cosine, with warm-up.

use super::{Schedule, ScheduleConfig};
use crate::check::{check_fraction, check_not_negative, check_steps};
use crate::error::Result;

/// initial · ((1 − α)·(1 + cos(π·step/steps))/2 + α) up to `steps` steps, then initial · α.
///
/// With warm-up the rate first rises in a line from `initial` to a target, and falls from there in `steps` further steps.
/// Default: α 0. Keras `CosineDecay`. Loshchilov, Hutter: "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
///
/// ```
/// use gradus::prelude::*;
/// let rate = CosineDecay::new(0.0, 1000).warmup(0.1, 100).alpha(0.1);
/// assert_eq!((rate.at(50), rate.at(100)), (0.05, 0.1));
/// assert!((rate.at(2000) - 0.01).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CosineDecay {
    initial: f64,
    steps: u64,
    alpha: f64,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    warmup: Option<(f64, u64)>,
}

impl CosineDecay {
    /// A learning rate that falls from `initial` in `steps` steps.
    pub fn new(initial: f64, steps: u64) -> Self {
        CosineDecay { initial, steps, alpha: 0.0, warmup: None }
    }

    /// The part of the highest rate that is left at the end, in [0, 1]; 0 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The rate rises to `target` in the first `steps` steps.
    pub fn warmup(mut self, target: f64, steps: u64) -> Self {
        self.warmup = Some((target, steps));
        self
    }
}

/// From 1 at 0 to `alpha` at 1.
pub(super) fn cosine(part: f64, alpha: f64) -> f64 {
    (1.0 - alpha) * (0.5 * (1.0 + (std::f64::consts::PI * part).cos())) + alpha
}

impl Schedule for CosineDecay {
    fn at(&self, step: u64) -> f64 {
        let (top, warmup) = self.warmup.unwrap_or((self.initial, 0));
        if step < warmup {
            return (top - self.initial) * (step as f64 / warmup as f64) + self.initial;
        }
        let step = (step - warmup).min(self.steps);
        top * cosine(step as f64 / self.steps as f64, self.alpha)
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::CosineDecay(self.clone())
    }

    fn check(&self) -> Result<()> {
        check_not_negative("CosineDecay", "initial", self.initial)?;
        check_steps("CosineDecay", "decay_steps", self.steps)?;
        if let Some((target, _)) = self.warmup {
            check_not_negative("CosineDecay", "warmup_target", target)?;
        }
        if self.alpha == 1.0 { Ok(()) } else { check_fraction("CosineDecay", "alpha", self.alpha) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_settings() {
        let rate = CosineDecay::new(0.1, 60).alpha(0.1);
        assert_eq!(rate.at(0), 0.1);
        assert!((rate.at(30) - 0.1 * 0.55).abs() < 1e-15);
        assert!((rate.at(60) - 0.01).abs() < 1e-15);
        assert_eq!(rate.at(60), rate.at(u64::MAX));
        assert!(CosineDecay::new(0.1, 60).alpha(1.5).check().is_err());
        assert!(CosineDecay::new(0.1, 60).warmup(f64::NAN, 3).check().is_err());
        assert!(CosineDecay::new(0.1, 60).warmup(0.2, 0).check().is_ok());
    }
}
