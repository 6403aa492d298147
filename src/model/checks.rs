//! What a model asks of data beyond their shapes: that they are finite, that weights by class find one class a sample, that a
//! split has all classes to train on, and that outputs are classes where classes are asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use super::sequential::Sequential;
use crate::activations::Activation;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::kernels::simd;
use crate::losses::Loss;
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

/// Outputs that are not finite: an error where the input is to blame, or where they are not even numbers.
#[cold]
pub(super) fn blame<T: Float>(op: &'static str, x: &Tensor<T>, y: &Tensor<T>) -> Result<()> {
    check_finite(op, "x", x, 0..x.samples())?;
    match y.as_slice().iter().position(|v| v.is_nan()) {
        None => Ok(()),
        Some(at) => {
            let row = at / y.shape().sample().len().max(1);
            let problem =
                format!("the output of row {row} is NaN, though the row is finite: a number inside overflows");
            Err(Error::Config { op, problem, hint: "scale the inputs as in training, or use an f64 model".into() })
        }
    }
}

/// Why a step left the finite numbers, as far as its batch can tell; `sample` gives a row's number in the whole of the data.
#[cold]
pub(super) fn cause<T: Float>(batch: &Batch<T>, sample: impl Fn(usize) -> Option<usize>) -> String {
    let name = |row| match sample(row) {
        Some(sample) => format!("row {sample}"),
        None => format!("row {row} of the batch"),
    };
    for (what, tensor) in [("x", &batch.x), ("y", &batch.y)] {
        if let Some((row, column, value)) = tensor.first_non_finite() {
            let row = name(row);
            return format!(
                "The cause is in the data: {what} has {value} in {row}, column {column}; remove or impute it"
            );
        }
    }
    if let Some(row) = batch.weights.iter().position(|w| !w.is_finite()) {
        return format!("The cause is in the data: the weight of {} is {}", name(row), batch.weights[row]);
    }
    let most = |t: &Tensor<T>| t.iter().fold(0.0, |most: f64, v| most.max(v.abs().as_f64()));
    format!(
        "The batch is finite (x up to {:.3e}, y up to {:.3e} in size): lower the learning rate, scale the inputs or clip the \
         gradients (clipnorm, global_clipnorm)",
        most(&batch.x),
        most(&batch.y)
    )
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
    for (i, weight) in weights.iter_mut().enumerate() {
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
            label(expected, class.to_string(), "give every class a weight")
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

/// What a loss measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// One of several classes.
    Classes,
    /// Yes or no, for each output; from logits where `true`.
    Labels(bool),
    /// A side of zero, for each output.
    Margins,
    Numbers,
    /// A loss that is not of this library, or none.
    Unknown,
}

impl Task {
    fn of<T: Float>(loss: Option<&dyn Loss<T>>) -> Self {
        let Some(loss) = loss else { return Task::Unknown };
        match loss.name() {
            "categorical_crossentropy"
            | "sparse_categorical_crossentropy"
            | "categorical_focal_crossentropy"
            | "categorical_hinge"
            | "kl_divergence" => Task::Classes,
            "binary_crossentropy" | "binary_focal_crossentropy" => {
                // From logits they refuse a sigmoid before them.
                Task::Labels(loss.check_activation(Activation::Sigmoid, 1).is_err())
            }
            "hinge" | "squared_hinge" => Task::Margins,
            "mean_squared_error"
            | "half_squared_error"
            | "mean_absolute_error"
            | "mean_absolute_percentage_error"
            | "mean_squared_logarithmic_error"
            | "huber"
            | "log_cosh"
            | "poisson"
            | "cosine_similarity" => Task::Numbers,
            _ => Task::Unknown,
        }
    }
}

/// How outputs become classes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// The position of the largest.
    Largest,
    /// 1 above this, else 0.
    Above(f64),
    /// 1 above 0.5, if all are between 0 and 1.
    Probability,
}

impl<T: Float> Sequential<T> {
    /// Whether targets name one class a sample, so that a split can be looked at for classes.
    pub(super) fn tells_classes(&self) -> bool {
        let task = Task::of(self.training.as_ref().map(|t| &*t.loss));
        let one = self.output.last() == 1;
        self.output.rank() == 1 && (task == Task::Classes || one && matches!(task, Task::Labels(_) | Task::Margins))
    }

