//! Optimizers: how weights follow from gradients.
//!
//! An optimizer is configuration; its moments live in [`OptimizerState`], one flat buffer each with the layout of the
//! weights. [`OptimizerState::step`] clips, decays, updates and averages in one pass over the buffers, in parts that stay in
//! the first-level cache.

mod adadelta;
mod adafactor;
mod adagrad;
mod adam;
mod adamax;
mod adamw;
mod betas;
mod config;
mod ftrl;
mod lion;
mod muon;
mod nadam;
mod options;
mod rmsprop;
#[cfg(feature = "files")]
mod saved;
mod sgd;
mod state;
mod storage;
mod stored;
#[cfg(test)]
mod testing;

use std::fmt::Debug;

pub use adadelta::Adadelta;
pub use adafactor::Adafactor;
pub use adagrad::Adagrad;
pub use adam::Adam;
pub use adamax::Adamax;
pub use adamw::AdamW;
pub use betas::{BetaOptions, Betas};
pub use config::OptimizerConfig;
pub use ftrl::Ftrl;
pub use lion::Lion;
pub use muon::Muon;
pub use nadam::Nadam;
pub use options::{Clip, OptimizerOptions, Options};
pub use rmsprop::RmsProp;
pub use sgd::Sgd;
pub use state::OptimizerState;
pub(crate) use state::PART;
pub use storage::MomentStorage;
pub(crate) use stored::room;

use crate::check::check_not_negative;
use crate::error::Error;
use crate::tensor::{Float, Shape};

/// An ε, which may be 0 but not become 0 or infinite as an element.
pub(crate) fn check_epsilon<T: Float>(op: &'static str, name: &'static str, epsilon: f64) -> crate::Result<()> {
    check_not_negative(op, name, epsilon)?;
    if epsilon == 0.0 || T::of(epsilon) > T::zero() && T::of(epsilon).is_finite() {
        return Ok(());
    }
    Err(Error::argument(op, name, format!("0, or above 0 and finite as {}", T::NAME), epsilon, "1e-7 is usual"))
}

/// Numbers that an optimizer computes once a step and uses for every weight.
pub type Coefficients = [f64; 6];

/// The moments of a run of weights, at most three; those not used are empty.
pub type Moments<'a, T> = [&'a mut [T]; 3];

/// A rule that turns gradients into new weights.
///
/// Element-wise rules see runs of any length; a rule that must see each parameter whole says so with
/// [`whole_parameters`](Self::whole_parameters).
///
/// `Debug` is to print settings alone, the same before and after a step: a checkpoint keeps what it says, and a run that says
/// otherwise does not go on from there unasked.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::optimizers::{Coefficients, Moments, Options};
///
/// /// w −= lr·sign(g)
/// #[derive(Debug, Default)]
/// struct SignSgd {
///     options: Options,
/// }
/// impl<T: Float> Optimizer<T> for SignSgd {
///     fn name(&self) -> &'static str {
///         "sign_sgd"
///     }
///     fn options(&self) -> &Options {
///         &self.options
///     }
///     fn coefficients(&self, _t: u64, lr: f64, _scalars: &mut [f64]) -> Coefficients {
///         [lr, 0.0, 0.0, 0.0, 0.0, 0.0]
///     }
///     fn update(&self, c: &Coefficients, _shape: gradus::Shape, w: &mut [T], g: &[T], _m: Moments<'_, T>) {
///         for (w, g) in w.iter_mut().zip(g) {
///             *w -= T::of(c[0]) * g.signum();
///         }
///     }
/// }
/// let mut model = Sequential::new([2]).add(Dense::new(1)).build(0)?;
/// model.compile(SignSgd::default(), MeanSquaredError::default(), ())?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an optimizer for elements of `{T}`",
    note = "optimizers are values such as `Adam::default()`"
)]
pub trait Optimizer<T: Float = f32>: Send + Sync + Debug {
    /// Keras's name in snake case.
    fn name(&self) -> &'static str;

    /// Learning rate, clipping, decay and averaging, which work alike for every rule.
    fn options(&self) -> &Options;

    /// The value at which each moment begins; the list's length is the number of moments, at most three.
    fn moments(&self) -> Vec<f64> {
        Vec::new()
    }

