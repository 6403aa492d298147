//! What a model asks of data beyond their shapes: that they are finite, that weights by class find one class a sample, that a
//! split has all classes to train on, and that outputs are classes where classes are asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::kernels::simd;
use crate::tensor::{Float, Shape, Tensor};

/// Whether all values are finite.
pub(super) fn all_finite<T: Float>(values: &[T]) -> bool {
    simd::vectorised_rows(values.len(), || values.iter().fold(true, |finite, v| finite & (v.abs() <= T::max_value())))
}

/// An error that names the first NaN or infinity in some rows.
pub(super) fn check_finite<T: Float>(
    op: &'static str,
    what: &'static str,
    x: &Tensor<T>,
    rows: Range<usize>,
) -> Result<()> {
    let width = x.shape().sample().len();
    let values = &x.as_slice()[rows.start * width..rows.end * width];
    if all_finite(values) {
        return Ok(());
    }
    let at = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
    let (row, column, value) = (rows.start + at / width, at % width, values[at].as_f64());
    Err(Error::NonFinite { op, what, row, column, value })
}

/// Why a step left the finite numbers, as far as its batch can tell; `sample` gives a row's number in the whole of the data.
#[cold]
pub(super) fn cause<T: Float>(batch: &Batch<T>, sample: impl Fn(usize) -> Option<usize>) -> String {
    let largest = |t: &Tensor<T>| t.iter().fold(0.0, |most: f64, v| most.max(v.abs().as_f64()));
    let most = |all: &mut dyn Iterator<Item = &Tensor<T>>| all.map(largest).fold(0.0, f64::max);
    cause_in_data(batch, sample).unwrap_or_else(|| {
        format!(
            "The batch is finite (x up to {:.3e}, y up to {:.3e} in size): lower the learning rate, scale the inputs or clip the \
             gradients (clipnorm, global_clipnorm)",
            most(&mut batch.inputs()),
            most(&mut batch.targets())
        )
    })
}

/// [`cause`] where it is in the batch.
#[cold]
pub(super) fn cause_in_data<T: Float>(batch: &Batch<T>, sample: impl Fn(usize) -> Option<usize>) -> Option<String> {
    let name = |row| match sample(row) {
        Some(sample) => format!("row {sample}"),
        None => format!("row {row} of the batch"),
    };
    let all = batch.inputs().map(|x| ("x", x)).chain(batch.targets().map(|y| ("y", y)));
    for (what, tensor) in all {
        if let Some((row, column, value)) = tensor.first_non_finite() {
            let row = name(row);
            return Some(format!(
                "The cause is in the data: {what} has {value} in {row}, column {column}; remove or impute it"
            ));
        }
    }
    let weights = std::iter::once(&batch.weights).chain(&batch.more_weights);
    for weights in weights {
        if let Some(row) = weights.iter().position(|w| !w.is_finite()) {
            let each = (weights.len() / batch.x.samples().max(1)).max(1);
            return Some(format!("The cause is in the data: a weight of {} is {}", name(row / each), weights[row]));
        }
    }
    None
}

/// The first values of a row, for messages.
fn shown<T: Float>(row: &[T]) -> String {
    const MAX_NAMED: usize = 8;
    let values: Vec<String> = row.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    format!("[{}{}]", values.join(", "), if row.len() > MAX_NAMED { ", …" } else { "" })
}

/// Multiplies the weight of each sample by that of its class; `output` is the shape of an output sample.
pub(super) fn weigh<T: Float>(y: &Tensor<T>, output: Shape, classes: &[f64], weights: &mut Vec<T>) -> Result<()> {
    const SEVERAL: &str = "class_weight is for one class a sample; pass sample_weight, one number a sample, instead";
    if output.rank() > 1 || y.shape().rank() > 2 {
        let expected = "one class a sample, [n] or one-hot rows [n, classes], with class_weight";
        return Err(Error::shape("fit", expected, y.shape(), SEVERAL));
    }
    if weights.is_empty() {
        weights.resize(y.samples(), T::one());
    }
    if weights.len() != y.samples() {
        let expected = format!("{} weights, one for each sample, with class_weight", y.samples());
        return Err(Error::shape("fit", expected, weights.len(), "give as many weights as samples"));
    }
    for (i, weight) in weights.iter_mut().enumerate().filter(|(_, weight)| **weight != T::zero()) {
        let row = y.row(i);
        let label = |expected: String, got: String, hint: &str| Error::Label {
            op: "fit",
            row: i,
            expected,
            got,
            hint: hint.to_owned(),
        };
        let class = match row {
            [class] => class.as_f64(),
            row => {
                let sum: f64 = row.iter().map(|v| v.as_f64()).sum();
                let whole = (sum - 1.0).abs() <= 1e-3;
                if !whole || row.iter().any(|v| *v < T::zero()) {
                    return Err(label("a class number, or a row that sums to 1".into(), shown(row), SEVERAL));
                }
                crate::tensor::argmax(row) as f64
            }
        };
        let factor = if class.fract() == 0.0 && class >= 0.0 { classes.get(class as usize) } else { None };
        *weight *= T::of(*factor.ok_or_else(|| {
            let most = classes.len().max(1) - 1;
            let expected = format!("a class number from 0 to {most}, which class_weight has weights for");
            // A single number as precise as it came.
            let got = match row {
                [target] => target.to_string(),
                _ => class.to_string(),
            };
            label(expected, got, "give every class a weight")
        })?);
    }
    Ok(())
}

