//! One step of training: forward, loss, backward, update.

use super::sample_weights::check_weights;
use crate::activations::Activation;
use crate::callbacks::{Described, Run};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::graph::{Ending, Net, Plan, Work};
use crate::kernels::parallel;
use crate::layer::{Pass, Reach, Statistics};
use crate::losses::Loss;
use crate::memory;
use crate::metrics::Metric;
use crate::optimizers::{Optimizer, OptimizerState};
use crate::params::Params;
use crate::state::State;
use crate::tensor::{Float, Shape, Tensor};

/// What training adds to a model: how it is trained, and the buffers that a step reuses.
#[derive(Debug)]
pub(crate) struct Training<T: Float> {
    pub optimizer: Box<dyn Optimizer<T>>,
    pub state: OptimizerState<T>,
    pub loss: Box<dyn Loss<T>>,
    pub metrics: Vec<Box<dyn Metric<T>>>,
    /// What each metric has gathered of the epoch.
    pub sums: Vec<Vec<f64>>,
    /// The metrics' names in the history; a second `precision` is `precision_1`.
    names: Vec<String>,
    /// The loss from logits and the activation that it stands for, where both meet at the end of the model: in inference, and
    /// in training unless there is noise between them.
    fused: Option<Fused<T>>,
    /// Batches whose gradients have been added up since the last update.
    pub accumulated: u64,
    /// The sum of the gradients of these batches, laid out as the weights.
    pub gradients: Vec<T>,
    /// For each parameter whether one of these batches has written its gradient; what stands there else is left over.
    pub has_gradient: Vec<bool>,
    /// What layers have found out about the batch (moving averages), until the step is done.
    statistics: Statistics<T>,
    /// Whether any weight has a penalty, and whether any has bounds.
    penalised: bool,
    bounded: bool,
    buffers: Buffers<T>,
    /// The way back to what is trained.
    plan: Plan,
    /// Samples of a batch for which there is known to be memory.
    room: usize,
    /// Where the last run stands, with its callbacks; what a checkpoint holds beside weights and optimizer.
    pub last: Option<State>,
    /// Whether the next run goes on from there, and whether it may with other settings.
    pub resumes: bool,
    #[cfg(feature = "files")]
    pub accepts_changes: bool,
    /// The digest of the weights with which the first run since `compile` began.
    #[cfg(feature = "files")]
    pub started: Option<u64>,
}

/// Names with `_1`, `_2` … after those that occurred before.
pub(super) fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in names {
        let free = (1..).map(|i| format!("{name}_{i}")).find(|n| !out.contains(n));
        out.push(if out.contains(&name) { free.unwrap_or_default() } else { name });
    }
    out
}

#[derive(Debug)]
struct Fused<T: Float> {
    loss: Box<dyn Loss<T>>,
    ending: Ending,
    activation: Activation,
    in_training: bool,
}

impl<T: Float> Fused<T> {
    fn new(ending: Ending, loss: &dyn Loss<T>) -> Option<Self> {
        let Ending { activation, reach, .. } = ending;
        let loss = loss.with_logits(activation).filter(|_| reach >= Reach::Inference)?;
        Some(Fused { loss, ending, activation, in_training: reach == Reach::Training })
    }

    /// Turns logits into what the model gives.
    fn activate(&self, y: &mut Tensor<T>) {
        let width = y.shape().last();
        self.activation.forward(y.as_mut_slice(), width);
    }
}

/// What is fused in training.
fn in_training<T: Float>(fused: &Option<Fused<T>>) -> Option<&Fused<T>> {
    fused.as_ref().filter(|f| f.in_training)
}

/// The tensors of one step.
#[derive(Debug, Default)]
pub(crate) struct Buffers<T> {
    work: Work<T>,
    pub batch: Batch<T>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The loss of the batch.
    Done(f64),
    /// The loss is not finite; nothing was changed.
    Loss(f64),
    /// A gradient, the learning rate or a new weight is not finite; the weights are.
    Update,
}