    fn class_rule(&self) -> Result<Rule> {
        let (activation, loss) =
            (self.layers.ending().map(|ending| ending.activation), self.training.as_ref().map(|t| &*t.loss));
        let (task, width) = (Task::of(loss), self.output.last());
        let about = || {
            let loss = loss.map_or("not compiled".to_owned(), |loss| format!("loss {}", loss.name()));
            let last = activation.map_or("an activation of its own".to_owned(), |a| a.to_string());
            format!("{width} output{} with {last}, {loss}", if width == 1 { "" } else { "s" })
        };
        let refused = |what: &str, hint: &str| {
            let problem = format!("{what} ({})", about());
            Err(Error::Config { op: "predict_classes", problem, hint: hint.to_owned() })
        };
        let sigmoid = matches!(activation, Some(Activation::Sigmoid | Activation::HardSigmoid));
        let softmax = matches!(activation, Some(Activation::Softmax | Activation::LogSoftmax));
        if width > 1 {
            const NUMBERS: &str = "take predict(x)?, or predict(x)?.argmax() if the largest output names the class";
            return match task {
                Task::Classes => Ok(Rule::Largest),
                Task::Labels(true) | Task::Margins => refused(
                    "the model answers yes or no for each output, so that a sample may have several classes or none",
                    "compare predict(x)? with 0, or take predict(x)?.argmax() for the likeliest",
                ),
                _ if sigmoid || matches!(task, Task::Labels(_)) => refused(
                    "the model answers yes or no for each output, so that a sample may have several classes or none",
                    "compare predict(x)? with 0.5, or take predict(x)?.argmax() for the likeliest",
                ),
                Task::Numbers if !softmax => refused("the model gives numbers, not classes", NUMBERS),
                _ => Ok(Rule::Largest),
            };
        }
        match task {
            Task::Labels(true) | Task::Margins => Ok(Rule::Above(0.0)),
            Task::Labels(false) => Ok(Rule::Above(0.5)),
            _ if sigmoid => Ok(Rule::Above(0.5)),
            Task::Numbers | Task::Unknown if activation.is_none() => Ok(Rule::Probability),
            Task::Numbers => refused("the model gives a number, not a class", "take predict(x)?"),
            _ => refused(
                "one output that is no probability tells no class",
                "compare predict(x)? with the value between your classes (0 for logits), or compile the model with its loss",
            ),
        }
    }

