//! A training loop of one's own: forward, backward from any gradient, and the compiled optimizer.

use super::built::Model;
use crate::error::{Error, Result};
use crate::graph::{Given, Plan, Work};
use crate::layer::{Pass, Statistics};
use crate::tensor::{Float, Tensor};

/// The buffers of a training loop of one's own over a model: values, gradients of values and of weights. They grow with the first step and
/// are used again after it.
///
/// Made by [`Model::training_loop`]. A step is [`forward`](Self::forward), the gradients of the outputs written to
/// [`output_gradient`](Self::output_gradient), [`backward`](Self::backward), and [`apply`](Self::apply); forward and backward may come several
/// times before, and add up.
///
/// ```
/// use gradus::prelude::*;
/// let mut model = Sequential::new([2]).add(Dense::new(1)).build(1)?;
/// model.compile(Sgd::default().learning_rate(0.1), MeanSquaredError::default(), ())?;
/// let mut steps = model.training_loop();
/// let x = Tensor::from([[1.0, 2.0]]);
/// for _ in 0..100 {
///     steps.forward(&model, &[&x])?;
///     // A loss of one's own, (y − 3)², by its gradient.
///     let y = steps.output(&model, 0)?.as_slice()[0];
///     steps.output_gradient(&model, 0)?.as_mut_slice()[0] = 2.0 * (y - 3.0);
///     steps.backward(&model, &[&x])?;
///     steps.apply(&mut model)?;
/// }
/// assert!((model.predict(&x)?.as_slice()[0] - 3.0).abs() < 1e-3);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// Keras: `GradientTape` and `optimizer.apply`; PyTorch: `loss.backward()` and `optimizer.step()`.
#[derive(Debug)]
pub struct TrainingLoop<T: Float = f32> {
    work: Work<T>,
    plan: Plan,
    /// Which parameters were trained when the plan was made.
    trained: Vec<bool>,
    gradients: Vec<T>,
    statistics: Statistics<T>,
    /// Values of the inputs for which there is known to be memory.
    room: usize,
    /// The number of the forward pass, by which noise is drawn.
    pass: u64,
    /// Whether a forward pass stands, and a pass back behind it.
    forwarded: bool,
    went_back: bool,
}

impl<T: Float> Model<T> {
    /// Buffers for a [`TrainingLoop`]: gradients of all weights that are trained, as the model says it at each forward pass, and of all
    /// inputs.
    pub fn training_loop(&self) -> TrainingLoop<T> {
        TrainingLoop {
            work: Work::recomputing(self.recomputes),
            plan: self.plan_of_all(),
            trained: self.trained().collect(),
            gradients: vec![T::zero(); self.params.len()],
            statistics: Statistics::new(&self.params),
            room: 0,
            pass: 0,
            forwarded: false,
            went_back: false,
        }
    }

    fn plan_of_all(&self) -> Plan {
        let all = |n| vec![true; n];
        self.net.plan(&self.params, &all(self.net.inputs()), &all(self.net.outputs()))
    }

    fn trained(&self) -> impl Iterator<Item = bool> {
        self.params.specs().iter().map(|spec| spec.trainable)
    }
}

impl<T: Float> TrainingLoop<T> {
    fn fits(&self, op: &'static str, model: &Model<T>) -> Result<()> {
        if self.gradients.len() == model.params.len() && model.net.made(&self.plan) {
            return Ok(());
        }
        let problem = "the buffers are another model's".to_owned();
        Err(Error::Config { op, problem, hint: "pass the model whose training_loop made them".into() })
    }

    /// Computes all values for a batch, one tensor for each input, as training does: noise drops, statistics are gathered.
    ///
    /// # Errors
    /// [`Error::Argument`] and [`Error::Shape`] for inputs that do not fit; [`Error::Memory`] for a batch larger than those before for
    /// which there is no memory; [`Error::Config`] for the buffers of another model.
    pub fn forward(&mut self, model: &Model<T>, x: &[&Tensor<T>]) -> Result<()> {
        self.fits("forward", model)?;
        model.check_inputs("forward", x)?;
        if !model.trained().eq(self.trained.iter().copied()) {
            // Frozen or thawed since the last pass: gradients flow elsewhere.
            self.plan = model.plan_of_all();
            self.trained = model.trained().collect();
            self.room = 0;
        }
        let x = Given::Refs(x);
        // Before anything is touched, so that the last pass stands.
        model.net.check_room("forward", &mut self.work, Some(&self.plan), x, &mut self.room)?;
        model.net.prepare(&mut self.work, x)?;
        self.pass += 1;
        let mut pass = Pass::training(&model.params, &mut self.gradients, model.seed, self.pass, 0)
            .with_statistics(&mut self.statistics);
        model.net.run(&mut pass, &mut self.work, x);
        (self.forwarded, self.went_back) = (true, false);
        Ok(())
    }

