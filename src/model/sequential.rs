//! The model: layers, weights and training state; build, compile, predict.

use super::digest::digest;
use super::train::Training;
use crate::check::check_not_negative;
use crate::error::{Error, Result};
use crate::layer::{Builder, Layer};
use crate::layers::composite::Chain;
use crate::losses::Loss;
use crate::memory;
use crate::metrics::{Metric, MetricSet};
use crate::optimizers::Optimizer;
use crate::params::{ParamId, Params};
use crate::tensor::{Float, Shape, Tensor};

/// Layers one after the other, with their weights.
///
/// Made in three steps: [`new`](Self::new) and [`add`](Self::add), [`build`](Self::build), [`compile`](Self::compile);
/// a model that only predicts needs no `compile`. Everything that reads the model takes `&self`, so that one model can
/// serve many threads.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4])
///     .add(Dense::new(3).activation(Activation::Relu))
///     .add(Dense::new(2).activation(Activation::Softmax))
///     .build(42)?;
/// let p = model.predict(&Tensor::zeros([5, 4]))?;
/// assert_eq!(p.dims(), &[5, 2]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Sequential<T: Float = f32> {
    pub(crate) layers: Chain<T>,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) params: Params<T>,
    pub(crate) seed: u64,
    /// Rows that go through the layers together in inference.
    pub(crate) rows_together: usize,
    /// Whether so many rows take so little memory that nobody need look for it.
    slim: bool,
    pub(crate) built: bool,
    /// The digest of the weights as `build` drew them; none where they were read from a file.
    pub(crate) drawn: Option<u64>,
    pub(crate) training: Option<Training<T>>,
}

impl Sequential<f32> {
    /// A model of `f32` that takes samples of this shape (without the batch axis): `[10]`, `[28, 28, 1]`.
    pub fn new(input: impl Into<Shape>) -> Self {
        Sequential::of(input)
    }
}

impl<T: Float> Sequential<T> {
    /// A model of any element type: `Sequential::<f64>::of([10])`.
    pub fn of(input: impl Into<Shape>) -> Self {
        Sequential {
            layers: Chain::default(),
            input: input.into(),
            output: Shape::SCALAR,
            params: Params::new(),
            seed: 0,
            rows_together: 1,
            slim: false,
            built: false,
            drawn: None,
            training: None,
        }
    }

    /// Appends a layer; the model has to be built again.
    #[allow(clippy::should_implement_trait)]
    pub fn add(self, layer: impl Layer<T> + 'static) -> Self {
        self.push(None, layer.boxed())
    }

    /// Appends a layer under a name of your own, which its parameters and the summary carry.
    pub fn add_named(self, name: &str, layer: impl Layer<T> + 'static) -> Self {
        self.push(Some(name.to_owned()), layer.boxed())
    }

    /// Appends a layer that is already boxed.
    #[inline(never)]
    pub fn add_boxed(self, layer: Box<dyn Layer<T>>) -> Self {
        self.push(None, layer)
    }

    #[inline(never)]
    fn push(mut self, name: Option<String>, layer: Box<dyn Layer<T>>) -> Self {
        self.layers.push(name, layer);
        self.built = false;
        self
    }

