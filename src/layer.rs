//! The `Layer` trait and what a layer is handed: [`Builder`] at build, [`Pass`] and [`Slot`] in a pass.

use std::fmt::Debug;

use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::random::{Key, Purpose};
use crate::layers::LayerConfig;
use crate::params::{ParamId, ParamSpec, Params, Statistics};
use crate::regularizers::Regularizer;
use crate::tensor::{Float, Shape, Tensor};

/// A step of computation with a gradient written by hand.
///
/// A layer is configuration plus the ids of its parameters; it is changed by `build` only, so one model can serve many
/// threads. Weights live in [`Params`], what a pass must remember in a [`Slot`].
///
/// To write a layer of your own see `examples/custom_layer.rs`; check it with
/// [`gradcheck::check_custom_layer`](crate::gradcheck::check_custom_layer). Write `impl<T: Float> Layer<T>`, as checks run in f64
/// and models in f32.
pub trait Layer<T: Float = f32>: Send + Sync + Debug {
    /// The type's name, such as `"Dense"`; parameters and summary are named after it.
    fn class(&self) -> &'static str;

    /// Fixes the shapes: takes the shape of one sample, registers parameters, returns the shape of one output sample.
    ///
    /// # Errors
    /// Every shape or setting that cannot work is found here.
    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape>;

    /// y = f(x). `y` arrives with its shape set to what `build` returned, its contents unspecified; every element must be
    /// written.
    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>);

    /// From dy = ∂L/∂y: adds to the gradients of the parameters and overwrites dx = ∂L/∂x where someone needs it.
    ///
    /// `x` and `y` are those of `forward`; `dx` arrives shaped like `x`, its contents unspecified; `dy` may be used as
    /// scratch, its contents are not read afterwards.
    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    );

    /// The configuration from which the layer can be made again; for a layer of your own by default its class alone.
    fn config(&self) -> LayerConfig {
        LayerConfig::Custom { class: self.class().to_owned(), settings: String::new() }
    }

    /// The layers inside, after build; for a layer without any, nothing.
    fn parts(&self) -> Vec<LayerPart> {
        Vec::new()
    }

    /// The activation that this layer applies last, if it is one that `forward` leaves out and `backward` takes as the
    /// identity when [`Pass::logits`] is set. `Some(Linear)` says that there is none; `None` that nothing is known, or that
    /// the layer needs its activated output.
    fn output_activation(&self) -> Option<Activation> {
        None
    }

    /// The layer in a box. Called where the crate itself makes one, so that its code is compiled with the crate and not again in every
    /// program (see docs/design.md, "Compiled once").
    #[doc(hidden)]
    #[inline(never)]
    fn boxed(self) -> Box<dyn Layer<T>>
    where
        Self: Sized + 'static,
    {
        Box::new(self)
    }
}

/// What a model or a container knows of one of its layers once it is built: what a drawing of the model shows.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPart {
    /// The layer's name within its container.
    pub name: String,
    /// The type's name.
    pub class: &'static str,
    /// The shape of one output sample.
    pub output: Shape,
    /// Positions of its parameters in the model's list.
    pub params: std::ops::Range<usize>,
    /// The layers inside.
    pub parts: Vec<LayerPart>,
}

/// Collects the parameters of a model while it is built.
#[derive(Debug)]
pub struct Builder<T: Float = f32> {
    params: Params<T>,
    seed: u64,
    scopes: Vec<Scope>,
    /// The most values in all, where weights come from a file and are not drawn.
    room: Option<usize>,
}

#[derive(Debug, Default)]
struct Scope {
    path: String,
    used: Vec<String>,
}

