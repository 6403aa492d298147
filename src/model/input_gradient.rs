//! The gradient of an output with respect to the input.

use super::built::Model;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Given, Plan, Work};
use crate::layer::{Pass, Reach};
use crate::memory;
use crate::tensor::{Float, Shape, Tensor, argmax};

/// Which output of a model is looked at: that of one class for every sample, or of the class that each is taken for.
///
/// By default the score before a last softmax or sigmoid (or the logarithm of one): the probability of a class also rises when the
/// others' scores fall, and its gradient vanishes where the model is certain (Simonyan et al. 2014).
/// [`activated`](Self::activated) asks for the model's output instead. Other last activations always count as part of the model.
///
/// ```
/// use gradus::prelude::*;
/// let (score, probability) = (Target::class(2), Target::predicted().activated(true));
/// # let _ = (score, probability);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    class: Option<usize>,
    activated: bool,
}

impl Target {
    /// The output of this class: its position in the row-major order of an output sample.
    pub const fn class(class: usize) -> Self {
        Target { class: Some(class), activated: false }
    }

    /// For each sample the largest output, the first of equals; where there is one output, that.
    pub const fn predicted() -> Self {
        Target { class: None, activated: false }
    }

    /// Whether the output is taken after a last softmax or sigmoid; no by default.
    pub const fn activated(mut self, activated: bool) -> Self {
        self.activated = activated;
        self
    }
}

impl<T: Float> Model<T> {
    /// ∂y/∂x for each sample of `x` `[n, …input]`, y one output of the sample; shaped like `x`.
    ///
    /// The model works as in `predict`: noise layers do nothing. A sample's gradient does not depend, to the bit, on the
    /// others in the call. See [`explain`](crate::explain) for what is made of it.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut model = Sequential::new([2]).add(Dense::new(2).activation(Activation::Softmax)).build(0)?;
    /// model.set_weight("dense/kernel", &[1.0, 2.0, 3.0, 4.0])?;
    /// // The score of class 1 is 2·x₀ + 4·x₁.
    /// let gradient = model.input_gradient(&Tensor::from([[0.5, -1.0]]), Target::class(1))?;
    /// assert_eq!(gradient, Tensor::from([[2.0, 4.0]]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` does not have the model's input shape;
    /// [`Error::NonFinite`] if it holds NaN or an infinity; [`Error::Argument`] for a class that the model does not have;
    /// [`Error::Config`] for a gradient of NaN.
    #[inline(never)]
    pub fn input_gradient(&self, x: &Tensor<T>, target: Target) -> Result<Tensor<T>> {
        let mut d = Differentiator::new("input_gradient", self, x, target)?;
        let mut out = x.clone();
        let (n, width) = (x.samples(), x.shape().sample().len());
        for start in (0..n).step_by(self.rows_together) {
            let end = (start + self.rows_together).min(n);
            d.reshape(end - start);
            d.x.as_mut_slice().copy_from_slice(&x.as_slice()[start * width..end * width]);
            d.forward();
            let positions: Vec<usize> = (0..end - start).map(|row| d.position(row)).collect();
            out.as_mut_slice()[start * width..end * width].copy_from_slice(d.backward(|row| positions[row]).as_slice());
        }
        d.check("gradient", &out)?;
        Ok(out)
    }
}

/// The buffers of gradients with respect to inputs, which are written into `x` before [`forward`](Self::forward).
#[derive(Debug)]
pub(crate) struct Differentiator<'a, T: Float> {
    op: &'static str,
    model: &'a Model<T>,
    target: Target,
    /// The last activation, where it is left out.
    left_out: Option<Activation>,
    work: Work<T>,
    plan: Plan,
    pub x: Tensor<T>,
    /// The shape of a sample of it.
    sample: Shape,
    row: Vec<T>,
}

