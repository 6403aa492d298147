//! What losses check about shapes, targets, settings and the last activation.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// Targets and predictions of one shape, where `[n]` and `[n, 1]` count as equal.
pub(crate) fn same_shape(op: &'static str, y_true: Shape, y_pred: Shape) -> Result<()> {
    let column = y_pred.last() == 1 && y_true.rank() + 1 == y_pred.rank() && y_true.len() == y_pred.len();
    if y_true == y_pred || column {
        return Ok(());
    }
    let hint = match y_true.rank() < y_pred.rank() {
        _ if too_many_axes(y_true, y_pred) => FLATTEN,
        true => {
            "make the last layer's units and the targets' columns agree; class numbers need one_hot, or CategoricalCrossentropy"
        }
        false => "make the last layer's units and the targets' columns agree",
    };
    Err(Error::shape(op, format!("targets of shape {y_pred}, as the predictions"), y_true, hint))
}

/// Whether predictions still have the axes of images or sequences where there is one target or one row of them a sample.
fn too_many_axes(y_true: Shape, y_pred: Shape) -> bool {
    let (t, p) = (y_true.rank(), y_pred.rank());
    t <= 2 && p > 2 && (p > t + 1 || t == 1 || y_true.last() == y_pred.last())
}

const FLATTEN: &str = "the model gives each sample more axes than its target has: put a Flatten or a GlobalAveragePooling before the \
    Dense layers at its end";

/// Targets that are class numbers (`[n]` or `[n, 1]`) or one row of class probabilities for each row of predictions.
pub(crate) fn classes_or_rows(op: &'static str, y_true: Shape, y_pred: Shape) -> Result<()> {
    let rows = y_pred.rows();
    let leading = &y_pred.dims()[..y_pred.rank().saturating_sub(1)];
    let numbers = y_true.len() == rows && y_true.dims().starts_with(leading);
    if y_true == y_pred || numbers {
        return Ok(());
    }
    let numbers = Shape::try_from(leading).unwrap_or(Shape::SCALAR);
    let expected = format!("class numbers of shape {numbers} or one-hot rows of shape {y_pred}");
    let hint = match too_many_axes(y_true, y_pred) {
        true => FLATTEN,
        false => "make the last layer's units the number of classes, and pass one target a sample",
    };
    Err(Error::shape(op, expected, y_true, hint))
}

