//! Losses: how far predictions are from targets, and the gradient of that.
//!
//! A loss is a function of rows: the last axis of y_pred is one row, its loss one number, and the loss of a batch is
//! Σ wᵢ·lossᵢ / n over its n rows (Keras's `sum_over_batch_size`), of which those under a mask or of an ignored class do not
//! count. Losses over classes take class numbers and one-hot rows
//! alike. `compile` refuses a loss that does not fit the last activation, and `fit` targets that do not fit the loss.
//!
//! | task | last activation | loss |
//! |---|---|---|
//! | one of several classes | softmax | [`CategoricalCrossentropy`], [`SparseCategoricalCrossentropy`], [`CategoricalFocalCrossentropy`] |
//! | yes or no, once or for several labels | sigmoid | [`BinaryCrossentropy`], [`BinaryFocalCrossentropy`] |
//! | a margin between classes | none, tanh | [`Hinge`], [`SquaredHinge`], [`CategoricalHinge`] |
//! | a number | none | [`MeanSquaredError`], [`HalfSquaredError`] |
//! | a number, with outliers | none | [`MeanAbsoluteError`], [`Huber`], [`LogCosh`] |
//! | a positive number over orders of magnitude | softplus, exponential | [`MeanSquaredLogarithmicError`], [`MeanAbsolutePercentageError`] |
//! | a count | exponential | [`Poisson`] |
//! | a distribution | softmax | [`KlDivergence`] |
//! | a direction | any | [`CosineSimilarity`] |

mod binary_crossentropy;
mod binary_focal_crossentropy;
mod categorical_crossentropy;
mod categorical_focal_crossentropy;
mod categorical_hinge;
mod checks;
mod config;
mod cosine_similarity;
mod half_squared_error;
mod hinge;
mod huber;
mod kl_divergence;
mod log_cosh;
mod mean_absolute_error;
mod mean_absolute_percentage_error;
mod mean_squared_error;
mod mean_squared_logarithmic_error;
mod options;
mod parts;
mod poisson;
mod sparse_categorical_crossentropy;
mod squared_hinge;

use std::fmt::Debug;

pub use binary_crossentropy::BinaryCrossentropy;
pub use binary_focal_crossentropy::BinaryFocalCrossentropy;
pub use categorical_crossentropy::CategoricalCrossentropy;
pub use categorical_focal_crossentropy::CategoricalFocalCrossentropy;
pub use categorical_hinge::CategoricalHinge;
pub(crate) use checks::*;
pub use config::LossConfig;
pub use cosine_similarity::CosineSimilarity;
pub use half_squared_error::HalfSquaredError;
pub use hinge::Hinge;
pub use huber::Huber;
pub use kl_divergence::KlDivergence;
pub use log_cosh::LogCosh;
pub use mean_absolute_error::MeanAbsoluteError;
pub use mean_absolute_percentage_error::MeanAbsolutePercentageError;
pub use mean_squared_error::MeanSquaredError;
pub use mean_squared_logarithmic_error::MeanSquaredLogarithmicError;
pub(crate) use options::*;
pub(crate) use parts::*;
pub use poisson::Poisson;
pub use sparse_categorical_crossentropy::SparseCategoricalCrossentropy;
pub use squared_hinge::SquaredHinge;

use crate::activations::Activation;
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};

/// The distance of predictions from targets, row by row, with its gradient.
///
/// A loss of your own, written for every element type (`impl<T: Float> Loss<T>`, as checks run in f64 and models in f32), needs [`name`](Self::name), [`value`](Self::value) and [`gradient`](Self::gradient); check it with
/// [`gradcheck::check_loss`](crate::gradcheck::check_loss).
///
/// `Debug` is to print settings alone, the same before and after a step: a checkpoint keeps what it says, and a run that says
/// otherwise does not go on from there unasked.
///
/// ```
/// use gradus::prelude::*;
/// #[derive(Debug)]
/// struct Quartic;
/// impl<T: Float> Loss<T> for Quartic {
///     fn name(&self) -> &'static str {
///         "quartic"
///     }
///     fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
///         y_true.iter().zip(y_pred).map(|(&t, &p)| (p - t).powi(4)).sum()
///     }
///     fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
///         for ((d, &t), &p) in dy.iter_mut().zip(y_true).zip(y_pred) {
///             *d = scale * T::of(4.0) * (p - t).powi(3);
///         }
///     }
/// }
/// gradus::gradcheck::check_loss(&Quartic, &Tensor::from([[0.0, 1.0]]), &Tensor::from([[0.5, 0.2]]))?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a loss for elements of `{T}`",
    note = "losses are values such as `MeanSquaredError::default()`"
)]
pub trait Loss<T: Float = f32>: Send + Sync + Debug {
    /// Keras's name in snake case.
    fn name(&self) -> &'static str;

    /// The loss of one row; both are as long as [`check`](Self::check) allows. For other lengths the losses of this library
    /// give NaN, or for losses over classes read the first target as a class number; they do not panic.
    fn value(&self, y_true: &[T], y_pred: &[T]) -> T;