impl<'a, T: Float> Differentiator<'a, T> {
    /// For a model, inputs and a target that fit each other.
    pub fn new(op: &'static str, model: &'a Model<T>, x: &Tensor<T>, target: Target) -> Result<Self> {
        use Activation::{LogSigmoid, LogSoftmax, Sigmoid, Softmax};
        model.check_single(op)?;
        model.check_input(op, x)?;
        if let Some((row, column, value)) = x.first_non_finite() {
            return Err(Error::NonFinite { op, what: "x", row, column, value: value.as_f64() });
        }
        let outputs = model.output_shape().len();
        let rows = x.samples().clamp(2, model.rows_together.max(2));
        let plan = model.net.plan(&model.params, &[true], &[true]);
        let values = model.net.space(rows, Some(&plan));
        memory::check_room::<T>(op, format_args!("what the layers compute for {rows} samples"), values)?;
        if let Some(class) = target.class.filter(|&class| class >= outputs) {
            let expected = format!("below {outputs}, the number of outputs");
            return Err(Error::argument(op, "class", expected, class, "classes count from 0"));
        }
        let ending = model.net.ending(0).filter(|e| !target.activated && e.reach >= Reach::Inference);
        let ending = ending.filter(|e| matches!(e.activation, Softmax | LogSoftmax | Sigmoid | LogSigmoid));
        let mut work = Work::default();
        model.net.leave_out(&mut work, ending.into_iter());
        // The sizes of all passes to come.
        model.net.prepare(&mut work, Given::Refs(&[x]))?;
        Ok(Differentiator {
            op,
            model,
            target,
            left_out: ending.map(|e| e.activation),
            work,
            plan,
            x: Tensor::default(),
            sample: x.shape().sample(),
            row: Vec::new(),
        })
    }

    /// An error for what comes of finite inputs and is no number, sample by sample.
    pub fn check(&self, what: &str, values: &Tensor<T>) -> Result<()> {
        let Some(at) = values.iter().position(|v| v.is_nan()) else { return Ok(()) };
        let row = at / values.shape().sample().len().max(1);
        let problem = format!("the {what} of row {row} is NaN, though the row is finite: a number inside overflows");
        Err(Error::Config { op: self.op, problem, hint: "scale the inputs as in training, or use an f64 model".into() })
    }