impl<T: Float> Builder<T> {
    /// A builder whose initial weights follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Builder { params: Params::new(), seed, scopes: vec![Scope::default()], room: None }
    }

    /// A builder whose weights are zeros, to be overwritten, and at most `room` of them.
    #[cfg(any(feature = "files", feature = "keras"))]
    pub(crate) fn for_weights(room: usize) -> Self {
        Builder { room: Some(room), ..Builder::new(0) }
    }

    /// Runs `build` inside the scope of one layer; parameters are named `path/kernel` and so on. The layer is called
    /// `name`, or after its class in snake case with `_1`, `_2` … for further ones. Returns that name and what `build`
    /// returned.
    pub fn scoped<R>(&mut self, class: &str, name: Option<&str>, build: impl FnOnce(&mut Self) -> R) -> (String, R) {
        let base = name.map_or_else(|| snake_case(class), str::to_owned);
        let last = self.scopes.len() - 1;
        let scope = &mut self.scopes[last];
        let free = |name: &String| !scope.used.contains(name);
        let numbered = (1..).map(|i| format!("{base}_{i}")).find(free);
        let name = if free(&base) { base } else { numbered.unwrap_or_default() };
        scope.used.push(name.clone());
        let path = if scope.path.is_empty() { name.clone() } else { format!("{}/{name}", scope.path) };
        self.scopes.push(Scope { path, used: Vec::new() });
        let result = build(self);
        self.scopes.pop();
        (name, result)
    }

    /// The path of the layer that is being built, such as `"residual/dense_1"`.
    pub fn path(&self) -> &str {
        self.scopes.last().map_or("", |s| s.path.as_str())
    }

    /// Registers a trainable parameter to which weight decay applies (a kernel).
    ///
    /// # Errors
    /// [`Error::Shape`] if the shape is empty or too large; what the initialiser returns.
    pub fn weight(&mut self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<ParamId> {
        self.param(name, shape.into(), init, true, true)
    }

    /// Registers a trainable parameter that weight decay leaves alone (a bias, a scale).
    ///
    /// # Errors
    /// As [`weight`](Self::weight).
    pub fn bias(&mut self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<ParamId> {
        self.param(name, shape.into(), init, true, false)
    }

    /// Registers values that training does not change (statistics).
    ///
    /// # Errors
    /// As [`weight`](Self::weight).
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>, init: &Init) -> Result<ParamId> {
        self.param(name, shape.into(), init, false, false)
    }

    /// Adds a penalty on a parameter to the loss, in the place of one registered before; none changes nothing.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut b = Builder::<f32>::new(0);
    /// let kernel = b.weight("kernel", [3, 2], &Init::GlorotUniform)?;
    /// b.regularize(kernel, Regularizer::L2(1e-4))?;
    /// b.constrain(kernel, Constraint::max_norm(3.0))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Regularizer::check`] returns; [`Error::Argument`] for an id that is not of this model.
    pub fn regularize(&mut self, id: ParamId, regularizer: impl Into<Option<Regularizer>>) -> Result<()> {
        if let Some(regularizer) = regularizer.into() {
            let spec = self.spec_mut("regularize", id)?;
            regularizer.check(spec.shape)?;
            spec.regularizer = Some(regularizer);
        }
        Ok(())
    }

    /// Brings a parameter into bounds after each update, in the place of bounds registered before; none changes nothing.
    ///
    /// # Errors
    /// What [`Constraint::check`] returns; [`Error::Argument`] for an id that is not of this model.
    pub fn constrain(&mut self, id: ParamId, constraint: impl Into<Option<Constraint>>) -> Result<()> {
        if let Some(constraint) = constraint.into() {
            let spec = self.spec_mut("constrain", id)?;
            constraint.check(spec.shape)?;
            spec.constraint = Some(constraint);
        }
        Ok(())
    }

    fn spec_mut(&mut self, op: &'static str, id: ParamId) -> Result<&mut ParamSpec> {
        self.params.specs_mut().get_mut(id.0 as usize).ok_or_else(|| {
            Error::argument(op, "id", "of a parameter of this model", "another", "register the parameter first")
        })
    }

    /// All that is known of the parameters registered so far, to be changed.
    pub(crate) fn specs_mut(&mut self) -> &mut [ParamSpec] {
        self.params.specs_mut()
    }

    fn param(&mut self, name: &str, shape: Shape, init: &Init, trainable: bool, decays: bool) -> Result<ParamId> {
        let len = shape.checked_len("Builder")?;
        if len == 0 {
            let hint = "give every size at least 1";
            return Err(Error::shape("build", format!("a non-empty shape for {name}"), shape, hint));
        }
        if self.params.len().checked_add(len).is_none_or(|n| n > isize::MAX as usize / 8) || len > MOST_VALUES {
            return Err(Error::too_large("build", shape));
        }
        let path = format!("{}/{name}", self.path());
        if let Some(room) = self.room {
            if len > room - self.params.len().min(room) {
                let expected = format!("a shape for {name} within the {room} weights of the file");
                return Err(Error::shape(
                    "load",
                    expected,
                    shape,
                    "the file's architecture and weights do not belong together",
                ));
            }
            return self.params.push_zeros(&path, shape, trainable, decays);
        }
        let mut values = vec![0.0; len];
        init.fill(shape, &mut Key::new(self.seed, Purpose::Init).with(hash(&path)).rng(), &mut values)?;
        let values: Vec<T> = values.into_iter().map(T::of).collect();
        self.params.push(&path, shape, &values, trainable, decays)
    }

    /// A number that identifies the layer being built: the stream of its random draws, see [`Pass::key`].
    pub fn stream(&self) -> u64 {
        hash(self.path())
    }

    /// The parameters registered so far.
    pub fn params(&self) -> &Params<T> {
        &self.params
    }

    /// The parameters, when all layers are built.
    pub fn into_params(self) -> Params<T> {
        self.params
    }
}