    /// dy = scale · ∂value/∂y_pred of one row; `dy` is as long as `y_pred`, and every element of it must be written.
    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]);

    /// Both at once, as training needs them; the same bits as [`value`](Self::value) and [`gradient`](Self::gradient), which
    /// it calls by default. Worth overriding where the two share an expensive part.
    fn value_and_gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) -> T {
        self.gradient(y_true, y_pred, scale, dy);
        self.value(y_true, y_pred)
    }

    /// Checks the shapes of targets against those of predictions, both with the batch axis. By default they must agree,
    /// where `[n]` and `[n, 1]` count as equal.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if they do not fit.
    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        same_shape(self.name(), y_true, y_pred)
    }

    /// Checks the values of the targets for predictions of shape `y_pred`. Anything goes by default.
    ///
    /// # Errors
    /// [`Error::Label`](crate::Error::Label) for a target outside its range.
    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        let _ = (y_true, y_pred);
        Ok(())
    }

    /// Whether the loss makes sense behind this last activation, with rows of `width` predictions. Yes by default.
    ///
    /// # Errors
    /// [`Error::LossMismatch`](crate::Error::LossMismatch) if it does not.
    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        let _ = (activation, width);
        Ok(())
    }

    /// The loss that gives the same values from what the last activation is applied to, if there is a stable form; training
    /// then goes through that.
    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        let _ = activation;
        None
    }

    /// The class number whose targets do not count: training and evaluation leave such rows out, of the loss, of the number of rows that it is
    /// divided by, and of the metrics. None by default.
    fn ignored_class(&self) -> Option<f64> {
        None
    }

    /// The loss of a batch, Σ wᵢ·lossᵢ / divisor, and its gradient into `dy` (shaped like `y_pred`) where asked for. Without
    /// weights all are 1. The divisor is the number of rows, or that of a larger batch of which this is a part.
    ///
    /// Weights are one a row, or one a sample where a sample has several rows: their number divides that of the rows. Weights
    /// of another number, and targets or a `dy` that cannot be dealt out over the rows, give NaN, in all of `dy` too.
    ///
    /// The sum is taken in f64, in the order of rows. A row of weight 0 has no part in it, nor in the gradient, whatever its
    /// loss is.
    fn batch(
        &self,
        y_true: &Tensor<T>,
        y_pred: &Tensor<T>,
        weights: Option<&[T]>,
        divisor: usize,
        dy: Option<&mut Tensor<T>>,
    ) -> f64 {
        let width = y_pred.shape().last().max(1);
        let rows = y_pred.len() / width;
        let target = y_true.len() / rows.max(1);
        let fits = rows == 0
            || target > 0
                && target * rows == y_true.len()
                && weights.is_none_or(|w| !w.is_empty() && rows.is_multiple_of(w.len()))
                && dy.as_ref().is_none_or(|dy| dy.len() == y_pred.len());
        if !fits {
            dy.into_iter().for_each(|dy| dy.as_mut_slice().fill(T::nan()));
            return f64::NAN;
        }
        let weight = |i: usize| weights.map_or(T::one(), |w| w[i * w.len() / rows]);
        let (t, p) = (y_true.as_slice(), y_pred.as_slice());
        let mut sum = 0.0;
        match dy {
            Some(dy) => {
                let scale = T::one() / T::of(divisor as f64);
                for (i, dy) in dy.as_mut_slice().chunks_exact_mut(width).enumerate().take(rows) {
                    let (t, p, w) = (&t[i * target..][..target], &p[i * width..][..width], weight(i));
                    if w == T::zero() {
                        dy.fill(w);
                        continue;
                    }
                    sum += weighted(w, self.value_and_gradient(t, p, w * scale, dy));
                }
            }
            None => {
                for i in 0..rows {
                    let (t, p, w) = (&t[i * target..][..target], &p[i * width..][..width], weight(i));
                    if w != T::zero() {
                        sum += weighted(w, self.value(t, p));
                    }
                }
            }
        }
        sum / divisor as f64
    }

    /// The configuration from which the loss can be made again; for a loss of your own by default its name alone. Where it has settings,
    /// `LossConfig::own("name", self)` carries them, and `Registry::with_loss` reads them.
    fn config(&self) -> LossConfig {
        LossConfig::Custom { class: self.name().to_owned(), settings: String::new() }
    }

    /// The loss in a box. Called where the crate itself makes one, so that its code is compiled with the crate and not again in every
    /// program (see docs/design.md, "Compiled once").
    #[doc(hidden)]
    #[inline(never)]
    fn boxed(self) -> Box<dyn Loss<T>>
    where
        Self: Sized + 'static,
    {
        Box::new(self)
    }
}

/// w·loss, which may exceed T.
pub(crate) fn weighted<T: Float>(w: T, loss: T) -> f64 {
    let product = w * loss;
    if product.is_infinite() { w.as_f64() * loss.as_f64() } else { product.as_f64() }
}

/// A loss chosen at run time.
impl<T: Float, L: Loss<T> + ?Sized> Loss<T> for Box<L> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        (**self).value(y_true, y_pred)
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        (**self).gradient(y_true, y_pred, scale, dy);
    }

    fn value_and_gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) -> T {
        (**self).value_and_gradient(y_true, y_pred, scale, dy)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        (**self).check(y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        (**self).check_targets(y_true, y_pred)
    }

    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        (**self).check_activation(activation, width)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        (**self).with_logits(activation)
    }

    fn ignored_class(&self) -> Option<f64> {
        (**self).ignored_class()
    }

    fn batch(
        &self,
        y_true: &Tensor<T>,
        y_pred: &Tensor<T>,
        weights: Option<&[T]>,
        divisor: usize,
        dy: Option<&mut Tensor<T>>,
    ) -> f64 {
        (**self).batch(y_true, y_pred, weights, divisor, dy)
    }

    fn config(&self) -> LossConfig {
        (**self).config()
    }
}
