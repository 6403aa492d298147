//! Learning rates as functions of the step.

mod config;
mod cosine_decay;
mod cosine_decay_restarts;
mod exponential_decay;
mod inverse_time_decay;
mod one_cycle;
mod piecewise_constant_decay;
mod polynomial_decay;
mod sequence;
mod warmup_stable_decay;

use std::fmt::Debug;

pub use config::ScheduleConfig;
#[cfg(feature = "serde")]
pub(crate) use config::written;
pub use cosine_decay::CosineDecay;
pub use cosine_decay_restarts::CosineDecayRestarts;
pub use exponential_decay::ExponentialDecay;
pub use inverse_time_decay::InverseTimeDecay;
pub use one_cycle::OneCycle;
pub use piecewise_constant_decay::PiecewiseConstantDecay;
pub use polynomial_decay::PolynomialDecay;
pub use sequence::Sequence;
pub use warmup_stable_decay::{DecayShape, WarmupStableDecay};

use crate::error::Result;

/// The learning rate at each step; a plain number is the constant one.
///
/// `Debug` is to print settings alone, the same before and after a step: a checkpoint keeps what it says, and a run that says
/// otherwise does not go on from there unasked.
///
/// ```
/// use gradus::prelude::*;
/// #[derive(Debug)]
/// struct Half;
/// impl Schedule for Half {
///     fn at(&self, step: u64) -> f64 {
///         0.1 * 0.5f64.powi(step as i32)
///     }
/// }
/// let optimizer = Adam::default().learning_rate(Half);
/// assert_eq!(0.01.at(7), 0.01);
/// # let _ = optimizer;
/// ```
pub trait Schedule: Send + Sync + Debug {
    /// The learning rate of the update after `step` earlier ones.
    fn at(&self, step: u64) -> f64;

    /// Checks the settings; `compile` calls it. Anything goes by default.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for one outside its range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The configuration from which the schedule can be made again; for one of your own by default the name of its type alone. Where it
    /// has settings, `ScheduleConfig::own("Name", self)` carries them, and `Registry::with_schedule` reads them.
    fn config(&self) -> ScheduleConfig {
        let path = std::any::type_name::<Self>();
        let name = path.split('<').next().and_then(|path| path.rsplit("::").next());
        ScheduleConfig::Custom { class: name.unwrap_or(path).to_owned(), settings: String::new() }
    }
}

impl Schedule for f64 {
    fn at(&self, _: u64) -> f64 {
        *self
    }

    fn config(&self) -> ScheduleConfig {
        ScheduleConfig::Constant(*self)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn rates_at_the_ends_of_settings_and_steps() {
        let last = u64::MAX;
        let restarts = || CosineDecayRestarts::new(0.1, 10);
        let nearly = || restarts().t_mul(1.0 + 1e-12);
        let cases: Vec<(Box<dyn Schedule>, u64, f64)> = vec![
            (Box::new(ExponentialDecay::new(0.0, 1, 2.0)), last, 0.0),
            (Box::new(ExponentialDecay::new(0.1, last, 2.0)), last, 0.2),
            (Box::new(ExponentialDecay::new(0.1, 1, 0.5)), last, 0.0),
            (Box::new(ExponentialDecay::new(0.1, 1, 0.0)), 0, 0.1),
            (Box::new(InverseTimeDecay::new(0.1, 1, 1e308)), last, 0.0),
            (Box::new(InverseTimeDecay::new(0.1, 1, 1e308)), 0, 0.1),
            (Box::new(CosineDecay::new(0.1, last)), last, 0.0),
            (Box::new(CosineDecay::new(0.1, 1)), last, 0.0),
            (Box::new(restarts().t_mul(1e308)), 5, 0.05),
            (Box::new(restarts().t_mul(1e308)), 10, 0.1),
            (Box::new(restarts().t_mul(1e308)), last, 0.1),
            (Box::new(CosineDecayRestarts::new(0.0, 1).t_mul(1.0).m_mul(2.0)), last, 0.0),
            (Box::new(nearly()), 10, 0.1),
            (Box::new(nearly()), 25, 0.05),
            (Box::new(restarts().t_mul(1.0 + f64::EPSILON)), 1005, 0.05),
            (Box::new(PolynomialDecay::new(0.1, 1)), last, 1e-4),
            (Box::new(WarmupStableDecay::new(0.1, 0, last, 1)), last, 0.1),
            (Box::new(WarmupStableDecay::new(0.1, 1, 1, 1)), last, 0.0),
            (Box::new(OneCycle::new(0.1, last)), last, 0.1 / 25.0 / 1e4),
        ];
        for (schedule, step, expected) in cases {
            schedule.check().unwrap();
            let rate = schedule.at(step);
            assert!((rate - expected).abs() < 1e-9, "{schedule:?} at {step}: {rate}, expected {expected}");
        }
    }

    #[test]
    fn bad_settings_surface_in_compile() {
        let compile = |optimizer: Sgd| {
            let mut model = Sequential::new([2]).add(Dense::new(1)).build(0).unwrap();
            model.compile(optimizer, MeanSquaredError::default(), ()).map_err(|e| e.to_string())
        };
        assert_eq!(
            compile(Sgd::default().learning_rate(CosineDecay::new(0.1, 0))).unwrap_err(),
            "CosineDecay: decay_steps must be at least 1, got 0; pass the number of steps"
        );
        assert_eq!(
            compile(Sgd::default().learning_rate(-0.1)).unwrap_err(),
            "sgd: learning_rate must be finite and not negative, got -0.1; leave it at its default"
        );
        assert!(compile(Sgd::default().learning_rate(OneCycle::new(0.1, 10).div_factor(0.0))).is_err());
        assert!(compile(Sgd::default().learning_rate(WarmupStableDecay::new(-0.1, 1, 1, 1))).is_err());
        assert!(compile(Sgd::default().learning_rate(Sequence::new(0.1).after(0, 0.2))).is_err());
        assert!(compile(Sgd::default().learning_rate(f64::NAN)).is_err());
        assert!(compile(Sgd::default().weight_decay(f64::NAN)).is_err());
        assert!(compile(Sgd::default().clipnorm(0.0)).is_err());
        assert!(compile(Sgd::default().ema(1.5)).is_err());
        assert!(compile(Sgd::default().learning_rate(0.1)).is_ok());
    }
}
