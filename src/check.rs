//! Ranges of settings: one wording of each error.

use crate::error::{Error, Result};

/// A setting that must lie in `[0, 1)`.
pub(crate) fn check_fraction(op: &'static str, name: &'static str, value: f64) -> Result<()> {
    // Single precision rounds 1 − 1e-9 to 1, where a mean never moves.
    if (0.0..1.0).contains(&value) && (value as f32) < 1.0 {
        return Ok(());
    }
    let expected = if value < 1.0 && value > 0.0 { "below 1 as f32 too" } else { "at least 0 and below 1" };
    Err(Error::argument(op, name, expected, value, "leave it at its default"))
}

/// A setting that must be finite and not negative.
pub(crate) fn check_not_negative(op: &'static str, name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(op, name, "finite and not negative", value, "leave it at its default"))
}

/// A number of steps that something is divided by.
pub(crate) fn check_steps(op: &'static str, name: &'static str, steps: u64) -> Result<()> {
    if steps > 0 {
        return Ok(());
    }
    Err(Error::argument(op, name, "at least 1", steps, "pass the number of steps"))
}