impl<T: Float> Training<T> {
    pub fn new(
        optimizer: Box<dyn Optimizer<T>>,
        loss: Box<dyn Loss<T>>,
        metrics: Vec<Box<dyn Metric<T>>>,
        ending: Option<Ending>,
        output: Shape,
        net: &Net<T>,
        params: &Params<T>,
    ) -> Result<Self> {
        let buffers = 1 + optimizer.moments().len() + usize::from(optimizer.options().ema_momentum.is_some());
        let what = format_args!("gradients and moments of {} weights", params.len());
        memory::check_room::<T>("compile", what, params.len().saturating_mul(buffers))?;
        let fused = ending.and_then(|ending| Fused::new(ending, &*loss));
        let mut buffers = Buffers::default();
        net.leave_out(&mut buffers.work, in_training(&fused).map(|fused| fused.ending).into_iter());
        Ok(Training {
            state: OptimizerState::new(&*optimizer, params),
            optimizer,
            loss,
            sums: metrics.iter().map(|m| vec![0.0; m.sums(output)]).collect(),
            names: unique(metrics.iter().map(|m| m.name())),
            metrics,
            fused,
            penalised: params.specs().iter().any(|s| s.regularizer.is_some()),
            bounded: params.specs().iter().any(|s| s.constraint.is_some()),
            accumulated: 0,
            gradients: vec![T::zero(); params.len()],
            has_gradient: vec![false; params.specs().len()],
            statistics: Statistics::new(params),
            buffers,
            plan: net.plan(params, &[], &[true]),
            room: 0,
            last: None,
            resumes: false,
            #[cfg(feature = "files")]
            accepts_changes: false,
            #[cfg(feature = "files")]
            started: None,
        })
    }

    /// The batch of the last step.
    pub fn loaded(&self) -> &Batch<T> {
        &self.buffers.batch
    }

    /// Checks the shapes of targets and outputs, both with the batch axis.
    pub fn check_shapes(&self, targets: Shape, output: Shape) -> Result<()> {
        self.loss.check(targets, output)?;
        self.metrics.iter().try_for_each(|m| m.check(targets, output))
    }

    /// Checks targets against outputs of this shape.
    pub fn check_targets(&self, y: &Tensor<T>, output: Shape) -> Result<()> {
        self.loss.check(y.shape(), output)?;
        self.loss.check_targets(y, output)?;
        for metric in &self.metrics {
            metric.check(y.shape(), output)?;
            metric.check_targets(y, output)?;
        }
        Ok(())
    }

    /// Checks a batch of a dataset for a model of this input shape.
    fn check_batch(&self, input: Shape, output: Shape) -> Result<()> {
        let Batch { x, y, weights } = &self.buffers.batch;
        if x.samples() == 0 || x.is_empty() {
            return Err(Error::Empty { op: "fit", what: "a batch of the dataset" });
        }
        if !x.holds(&input) || y.samples() != x.samples() || y.shape().rank() == 0 {
            let expected = format!("a batch of samples of shape {input} and as many targets");
            let got = format!("{} and {}", x.shape(), y.shape());
            return Err(Error::shape("fit", expected, got, "let the dataset fill both with its shapes"));
        }
        if !weights.is_empty() {
            check_weights("fit", x.samples(), weights)?;
        }
        self.check_targets(y, output.with_batch(x.samples()))
    }

    /// One step on a batch of about `samples`, which `load` writes into the buffers; it says whether the batch has yet to be
    /// checked for samples of shape `input`.
    pub fn step(
        &mut self,
        samples: usize,
        load: impl FnOnce(&mut Batch<T>) -> Result<bool> + Send,
        input: Shape,
        net: &Net<T>,
        params: &mut Params<T>,
        seed: u64,
    ) -> Result<Outcome> {
        parallel::enter(params.len().saturating_mul(samples), || {
            if load(&mut self.buffers.batch)? {
                self.check_batch(input, net.output_shape(0))?;
            }
            self.check_room("fit", net)?;
            Ok(self.step_here(net, params, seed))
        })
    }

