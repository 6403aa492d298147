//! Learning rates as functions of the step.

use std::fmt::Debug;

/// The learning rate at each step; a plain number is the constant one.
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
}

impl Schedule for f64 {
    fn at(&self, _: u64) -> f64 {
        *self
    }
}