    /// The numbers kept from step to step beside the moments, at their start.
    fn scalars(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Argument`] for one outside its range.
    fn check(&self) -> crate::Result<()> {
        Ok(())
    }

    /// What is computed once for update number `t` (from 1) at learning rate `lr`.
    fn coefficients(&self, t: u64, lr: f64, scalars: &mut [f64]) -> Coefficients;

    /// New weights from gradients, for one run of elements; `shape` is the parameter's where the rule asked for whole ones.
    ///
    /// An element's weight, gradient and moments are best read before one of them is written: large buffers begin at the same place of a
    /// page, where processors take a read for one of what has just been written to another buffer (Adam took twice as long).
    fn update(&self, c: &Coefficients, shape: Shape, w: &mut [T], g: &[T], m: Moments<'_, T>);

    /// Whether `update` must see each parameter in one piece.
    fn whole_parameters(&self) -> bool {
        false
    }

    /// Whether every weight whose gradient is 0 stays as it is with its moments, in every bit and at any finite learning rate: of a table of
    /// which a batch reads a few rows ([`Embedding`](crate::layers::Embedding)), the others are then not looked at. No by default: where
    /// moments decay, as with momentum, weights go on moving without a gradient.
    fn leaves_zeros(&self) -> bool {
        false
    }

    /// The shape as which a rule that takes whole parameters is handed the one of this path and shape, with as many
    /// elements; its own by default.
    fn update_shape(&self, name: &str, shape: Shape) -> Shape {
        let _ = name;
        shape
    }

    /// The length of a moment of a parameter, for rules that take whole ones; that of the parameter by default.
    fn moment_len(&self, moment: usize, shape: Shape) -> usize {
        let _ = moment;
        shape.len()
    }

    /// Whether moments may be stored in bf16 ([`MomentStorage::Bf16`]), or why not, in words that follow "as". They may where each is a mean that
    /// decays, whose new value is linear in the old one: what is rounded without bias then stays without bias, and errors are forgotten. No
    /// for a rule that does not say so.
    ///
    /// # Errors
    /// The reason why not.
    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Err("the rule does not say that its moments may be (Optimizer::check_bf16_moments)")
    }

    /// The configuration from which the optimizer can be made again; for one of your own by default its name alone. Where it has
    /// settings, `OptimizerConfig::own("name", self)` carries them, and `Registry::with_optimizer` reads them.
    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Custom { class: self.name().to_owned(), settings: String::new() }
    }

    /// The optimizer in a box. Called where the crate itself makes one, so that its code is compiled with the crate and not again in every
    /// program (see docs/design.md, "Compiled once").
    #[doc(hidden)]
    #[inline(never)]
    fn boxed(self) -> Box<dyn Optimizer<T>>
    where
        Self: Sized + 'static,
    {
        Box::new(self)
    }
}

/// A rule chosen at run time.
impl<T: Float, O: Optimizer<T> + ?Sized> Optimizer<T> for Box<O> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn options(&self) -> &Options {
        (**self).options()
    }

    fn moments(&self) -> Vec<f64> {
        (**self).moments()
    }

    fn scalars(&self) -> Vec<f64> {
        (**self).scalars()
    }

    fn check(&self) -> crate::Result<()> {
        (**self).check()
    }

    fn coefficients(&self, t: u64, lr: f64, scalars: &mut [f64]) -> Coefficients {
        (**self).coefficients(t, lr, scalars)
    }

    fn update(&self, c: &Coefficients, shape: Shape, w: &mut [T], g: &[T], m: Moments<'_, T>) {
        (**self).update(c, shape, w, g, m);
    }

    fn whole_parameters(&self) -> bool {
        (**self).whole_parameters()
    }

    fn leaves_zeros(&self) -> bool {
        (**self).leaves_zeros()
    }

    fn update_shape(&self, name: &str, shape: Shape) -> Shape {
        (**self).update_shape(name, shape)
    }

    fn moment_len(&self, moment: usize, shape: Shape) -> usize {
        (**self).moment_len(moment, shape)
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        (**self).check_bf16_moments()
    }

    fn config(&self) -> OptimizerConfig {
        (**self).config()
    }
}
