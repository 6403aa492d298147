//! One step of training: forward, loss and backward ([`super::differentiate`]), update.

use super::blocks::Blocks;
use super::masked::{CountedRows, Counts};
use super::trained_head::{Figure, TrainedHead, add_loss, figures, in_training, mean, of_head};
use crate::callbacks::{Described, Run};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::graph::{Ending, Given, Net, Plan, RowNode, Work};
use crate::kernels::parallel;
use crate::layer::{Pass, Statistics};
use crate::memory;
use crate::optimizers::{Optimizer, OptimizerState, room};
use crate::params::Params;
use crate::state::State;
use crate::tensor::{Float, Tensor};
use crate::written::Written;

/// What training adds to a model: how it is trained, and the buffers that a step reuses.
#[derive(Debug)]
pub(crate) struct Training<T: Float> {
    pub optimizer: Box<dyn Optimizer<T>>,
    pub state: OptimizerState<T>,
    /// The outputs that have a loss or metrics, in their order: one target each.
    pub heads: Vec<TrainedHead<T>>,
    /// What each figure has gathered of the epoch.
    pub sums: Vec<Vec<f64>>,
    /// The figures in the order of `sums`.
    pub(super) figures: Vec<Figure>,
    /// The batches whose gradients have been added up since the last update.
    pub accumulated: Accumulated,
    /// The sum of the gradients of these batches, each times its rows that count over those of the last, laid out as the weights.
    pub gradients: Vec<T>,
    /// What of it these batches have written; what stands elsewhere is left over.
    pub written: Written,
    /// What layers have found out about the batch (moving averages), until the step is done.
    pub(super) statistics: Statistics<T>,
    /// Whether any weight has a penalty, and whether any has bounds.
    pub(super) penalised: bool,
    bounded: bool,
    /// Whether a step is under way, or was when a layer panicked.
    pub(super) under_way: bool,
    /// Whether the last run ended in an error that all its ranks have.
    pub failed_together: bool,
    /// What layers have added to the loss of the last batch.
    pub(super) layer_penalty: f64,
    pub(super) buffers: Buffers<T>,
    /// The way back to what is trained.
    pub(super) plan: Plan,
    /// Values of a batch's inputs for which there is known to be memory.
    pub(super) room: usize,
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

/// Batches whose gradients have been added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Accumulated {
    pub batches: u64,
    /// The rows that count in them, in all outputs with a loss.
    pub rows: u64,
    /// Those of the last batch that had any. 0 although there are `rows` where these are not known, in a file of before: then they are so
    /// many batches, which weigh as the next one does.
    pub last: u64,
}

/// The tensors of one step.
#[derive(Debug, Default)]
pub(crate) struct Buffers<T: Float> {
    pub(super) work: Work<T>,
    pub batch: Batch<T>,
    /// What of each head's output counts, where not all of it does.
    pub(super) counted: Vec<CountedRows<T>>,
    /// Targets for a check of those that count.
    memory: Tensor<T>,
    pub(super) blocks: Blocks<T>,
    /// The sums of metrics before the batch, where they are taken by rows.
    pub(super) sums: Vec<Vec<f64>>,
}

impl<T: Float> Buffers<T> {
    /// Others for steps of the same kind, with nothing in them.
    pub(super) fn of_the_kind(&self) -> Self {
        Buffers { work: self.work.of_the_kind(), ..Buffers::default() }
    }
}

/// What a gradient is taken for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Purpose {
    /// Itself.
    Alone,
    /// An update, one of so many batches for it.
    Step(u64),
    /// A shard of a batch, whose first row has this number in the batch.
    Shard(u64),
}

/// What random draws of a pass are keyed by: the seed, the batches before this one, and the number of its first row.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassKey {
    pub seed: u64,
    pub batch: u64,
    pub first_row: u64,
}

impl PassKey {
    pub fn pass<'a, T: Float>(self, params: &'a Params<T>, gradients: &'a mut [T]) -> Pass<'a, T> {
        Pass::training(params, gradients, self.seed, self.batch, self.first_row)
    }
}