/// The most values of one parameter: 2³⁶, past what any machine that runs this holds, so that a slip of a digit is an error
/// and not an abort of the allocator.
const MOST_VALUES: usize = 1 << 36;

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

fn snake_case(class: &str) -> String {
    let mut out = String::with_capacity(class.len() + 4);
    let mut previous_lower = false;
    for c in class.chars() {
        if c.is_uppercase() && previous_lower {
            out.push('_');
        }
        previous_lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(c.to_lowercase());
    }
    out
}

/// One pass over a batch: the weights, the gradients, and what the whole pass knows.
#[derive(Debug)]
pub struct Pass<'a, T: Float = f32> {
    params: &'a Params<T>,
    gradients: &'a mut [T],
    /// Which parameters' gradients hold something; empty where all do.
    written: &'a mut [bool],
    /// Where new statistics are kept until the step is done.
    statistics: Option<&'a mut Statistics<T>>,
    /// Whether this is training (dropout drops) or inference.
    pub training: bool,
    /// Whether the layer now called leaves out its last activation because the loss works from logits; set by the
    /// container for the last layer only.
    pub logits: bool,
    /// Whether backward may follow although this is inference.
    differentiable: bool,
    /// What layers have added to the loss.
    penalty: f64,
    seed: u64,
    step: u64,
    first_row: u64,
}

impl<'a, T: Float> Pass<'a, T> {
    /// A pass for inference.
    pub fn inference(params: &'a Params<T>) -> Self {
        Pass {
            params,
            gradients: &mut [],
            written: &mut [],
            statistics: None,
            training: false,
            logits: false,
            differentiable: false,
            penalty: 0.0,
            seed: 0,
            step: 0,
            first_row: 0,
        }
    }

    /// A pass that computes what inference does, after which backward gives the gradient with respect to the input; there
    /// are no gradients of parameters.
    pub fn differentiable(params: &'a Params<T>) -> Self {
        Pass { differentiable: true, ..Pass::inference(params) }
    }

    /// Whether backward may follow, so that forward has to keep what that needs.
    #[inline]
    pub fn needs_backward(&self) -> bool {
        self.training || self.differentiable
    }

    /// A pass for training; `gradients` has the layout of the parameters. Random draws follow from the seed, the step (the
    /// number of batches before) and the row's number in the batch, which starts at `first_row`.
    pub fn training(params: &'a Params<T>, gradients: &'a mut [T], seed: u64, step: u64, first_row: u64) -> Self {
        Pass { gradients, training: true, seed, step, first_row, ..Pass::inference(params) }
    }

    /// The same, where gradients of parameters that are not yet marked hold leftovers, which the first to write replaces.
    pub(crate) fn replacing(self, written: &'a mut [bool]) -> Self {
        Pass { written, ..self }
    }

    /// The same, with a place for new statistics; without one they are not kept.
    pub fn with_statistics(self, statistics: &'a mut Statistics<T>) -> Self {
        Pass { statistics: Some(statistics), ..self }
    }

    /// Where a layer writes the new values of statistics (all of them, for the parameters that [`Builder::state`] registered);
    /// they take their place after the step. Empty where they are not wanted.
    pub fn statistics(&mut self, id: ParamId) -> &mut [T] {
        self.statistics.as_mut().map_or(&mut [], |s| s.get_mut(id))
    }

    /// Whether the layer of a parameter was frozen, so that its statistics stay too.
    pub fn held(&self, id: ParamId) -> bool {
        self.params.spec(id).held
    }

    /// Adds to the loss of the batch; `backward` adds the gradient of it to dy. A sum over samples is to be divided by their
    /// number.
    pub fn add_penalty(&mut self, penalty: f64) {
        self.penalty += penalty;
    }

    /// What layers have added to the loss so far.
    pub fn penalty(&self) -> f64 {
        self.penalty
    }

