//! What every optimizer can do beside its rule.

use std::sync::Arc;

use super::MomentStorage;
use crate::check::check_not_negative;
use crate::error::{Error, Result};
use crate::schedules::Schedule;
#[cfg(feature = "serde")]
use crate::schedules::written;
use crate::tensor::Float;

/// How gradients are limited before the update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Clip {
    /// Not at all.
    #[default]
    None,
    /// Each element to ±limit (Keras `clipvalue`).
    Value(f64),
    /// Each parameter's gradient to this length at most (Keras `clipnorm`).
    Norm(f64),
    /// All gradients together to this length at most (Keras `global_clipnorm`).
    GlobalNorm(f64),
}

#[cfg(feature = "serde")]
impl Clip {
    fn is_none(&self) -> bool {
        *self == Clip::None
    }
}

#[cfg(feature = "serde")]
fn one() -> u64 {
    1
}

#[cfg(feature = "serde")]
fn is_one(n: &u64) -> bool {
    *n == 1
}

/// Learning rate, clipping, weight decay, averaging, accumulation and storage of an optimizer; set through [`OptimizerOptions`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Options {
    /// The learning rate at each step; 0.001 by default.
    #[cfg_attr(feature = "serde", serde(with = "written"))]
    pub learning_rate: Arc<dyn Schedule>,
    /// Limits on gradients; none by default.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Clip::is_none"))]
    pub clip: Clip,
    /// Part of each weight, times the learning rate, taken away before each update; 0 by default.
    pub weight_decay: f64,
    /// Whether decay also applies to biases and scales; no by default.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub decay_all: bool,
    /// Momentum of the moving average of the weights, which replaces them at the end of `fit`; none by default.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub ema_momentum: Option<f64>,
    /// Steps after which the average replaces the weights during training; never by default.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub ema_overwrite_frequency: Option<u64>,
    /// Batches whose gradients are averaged for one update; 1 by default.
    #[cfg_attr(feature = "serde", serde(default = "one", skip_serializing_if = "is_one"))]
    pub gradient_accumulation_steps: u64,
    /// How moments are stored between two steps; as the weights by default.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "MomentStorage::is_as_weights"))]
    pub moment_storage: MomentStorage,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            learning_rate: Arc::new(1e-3),
            clip: Clip::None,
            weight_decay: 0.0,
            decay_all: false,
            ema_momentum: None,
            ema_overwrite_frequency: None,
            gradient_accumulation_steps: 1,
            moment_storage: MomentStorage::AsWeights,
        }
    }
}