/// The class of a target: a number, or the place of the one in a row of zeros; none for anything else.
fn class_of<T: Float>(row: &[T]) -> Option<u64> {
    match row {
        // + 0 makes −0 the same class as 0.
        [class] => Some((class.as_f64() + 0.0).to_bits()),
        row => {
            let one = row.iter().position(|v| *v == T::one())?;
            let alone = row.iter().enumerate().all(|(i, v)| i == one || *v == T::zero());
            alone.then_some((one as f64).to_bits())
        }
    }
}

/// A chance so small that data in no order do not come to it.
const IMPROBABLE: f64 = 1e-6;

/// An error where the last rows, from `kept` on, hold classes that those before them lack, or one class alone where that is no
/// chance: rows sorted by class.
pub(super) fn check_classes_apart<T: Float>(y: &Tensor<T>, kept: usize, part: f64) -> Result<()> {
    let mut counts = BTreeMap::<u64, [usize; 2]>::new();
    for i in 0..y.samples() {
        // Soft targets have no class to count.
        let Some(class) = class_of(y.row(i)) else { return Ok(()) };
        counts.entry(class).or_default()[usize::from(i >= kept)] += 1;
    }
    let refused = |class: u64, what: &str| {
        let got = format!("{part}, whose last rows hold {what} class {}", f64::from_bits(class));
        let hint = "the rows look sorted: part them at random, with train_test_split(&x, &y, \
                    &Split::default().test_size(0.2).stratify(true))?, and pass Fit::validation_data";
        Err(Error::argument("fit", "validation_split", "of rows in which the classes take turns", got, hint))
    };
    if let Some((class, _)) = counts.iter().find(|(_, [before, after])| *before == 0 && *after > 0) {
        return refused(*class, "samples of a class that the others lack,");
    }
    let mut held = counts.iter().filter(|(_, [_, after])| *after > 0);
    if let (Some((class, [before, after])), None) = (held.next(), held.next()) {
        let chance = (*before as f64 / kept as f64).powi(i32::try_from(*after).unwrap_or(i32::MAX));
        if chance < IMPROBABLE {
            return refused(*class, "no class but");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_by_class() {
        let weigh = |y: Tensor, output: usize| {
            let mut weights = Vec::new();
            super::weigh(&y, Shape::from([output]), &[1.0, 2.0, 5.0], &mut weights).map(|()| weights)
        };
        assert_eq!(weigh(Tensor::from([2.0, 0.0]), 3).unwrap(), [5.0, 1.0]);
        assert_eq!(weigh(Tensor::from([[0.0, 1.0, 0.0], [0.1, 0.2, 0.7]]), 3).unwrap(), [2.0, 5.0]);
        for row in [[1.0, 0.0, 1.0], [0.0; 3], [2.0, -1.0, 0.0], [f32::NAN, 1.0, 0.0]] {
            let error = weigh(Tensor::from([[1.0, 0.0, 0.0], row]), 3).unwrap_err().to_string();
            assert!(error.contains("target in row 1 is [") && error.contains("sample_weight"), "{error}");
        }
        assert_eq!(
            weigh(Tensor::from([[1.0, 0.0, 1.0]]), 3).unwrap_err().to_string(),
            "fit: target in row 0 is [1, 0, 1], expected a class number, or a row that sums to 1; class_weight is for one class \
             a sample; pass sample_weight, one number a sample, instead"
        );
        // A class for each of four steps is no one-hot row.
        let mut weights = Vec::new();
        let steps = Tensor::from([[0.0f32, 1.0, 0.0, 0.0]]);
        let error = super::weigh(&steps, Shape::from([4, 2]), &[1.0, 2.0], &mut weights).unwrap_err();
        assert!(error.is_shape() && error.to_string().contains("[n] or one-hot rows"), "{error}");
    }

    #[test]
    fn sorted_classes_are_no_split() {
        let check = |y: &[usize], kept| check_classes_apart(&Tensor::<f32>::from_labels(y), kept, 0.2);
        assert!(check(&[0, 1, 0, 1], 2).is_ok());
        assert_eq!(
            check(&[0, 0, 1, 1, 2], 4).unwrap_err().to_string(),
            "fit: validation_split must be of rows in which the classes take turns, got 0.2, whose last rows hold samples of a \
             class that the others lack, class 2; the rows look sorted: part them at random, with train_test_split(&x, &y, \
             &Split::default().test_size(0.2).stratify(true))?, and pass Fit::validation_data"
        );
        // A hundred rows of two sorted classes, the last twenty of one; five of one are a chance.
        let sorted: Vec<usize> = (0..100).map(|i| i / 50).collect();
        assert!(check(&sorted, 80).unwrap_err().to_string().contains("hold no class but class 1"));
        assert!(check(&sorted, 95).is_ok());
        let rows = crate::data::one_hot(&Tensor::<f32>::from_labels(&sorted), 2).unwrap();
        assert!(check_classes_apart(&rows, 80, 0.2).is_err());
        // All of one class, and soft targets.
        assert!(check(&[3; 100], 50).is_ok());
        assert!(check_classes_apart(&Tensor::from([[0.5f32, 0.5], [0.4, 0.6]]), 1, 0.5).is_ok());
    }
}
