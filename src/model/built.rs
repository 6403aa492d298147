//! The model: what a graph computes, with its weights and the state of training; compile, and weights by name.

use std::sync::Arc;

use super::head::Head;
use super::train::Training;
use super::trained_head::TrainedHead;
use crate::check::check_not_negative;
use crate::error::{Error, Result};
use crate::graph::{Given, Graph, Net, Outline, RowNode, Value};
use crate::io::Beside;
use crate::layer::Builder;
use crate::losses::Loss;
use crate::memory;
use crate::metrics::{Metric, MetricSet};
use crate::optimizers::{Optimizer, OptimizerState};
use crate::params::{ParamId, Params, Reading};
use crate::tensor::{Float, Shape, Tensor};

/// What predicts, trains and is saved: made by [`Sequential::build`](super::Sequential::build) or [`Graph::build`].
///
/// [`compile`](Self::compile) chooses how it is trained; a model that only predicts needs no `compile`. Everything that reads the model
/// takes `&self`, so that one model can serve many threads.
///
/// ```
/// use gradus::prelude::*;
/// let mut model: Model = Sequential::new([4]).add(Dense::new(1)).build(42)?;
/// model.compile(Adam::default(), MeanSquaredError::default(), ())?;
/// let (x, y) = (Tensor::zeros([8, 4]), Tensor::zeros([8, 1]));
/// model.fit(&x, &y, &Fit::default().verbose(Verbose::Silent))?;
/// assert_eq!(model.predict(&x)?.dims(), &[8, 1]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Model<T: Float = f32> {
    /// What was described.
    pub(crate) graph: Graph,
    pub(crate) net: Net<T>,
    pub(crate) params: Params<T>,
    pub(crate) seed: u64,
    /// Rows that go through the layers together in inference.
    pub(crate) rows_together: usize,
    /// Whether so many rows take so little memory that nobody need look for it.
    slim: bool,
    /// Values of the largest weight that rows are multiplied with, or any other that is no table.
    pub(super) heaviest: usize,
    pub(crate) training: Option<Training<T>>,
    /// Whether values inside of blocks are computed again on the way back.
    pub(crate) recomputes: bool,
    /// What goes into files with it.
    pub(crate) beside: Beside,
    /// Why a model from a file is not compiled as the file says.
    pub(crate) compile_problem: Option<String>,
}

impl Graph {
    /// The model that computes `outputs`: fixes the shapes of all values and draws the weights; the same seed gives the same weights. The
    /// seed also decides the order of samples and all noise in training.
    ///
    /// A value may be several outputs, an input may be one. Nodes that no output needs are left out of the computation; their weights are
    /// there.
    ///
    /// # Errors
    /// The first mistake in wiring; [`Error::Layer`] with the node's number and name for shapes or settings that cannot work;
    /// [`Error::Config`] for no outputs or an input that no output needs.
    #[inline(never)]
    pub fn build(self, outputs: impl AsRef<[Value]>, seed: u64) -> Result<Model> {
        self.build_as(outputs, seed)
    }

    /// [`build`](Self::build) for any element type: `graph.build_as::<f64>([y], seed)`.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_as<T: Float>(mut self, outputs: impl AsRef<[Value]>, seed: u64) -> Result<Model<T>> {
        self.finish(outputs.as_ref())?;
        Model::assemble(self, Builder::new(seed), seed)
    }
}

impl<T: Float> Model<T> {
    /// The model of a graph whose outputs are fixed, with the weights that a builder makes.
    #[inline(never)]
    pub(crate) fn assemble(mut graph: Graph, mut builder: Builder<T>, seed: u64) -> Result<Self> {
        let mut net = graph.assemble(&mut builder)?;
        if let Some(output) = net.output_shapes().into_iter().find(|output| output.rank() == 0) {
            let expected = "an output with at least one axis a sample";
            return Err(Error::shape("build", expected, output, "end with Reshape([1])"));
        }
        #[cfg(feature = "files")]
        if !builder.reads_file() {
            crate::io::model::check(&graph, seed, builder.params())?;
        }
        let rows_together = rows_together::<T>(net.widest());
        let slim = net.space(rows_together, None) <= memory::SMALL;
        let room = builder.room();
        let mut params = builder.into_params();
        graph.adapt(0, &mut net, &mut params, seed, room)?;
        let beside = Beside::default();
        let weights = params.specs().iter().filter(|spec| spec.reading != Reading::Table);
        let heaviest = weights.map(|spec| spec.shape.len()).max().unwrap_or(0);
        Ok(Model {
            graph,
            net,
            params,
            seed,
            rows_together,
            slim,
            heaviest,
            training: None,
            recomputes: false,
            beside,
            compile_problem: None,
        })
    }