/// Class numbers must be whole and below the number of classes, or one that is not looked at.
pub(crate) fn check_class_numbers<T: Float>(
    op: &'static str,
    y_true: &[T],
    classes: usize,
    ignored: Option<f64>,
) -> Result<()> {
    let ignored = |v: &T| ignored.is_some_and(|class| *v == T::of(class));
    let fits = |v: f64| v >= 0.0 && v < classes as f64 && v.fract() == 0.0;
    let from_1 = |v: &T| v.fract() == T::zero() && *v >= T::one() && v.as_f64() <= classes as f64;
    match y_true.iter().position(|v| !fits(v.as_f64()) && !ignored(v)) {
        None => Ok(()),
        Some(row) => Err(Error::Label {
            op,
            row,
            expected: format!("a whole number from 0 to {}", classes.saturating_sub(1)),
            got: y_true[row].to_string(),
            hint: if y_true.iter().all(|v| from_1(v) || ignored(v)) {
                format!("these labels run from 1 to {classes}: subtract 1, as in y.map(|c| c - 1.0)")
            } else {
                "map class names to numbers from 0, and give the last layer one unit a class".into()
            },
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

/// Class numbers, one for each row of predictions, or rows of probabilities.
pub(crate) fn check_classes<T: Float>(op: &'static str, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
    check_classes_but(op, y_true, y_pred, None)
}

/// [`check_classes`], but for class numbers that are not looked at.
pub(crate) fn check_classes_but<T: Float>(
    op: &'static str,
    y_true: &Tensor<T>,
    y_pred: Shape,
    ignored: Option<f64>,
) -> Result<()> {
    if y_true.shape() == y_pred && y_pred.last() > 1 {
        check_range(op, y_true, 0.0, 1.0, "pass one-hot rows, probabilities or class numbers")?;
        // Far more than rounding leaves of thousands of classes.
        let sums = |row: &[T]| (row.iter().map(|v| v.as_f64()).sum::<f64>() - 1.0).abs() < 1e-3;
        return match y_true.as_slice().chunks_exact(y_pred.last()).position(|row| !sums(row)) {
            None => Ok(()),
            Some(row) => {
                let sum: f64 =
                    y_true.as_slice()[row * y_pred.last()..][..y_pred.last()].iter().map(|v| v.as_f64()).sum();
                Err(Error::Label {
                    op,
                    row: row / (y_pred.rows() / y_true.samples().max(1)).max(1),
                    expected: "a row of probabilities that sums to 1".into(),
                    got: format!("a row that sums to {}", T::of(sum)),
                    hint: "for several labels a sample use BinaryCrossentropy and a sigmoid; to leave a sample out give it the \
                           weight 0, and the model weighted_metrics"
                        .into(),
                })
            }
        };
    }
    let each = (y_true.len() / y_true.samples().max(1)).max(1);
    check_class_numbers(op, y_true.as_slice(), y_pred.last(), ignored).map_err(|mut error| {
        if let Error::Label { row, .. } = &mut error {
            *row /= each;
        }
        error
    })
}

/// Labels must be −1 or 1, or 0 or 1, not a mixture of −1 and 0.
pub(crate) fn check_margins<T: Float>(op: &'static str, y_true: &Tensor<T>) -> Result<()> {
    let has_minus = y_true.iter().any(|v| *v == -T::one());
    let fits = |v: T| v == T::one() || if has_minus { v == -T::one() } else { v == T::zero() };
    match y_true.iter().position(|v| !fits(*v)) {
        None => Ok(()),
        Some(at) => Err(Error::Label {
            op,
            row: at / (y_true.len() / y_true.samples().max(1)).max(1),
            expected: if has_minus { "-1 or 1, as other labels are -1".into() } else { "0 or 1, or -1 or 1".into() },
            got: y_true.as_slice()[at].to_string(),
            hint: "use one of the two forms for all labels".into(),
        }),
    }
}

/// γ and α of focal losses.
pub(crate) fn check_focus<T: Float>(op: &'static str, gamma: f64, alpha: f64) -> Result<()> {
    if !T::of(gamma).is_finite() || gamma < 0.0 {
        let expected = format!("0 or more, and finite as {}", T::NAME);
        return Err(Error::argument(op, "gamma", expected, gamma, "2 is usual"));
    }
    if !(0.0..=1.0).contains(&alpha) {
        return Err(Error::argument(op, "alpha", "from 0 to 1", alpha, "0.25 is usual"));
    }
    Ok(())
}

fn mismatch(loss: &'static str, activation: Activation, why: &'static str, hint: &str) -> Result<()> {
    Err(Error::LossMismatch { loss: loss.into(), activation: activation.to_string(), why, hint: hint.into() })
}

/// Whether a loss over class probabilities (or their logits) fits a last activation.
pub(crate) fn probabilities_over_classes(
    loss: &'static str,
    from_logits: bool,
    activation: Activation,
    width: usize,
) -> Result<()> {
    if width < 2 {
        return mismatch(
            loss,
            activation,
            "it needs a unit for each class, and there is one unit",
            "use BinaryCrossentropy with a sigmoid",
        );
    }
    match (from_logits, activation) {
        (true, Activation::Softmax | Activation::Sigmoid | Activation::LogSoftmax) => {
            mismatch(loss, activation, "from_logits applies the softmax itself", "remove the activation or from_logits")
        }
        (false, Activation::Softmax | Activation::Sigmoid | Activation::HardSigmoid) => Ok(()),
        (false, _) => mismatch(
            loss,
            activation,
            "it needs probabilities",
            "end the model with Activation::Softmax, or use from_logits(true)",
        ),
        (true, _) => Ok(()),
    }
}

/// Whether a loss over independent probabilities (or their logits) fits a last activation.
pub(crate) fn each_a_probability(loss: &'static str, from_logits: bool, activation: Activation) -> Result<()> {
    let mismatch = |why, hint| mismatch(loss, activation, why, hint);
    match (from_logits, activation) {
        (_, Activation::Softmax | Activation::LogSoftmax) => mismatch(
            "its outputs are independent, those of a softmax are not",
            "use CategoricalCrossentropy, or Activation::Sigmoid",
        ),
        (true, Activation::Sigmoid | Activation::LogSigmoid) => {
            mismatch("from_logits applies the sigmoid itself", "remove the activation or from_logits")
        }
        (true, _) | (false, Activation::Sigmoid | Activation::HardSigmoid) => Ok(()),
        (false, _) => {
            mismatch("it needs probabilities", "end the model with Activation::Sigmoid, or use from_logits(true)")
        }
    }
}

/// Whether scores with a margin between −1 and 1 can come from a last activation.
pub(crate) fn margin_activation(loss: &'static str, activation: Activation) -> Result<()> {
    let bounded = matches!(
        activation,
        Activation::Softmax
            | Activation::LogSoftmax
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::LogSigmoid
    );
    if !bounded {
        return Ok(());
    }
    let hint = "end the model without an activation or with Activation::Tanh, or use a cross-entropy";
    mismatch(loss, activation, "it needs scores of either sign", hint)
}
