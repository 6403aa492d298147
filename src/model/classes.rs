//! `predict_classes`, and which losses and activations tell classes.

use super::built::Model;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::metrics::{Meaning, Outputs};
use crate::tensor::{Float, Tensor};

/// What a loss measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// One of several classes, from such outputs.
    Classes(Meaning),
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
            // From logits they refuse a softmax before them.
            "categorical_crossentropy" | "sparse_categorical_crossentropy" | "categorical_focal_crossentropy"
                if loss.check_activation(Activation::Softmax, 2).is_err() =>
            {
                Task::Classes(Meaning::ClassLogits)
            }
            "categorical_crossentropy"
            | "sparse_categorical_crossentropy"
            | "categorical_focal_crossentropy"
            | "kl_divergence" => Task::Classes(Meaning::Probabilities),
            "categorical_hinge" => Task::Classes(Meaning::ClassScores),
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

    /// What outputs behind this last activation mean.
    fn meaning(self, activation: Option<Activation>) -> Meaning {
        match (self, activation) {
            (Task::Classes(meaning), _) => meaning,
            (Task::Labels(true) | Task::Margins, _) => Meaning::Logits,
            (Task::Labels(false), _) => Meaning::Probabilities,
            // A layer of one's own is taken at its word.
            (_, None | Some(Activation::Sigmoid | Activation::HardSigmoid | Activation::Softmax)) => {
                Meaning::Probabilities
            }
            // A softmax of logarithms of probabilities gives those.
            (_, Some(Activation::LogSoftmax)) => Meaning::ClassLogits,
            (Task::Numbers, _) => Meaning::Numbers,
            (Task::Unknown, _) => Meaning::Unknown,
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

impl<T: Float> Model<T> {
    /// Whether targets name one class a sample, so that a split can be looked at for classes.
    pub(super) fn tells_classes(&self) -> bool {
        let task = Task::of(self.loss_of(0));
        let shape = self.output_shape();
        let one = shape.last() == 1;
        self.net.outputs() == 1
            && shape.rank() == 1
            && (matches!(task, Task::Classes(_)) || one && matches!(task, Task::Labels(_) | Task::Margins))
    }

    /// The loss that an output is compiled with.
    fn loss_of(&self, output: usize) -> Option<&dyn Loss<T>> {
        self.training.as_ref()?.heads.iter().find(|head| head.output == output)?.loss.as_deref()
    }

    /// What the values of an output are under a loss.
    pub(super) fn outputs(&self, output: usize, loss: Option<&dyn Loss<T>>) -> Outputs {
        let activation = self.net.ending(output).map(|ending| ending.activation);
        let meaning = Task::of(loss).meaning(activation);
        Outputs::new(meaning, activation, self.net.output_shape(output).last(), loss.map(|loss| loss.name()))
    }

    fn class_rule(&self) -> Result<Rule> {
        let loss = self.loss_of(0);
        let outputs = self.outputs(0, loss);
        let (task, activation, width) = (Task::of(loss), outputs.activation, outputs.width);
        let refused = |what: &str, hint: &str| {
            let problem = format!("{what} ({outputs})");
            Err(Error::Config { op: "predict_classes", problem, hint: hint.to_owned() })
        };
        if self.output_shape().rank() > 1 {
            let what =
                format!("the model gives a sample {} rows of outputs, not one class", self.output_shape().rows());
            return refused(
                &what,
                "end it with Flatten or a GlobalAveragePooling before the last Dense; where each row has a class of its own, \
                 predict(x)?.argmax() gives those of all rows, one sample after the other",
            );
        }
        let sigmoid = matches!(activation, Some(Activation::Sigmoid | Activation::HardSigmoid));
        let softmax = matches!(activation, Some(Activation::Softmax | Activation::LogSoftmax));
        if width > 1 {
            const NUMBERS: &str = "take predict(x)?, or predict(x)?.argmax() if the largest output names the class";
            return match task {
                Task::Classes(_) => Ok(Rule::Largest),
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
    /// above 0 for logits (`from_logits`) and for hinge losses. `Accuracy` in the history counts the same classes.
    ///
    /// What is no class is refused: the outputs of a regression, several rows of outputs a sample (an image of softmaxes), and several sigmoids, of which each is a class of its own (unless
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
        self.check_single("predict_classes")?;
        let rule = self.class_rule()?;
        rule.classes(&self.predict(x)?)
    }

    /// [`predict_classes`](Self::predict_classes) of what `outputs` gives, which is not asked of a model that tells no classes.
    #[cfg(feature = "text")]
    pub(super) fn classes_of(&self, outputs: impl FnOnce() -> Result<Tensor<T>>) -> Result<Vec<usize>> {
        let rule = self.class_rule()?;
        rule.classes(&outputs()?)
    }
}

impl Rule {
    /// The class of each row of outputs.
    fn classes<T: Float>(self, y: &Tensor<T>) -> Result<Vec<usize>> {
        let above = |limit: f64| y.iter().map(|p| usize::from(p.as_f64() > limit)).collect();
        match self {
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
    fn model(units: usize, activation: Activation, bias: f32) -> Model {
        let mut model = Sequential::new([1]).add(Dense::new(units).activation(activation)).build(0).unwrap();
        model.set_weight("dense/kernel", &[1.0, -1.0][..units]).unwrap();
        model.set_weight("dense/bias", &[bias, -bias][..units]).unwrap();
        model
    }

    fn classes(model: &Model) -> Result<Vec<usize>, String> {
        model.predict_classes(&Tensor::from([[-1.0], [0.25], [2.0]])).map_err(|e| e.to_string())
    }

    fn compiled(units: usize, activation: Activation, loss: impl Loss<f32> + 'static) -> Model {
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
        // Behind a penalty on outputs the activation is known all the same.
        let penalised = |activation, bias: f32| {
            let dense = Dense::new(1).activation(activation).activity_regularizer(Regularizer::L1(0.1));
            let mut model = Sequential::new([1]).add(dense).build(0).unwrap();
            model.set_weight("dense/kernel", &[1.0]).unwrap();
            model.set_weight("dense/bias", &[bias]).unwrap();
            model
        };
        assert_eq!(classes(&penalised(Activation::Sigmoid, 0.0)), Ok(vec![0, 1, 1]));
        assert!(classes(&penalised(Activation::Linear, 0.0)).unwrap_err().contains("tells no class"));
        // What has no activation to tell must lie in 0 to 1.
        let unknown = Sequential::new([1]).add(UnitNormalization::new()).build(0).unwrap();
        assert!(classes(&unknown).unwrap_err().contains("output 0 is -1, no probability"));
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
    fn several_rows_a_sample_are_no_class() {
        let model = Sequential::new([4, 2]).add(Dense::new(3).activation(Activation::Softmax)).build(0).unwrap();
        assert_eq!(
            model.predict_classes(&Tensor::zeros([5, 4, 2])).unwrap_err().to_string(),
            "predict_classes: the model gives a sample 4 rows of outputs, not one class (3 outputs with softmax, not compiled); \
             end it with Flatten or a GlobalAveragePooling before the last Dense; where each row has a class of its own, \
             predict(x)?.argmax() gives those of all rows, one sample after the other"
        );
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
}
