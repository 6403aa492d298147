//! Losses: how far predictions are from targets, and the gradient of that.
//!
//! A loss is a function of rows: the last axis of y_pred is one row, its loss one number, and the loss of a batch is
//! Σ wᵢ·lossᵢ / n over its n rows (Keras's `sum_over_batch_size`).

mod categorical_crossentropy;
mod mean_squared_error;

use std::fmt::Debug;

pub use categorical_crossentropy::CategoricalCrossentropy;
pub use mean_squared_error::MeanSquaredError;

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// The distance of predictions from targets, row by row, with its gradient.
///
/// A loss of your own needs [`name`](Self::name), [`value`](Self::value) and [`gradient`](Self::gradient); check it with
/// [`gradcheck::check_loss`](crate::gradcheck::check_loss).
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
pub trait Loss<T: Float = f32>: Send + Sync + Debug {
    /// Keras's name in snake case.
    fn name(&self) -> &'static str;

    /// The loss of one row; both are as long as [`check`](Self::check) allows.
    fn value(&self, y_true: &[T], y_pred: &[T]) -> T;

    /// dy = scale · ∂value/∂y_pred of one row; every element of `dy` must be written.
    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]);

    /// Checks the shapes of targets against those of predictions, both with the batch axis. By default they must agree,
    /// where `[n]` and `[n, 1]` count as equal.
    ///
    /// # Errors
    /// [`Error::Shape`] if they do not fit.
    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        same_shape(self.name(), y_true, y_pred)
    }

    /// Checks the values of the targets; rows have as many predictions as `width`. Anything goes by default.
    ///
    /// # Errors
    /// [`Error::Label`] for a target outside its range.
    fn check_targets(&self, y_true: &Tensor<T>, width: usize) -> Result<()> {
        let _ = (y_true, width);
        Ok(())
    }

    /// Whether the loss makes sense behind this last activation, with rows of `width` predictions. Yes by default.
    ///
    /// # Errors
    /// [`Error::LossMismatch`] if it does not.
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

    /// The loss of a batch, Σ wᵢ·lossᵢ / divisor, and its gradient into `dy` (shaped like `y_pred`) where asked for. Without
    /// weights all are 1. The divisor is the number of rows, or that of a larger batch of which this is a part.
    ///
    /// The sum is taken in f64, in the order of rows.
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
        let weight = |i: usize| weights.map_or(T::one(), |w| w[i * w.len() / rows]);
        let (t, p) = (y_true.as_slice(), y_pred.as_slice());
        if let Some(dy) = dy {
            let scale = T::one() / T::of(divisor as f64);
            for (i, dy) in dy.as_mut_slice().chunks_exact_mut(width).enumerate() {
                self.gradient(&t[i * target..][..target], &p[i * width..][..width], weight(i) * scale, dy);
            }
        }
        let sum: f64 = (0..rows)
            .map(|i| (weight(i) * self.value(&t[i * target..][..target], &p[i * width..][..width])).as_f64())
            .sum();
        sum / divisor as f64
    }
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

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        (**self).check(y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, width: usize) -> Result<()> {
        (**self).check_targets(y_true, width)
    }

    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        (**self).check_activation(activation, width)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        (**self).with_logits(activation)
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
}

/// Targets and predictions of one shape, where `[n]` and `[n, 1]` count as equal.
pub(crate) fn same_shape(op: &'static str, y_true: Shape, y_pred: Shape) -> Result<()> {
    let column = y_pred.last() == 1 && y_true.rank() + 1 == y_pred.rank() && y_true.len() == y_pred.len();
    if y_true == y_pred || column {
        return Ok(());
    }
    let hint = "make the last layer's units and the targets' columns agree";
    Err(Error::shape(op, format!("targets of shape {y_pred}, as the predictions"), y_true, hint))
}

/// Targets that are class numbers (`[n]` or `[n, 1]`) or one row of class probabilities for each row of predictions.
pub(crate) fn classes_or_rows(op: &'static str, y_true: Shape, y_pred: Shape) -> Result<()> {
    let rows = y_pred.rows();
    let leading = &y_pred.dims()[..y_pred.rank().saturating_sub(1)];
    let numbers = y_true.len() == rows && y_true.dims().starts_with(leading);
    if y_true == y_pred || numbers {
        return Ok(());
    }
    let expected = format!("class numbers of shape {leading:?} or one-hot rows of shape {y_pred}");
    let hint = "make the last layer's units the number of classes, and pass one target a sample";
    Err(Error::shape(op, expected, y_true, hint))
}

/// Class numbers must be whole and below the number of classes.
pub(crate) fn check_class_numbers<T: Float>(op: &'static str, y_true: &[T], classes: usize) -> Result<()> {
    let fits = |v: f64| v >= 0.0 && v < classes as f64 && v.fract() == 0.0;
    match y_true.iter().position(|v| !fits(v.as_f64())) {
        None => Ok(()),
        Some(row) => Err(Error::Label {
            op,
            row,
            expected: format!("a whole number from 0 to {}", classes.saturating_sub(1)),
            got: y_true[row].to_string(),
            hint: "map class names to numbers from 0, and give the last layer one unit a class".into(),
        }),
    }
}

/// Every target must lie in `low..=high`.
pub(crate) fn check_range<T: Float>(
    op: &'static str,
    y_true: &Tensor<T>,
    low: f64,
    high: f64,
    hint: &str,
) -> Result<()> {
    let fits = |v: f64| v >= low && v <= high;
    match y_true.iter().position(|v| !fits(v.as_f64())) {
        None => Ok(()),
        Some(at) => Err(Error::Label {
            op,
            row: at / (y_true.len() / y_true.samples().max(1)).max(1),
            expected: format!("from {low} to {high}"),
            got: y_true.as_slice()[at].to_string(),
            hint: hint.to_owned(),
        }),
    }
}
