//! The settings that losses over probabilities share, and the targets that come of them.

use crate::error::{Error, Result};
use crate::tensor::Float;

/// Whether predictions are logits, and how far targets are moved towards even ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct Options {
    pub from_logits: bool,
    pub label_smoothing: f64,
}

impl Options {
    pub fn check(&self, op: &'static str) -> Result<()> {
        if (0.0..=1.0).contains(&self.label_smoothing) {
            return Ok(());
        }
        Err(Error::argument(op, "label_smoothing", "from 0 to 1", self.label_smoothing, "0.1 is usual"))
    }

    /// The same from logits, where it is from probabilities.
    pub fn with_logits(self) -> Option<Self> {
        (!self.from_logits).then_some(Options { from_logits: true, ..self })
    }

    /// y(1 − s) + s/outcomes
    #[inline(always)]
    pub fn smooth<T: Float>(&self, y: T, outcomes: usize) -> T {
        if self.label_smoothing == 0.0 {
            return y;
        }
        y * T::of(1.0 - self.label_smoothing) + T::of(self.label_smoothing / outcomes as f64)
    }

    /// The smoothed target of class `i`, see [`class_target`].
    #[inline(always)]
    pub fn class_target<T: Float>(&self, y_true: &[T], classes: usize, i: usize) -> T {
        self.smooth(class_target(y_true, classes, i), classes)
    }
}

/// The target of class `i`, from a one-hot row, a row of probabilities or a class number; NaN without any.
#[inline(always)]
pub(crate) fn class_target<T: Float>(y_true: &[T], classes: usize, i: usize) -> T {
    if y_true.len() == classes {
        return y_true[i];
    }
    match y_true.first() {
        Some(class) if *class == T::of(i as f64) => T::one(),
        Some(_) => T::zero(),
        None => T::nan(),
    }
}

/// The builder methods of [`Options`], in a field `options`.
macro_rules! option_builders {
    () => {
        /// Whether predictions are logits instead of probabilities; no by default.
        pub fn from_logits(mut self, from_logits: bool) -> Self {
            self.options.from_logits = from_logits;
            self
        }
    };
    ($evenly:literal) => {
        option_builders!();

        #[doc = concat!("The part of the targets ", $evenly, ", from 0 (the default) to 1.")]
        pub fn label_smoothing(mut self, part: f64) -> Self {
            self.options.label_smoothing = part;
            self
        }
    };
}

pub(crate) use option_builders;
