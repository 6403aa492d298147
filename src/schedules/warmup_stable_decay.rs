//! Warm-up, a long stretch of one rate, and a short decay.

use super::cosine_decay::cosine;
use super::{Schedule, ScheduleConfig};
use crate::check::{check_fraction, check_not_negative, check_steps};
use crate::error::Result;

/// How a [`WarmupStableDecay`] falls from 1 to 0 over its last part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum DecayShape {
    /// 1 − part.
    #[default]
    Linear,
    /// (1 + cos(π·part))/2.
    Cosine,
    /// 1 − √part. Hägele et al.: "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024.
    OneMinusSqrt,
}

/// peak · step/warmup up to `warmup` steps, `peak` for `stable` steps, then peak · ((1 − α)·shape(part) + α) for `decay`
/// steps, and peak · α from there on.
///
/// The stable part does not depend on the length of the run: training can go on from a checkpoint of it, and only the
/// decay is made again. Defaults: α 0, a line. Hu et al.: "MiniCPM: Unveiling the Potential of Small Language Models with
/// Scalable Training Strategies", 2024, there with an exponential decay.
///
/// ```
/// use gradus::prelude::*;
/// let rate = WarmupStableDecay::new(0.1, 10, 80, 10).alpha(0.5);
/// assert_eq!((rate.at(0), rate.at(5), rate.at(10), rate.at(90)), (0.0, 0.05, 0.1, 0.1));
/// assert!((rate.at(95) - 0.075).abs() < 1e-15);
/// assert_eq!(rate.shape(DecayShape::OneMinusSqrt).at(100), 0.05);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct WarmupStableDecay {
    peak: f64,
    warmup: u64,
    stable: u64,
    decay: u64,
    alpha: f64,
    shape: DecayShape,
}

impl WarmupStableDecay {
    /// A learning rate that rises from 0 to `peak` in `warmup` steps, stays for `stable` steps and falls in `decay` steps.
    pub fn new(peak: f64, warmup: u64, stable: u64, decay: u64) -> Self {
        WarmupStableDecay { peak, warmup, stable, decay, alpha: 0.0, shape: DecayShape::Linear }
    }

    /// The part of the peak that is left at the end, in [0, 1]; 0 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// How the rate falls; in a line by default.
    pub fn shape(mut self, shape: DecayShape) -> Self {
        self.shape = shape;
        self
    }
}

impl Schedule for WarmupStableDecay {
    fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step as f64 / self.warmup as f64);
        }
        let decayed = (step - self.warmup).saturating_sub(self.stable);
        let part = decayed.min(self.decay) as f64 / self.decay as f64;
        let left = match self.shape {
            DecayShape::Linear => 1.0 - part,
            DecayShape::Cosine => cosine(part, 0.0),
            DecayShape::OneMinusSqrt => 1.0 - part.sqrt(),
        };
        self.peak * ((1.0 - self.alpha) * left + self.alpha)
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::WarmupStableDecay(self.clone())
    }

    fn check(&self) -> Result<()> {
        check_not_negative("WarmupStableDecay", "peak", self.peak)?;
        check_steps("WarmupStableDecay", "decay_steps", self.decay)?;
        if self.alpha == 1.0 { Ok(()) } else { check_fraction("WarmupStableDecay", "alpha", self.alpha) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [DecayShape; 3] = [DecayShape::Linear, DecayShape::Cosine, DecayShape::OneMinusSqrt];

    #[test]
    fn joints() {
        for shape in SHAPES {
            let rate = WarmupStableDecay::new(0.4, 4, 10, 16).alpha(0.25).shape(shape);
            for (step, value) in [(0, 0.0), (1, 0.1), (4, 0.4), (9, 0.4), (14, 0.4), (30, 0.1), (u64::MAX, 0.1)] {
                assert!((rate.at(step) - value).abs() < 1e-15, "{shape:?}, step {step}");
            }
        }
    }

    #[test]
    fn a_quarter_of_the_decay() {
        let at = |shape| WarmupStableDecay::new(1.0, 4, 10, 16).shape(shape).at(18);
        assert_eq!((at(DecayShape::Linear), at(DecayShape::OneMinusSqrt)), (0.75, 0.5));
        assert!((at(DecayShape::Cosine) - (1.0 + 0.5f64.sqrt()) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn rises_stays_falls() {
        for shape in SHAPES {
            let rate = WarmupStableDecay::new(0.1, 20, 30, 50).shape(shape);
            let rates: Vec<f64> = (0..=100).map(|s| rate.at(s)).collect();
            assert!(rates[..=20].windows(2).all(|r| r[0] < r[1]));
            assert!(rates[20..=50].iter().all(|&r| r == 0.1));
            assert!(rates[50..].windows(2).all(|r| r[0] > r[1]));
        }
    }

    #[test]
    fn settings() {
        let check = |peak, decay, alpha| WarmupStableDecay::new(peak, 0, 0, decay).alpha(alpha).check();
        assert!(check(0.1, 1, 1.0).is_ok());
        assert_eq!(WarmupStableDecay::new(0.1, 0, 0, 5).at(0), 0.1);
        assert_eq!(WarmupStableDecay::new(0.1, 7, u64::MAX, 5).at(u64::MAX), 0.1);
        assert_eq!(
            check(0.1, 0, 0.0).unwrap_err().to_string(),
            "WarmupStableDecay: decay_steps must be at least 1, got 0; pass the number of steps"
        );
        assert!(check(-0.1, 5, 0.0).is_err());
        assert!(check(f64::INFINITY, 5, 0.0).is_err());
        assert!(check(0.1, 5, 1.5).is_err());
        assert!(check(0.1, 5, f64::NAN).is_err());
    }
}