    /// The class of each sample: the position of its largest output; of a single output, whether it is above 0.5 behind a sigmoid,
    /// above 0 for logits (`from_logits`) and for hinge losses.
    ///
    /// What is no class is refused: the outputs of a regression, and several sigmoids, of which each is a class of its own (unless
    /// the model is compiled with a loss over classes). Several outputs without a sigmoid, of a model that is not compiled, count as
    /// scores of classes. Else take [`predict`](Self::predict) there, with
    /// [`argmax`](Tensor::argmax) if the largest output is meant.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let model = Sequential::new([4]).add(Dense::new(3).activation(Activation::Softmax)).build(1)?;
    /// assert_eq!(model.predict_classes(&Tensor::zeros([2, 4]))?, [0, 0]);
    /// let labels = Sequential::new([4]).add(Dense::new(3).activation(Activation::Sigmoid)).build(1)?;
    /// assert!(labels.predict_classes(&Tensor::zeros([2, 4])).unwrap_err().to_string().contains("several classes or none"));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict); [`Error::Config`] for a model whose outputs tell no class.
    #[inline(never)]
    pub fn predict_classes(&self, x: &Tensor<T>) -> Result<Vec<usize>> {
        self.check_built("predict_classes")?;
        let rule = self.class_rule()?;
        let y = self.predict(x)?;
        let above = |limit: f64| y.iter().map(|p| usize::from(p.as_f64() > limit)).collect();
        match rule {
            Rule::Largest => Ok(y.argmax()),
            Rule::Above(limit) => Ok(above(limit)),
            Rule::Probability => match y.iter().position(|p| !(T::zero()..=T::one()).contains(p)) {
                None => Ok(above(0.5)),
                Some(at) => {
                    let problem = format!("output {at} is {}, no probability", y.as_slice()[at]);
                    let hint = "compare predict(x)? with the value between your classes";
                    Err(Error::Config { op: "predict_classes", problem, hint: hint.into() })
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    /// y = x₀ + bias for one unit, one more unit gives −y.
    fn model(units: usize, activation: Activation, bias: f32) -> Sequential {
        let mut model = Sequential::new([1]).add(Dense::new(units).activation(activation)).build(0).unwrap();
        model.set_weight("dense/kernel", &[1.0, -1.0][..units]).unwrap();
        model.set_weight("dense/bias", &[bias, -bias][..units]).unwrap();
        model
    }

    fn classes(model: &Sequential) -> Result<Vec<usize>, String> {
        model.predict_classes(&Tensor::from([[-1.0], [0.25], [2.0]])).map_err(|e| e.to_string())
    }

    fn compiled(units: usize, activation: Activation, loss: impl Loss<f32> + 'static) -> Sequential {
        let mut model = model(units, activation, 0.0);
        model.compile(Sgd::default(), loss, ()).unwrap();
        model
    }

    #[test]
    fn classes_of_one_output() {
        assert_eq!(classes(&model(1, Activation::Sigmoid, 0.0)), Ok(vec![0, 1, 1]));
        assert_eq!(classes(&compiled(1, Activation::Sigmoid, BinaryCrossentropy::default())), Ok(vec![0, 1, 1]));
        assert_eq!(classes(&compiled(1, Activation::Sigmoid, MeanSquaredError::default())), Ok(vec![0, 1, 1]));
        // A logit of 0.25 is a probability of 0.56.
        let logits = || BinaryCrossentropy::default().from_logits(true);
        assert_eq!(classes(&compiled(1, Activation::Linear, logits())), Ok(vec![0, 1, 1]));
        let focal = BinaryFocalCrossentropy::default().from_logits(true);
        assert_eq!(classes(&compiled(1, Activation::Linear, focal)), Ok(vec![0, 1, 1]));
        assert_eq!(classes(&compiled(1, Activation::Linear, Hinge::default())), Ok(vec![0, 1, 1]));
        assert_eq!(classes(&compiled(1, Activation::Tanh, SquaredHinge::default())), Ok(vec![0, 1, 1]));
        let unknown = classes(&model(1, Activation::Linear, 0.0)).unwrap_err();
        assert_eq!(
            unknown,
            "predict_classes: one output that is no probability tells no class (1 output with linear, not compiled); compare \
             predict(x)? with the value between your classes (0 for logits), or compile the model with its loss"
        );
        let number = classes(&compiled(1, Activation::Linear, MeanSquaredError::default())).unwrap_err();
        assert_eq!(
            number,
            "predict_classes: the model gives a number, not a class (1 output with linear, loss mean_squared_error); take \
             predict(x)?"
        );
        assert!(classes(&compiled(1, Activation::Exponential, Poisson::default())).is_err());
        // Behind a penalty on outputs the activation is not known.
        let penalised = |activation, bias: f32| {
            let dense = Dense::new(1).activation(activation).activity_regularizer(Regularizer::L1(0.1));
            let mut model = Sequential::new([1]).add(dense).build(0).unwrap();
            model.set_weight("dense/kernel", &[1.0]).unwrap();
            model.set_weight("dense/bias", &[bias]).unwrap();
            model
        };
        assert_eq!(classes(&penalised(Activation::Sigmoid, 0.0)), Ok(vec![0, 1, 1]));
        assert!(classes(&penalised(Activation::Linear, 0.0)).unwrap_err().contains("output 0 is -1, no probability"));
    }

    #[test]
    fn classes_of_several_outputs() {
        let expected = Ok(vec![1, 0, 0]);
        assert_eq!(classes(&model(2, Activation::Softmax, 0.0)), expected);
        assert_eq!(classes(&model(2, Activation::Linear, 0.0)), expected);
        let logits = CategoricalCrossentropy::default().from_logits(true);
        assert_eq!(classes(&compiled(2, Activation::Linear, logits)), expected);
        assert_eq!(classes(&compiled(2, Activation::Softmax, MeanSquaredError::default())), expected);
        assert_eq!(classes(&compiled(2, Activation::Sigmoid, CategoricalCrossentropy::default())), expected);
        for (model, place) in [
            (model(2, Activation::Sigmoid, 0.0), "0.5"),
            (compiled(2, Activation::Sigmoid, BinaryCrossentropy::default()), "0.5"),
            (compiled(2, Activation::Sigmoid, MeanSquaredError::default()), "0.5"),
            (compiled(2, Activation::Linear, BinaryCrossentropy::default().from_logits(true)), "0,"),
            (compiled(2, Activation::Linear, Hinge::default()), "0,"),
        ] {
            let error = classes(&model).unwrap_err();
            assert!(error.contains("several classes or none") && error.contains(&format!("with {place}")), "{error}");
        }
        let error = classes(&compiled(2, Activation::Linear, Huber::default())).unwrap_err();
        assert!(error.contains("the model gives numbers, not classes (2 outputs with linear, loss huber)"), "{error}");
    }

    #[test]
    fn nan_has_no_class() {
        let model = model(2, Activation::Softmax, 0.0);
        for bad in [f32::NAN, f32::INFINITY] {
            let x = Tensor::from([[1.0], [bad], [2.0]]);
            let expected = format!("predict: x has {} in row 1, column 0; remove or impute it", f64::from(bad));
            assert_eq!(model.predict(&x).unwrap_err().to_string(), expected);
            assert_eq!(model.predict_classes(&x).unwrap_err().to_string(), expected);
            let mut y = Tensor::default();
            let error = model.predictor().unwrap().predict_into(&x, &mut y).unwrap_err().to_string();
            assert_eq!(error, expected.replace("predict:", "predict_into:"));
        }
        // ∞ − ∞ inside.
        let layers = Sequential::new([1]).add(Dense::new(2).use_bias(false)).add(Dense::new(1).use_bias(false));
        let mut model = layers.build(0).unwrap();
        model.set_weight("dense/kernel", &[1e38, 1e38]).unwrap();
        model.set_weight("dense_1/kernel", &[1.0, -1.0]).unwrap();
        let error = model.predict(&Tensor::from([[0.0], [100.0]])).unwrap_err().to_string();
        assert!(error.starts_with("predict: the output of row 1 is NaN, though the row is finite"), "{error}");
        // Too large for the type is infinite, as arithmetic has it.
        model.set_weight("dense_1/kernel", &[1.0, 1.0]).unwrap();
        assert_eq!(model.predict(&Tensor::from([[100.0]])).unwrap().as_slice(), &[f32::INFINITY]);
    }

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