    /// Copies a batch into the buffers.
    pub fn take(&mut self, op: &'static str, x: &Tensor<T>, y: &Tensor<T>) -> Result<()> {
        let Batch { x: own, y: targets, weights } = &mut self.buffers.batch;
        if x.len() > own.len() || y.len() > targets.len() {
            let values = x.len().saturating_add(y.len());
            memory::check_room::<T>(op, format_args!("a copy of the batch of {}", x.samples()), values)?;
        }
        own.copy_from(x);
        targets.copy_from(y);
        weights.clear();
        Ok(())
    }

    /// Looks whether there is memory for a step on the batch, when it is larger than those before.
    fn check_room(&mut self, op: &'static str, net: &Net<T>) -> Result<()> {
        let samples = self.samples();
        if samples <= self.room {
            return Ok(());
        }
        let values = net.space(samples, Some(&self.plan));
        memory::check_room::<T>(op, format_args!("what the layers compute for a batch of {samples}"), values)?;
        self.room = samples;
        Ok(())
    }

    /// The samples of the batch that was loaded last.
    pub fn samples(&self) -> usize {
        self.buffers.batch.x.samples()
    }

    fn step_here(&mut self, net: &Net<T>, params: &mut Params<T>, seed: u64) -> Outcome {
        if self.accumulated == 0 {
            self.has_gradient.fill(false);
        }
        let value = self.differentiate(net, params, seed);
        if !value.is_finite() {
            self.statistics.clear();
            return Outcome::Loss(value);
        }
        self.accumulated += 1;
        if let (Some(fused), false) = (in_training(&self.fused), self.metrics.is_empty()) {
            fused.activate(net.output_mut(&mut self.buffers.work, 0));
        }
        let Buffers { batch: Batch { y: t, .. }, work } = &self.buffers;
        let y = net.output(work, 0);
        for (metric, sums) in self.metrics.iter().zip(&mut self.sums) {
            metric.update(sums, t, y, None);
        }
        let waits = self.accumulated < self.optimizer.options().gradient_accumulation_steps;
        if !waits && !self.update(params) {
            self.statistics.clear();
            return Outcome::Update;
        }
        self.statistics.apply(params);
        Outcome::Done(value)
    }

    /// The update of the weights from the mean of the gradients that have been added up; whether all was finite.
    fn update(&mut self, params: &mut Params<T>) -> bool {
        clear_unwritten(params, &self.has_gradient, &mut self.gradients);
        if self.accumulated > 1 {
            let part = T::one() / T::of(self.accumulated as f64);
            parallel::rows(&mut self.gradients, 1, 1, |_, g| g.iter_mut().for_each(|g| *g *= part));
        }
        self.accumulated = 0;
        let before = self.state.step;
        let finite = self.state.step(&*self.optimizer, params, &mut self.gradients);
        if self.bounded && self.state.step != before {
            params.constrain();
        }
        finite
    }

    /// Forward, loss with all penalties, and backward on the batch in the buffers: the loss. Where it is finite, its gradient is
    /// added where `has_gradient` says that there is one, else nothing is changed.
    fn differentiate(&mut self, net: &Net<T>, params: &Params<T>, seed: u64) -> f64 {
        let Buffers { work, batch: Batch { x, y: t, weights: w } } = &mut self.buffers;
        let fused = in_training(&self.fused);
        let loss = fused.map_or(&*self.loss, |f| &*f.loss);
        // Random draws are keyed by the number of batches before this one.
        let batches = self.state.step.wrapping_mul(self.optimizer.options().gradient_accumulation_steps);
        let batches = batches.wrapping_add(self.accumulated);
        let mut pass = Pass::training(params, &mut self.gradients, seed, batches, 0)
            .replacing(&mut self.has_gradient)
            .with_statistics(&mut self.statistics);
        net.run(&mut pass, work, &[x]);
        let (y, dy) = net.output_pair(work, &self.plan, 0);
        let value = loss.batch(t, y, (!w.is_empty()).then_some(w), y.shape().rows(), Some(dy));
        let value = value + pass.penalty() + if self.penalised { params.penalty() } else { 0.0 };
        if value.is_finite() {
            net.run_back(&mut pass, work, &self.plan, &[x]);
            if self.penalised {
                pass.regularize();
            }
        }
        value
    }