    fn pass(&self) -> Pass<'a, T> {
        Pass::differentiable(&self.model.params)
    }

    /// Makes room for inputs.
    pub fn reshape(&mut self, samples: usize) {
        self.x.resize(self.sample.with_batch(samples));
    }

    /// The outputs for `x`.
    pub fn forward(&mut self) {
        let mut pass = self.pass();
        self.model.net.run(&mut pass, &mut self.work, Given::Refs(&[&self.x]));
    }

    fn y(&self) -> &Tensor<T> {
        self.model.net.output(&self.work, 0)
    }

    /// The output at a position.
    pub fn output(&self, row: usize, position: usize) -> f64 {
        self.y().row(row).get(position).map_or(f64::NAN, |v| v.as_f64())
    }

    /// The position of the target in a row's outputs, as `predict_classes` would find it.
    pub fn position(&mut self, row: usize) -> usize {
        self.target.class.unwrap_or_else(|| {
            self.row.clear();
            let y = self.model.net.output(&self.work, 0);
            self.row.extend_from_slice(y.row(row));
            if let Some(activation) = self.left_out {
                activation.forward(&mut self.row, y.shape().last());
            }
            argmax(&self.row)
        })
    }

    /// After [`forward`](Self::forward): the gradients of each row's output at a position with respect to its input.
    pub fn backward(&mut self, position: impl Fn(usize) -> usize) -> &Tensor<T> {
        let mut pass = self.pass();
        let Differentiator { model, work, plan, x, .. } = self;
        let dy = model.net.output_gradient(work, plan, 0);
        dy.as_mut_slice().fill(T::zero());
        for row in 0..x.samples() {
            if let Some(d) = dy.row_mut(row).get_mut(position(row)) {
                *d = T::one();
            }
        }
        model.net.run_back(&mut pass, work, plan, Given::Refs(&[x]));
        // Asked for, and there as the output is computed from the input.
        model.net.input_gradient(work, plan, 0).unwrap_or(x)
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    fn model(last: Activation) -> Model<f64> {
        let inner = Residual::new().add(Dense::new(6).activation(Activation::Gelu)).add(Dense::new(6));
        Sequential::new([4])
            .add(Dropout::new(0.5))
            .add(Dense::new(6).activation(Activation::Mish))
            .add(inner)
            .add(GaussianNoise::new(0.3))
            .add(Dense::new(3).activation(last))
            .build_as(5)
            .unwrap()
    }

    /// a·b, where a overflows and b is 0.
    #[test]
    fn nan_is_no_gradient() {
        let unit = |kernel| Dense::new(1).kernel_initializer(kernel);
        let product = Multiply::new().branch(unit(Init::Constant(1e30))).branch(unit(Init::Zeros));
        let model = Sequential::new([1]).add(product).build(0).unwrap();
        let x = Tensor::from([[1.0f32], [1e30]]);
        let expected = |op: &str, what: &str| {
            format!(
                "{op}: the {what} of row 1 is NaN, though the row is finite: a number inside overflows; scale the inputs as in \
                 training, or use an f64 model"
            )
        };
        let error = model.input_gradient(&x, Target::class(0)).unwrap_err().to_string();
        assert_eq!(error, expected("input_gradient", "gradient"));
        assert!(model.input_gradient(&x.rows(0..1).unwrap(), Target::class(0)).is_ok());
        assert!(saliency(&model, &x, Target::class(0)).is_err());
        let error = IntegratedGradients::default().attribute(&model, &x, Target::class(0)).unwrap_err().to_string();
        assert_eq!(error, expected("IntegratedGradients", "attribution"));
    }

    fn samples(n: usize) -> Tensor<f64> {
        Tensor::from_fn([n, 4], |i| ((i * 29 % 97) as f64) * 0.03 - 1.4)
    }

    #[test]
    fn differences_of_scores_and_of_outputs() {
        let h = 1e-5;
        for (activation, activated) in
            [(Activation::Softmax, true), (Activation::Softmax, false), (Activation::Tanh, false)]
        {
            let (whole, scores) = (model(activation), model(Activation::Linear));
            let function = if activated || activation == Activation::Tanh { &whole } else { &scores };
            for class in 0..3 {
                let x = samples(5);
                let gradient = whole.input_gradient(&x, Target::class(class).activated(activated)).unwrap();
                for i in 0..x.len() {
                    let at = |h: f64| {
                        let mut moved = x.clone();
                        moved.as_mut_slice()[i] += h;
                        function.predict(&moved).unwrap().row(i / 4)[class]
                    };
                    let difference = (at(h) - at(-h)) / (2.0 * h);
                    assert!((gradient.as_slice()[i] - difference).abs() < 1e-8, "{activation} {class} {i}");
                }
            }
        }
    }

    #[test]
    fn the_same_bits_in_any_company() {
        let model = model(Activation::Softmax);
        let x = samples(600);
        let all = model.input_gradient(&x, Target::predicted()).unwrap();
        let classes = model.predict_classes(&x).unwrap();
        for i in (0..600).step_by(7) {
            let row = x.rows(i..i + 1).unwrap();
            assert_eq!(model.input_gradient(&row, Target::predicted()).unwrap().as_slice(), all.row(i));
            assert_eq!(model.input_gradient(&row, Target::class(classes[i])).unwrap().as_slice(), all.row(i));
        }
        assert!(model.input_gradient(&samples(0), Target::predicted()).unwrap().is_empty());
    }

    #[test]
    fn impossible_arguments() {
        let model = model(Activation::Softmax);
        let error = |x: &Tensor<f64>, target| model.input_gradient(x, target).unwrap_err();
        assert_eq!(
            error(&samples(1), Target::class(3)).to_string(),
            "input_gradient: class must be below 3, the number of outputs, got 3; classes count from 0"
        );
        assert!(error(&Tensor::zeros([2, 5]), Target::class(0)).is_shape());
        assert!(error(&Tensor::full([1, 4], f64::NAN), Target::class(0)).to_string().contains("x has NaN in row 0"));
    }
}