    /// The values of a parameter.
    #[inline]
    pub fn weight(&self, id: ParamId) -> &'a [T] {
        self.params.get(id)
    }

    /// Whether the gradient of a parameter is wanted.
    pub fn wants(&self, id: ParamId) -> bool {
        !self.gradients.is_empty() && self.params.spec(id).trainable
    }

    /// Whether the gradient of any parameter at these positions in the model's list is wanted.
    pub(crate) fn wants_any(&self, positions: std::ops::Range<usize>) -> bool {
        !self.gradients.is_empty() && self.params.specs()[positions].iter().any(|s| s.trainable)
    }

    /// The gradient of a parameter, to be added to; empty where none is wanted.
    #[inline]
    pub fn gradient(&mut self, id: ParamId) -> &mut [T] {
        let (gradient, add) = self.gradient_or_first(id);
        if !add {
            gradient.fill(T::zero());
        }
        gradient
    }

    /// The gradient of a parameter, and whether to add to it; else it is to be overwritten, which saves reading it.
    #[inline]
    pub fn gradient_or_first(&mut self, id: ParamId) -> (&mut [T], bool) {
        if !self.wants(id) {
            return (&mut [], true);
        }
        let add = self.written.get_mut(id.0 as usize).is_none_or(|written| std::mem::replace(written, true));
        (&mut self.gradients[self.params.spec(id).range.clone()], add)
    }

    /// Adds the gradients of the penalties on weights.
    pub(crate) fn regularize(&mut self) {
        let params = self.params;
        for (i, spec) in params.specs().iter().enumerate() {
            if let (Some(regularizer), true) = (spec.regularizer, spec.trainable) {
                let id = ParamId(i as u32);
                regularizer.add_gradient(spec.shape, params.get(id), 1.0, self.gradient(id));
            }
        }
    }

    /// The key of a layer's random draws in this pass for one row of the batch.
    pub fn key(&self, stream: u64, row: usize) -> Key {
        Key::new(self.seed, Purpose::Layer).with(stream).with(self.step).with(self.first_row + row as u64)
    }
}

/// What one layer remembers between forward and backward, beyond its input and output, and its scratch space.
///
/// Tensors grow on the first step and are reused after it.
#[derive(Debug, Default)]
pub struct Slot<T = f32> {
    /// Tensors for the layer's own use, in an order of its own.
    pub tensors: Vec<Tensor<T>>,
    /// The slots of layers inside this layer.
    pub children: Vec<Slot<T>>,
    /// Whole numbers (positions of maxima and the like).
    pub indices: Vec<u32>,
}

impl<T: Float> Slot<T> {
    /// An empty slot; takes no memory until it is used.
    pub fn new() -> Self {
        Slot { tensors: Vec::new(), children: Vec::new(), indices: Vec::new() }
    }

    /// Tensor number `i` with this shape; contents are unspecified unless the shape is that of the last call.
    pub fn tensor(&mut self, i: usize, shape: Shape) -> &mut Tensor<T> {
        if self.tensors.len() <= i {
            self.tensors.resize_with(i + 1, Tensor::default);
        }
        let tensor = &mut self.tensors[i];
        if tensor.shape() != shape {
            tensor.resize(shape);
        }
        tensor
    }

    /// At least `len` values of tensor number `i`, which grows and never shrinks; contents are unspecified.
    pub fn scratch(&mut self, i: usize, len: usize) -> &mut [T] {
        if self.tensors.get(i).is_none_or(|t| t.len() < len) {
            self.tensor(i, Shape::from([len]));
        }
        &mut self.tensors[i].as_mut_slice()[..len]
    }

    /// The slot of inner layer `i`.
    pub fn child(&mut self, i: usize) -> &mut Slot<T> {
        if self.children.len() <= i {
            self.children.resize_with(i + 1, Slot::new);
        }
        &mut self.children[i]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_keras() {
        assert_eq!(snake_case("LayerNorm"), "layer_norm");
        assert_eq!(snake_case("Conv2d"), "conv2d");
        let mut b = Builder::<f32>::new(0);
        let add = |b: &mut Builder<f32>| b.weight("kernel", [2, 3], &Init::Zeros).map(|_| ());
        b.scoped("Dense", None, add).1.unwrap();
        b.scoped("Dense", None, add).1.unwrap();
        b.scoped("Dense", Some("head"), add).1.unwrap();
        b.scoped("Dense", Some("dense_2"), add).1.unwrap();
        b.scoped("Dense", None, add).1.unwrap();
        let names: Vec<_> = b.params().specs().iter().map(|s| s.name.as_str()).collect();
        let expected = ["dense/kernel", "dense_1/kernel", "head/kernel", "dense_2/kernel", "dense_3/kernel"];
        assert_eq!(names, expected);
    }

    #[test]
    fn absurd_sizes_are_errors() {
        let mut b = Builder::<f32>::new(0);
        assert!(b.weight("kernel", [usize::MAX, 2], &Init::Zeros).is_err());
        assert!(b.weight("kernel", [1 << 40, 1], &Init::Zeros).is_err());
        assert!(b.weight("kernel", [0, 2], &Init::Zeros).is_err());
    }
}