    /// What callbacks are handed.
    pub fn run<'a>(
        &'a mut self,
        described: Described<'a>,
        params: &'a mut Params<T>,
        resumed: bool,
        stop: &'a mut bool,
        notes: &'a mut Vec<String>,
    ) -> Run<'a, T> {
        let scheduled = self.optimizer.options().learning_rate.at(self.state.step);
        Run { described, params, rate: &mut self.state.learning_rate, scheduled, resumed, stop, notes }
    }

    /// The names of the figures that every epoch will have.
    pub fn figure_names(&self, validated: bool) -> Vec<String> {
        let names = std::iter::once("loss").chain(self.names.iter().map(String::as_str));
        let both = names.clone().map(str::to_owned);
        match validated {
            true => both.chain(names.map(|name| format!("val_{name}"))).collect(),
            false => both.collect(),
        }
    }

    /// The metrics' names and their figures from sums.
    pub fn figures(&self, sums: &[Vec<f64>]) -> impl Iterator<Item = (String, f64)> {
        self.names.iter().cloned().zip(self.metrics.iter().zip(sums).map(|(metric, sums)| metric.result(sums)))
    }

    /// The model's last activation, where it is left to the loss in inference.
    pub fn logits(&self) -> Option<Ending> {
        self.fused.as_ref().map(|fused| fused.ending)
    }

    /// The loss of outputs, which are logits where there are [`logits`](Self::logits); they are activated afterwards.
    pub fn score(&self, t: &Tensor<T>, y: &mut Tensor<T>, weights: Option<&[T]>) -> f64 {
        let loss = self.fused.as_ref().map_or(&*self.loss, |f| &*f.loss);
        let value = loss.batch(t, y, weights, y.shape().rows(), None);
        if let Some(fused) = &self.fused {
            fused.activate(y);
        }
        value
    }

    /// The loss of the batch in the buffers and the gradient of every weight, without an update; what has been added up for
    /// the next one stays.
    pub fn gradients(&mut self, net: &Net<T>, params: &Params<T>, seed: u64) -> Result<(f64, Vec<T>)> {
        self.check_room("gradients", net)?;
        let what = format_args!("the gradients of {} weights", params.len());
        let own = memory::filled("gradients", what, params.len(), T::zero())?;
        let kept = std::mem::replace(&mut self.gradients, own);
        let has_gradient = std::mem::replace(&mut self.has_gradient, vec![false; params.specs().len()]);
        let value = self.differentiate(net, params, seed);
        self.has_gradient = has_gradient;
        self.statistics.clear();
        Ok((value, std::mem::replace(&mut self.gradients, kept)))
    }

    /// Takes notice that weights were frozen, thawed or given another learning-rate factor.
    pub fn refresh_segments(&mut self, net: &Net<T>, params: &Params<T>) {
        self.plan = net.plan(params, &[], &[true]);
        self.room = 0;
        self.state.refresh_segments(&*self.optimizer, params);
    }
}

/// Zeroes the gradients that no batch has written.
fn clear_unwritten<T: Float>(params: &Params<T>, has_gradient: &[bool], gradients: &mut [T]) {
    for (spec, _) in params.specs().iter().zip(has_gradient).filter(|(_, has_gradient)| !**has_gradient) {
        gradients[spec.range.clone()].fill(T::zero());
    }
}
