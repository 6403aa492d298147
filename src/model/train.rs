//! One step of training: forward, loss, backward, update.

use crate::activations::Activation;
use crate::kernels::parallel;
use crate::layer::{Pass, Slot};
use crate::layers::composite::Chain;
use crate::losses::Loss;
use crate::metrics::Metric;
use crate::optimizers::{Optimizer, OptimizerState};
use crate::params::Params;
use crate::tensor::{Float, Tensor};

/// What training adds to a model: how it is trained, and the buffers that a step reuses.
#[derive(Debug)]
pub(crate) struct Training<T: Float> {
    pub optimizer: Box<dyn Optimizer<T>>,
    pub state: OptimizerState<T>,
    pub loss: Box<dyn Loss<T>>,
    pub metrics: Vec<Box<dyn Metric<T>>>,
    /// The loss from logits and the activation that it stands for, where both meet at the end of the model.
    fused: Option<(Box<dyn Loss<T>>, Activation)>,
    gradients: Vec<T>,
    buffers: Buffers<T>,
}

/// The tensors of one step.
#[derive(Debug, Default)]
pub(crate) struct Buffers<T> {
    slot: Slot<T>,
    /// The batch's inputs.
    pub x: Tensor<T>,
    /// The batch's targets.
    pub t: Tensor<T>,
    y: Tensor<T>,
    dy: Tensor<T>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The loss of the batch.
    Done(f64),
    /// The loss is not finite; nothing was changed.
    Loss(f64),
    /// A gradient is not finite.
    Gradient,
}

impl<T: Float> Training<T> {
    pub fn new(
        optimizer: Box<dyn Optimizer<T>>,
        loss: Box<dyn Loss<T>>,
        metrics: Vec<Box<dyn Metric<T>>>,
        activation: Option<Activation>,
        params: &Params<T>,
    ) -> Self {
        let fused = activation.and_then(|a| Some((loss.with_logits(a)?, a)));
        Training {
            state: OptimizerState::new(&*optimizer, params),
            optimizer,
            loss,
            metrics,
            fused,
            gradients: vec![T::zero(); params.len()],
            buffers: Buffers::default(),
        }
    }

    /// The buffers that take the next batch.
    pub fn batch(&mut self) -> &mut Buffers<T> {
        &mut self.buffers
    }

    /// One step on the batch in the buffers.
    pub fn step(&mut self, layers: &Chain<T>, params: &mut Params<T>, seed: u64) -> Outcome {
        let work = params.len() * self.buffers.x.samples();
        parallel::enter(work, || self.step_here(layers, params, seed))
    }

    fn step_here(&mut self, layers: &Chain<T>, params: &mut Params<T>, seed: u64) -> Outcome {
        let value = self.differentiate(layers, params, seed);
        if !value.is_finite() {
            self.gradients.fill(T::zero());
            return Outcome::Loss(value);
        }
        // Metrics see what the model gives, not the logits.
        let Buffers { t, y, .. } = &mut self.buffers;
        if let (Some((_, activation)), false) = (&self.fused, self.metrics.is_empty()) {
            let width = y.shape().last();
            activation.forward(y.as_mut_slice(), width);
        }
        for metric in &mut self.metrics {
            metric.update(t, y, None);
        }
        // The update leaves the gradients zero.
        if self.state.step(&*self.optimizer, params, &mut self.gradients) {
            Outcome::Done(value)
        } else {
            Outcome::Gradient
        }
    }

    /// Forward, loss and backward on the batch in the buffers: the loss; its gradient is added to the gradients.
    fn differentiate(&mut self, layers: &Chain<T>, params: &Params<T>, seed: u64) -> f64 {
        let Buffers { slot, x, t, y, dy } = &mut self.buffers;
        let output = layers.output().with_batch(x.samples());
        y.resize(output);
        dy.resize(output);
        let (loss, logits) = match &self.fused {
            Some((loss, _)) => (&**loss, true),
            None => (&*self.loss, false),
        };
        let mut pass = Pass::training(params, &mut self.gradients, seed, self.state.step, 0);
        pass.logits = logits;
        layers.forward(&mut pass, slot, x, y);
        let value = loss.batch(t, y, None, output.rows(), Some(dy));
        if value.is_finite() {
            layers.backward(&mut pass, slot, x, y, dy, None);
        }
        value
    }

    /// The loss of outputs as `evaluate` reports it.
    pub fn loss_of(&self, t: &Tensor<T>, y: &Tensor<T>) -> f64 {
        self.loss.batch(t, y, None, y.shape().rows(), None)
    }

    /// The loss of the batch in the buffers and the gradient of every weight, without an update.
    pub fn gradients(&mut self, layers: &Chain<T>, params: &Params<T>, seed: u64) -> (f64, Vec<T>) {
        let value = self.differentiate(layers, params, seed);
        let gradients = self.gradients.clone();
        self.gradients.fill(T::zero());
        (value, gradients)
    }
}