/// Where a pass stands before its way back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    /// The loss.
    pub value: f64,
    /// Whether there is a way back.
    pub back: bool,
    pub key: PassKey,
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
        mut heads: Vec<TrainedHead<T>>,
        net: &Net<T>,
        params: &Params<T>,
    ) -> Result<Self> {
        let what = format_args!("gradients and moments of {} weights", params.len());
        memory::check_room::<T>("compile", what, room(&*optimizer, params.len()))?;
        let by_rows = net.row_nodes(|output| heads.iter().any(|head| head.output == output && head.goes_by_rows()));
        for head in &mut heads {
            head.by_rows = by_rows.iter().copied().find(|at| at.output == head.output);
        }
        let outputs = net.output_shapes();
        let figures = figures(&heads, outputs.len() > 1);
        let sums_of = |figure: &Figure| match (figure.metric, &heads[figure.head]) {
            (Some(metric), head) => head.metrics[metric].sums(outputs[head.output].with_batch(1)),
            (None, _) => 2,
        };
        let all = figures.iter().map(sums_of).fold(0, usize::saturating_add);
        memory::check_room::<f64>("compile", format_args!("the {all} sums of metrics"), all)?;
        let mut buffers = Buffers::default();
        net.leave_by_rows(&mut buffers.work, &by_rows);
        net.leave_out(&mut buffers.work, heads.iter().filter_map(|head| Some(in_training(&head.fused)?.ending)));
        Ok(Training {
            state: OptimizerState::new(&*optimizer, params),
            optimizer,
            sums: figures.iter().map(|figure| vec![0.0; sums_of(figure)]).collect(),
            figures,
            penalised: params.specs().iter().any(|s| s.regularizer.is_some()),
            bounded: params.specs().iter().any(|s| s.constraint.is_some()),
            under_way: false,
            failed_together: false,
            layer_penalty: 0.0,
            accumulated: Accumulated::default(),
            gradients: vec![T::zero(); params.len()],
            written: Written::new(params),
            statistics: Statistics::new(params),
            buffers,
            plan: way_back(&heads, net, params),
            heads,
            room: 0,
            last: None,
            resumes: false,
            #[cfg(feature = "files")]
            accepts_changes: false,
            #[cfg(feature = "files")]
            started: None,
        })
    }

    /// Whether values inside of blocks are computed again on the way back.
    pub fn recompute(&mut self, recomputes: bool) {
        self.buffers.work.recomputes = recomputes;
        self.room = 0;
    }

    /// The batch of the last step.
    pub fn loaded(&self) -> &Batch<T> {
        &self.buffers.batch
    }

    /// The names of the outputs that take a target.
    pub fn target_names(&self) -> Vec<&str> {
        self.heads.iter().map(|head| head.name.as_str()).collect()
    }

    /// Checks a batch for a model, as to shapes, and the values of targets and weights.
    pub fn check_batch(&mut self, op: &'static str, net: &Net<T>) -> Result<()> {
        let Buffers { work, batch, memory, .. } = &mut self.buffers;
        let n = batch.x.samples();
        if n == 0 || batch.x.is_empty() {
            return Err(Error::Empty { op, what: "a batch of the dataset" });
        }
        let targets = 1 + batch.more_y.len();
        let single = batch.more_x.is_empty() && targets == 1 && net.inputs() == 1 && self.heads.len() == 1;
        let fits = single && batch.x.fits(&net.input_shape(0));
        if single && (!fits || batch.y.samples() != n || batch.y.shape().rank() == 0) {
            let expected = format!("a batch of samples of shape {} and as many targets", net.input_shape(0));
            let got = format!("{} and {}", batch.x.shape(), batch.y.shape());
            return Err(Error::shape(op, expected, got, "let the dataset fill both with its shapes"));
        }
        match single {
            true => net.check_values(op, Given::Batch(&batch.x, &[]))?,
            false => net.check_given(op, Given::Batch(&batch.x, &batch.more_x))?,
        }
        if targets != self.heads.len() {
            let names = self.target_names().join(", ");
            let hint = "let the dataset give one target for each output that has a loss or metrics, in their order";
            return Err(Error::argument(op, "targets", format!("{} ({names})", self.heads.len()), targets, hint));
        }
        for (i, (head, y)) in self.heads.iter().zip(batch.targets()).enumerate() {
            let shape = net.output_shape_of(op, work, batch.inputs().map(|x| x.shape().sample()), head.output)?;
            let (weights, mask) = (batch.weights_of(i), batch.mask_of(i));
            let checked = head.check_targets(op, y, (n, shape), weights, mask, memory);
            checked.map_err(|error| of_head(&self.heads, i, error))?;
        }
        Ok(())
    }

    /// One step on a batch of about `samples`, which `load` writes into the buffers; it says whether the batch has yet to be
    /// checked.
    pub fn step(
        &mut self,
        samples: usize,
        load: impl FnOnce(&mut Batch<T>) -> Result<bool> + Send,
        net: &Net<T>,
        params: &mut Params<T>,
        seed: u64,
    ) -> Result<Outcome> {
        self.mend_all(params);
        // Not within the pool: who waits for a batch must not hold a thread that those who load it may need.
        if load(&mut self.buffers.batch)? {
            self.check_batch("fit", net)?;
        }
        self.prepare("fit", net)?;
        self.begin_step(params);
        let work = params.len().saturating_mul(samples);
        let outcome = parallel::enter_awake(work, || self.step_here(net, params, seed));
        self.under_way = false;
        Ok(outcome)
    }

    /// Before gradients are computed: from here on they are not where they belong until the step has ended.
    pub(super) fn begin_step(&mut self, params: &Params<T>) {
        self.mend(params);
        self.under_way = true;
    }

    /// Where a step was left by a panic of a layer, which the caller has caught: buffers take the place of those that went with it, batches that were
    /// added up for an update are forgotten. Weights are as before the step, but for an optimizer of one's own that panics within its update.
    pub(super) fn mend(&mut self, params: &Params<T>) {
        if !std::mem::take(&mut self.under_way) {
            return;
        }
        self.gradients.clear();
        self.gradients.resize(params.len(), T::zero());
        self.written = Written::new(params);
        self.accumulated = Accumulated::default();
        self.statistics.clear();
    }

    /// [`mend`](Self::mend) outside of a run over ranks: moments that a run has left divided among them, as a panic ended it, begin anew.
    pub(super) fn mend_all(&mut self, params: &Params<T>) {
        self.mend(params);
        if self.state.own().is_some() {
            self.state = OptimizerState::new(&*self.optimizer, params);
        }
    }

    /// Copies a batch into the buffers.
    pub fn take(&mut self, op: &'static str, x: &[&Tensor<T>], y: &[&Tensor<T>]) -> Result<()> {
        let batch = &mut self.buffers.batch;
        let held: usize = batch.inputs().chain(batch.targets()).map(Tensor::len).sum();
        let values: usize = x.iter().chain(y).map(|t| t.len()).fold(0, usize::saturating_add);
        if values > held {
            let samples = x.first().map_or(0, |x| x.samples());
            memory::check_room::<T>(op, format_args!("a copy of the batch of {samples}"), values)?;
        }
        batch.clear_weights();
        copy_all(x, &mut batch.x, &mut batch.more_x);
        copy_all(y, &mut batch.y, &mut batch.more_y);
        Ok(())
    }

    /// Finds the sizes of a step on the batch, and looks whether there is memory for it.
    pub(super) fn prepare(&mut self, op: &'static str, net: &Net<T>) -> Result<()> {
        let Buffers { work, batch, .. } = &mut self.buffers;
        let x = Given::Batch(&batch.x, &batch.more_x);
        net.prepare(work, x)?;
        net.check_room(op, work, Some(&self.plan), x, &mut self.room)
    }

    fn step_here(&mut self, net: &Net<T>, params: &mut Params<T>, seed: u64) -> Outcome {
        if self.accumulated.batches == 0 {
            self.accumulated = Accumulated::default();
            self.written.begin(&mut self.gradients);
        }
        let steps = self.optimizer.options().gradient_accumulation_steps;
        let value = self.differentiate(net, params, seed, Purpose::Step(steps));
        if !value.is_finite() {
            self.statistics.clear();
            return Outcome::Loss(value);
        }
        self.measure(net);
        for (figure, sums) in self.figures.iter().zip(&mut self.sums).filter(|(figure, _)| figure.metric.is_none()) {
            let head = &self.heads[figure.head];
            add_loss(sums, head.last_loss, head.last_rows);
        }
        self.count_and_update(params, seed, value)
    }

    /// Adds the outputs of the batch in the buffers to the sums of metrics, but those that go by rows, whose outputs are no more.
    pub(super) fn measure(&mut self, net: &Net<T>) {
        let Buffers { batch, work, counted, .. } = &mut self.buffers;
        let whole = |head: &&TrainedHead<T>| !head.metrics.is_empty() && head.by_rows.is_none();
        for head in self.heads.iter().filter(whole) {
            if let Some(fused) = in_training(&head.fused) {
                fused.activate(net.output_mut(work, head.output));
            }
        }
        for (figure, sums) in self.figures.iter().zip(&mut self.sums) {
            let head = &self.heads[figure.head];
            let (Some(metric), None) = (figure.metric, head.by_rows) else { continue };
            let Some(t) = batch.target(figure.head) else { continue };
            let counts = Counts { weights: batch.weights_of(figure.head), rows: counted[figure.head].some() };
            head.measure(metric, sums, t, net.output(work, head.output), counts);
        }
    }

    /// Counts a batch whose gradients have been added, of this loss, and updates the weights where it was the last of several.
    pub(super) fn count_and_update(&mut self, params: &mut Params<T>, seed: u64, value: f64) -> Outcome {
        let rows = self.rows() as u64;
        self.accumulated.batches += 1;
        self.accumulated.rows += rows;
        if rows > 0 {
            self.accumulated.last = rows;
        }
        let waits = self.accumulated.batches < self.optimizer.options().gradient_accumulation_steps;
        if !waits && !self.update(params, seed) {
            self.statistics.clear();
            return Outcome::Update;
        }
        self.statistics.apply(params);
        Outcome::Done(value)
    }

    /// The rows of the last batch that count, in all outputs with a loss: what its loss weighs among others.
    pub fn rows(&self) -> usize {
        self.heads.iter().map(|head| head.last_rows).sum()
    }

    /// The update of the weights from the mean of the gradients that have been added up; whether all was finite.
    fn update(&mut self, params: &mut Params<T>, seed: u64) -> bool {
        self.written.end(params, &mut self.gradients);
        let Accumulated { rows, last, .. } = std::mem::take(&mut self.accumulated);
        if rows > last {
            self.written.scale(&mut self.gradients, T::of(last as f64 / rows as f64));
        }
        let before = self.state.step;
        self.state.seed = seed;
        let finite = self.state.step_by(&*self.optimizer, params, &mut self.gradients, Some(&self.written));
        // Where other ranks update other weights, bounds wait for those.
        if self.state.own().is_none() {
            self.constrain(params, before);
        }
        finite
    }

    /// Brings weights into their bounds, if there was an update since step number `before`.
    pub(super) fn constrain(&self, params: &mut Params<T>, before: u64) {
        if self.bounded && self.state.step != before {
            params.constrain();
        }
    }

    /// One update by gradients of a loop of the user's, to which those of penalties are added; whether all was finite.
    pub fn apply(&mut self, params: &mut Params<T>, gradients: &mut [T], seed: u64) -> bool {
        self.mend_all(params);
        if self.penalised {
            Pass::training(params, gradients, 0, 0, 0).regularize();
        }
        let before = self.state.step;
        self.state.seed = seed;
        let finite = self.state.step(&*self.optimizer, params, gradients);
        self.constrain(params, before);
        finite
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
        let names = std::iter::once("loss").chain(self.figures.iter().map(|figure| figure.name.as_str()));
        let both = names.clone().map(str::to_owned);
        match validated {
            true => both.chain(names.map(|name| format!("val_{name}"))).collect(),
            false => both.collect(),
        }
    }

    /// The figures' names and values from sums.
    pub fn figures(&self, sums: &[Vec<f64>]) -> impl Iterator<Item = (String, f64)> {
        self.figures.iter().zip(sums).map(|(figure, sums)| {
            let value = match figure.metric {
                Some(metric) => self.heads[figure.head].metrics[metric].result(sums),
                None => mean(sums[0], sums[1]),
            };
            (figure.name.clone(), value)
        })
    }

    /// The figures' names, which stand in settings and messages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.figures.iter().map(|figure| figure.name.as_str())
    }

    /// The last activations that losses take over in inference.
    pub fn logits(&self) -> impl Iterator<Item = Ending> {
        self.heads.iter().filter_map(|head| Some(head.fused.as_ref()?.ending))
    }

    /// The nodes that are left to losses.
    pub fn by_rows(&self) -> &[RowNode] {
        self.buffers.work.by_rows()
    }

    /// Adds a batch of outputs, all by position, to sums of inference and activates them; their loss, and how many rows count in it. `counts` gives
    /// weights, and masks of targets and outputs, for the position of a head and that of its output. In the place of an output that goes by rows stands what its node reads.
    pub fn score<'w>(
        &self,
        (net, params): (&Net<T>, &Params<T>),
        sums: &mut [Vec<f64>],
        outputs: &mut [Tensor<T>],
        targets: &[Tensor<T>],
        counts: impl Fn(usize, usize) -> (Option<&'w [T]>, [Option<&'w [bool]>; 2]),
        (counted, blocks): (&mut CountedRows<T>, &mut Blocks<T>),
    ) -> (f64, usize) {
        let (mut total, mut all) = (0.0, 0);
        for (i, (head, t)) in self.heads.iter().zip(targets).enumerate() {
            let (y, (weights, masks)) = (&mut outputs[head.output], counts(i, head.output));
            let ignored = head.ignored_class().map(|class| (class, t));
            match masks.iter().any(Option::is_some) || ignored.is_some() || head.by_rows.is_some() {
                true => counted.fill(masks, y.shape().rows(), ignored, weights),
                false => counted.forget(),
            }
            let rows = counted.counted(y.shape().rows());
            let value = match head.rows(net, t, counted) {
                Some(by_rows) => {
                    let measure = |t: &Tensor<T>, y: &Tensor<T>, counts: [&[T]; 2]| {
                        let figures = self.figures.iter().zip(&mut *sums).filter(|(figure, _)| figure.head == i);
                        figures.for_each(|(figure, sums)| head.measure_rows(figure.metric, sums, [t, y], counts));
                    };
                    Some(blocks.run(by_rows, &mut Pass::inference(params), y, None, Some(measure)))
                }
                None => {
                    let counts = Counts { weights, rows: counted.some() };
                    let value = head.score(t, y, counts);
                    for (figure, sums) in self.figures.iter().zip(&mut *sums).filter(|(figure, _)| figure.head == i) {
                        if let Some(metric) = figure.metric {
                            head.measure(metric, sums, t, y, counts);
                        }
                    }
                    value
                }
            };
            let Some(value) = value else { continue };
            total += head.weight * value;
            all += rows;
            let of_loss = self.figures.iter().zip(&mut *sums);
            of_loss
                .filter(|(figure, _)| figure.head == i && figure.metric.is_none())
                .for_each(|(_, sums)| add_loss(sums, value, rows));
        }
        (total, all)
    }

    /// The loss of the batch in the buffers and the gradient of every weight, without an update; what has been added up for
    /// the next one stays.
    pub fn gradients(&mut self, net: &Net<T>, params: &Params<T>, seed: u64) -> Result<(f64, Vec<T>)> {
        self.prepare("gradients", net)?;
        let what = format_args!("the gradients of {} weights", params.len());
        let own = memory::filled("gradients", what, params.len(), T::zero())?;
        self.begin_step(params);
        let kept = std::mem::replace(&mut self.gradients, own);
        let written = std::mem::replace(&mut self.written, Written::new(params));
        let value = self.differentiate(net, params, seed, Purpose::Alone);
        self.written = written;
        self.statistics.clear();
        let mut own = std::mem::replace(&mut self.gradients, kept);
        self.under_way = false;
        if !value.is_finite() {
            own.fill(T::zero());
        }
        Ok((value, own))
    }

    /// Takes notice that weights were frozen, thawed or given another learning-rate factor.
    pub fn refresh_segments(&mut self, net: &Net<T>, params: &Params<T>) {
        self.plan = way_back(&self.heads, net, params);
        self.room = 0;
        self.state.refresh_segments(&*self.optimizer, params);
    }
}

/// The way back from the outputs that have a loss.
fn way_back<T: Float>(heads: &[TrainedHead<T>], net: &Net<T>, params: &Params<T>) -> Plan {
    let mut given = vec![false; net.output_shapes().len()];
    heads.iter().filter(|head| head.loss.is_some()).for_each(|head| given[head.output] = true);
    net.plan(params, &[], &given)
}

/// Copies tensors into a first and further ones.
fn copy_all<T: Float>(from: &[&Tensor<T>], first: &mut Tensor<T>, more: &mut Vec<Tensor<T>>) {
    more.resize_with(from.len().saturating_sub(1), Tensor::default);
    let to = std::iter::once(first).chain(more);
    to.zip(from).for_each(|(to, from)| to.copy_from(from));
}