    /// Leaves what it was compiled with.
    pub(super) fn forget_compiled(&mut self) {
        (self.training, self.beside.compile, self.compile_problem) = (None, None, None);
    }

    /// The same architecture with new weights, drawn from another seed or the same: to be trained from the start.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut model = Sequential::new([2]).add(Dense::new(1)).build(0)?;
    /// model.set_weight("dense/bias", &[1.0])?;
    /// let again = model.discard_weights(0)?;
    /// assert_eq!(again.weight("dense/bias")?, [0.0]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Graph::build`].
    pub fn discard_weights(self, seed: u64) -> Result<Self> {
        let model = Model::assemble(self.graph, Builder::new(seed), seed)?;
        Ok(Model { beside: Beside { compile: None, ..self.beside }, ..model })
    }

    /// Whether training keeps what it needs for the way back of whole blocks alone, and computes what is inside of them a second time there; no by
    /// default. The bits are the same. A step takes about a third longer, and the memory of its values that of one block and of what goes from block to
    /// block: for long sequences and deep models.
    ///
    /// Blocks are the innermost parts of several layers: a [`TransformerDecoderBlock`](crate::graph::TransformerDecoderBlock), a
    /// [`Residual`](crate::graph::Residual), a [`Block`](crate::graph::Block). What stands outside of them is kept. The choice is not saved.
    ///
    /// Chen and others: "Training Deep Nets with Sublinear Memory Cost", 2016. PyTorch `torch.utils.checkpoint`, Keras `RematScope`.
    ///
    /// ```
    /// use gradus::models::Gpt2;
    /// use gradus::prelude::*;
    /// let small = Gpt2 { vocabulary: 20, context: 16, features: 8, blocks: 3, heads: 2, ..Gpt2::default() };
    /// let (x, y) = (Tensor::full([2, 9], 3.0), Tensor::full([2, 9], 4.0));
    /// let mut losses = [false, true].map(|again| -> gradus::Result<Vec<f64>> {
    ///     let mut model = small.build(1)?;
    ///     model.compile(AdamW::default(), SparseCategoricalCrossentropy::default().from_logits(true), ())?;
    ///     model.recompute_activations(again);
    ///     (0..3).map(|_| model.train_on_batch(&x, &y)).collect()
    /// });
    /// assert_eq!(losses[0].as_ref().ok(), losses[1].as_ref().ok());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn recompute_activations(&mut self, recompute: bool) {
        self.recomputes = recompute;
        if let Some(training) = &mut self.training {
            training.recompute(recompute);
        }
    }

    /// Chooses how the model is trained and measured; starts the optimizer afresh. `metrics` is `()` for none, an array of
    /// one kind or a tuple of several kinds. A model with several outputs takes the loss for each of them, and no metrics; see
    /// [`compile_heads`](Self::compile_heads) for a loss, a weight and metrics of each.
    ///
    /// The loss of a batch is Σ w·loss / n over the n rows (samples, or steps of them) that count: those that no mask leaves out and whose target is
    /// of no [ignored class](Loss::ignored_class); w are the weights of samples, which n takes no notice of, as Keras has it. Batches of one update, of
    /// an epoch and of `evaluate` weigh as many rows as they have of those.
    ///
    /// # Errors
    /// [`Error::LossMismatch`] if the loss does not fit the last activation, or a loss taken as
    /// a metric; [`Error::Config`] for a metric over classes where nothing says how the outputs tell them; [`Error::Argument`] for a
    /// setting outside its range, or metrics for several outputs; [`Error::Config`] for settings of classes of your own that a file could
    /// not hold.
    pub fn compile(
        &mut self,
        optimizer: impl Optimizer<T> + 'static,
        loss: impl Loss<T> + 'static,
        metrics: impl MetricSet<T>,
    ) -> Result<()> {
        self.compile_boxed(optimizer.boxed(), loss.boxed(), metrics.boxed())
    }

    /// [`compile`](Self::compile) with what is known of each output: a loss, its weight in the sum of all, and metrics, those included
    /// that take the weights of samples. Outputs that are not named are not trained.
    ///
    /// Keras: dictionaries for `loss`, `loss_weights`, `metrics` and `weighted_metrics`.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), with the output's name; [`Error::Argument`] for a name that no output has, or twice, and where no
    /// head has a loss.
    pub fn compile_heads(
        &mut self,
        optimizer: impl Optimizer<T> + 'static,
        heads: impl IntoIterator<Item = Head<T>>,
    ) -> Result<()> {
        self.compile_list(optimizer.boxed(), heads.into_iter().collect())
    }

    #[inline(never)]
    pub(crate) fn compile_boxed(
        &mut self,
        optimizer: Box<dyn Optimizer<T>>,
        loss: Box<dyn Loss<T>>,
        metrics: Vec<Box<dyn Metric<T>>>,
    ) -> Result<()> {
        let names = self.net.output_names();
        let loss: Arc<dyn Loss<T>> = loss.into();
        if let [_] = &names[..] {
            return self.compile_list(optimizer, vec![Head { loss: Some(loss), metrics, ..Head::only() }]);
        }
        if !metrics.is_empty() {
            let expected = format!("() for a model of several outputs ({})", names.join(", "));
            let hint =
                "say which output each is for: model.compile_heads(optimizer, [Head::new(name).loss(…).metrics(…), …])";
            return Err(Error::argument("compile", "metrics", expected, metrics.len(), hint));
        }
        let heads = names.iter().map(|name| Head { loss: Some(loss.clone()), ..Head::new(name) });
        self.compile_list(optimizer, heads.collect())
    }

    #[inline(never)]
    pub(crate) fn compile_list(&mut self, optimizer: Box<dyn Optimizer<T>>, heads: Vec<Head<T>>) -> Result<()> {
        const OP: &str = "compile";
        let names = self.net.output_names();
        let several = names.len() > 1;
        let mut trained: Vec<TrainedHead<T>> = Vec::new();
        for mut head in heads {
            let list = || names.join(", ");
            let output = match &head.name {
                None if !several => 0,
                None => {
                    let hint = "give each head the name of its output: Head::new(name)";
                    return Err(Error::argument(OP, "head", format!("for one of {}", list()), "Head::only()", hint));
                }
                Some(name) => names.iter().position(|n| n == name).ok_or_else(|| {
                    Error::argument(OP, "head", format!("for one of the outputs {}", list()), name, "correct the name")
                })?,
            };
            if trained.iter().any(|other| other.output == output) {
                let hint = "put loss and metrics of an output into one head";
                return Err(Error::argument(
                    OP,
                    "head",
                    "one for each output",
                    format!("two for {}", names[output]),
                    hint,
                ));
            }
            self.check_head(&mut head, output).map_err(|error| match several {
                true => Error::Output { name: names[output].clone(), source: Box::new(error) },
                false => error,
            })?;
            let ending = self.net.ending(output);
            trained.push(TrainedHead::new(head, output, names[output].clone(), ending));
        }
        if trained.iter().all(|head| head.loss.is_none()) {
            return Err(Error::argument(OP, "heads", "a loss for one at least", "none", "add Head::loss"));
        }
        trained.sort_by_key(|head| head.output);
        trained.retain(|head| head.loss.is_some() || !head.metrics.is_empty());
        OptimizerState::check(&*optimizer)?;
        #[cfg(feature = "files")]
        let text = super::compile_text::compile_text(&*optimizer, &trained)?;
        let mut training = Training::new(optimizer, trained, &self.net, &self.params)?;
        training.recompute(self.recomputes);
        self.training = Some(training);
        #[cfg(feature = "files")]
        self.beside.compile.replace(text);
        self.compile_problem = None;
        Ok(())
    }

    /// Why a model from a file of Keras's is not compiled as the file says; none for one that is compiled, or that nothing was said of.
    pub fn compile_problem(&self) -> Option<&str> {
        self.compile_problem.as_deref()
    }

    /// The error of what needs a compiled model.
    pub(super) fn not_compiled(&self, op: &'static str) -> Error {
        match &self.compile_problem {
            None => Error::NotCompiled { op },
            Some(problem) => Error::Config {
                op,
                problem: format!("the model is not compiled, as {problem}"),
                hint: "call model.compile(optimizer, loss, metrics)? first".into(),
            },
        }
    }

    /// Checks loss and metrics against an output, and tells metrics what it means.
    fn check_head(&self, head: &mut Head<T>, output: usize) -> Result<()> {
        check_not_negative("compile", "loss_weight", head.weight)?;
        // Targets shaped like the output fit every loss and metric; what is left are their settings.
        let shape = self.net.output_shape(output);
        let batch = shape.with_batch(1);
        if let Some(loss) = &head.loss {
            if let Some(ending) = self.net.ending(output) {
                loss.check_activation(ending.activation, shape.last())?;
            }
            loss.check(batch, batch)?;
        }
        let meaning = self.outputs(output, head.loss.as_deref());
        for metric in head.metrics.iter_mut().chain(&mut head.weighted_metrics) {
            metric.check(batch, batch)?;
            metric.prepare(&meaning)?;
        }
        Ok(())
    }

    /// All weights.
    pub fn params(&self) -> &Params<T> {
        &self.params
    }

    /// The values of all weights, laid out as [`params`](Self::params), to be changed in place.
    pub fn values_mut(&mut self) -> &mut [T] {
        self.params.values_mut()
    }

    pub(super) fn find(&self, name: &str) -> Result<ParamId> {
        self.params.find(name).ok_or_else(|| {
            let names: Vec<_> = self.params.specs().iter().map(|s| s.name.as_str()).collect();
            Error::argument("weight", "name", format!("one of {}", names.join(", ")), name, "see model.summary()")
        })
    }

    /// The values of a parameter by its path, such as `"dense/kernel"`.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such parameter; [`Error::Config`] for one that is [stored](Self::store_weights) otherwise.
    #[inline(never)]
    pub fn weight(&self, name: &str) -> Result<&[T]> {
        let id = self.find(name)?;
        if self.params.specs()[id.0 as usize].packed.is_some() {
            self.check_numbers("weight")?;
        }
        Ok(self.params.get(id))
    }

    /// Overwrites a parameter by its path.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such parameter, [`Error::Shape`] if the number of values differs.
    #[inline(never)]
    pub fn set_weight(&mut self, name: &str, values: &[T]) -> Result<()> {
        let id = self.find(name)?;
        if self.params.specs()[id.0 as usize].packed.is_some() {
            self.check_numbers("set_weight")?;
        }
        self.params.set(id, values)
    }

    /// Freezes or thaws weights by the path of a layer (`"dense_1"`, `"block/dense"`) or of one weight (`"dense_1/bias"`). Takes
    /// effect at once and leaves moments as they are; nothing is compiled anew. Values that training does not learn
    /// (statistics) stay so.
    ///
    /// Asked for a layer, it is saved with the model; asked for one weight, it is not.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut model = Sequential::new([4]).add(Dense::new(8)).add(Dense::new(1)).build(0)?;
    /// model.set_trainable("dense", false)?;
    /// assert_eq!(model.summary().trainable, 9);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing has this path, with all layers, or if it is asked to
    /// thaw a single weight that is no weight but statistics.
    #[inline(never)]
    pub fn set_trainable(&mut self, path: &str, trainable: bool) -> Result<()> {
        const OP: &str = "set_trainable";
        let (found, at) = self.below(OP, path)?;
        if trainable && self.params.specs().iter().any(|s| s.name == path && s.state) {
            let hint = "name a weight that training learns";
            return Err(Error::argument(OP, "path", "a weight, not statistics", path, hint));
        }
        if trainable {
            self.check_thawed(OP, found.clone())?;
        }
        self.settle(found, &at, trainable);
        self.refresh_segments();
        Ok(())
    }

    /// Freezes or thaws parameters, and the entry that they are of.
    pub(super) fn settle(&mut self, params: std::ops::Range<usize>, at: &[usize], trainable: bool) {
        for spec in &mut self.params.specs_mut()[params] {
            spec.trainable = trainable && !spec.state && spec.packed.is_none();
            spec.frozen = !trainable || spec.packed.is_some();
        }
        self.graph.set(at, Some(trainable), None);
    }

    /// Multiplies the learning rate of weights by `factor`, by the path of a layer or of one weight, in the place of a factor set
    /// before; decoupled weight decay goes by the same rate. Takes effect as [`set_trainable`](Self::set_trainable) does.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut model = Sequential::new([4]).add(Dense::new(8)).add(Dense::new(1)).build(0)?;
    /// model.set_learning_rate_factor("dense", 0.1)?;
    /// assert_eq!(model.params().specs()[0].learning_rate_factor, 0.1);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if nothing has this path, with all layers, or for a factor that is
    /// negative or not finite.
    #[inline(never)]
    pub fn set_learning_rate_factor(&mut self, path: &str, factor: f64) -> Result<()> {
        const OP: &str = "set_learning_rate_factor";
        let (found, at) = self.below(OP, path)?;
        check_not_negative(OP, "factor", factor)?;
        for spec in &mut self.params.specs_mut()[found] {
            spec.learning_rate_factor = factor;
        }
        self.graph.set(&at, None, Some(factor));
        self.refresh_segments();
        Ok(())
    }

    /// The positions of the parameters of a layer, or of one parameter; with the layer's positions in the outline.
    fn below(&self, op: &'static str, path: &str) -> Result<(std::ops::Range<usize>, Vec<usize>)> {
        if let Some((at, part)) = Outline::find(self.net.outline(), path) {
            return Ok((part.params.clone(), at));
        }
        let specs = self.params.specs();
        if let Some(i) = specs.iter().position(|s| s.name == path) {
            return Ok((i..i + 1, Vec::new()));
        }
        let mut names: Vec<&str> = self.net.outline().iter().map(|part| part.name.as_str()).collect();
        for layer in specs.iter().filter_map(|s| s.name.rsplit_once('/')).map(|(layer, _)| layer) {
            if !names.contains(&layer) {
                names.push(layer);
            }
        }
        let expected = format!("the path of a layer ({}) or of one of their weights", names.join(", "));
        Err(Error::argument(op, "path", expected, path, "see model.summary()"))
    }

    /// Hands what was frozen, thawed or given another learning rate to training.
    pub(super) fn refresh_segments(&mut self) {
        if let Some(training) = &mut self.training {
            training.refresh_segments(&self.net, &self.params);
        }
    }

    /// The shape of one sample of the input; of the first of several.
    pub fn input_shape(&self) -> Shape {
        self.net.input_shape(0)
    }

    /// The shape of one sample of the output; of the first of several.
    pub fn output_shape(&self) -> Shape {
        self.net.output_shape(0)
    }

    /// The shapes of one sample of each input.
    pub fn input_shapes(&self) -> Vec<Shape> {
        self.net.input_shapes()
    }

    /// The shapes of one sample of each output.
    pub fn output_shapes(&self) -> Vec<Shape> {
        self.net.output_shapes()
    }

    /// The names of the inputs, in their order.
    pub fn input_names(&self) -> Vec<&str> {
        self.net.input_names()
    }

    /// The names of the outputs, in their order: of the layer or container that gives each.
    pub fn output_names(&self) -> Vec<String> {
        self.net.output_names()
    }

    /// An error of what takes one input and gives one output.
    pub(crate) fn check_single(&self, op: &'static str) -> Result<()> {
        let (inputs, outputs) = (self.net.input_names(), self.net.output_names());
        if inputs.len() == 1 && outputs.len() == 1 {
            return Ok(());
        }
        let problem = format!(
            "the model has {} inputs ({}) and {} outputs ({}), and this is for one of each",
            inputs.len(),
            inputs.join(", "),
            outputs.len(),
            outputs.join(", ")
        );
        Err(Error::Config { op, problem, hint: "take predict_all, evaluate or a net of your own".into() })
    }

    /// What the model is made of: layers and what joins them.
    pub fn outline(&self) -> &[Outline] {
        self.net.outline()
    }

    /// Looks whether there is memory for the outputs of so many samples, and for a pass over those that go together; not
    /// again for as many as in `known`. Of outputs that go by rows there is what their nodes read, and a block.
    pub(crate) fn check_room(
        &self,
        op: &'static str,
        samples: usize,
        known: &mut usize,
        by_rows: &[RowNode],
    ) -> Result<()> {
        if samples <= *known || self.slim && samples <= self.rows_together {
            return Ok(());
        }
        let together = samples.min(self.rows_together);
        let mut values = self.net.space(together, None);
        for output in 0..self.net.outputs() {
            let mut len = self.net.planned_output(output);
            if let Some(at) = by_rows.iter().find(|at| at.output == output) {
                values = values.saturating_sub(len.saturating_mul(together));
                len = self.net.planned_before(*at);
                values =
                    values.saturating_add(len.saturating_mul(together)).saturating_add(at.space(usize::MAX, false));
            }
            values = values.saturating_add(len.saturating_mul(samples));
        }
        memory::check_room::<T>(op, format_args!("what the layers compute for {samples} samples"), values)?;
        *known = samples;
        Ok(())
    }

    /// Checks all inputs of a model.
    pub(crate) fn check_inputs(&self, op: &'static str, x: &[&Tensor<T>]) -> Result<()> {
        match x {
            [x] if self.net.inputs() == 1 => self.check_input(op, x),
            x => self.net.check_inputs(op, x),
        }
    }

    pub(crate) fn check_input(&self, op: &'static str, x: &Tensor<T>) -> Result<()> {
        let input = self.input_shape();
        if x.fits(&input) {
            return self.net.check_values(op, Given::Refs(&[x]));
        }
        let expected = format!("inputs of shape {}, n samples", input.of_samples());
        let got = x.shape();
        let same_but_first = got.rank() == input.rank() && got.rank() > 1 && got.dims()[1..] == input.dims()[1..];
        let hint = match *got.dims() {
            _ if got == input => {
                "add the batch axis in front, x.reshape([1, …]), even for one sample; or, if the first size counts \
                     samples, leave it out of Sequential::new"
                    .to_owned()
            }
            _ if same_but_first => format!(
                "the batch axis is left out of Sequential::new: if the {} of {input} counts samples, write \
                     Sequential::new({}); else pass samples of shape {input}",
                input.first(),
                input.sample()
            ),
            [_, channels, height, width] if *input.dims() == [height, width, channels] => format!(
                "images are channels last here, and these are channels first: begin the model with \
                     Sequential::new([{channels}, {height}, {width}]).add(Permute::new([2, 3, 1]))"
            ),
            _ => format!("pass samples of shape {input}, as given to Sequential::new"),
        };
        Err(Error::shape(op, expected, x.shape(), hint))
    }
}

/// Bytes of the widest layer's input and output that stay in the caches close to a core.
const CACHED: usize = 1 << 21;

/// The most rows that go through the layers together; more fill the machine no better.
const MAX_ROWS: usize = 256;

/// The fewest, so that the weights are not read for too few.
const MIN_ROWS: usize = 4;

/// Rows that go through the layers together where no layer's output has more than `widest` values a row. No bit depends on it.
fn rows_together<T>(widest: usize) -> usize {
    (CACHED / widest.saturating_mul(2 * size_of::<T>()).max(1)).clamp(MIN_ROWS, MAX_ROWS)
}