    /// Whether the weights of the layer added last are trained; yes by default. Frozen weights take part in the computation and
    /// stay as they are: no gradient, no decay, no averaging. After `build` see [`set_trainable`](Self::set_trainable).
    ///
    /// Keras `layer.trainable`, PyTorch `requires_grad_`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let model = Sequential::new([4]).add(Dense::new(8)).trainable(false).add(Dense::new(1)).build(0)?;
    /// assert_eq!(model.summary().trainable, 9);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn trainable(mut self, trainable: bool) -> Self {
        self.layers.trainable(trainable);
        self.built = false;
        self
    }

    /// What the learning rate is multiplied by for the weights of the layer added last, finite and not negative; 1 by default.
    /// Factors of a container and of a layer inside multiply. After `build` see
    /// [`set_learning_rate_factor`](Self::set_learning_rate_factor).
    ///
    /// PyTorch: parameter groups.
    pub fn learning_rate_factor(mut self, factor: f64) -> Self {
        self.layers.learning_rate_factor(factor);
        self.built = false;
        self
    }

    /// Fixes the shapes of all layers and draws the initial weights; the same seed gives the same weights. The seed also
    /// decides the order of samples and all noise in training.
    ///
    /// A model whose weights were trained, loaded or set is not built again, as that would draw them anew: to add layers, build a
    /// new model and read the weights into it with `load_weights_with`; to draw them anew on purpose, call
    /// [`discard_weights`](Self::discard_weights) first.
    ///
    /// # Errors
    /// [`Error::Layer`] with the layer's position and name for a shape or setting that cannot work; [`Error::Config`] for a
    /// model without layers, or with weights that building would throw away.
    #[inline(never)]
    pub fn build(self, seed: u64) -> Result<Self> {
        self.build_with(Builder::new(seed), seed)
    }

    /// `build` with a builder of one's own.
    pub(crate) fn build_with(mut self, mut builder: Builder<T>, seed: u64) -> Result<Self> {
        if self.layers.entries().is_empty() {
            let problem = "the model has no layers".to_owned();
            return Err(Error::Config { op: "build", problem, hint: "add at least one with .add(...)".into() });
        }
        self.check_nothing_is_lost()?;
        self.input.batched(1)?;
        if self.input.checked_len("build")? == 0 {
            let hint = "give every size at least 1; the batch axis is left out";
            return Err(Error::shape("build", "an input with at least one value", self.input, hint));
        }
        self.output = self.layers.build(self.input, &mut builder).map_err(|error| channels_first(error, self.input))?;
        if self.output.rank() == 0 {
            return Err(Error::shape(
                "build",
                "an output with at least one axis a sample",
                self.output,
                "end with Reshape([1])",
            ));
        }
        #[cfg(feature = "files")]
        if !builder.reads_file() {
            crate::io::model::check(self.input, seed, &self.layers, builder.params())?;
        }
        self.params = builder.into_params();
        self.drawn = Some(digest(self.params.values()));
        self.seed = seed;
        self.rows_together = rows_together::<T>(self.layers.widest().max(self.input.len()));
        let outputs = self.output.len().saturating_mul(self.rows_together);
        self.slim = self.layers.space(self.rows_together, false).saturating_add(outputs) <= memory::SMALL;
        self.built = true;
        self.training = None;
        Ok(self)
    }

    /// Refuses to draw weights anew that somebody else than `build` made.
    fn check_nothing_is_lost(&self) -> Result<()> {
        if self.params.is_empty() || self.drawn == Some(digest(self.params.values())) {
            return Ok(());
        }
        let whence = if self.drawn.is_none() { "loaded from a file" } else { "trained, loaded or set" };
        let problem =
            format!("the model holds weights that were {whence}, and building it again would draw all of them anew");
        let hint = "to add layers, build a new model of these layers and the new ones, and read the saved weights into it with \
            model.load_weights_with(path, &LoadWeights::default().partial(true)); set_trainable and set_learning_rate_factor \
            need no build; to throw the weights away on purpose, call .discard_weights() before .build(seed)";
        Err(Error::Config { op: "build", problem, hint: hint.into() })
    }

    /// Throws weights and optimizer away, so that [`build`](Self::build) draws new ones: the same architecture, to be trained from
    /// the start.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut model = Sequential::new([2]).add(Dense::new(1)).build(0)?;
    /// model.set_weight("dense/bias", &[1.0])?;
    /// let again = model.discard_weights().build(0)?;
    /// assert_eq!(again.weight("dense/bias")?, [0.0]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn discard_weights(mut self) -> Self {
        self.params = Params::new();
        self.training = None;
        self.built = false;
        self
    }

    /// Chooses how the model is trained and measured; starts the optimizer afresh. `metrics` is `()` for none, an array of
    /// one kind or a tuple of several kinds.
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `build`; [`Error::LossMismatch`] if the loss does not fit the last activation, or a loss taken as
    /// a metric; [`Error::Config`] for a metric over classes where nothing says how the outputs tell them; [`Error::Argument`] for a
    /// setting outside its range.
    pub fn compile(
        &mut self,
        optimizer: impl Optimizer<T> + 'static,
        loss: impl Loss<T> + 'static,
        metrics: impl MetricSet<T>,
    ) -> Result<()> {
        self.compile_boxed(optimizer.boxed(), loss.boxed(), metrics.boxed())
    }

    #[inline(never)]
    pub(crate) fn compile_boxed(
        &mut self,
        optimizer: Box<dyn Optimizer<T>>,
        loss: Box<dyn Loss<T>>,
        mut metrics: Vec<Box<dyn Metric<T>>>,
    ) -> Result<()> {
        self.check_built("compile")?;
        let ending = self.layers.ending();
        if let Some(ending) = ending {
            loss.check_activation(ending.activation, self.output.last())?;
        }
        // Targets shaped like the output fit every loss and metric; what is left are their settings.
        let output = self.output.with_batch(1);
        loss.check(output, output)?;
        let outputs = self.outputs(Some(&*loss));
        for metric in &mut metrics {
            metric.check(output, output)?;
            metric.prepare(&outputs)?;
        }
        optimizer.check()?;
        optimizer.options().check_as::<T>(optimizer.name())?;
        self.training = Some(Training::new(optimizer, loss, metrics, ending, output, &self.params)?);
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
    /// [`Error::Argument`] if there is no such parameter.
    #[inline(never)]
    pub fn weight(&self, name: &str) -> Result<&[T]> {
        Ok(self.params.get(self.find(name)?))
    }

    /// Overwrites a parameter by its path.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such parameter, [`Error::Shape`] if the number of values differs.
    #[inline(never)]
    pub fn set_weight(&mut self, name: &str, values: &[T]) -> Result<()> {
        let id = self.find(name)?;
        self.params.set(id, values)
    }

    /// Freezes or thaws weights by the path of a layer (`"dense_1"`, `"block/dense"`) or of one weight (`"dense_1/bias"`). Takes
    /// effect at once and leaves moments as they are; nothing is compiled anew. Values that training does not learn
    /// (statistics) stay so.
    ///
    /// Asked for a layer of the model itself, it is remembered with the layer when the model is built again; else it is lost then.
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
    /// [`Error::NotBuilt`] before `build`; [`Error::Argument`] if nothing has this path, with all layers, or if it is asked to
    /// thaw a single weight that is no weight but statistics.
    #[inline(never)]
    pub fn set_trainable(&mut self, path: &str, trainable: bool) -> Result<()> {
        const OP: &str = "set_trainable";
        let found = self.below(OP, path)?;
        if trainable && self.params.specs().iter().any(|s| s.name == path && s.state) {
            let hint = "name a weight that training learns";
            return Err(Error::argument(OP, "path", "a weight, not statistics", path, hint));
        }
        for spec in &mut self.params.specs_mut()[found] {
            spec.trainable = trainable && !spec.state;
            spec.frozen = !trainable;
        }
        if let Some(entry) = self.layers.entry_mut(path) {
            entry.trainable = trainable;
        }
        self.refresh_segments();
        Ok(())
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
    /// [`Error::NotBuilt`] before `build`; [`Error::Argument`] if nothing has this path, with all layers, or for a factor that is
    /// negative or not finite.
    #[inline(never)]
    pub fn set_learning_rate_factor(&mut self, path: &str, factor: f64) -> Result<()> {
        const OP: &str = "set_learning_rate_factor";
        let found = self.below(OP, path)?;
        check_not_negative(OP, "factor", factor)?;
        for spec in &mut self.params.specs_mut()[found] {
            spec.learning_rate_factor = factor;
        }
        if let Some(entry) = self.layers.entry_mut(path) {
            entry.learning_rate_factor = factor;
        }
        self.refresh_segments();
        Ok(())
    }

    /// The positions of the parameters of a layer, or of one parameter.
    fn below(&self, op: &'static str, path: &str) -> Result<std::ops::Range<usize>> {
        self.check_built(op)?;
        if let Some(entry) = self.layers.entries().iter().find(|e| e.name == path) {
            return Ok(entry.params.clone());
        }
        let specs = self.params.specs();
        let under = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        // The parameters of a layer stand next to each other.
        let mut found = specs.iter().enumerate().filter(|(_, s)| under(&s.name)).map(|(i, _)| i);
        if let (false, Some(first)) = (path.is_empty(), found.next()) {
            return Ok(first..found.next_back().unwrap_or(first) + 1);
        }
        let mut names: Vec<&str> = self.layers.entries().iter().map(|e| e.name.as_str()).collect();
        for layer in specs.iter().filter_map(|s| s.name.rsplit_once('/')).map(|(layer, _)| layer) {
            if !names.contains(&layer) {
                names.push(layer);
            }
        }
        let expected = format!("the path of a layer ({}) or of one of their weights", names.join(", "));
        Err(Error::argument(op, "path", expected, path, "see model.summary()"))
    }

    /// Hands what was frozen, thawed or given another learning rate to training.
    fn refresh_segments(&mut self) {
        if let Some(training) = &mut self.training {
            training.refresh_segments(&self.params);
        }
    }

    /// The shape of one input sample.
    pub fn input_shape(&self) -> Shape {
        self.input
    }

    /// The shape of one output sample; known after `build`.
    pub fn output_shape(&self) -> Shape {
        self.output
    }

    /// Looks whether there is memory for the outputs of so many samples, and for a pass over those that go together; not
    /// again for as many as in `known`.
    pub(crate) fn check_room(&self, op: &'static str, samples: usize, known: &mut usize) -> Result<()> {
        if samples <= *known || self.slim && samples <= self.rows_together {
            return Ok(());
        }
        let outputs = self.output.len().saturating_mul(samples);
        let values = self.layers.space(samples.min(self.rows_together), false).saturating_add(outputs);
        memory::check_room::<T>(op, format_args!("what the layers compute for {samples} samples"), values)?;
        *known = samples;
        Ok(())
    }

    pub(crate) fn check_built(&self, op: &'static str) -> Result<()> {
        if self.built { Ok(()) } else { Err(Error::NotBuilt { op }) }
    }

    pub(crate) fn check_input(&self, op: &'static str, x: &Tensor<T>) -> Result<()> {
        if x.holds(&self.input) {
            return Ok(());
        }
        let expected = format!("inputs of shape {}, n samples", self.input.of_samples());
        let (got, input) = (x.shape(), self.input);
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

/// An error of a window or a pool that finds no room, with what is wrong where the input looks like channels first.
fn channels_first(mut error: Error, input: Shape) -> Error {
    let [channels @ (1 | 3 | 4), height @ (8..), width @ (8..)] = *input.dims() else { return error };
    fn innermost(error: &mut Error) -> &mut Error {
        match error {
            Error::Layer { source, .. } => innermost(source),
            other => other,
        }
    }
    if let Error::Shape { op, expected, hint, .. } = innermost(&mut error)
        && (op.contains("Conv") || op.contains("Pooling"))
        && expected.contains("which the window spans")
    {
        *hint = format!(
            "images are [height, width, channels] here, and {input} looks like channels first: pass images as \
             Sequential::new([{height}, {width}, {channels}]), or turn them with .add(Permute::new([2, 3, 1])) as the first layer"
        );
    }
    error
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