impl Options {
    /// Options with another learning rate.
    pub fn with_learning_rate(rate: f64) -> Self {
        Options { learning_rate: Arc::new(rate), ..Options::default() }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Argument`] for one outside its range.
    pub fn check(&self, op: &'static str) -> Result<()> {
        self.learning_rate.check()?;
        check_not_negative(op, "learning_rate", self.learning_rate.at(0))?;
        check_not_negative(op, "weight_decay", self.weight_decay)?;
        let limit = match self.clip {
            Clip::None => 1.0,
            Clip::Value(v) | Clip::Norm(v) | Clip::GlobalNorm(v) => v,
        };
        if !(limit > 0.0 && limit.is_finite()) {
            return Err(Error::argument(op, "clip", "above 0 and finite", limit, "1.0 is usual"));
        }
        if self.ema_overwrite_frequency == Some(0) {
            return Err(Error::argument(op, "ema_overwrite_frequency", "at least 1", 0, "leave it out for never"));
        }
        if self.gradient_accumulation_steps == 0 {
            let hint = "1 updates after every batch";
            return Err(Error::argument(op, "gradient_accumulation_steps", "at least 1", 0, hint));
        }
        match self.ema_momentum {
            Some(m) if !(0.0..=1.0).contains(&m) => {
                Err(Error::argument(op, "ema_momentum", "from 0 to 1", m, "0.99 is usual"))
            }
            _ => Ok(()),
        }
    }

    /// [`check`](Self::check), and that the numbers are such as elements of `T` too.
    pub(crate) fn check_as<T: Float>(&self, op: &'static str) -> Result<()> {
        self.check(op)?;
        if let Clip::Value(limit) | Clip::Norm(limit) | Clip::GlobalNorm(limit) = self.clip
            && !(T::of(limit) > T::zero() && T::of(limit).is_finite())
        {
            let expected = format!("above 0 and finite as {}", T::NAME);
            return Err(Error::argument(op, "clip", expected, limit, "1.0 is usual"));
        }
        let rate = self.learning_rate.at(0);
        if !T::of(rate).is_finite() {
            return Err(Error::argument(op, "learning_rate", format!("finite as {}", T::NAME), rate, "0.001 is usual"));
        }
        Ok(())
    }
}

/// Settings that every optimizer of this crate takes.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Adam::default().learning_rate(3e-4).weight_decay(0.01).global_clipnorm(1.0);
/// # let _ = optimizer;
/// ```
pub trait OptimizerOptions: Sized {
    /// The options to be changed.
    fn options_mut(&mut self) -> &mut Options;

    /// The learning rate: a number, or a [`Schedule`].
    fn learning_rate(mut self, rate: impl Schedule + 'static) -> Self {
        self.options_mut().learning_rate = Arc::new(rate);
        self
    }

    /// Limits each element of the gradients to ±limit.
    fn clipvalue(mut self, limit: f64) -> Self {
        self.options_mut().clip = Clip::Value(limit);
        self
    }

    /// Limits each parameter's gradient to a length (L2 norm).
    fn clipnorm(mut self, limit: f64) -> Self {
        self.options_mut().clip = Clip::Norm(limit);
        self
    }

    /// Limits all gradients together to a length (L2 norm).
    fn global_clipnorm(mut self, limit: f64) -> Self {
        self.options_mut().clip = Clip::GlobalNorm(limit);
        self
    }

    /// Takes `decay`·learning rate of each kernel away before each update (decoupled, as in AdamW).
    fn weight_decay(mut self, decay: f64) -> Self {
        self.options_mut().weight_decay = decay;
        self
    }

    /// Lets weight decay apply to biases and scales too.
    fn decay_all(mut self, all: bool) -> Self {
        self.options_mut().decay_all = all;
        self
    }

    /// Keeps a moving average of the weights, average = m·average + (1 − m)·weight, which replaces them at the end of `fit`.
    fn ema(mut self, momentum: f64) -> Self {
        self.options_mut().ema_momentum = Some(momentum);
        self
    }

    /// Replaces the weights by their average every `steps` steps as well.
    fn ema_overwrite_frequency(mut self, steps: u64) -> Self {
        self.options_mut().ema_overwrite_frequency = Some(steps);
        self
    }

    /// Averages the gradients of this many batches before each update, as one batch of all their samples would give: each weighs as many rows
    /// (samples, or steps of them) as count in its losses, which masks and ignored classes make unequal. 1 by default. The count goes on over
    /// the ends of epochs. Schedules and averages go by updates.
    ///
    /// With several outputs that leave out different rows, the rows of all of them decide what a batch weighs, and the sum is no longer exactly that
    /// of one batch.
    ///
    /// Keras `gradient_accumulation_steps` (where every batch weighs the same, and schedules go by batches); PyTorch: `backward` several times
    /// before `step`.
    fn gradient_accumulation_steps(mut self, batches: u64) -> Self {
        self.options_mut().gradient_accumulation_steps = batches;
        self
    }

    /// How moments are stored between two steps: as the weights by default; in bf16 they take half of the memory, see [`MomentStorage`] for what
    /// it costs and which optimizers take it.
    fn moment_storage(mut self, storage: MomentStorage) -> Self {
        self.options_mut().moment_storage = storage;
        self
    }
}