    /// An output of the last forward pass, by its position.
    ///
    /// # Errors
    /// [`Error::Argument`] for a position that no output has; [`Error::Config`] before [`forward`](Self::forward).
    pub fn output<'a>(&'a self, model: &Model<T>, output: usize) -> Result<&'a Tensor<T>> {
        self.place("output", model, output)?;
        Ok(model.net.output(&self.work, output))
    }

    /// Where the gradient dL/dy of an output goes before [`backward`](Self::backward), shaped like the output. It is to be written for
    /// every output, as zeros where there is none; what it holds before is unspecified.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn output_gradient<'a>(&'a mut self, model: &Model<T>, output: usize) -> Result<&'a mut Tensor<T>> {
        self.place("output_gradient", model, output)?;
        Ok(model.net.output_gradient(&mut self.work, &self.plan, output))
    }

    fn place(&self, op: &'static str, model: &Model<T>, output: usize) -> Result<()> {
        self.fits(op, model)?;
        if !self.forwarded {
            let problem = "there are no values yet".to_owned();
            return Err(Error::Config { op, problem, hint: "call forward before".into() });
        }
        let outputs = model.net.outputs();
        match output < outputs {
            true => Ok(()),
            false => Err(Error::argument(op, "output", format!("below {outputs}"), output, "outputs count from 0")),
        }
    }

    /// From the gradients of the outputs: adds to those of the weights, computes those of the inputs. `x` are the inputs of the last forward
    /// pass. The gradients of the outputs are used up.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::Config`] before it, and for an output whose gradient has not been written since the last
    /// pass; [`Error::Shape`] for one of another shape.
    pub fn backward(&mut self, model: &Model<T>, x: &[&Tensor<T>]) -> Result<()> {
        self.fits("backward", model)?;
        let mut pass = Pass::training(&model.params, &mut self.gradients, model.seed, self.pass, 0);
        model.net.backward(&mut pass, &mut self.work, &self.plan, x)?;
        self.went_back = true;
        Ok(())
    }

    /// The gradient of an input after [`backward`](Self::backward), by its position.
    ///
    /// # Errors
    /// [`Error::Argument`] for a position that no input has; [`Error::Config`] before [`backward`](Self::backward), and for the buffers of
    /// another model.
    pub fn input_gradient<'a>(&'a self, model: &Model<T>, input: usize) -> Result<&'a Tensor<T>> {
        const OP: &str = "input_gradient";
        self.fits(OP, model)?;
        if !self.went_back {
            let problem = "there are no gradients yet".to_owned();
            return Err(Error::Config { op: OP, problem, hint: "call forward and backward before".into() });
        }
        let inputs = model.net.inputs();
        model.net.input_gradient(&self.work, &self.plan, input).ok_or_else(|| {
            Error::argument("input_gradient", "input", format!("below {inputs}"), input, "inputs count from 0")
        })
    }

    /// The gradient of a weight that has been added up, by its name, such as `"dense/kernel"`.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such weight.
    pub fn gradient(&self, model: &Model<T>, name: &str) -> Result<&[T]> {
        self.fits("gradient", model)?;
        let id = model.find(name)?;
        Ok(model.params.spec(id).map_or(&[], |spec| &self.gradients[spec.range.clone()]))
    }

    /// The gradients of all weights, laid out as [`Model::params`], to be looked at or changed.
    pub fn gradients_mut(&mut self) -> &mut [T] {
        &mut self.gradients
    }

    /// Forgets the gradients that have been added up, and the statistics of the passes.
    pub fn clear(&mut self) {
        self.gradients.fill(T::zero());
        self.statistics.clear();
    }

    /// One step of the compiled optimizer by the gradients that have been added up, those of penalties on weights with them; then they are
    /// zero again. Statistics take their places.
    ///
    /// # Errors
    /// [`Error::NotCompiled`] before `compile`; [`Error::Diverged`] where a gradient or a new weight is not finite: the weights are as
    /// before.
    pub fn apply(&mut self, model: &mut Model<T>) -> Result<()> {
        const OP: &str = "apply";
        self.fits(OP, model)?;
        let Some(training) = &mut model.training else { return Err(Error::NotCompiled { op: OP }) };
        let step = training.state.step as usize + 1;
        let finite = training.apply(&mut model.params, &mut self.gradients, model.seed);
        if finite {
            self.statistics.apply(&mut model.params);
        }
        self.clear();
        if finite {
            return Ok(());
        }
        let (what, cause) = ("a gradient or a new weight", "Lower the learning rate or clip the gradients.".to_owned());
        Err(Error::Diverged { op: OP, what, epoch: 1, step, value: f64::NAN, cause })
    }
}
