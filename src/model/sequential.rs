//! `Sequential`: layers one after the other, as Keras describes them.

use super::built::Model;
use crate::error::{Error, Result};
use crate::graph::{Graph, Part, Value};
use crate::tensor::{Float, Shape};

/// Layers one after the other: the description from which [`build`](Self::build) makes a [`Model`].
///
/// Made in three steps: [`new`](Self::new) and [`add`](Self::add), [`build`](Self::build), [`compile`](Model::compile). It is a line of a
/// [`Graph`]; models with several inputs, outputs or ways between them are described by one.
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
pub struct Sequential {
    graph: Graph,
    last: Value,
    input: Shape,
    /// A setting of the layer added last that came before the first one.
    misplaced: Option<&'static str>,
}

impl Sequential {
    /// A model that takes samples of this shape (without the batch axis): `[10]`, `[28, 28, 1]`.
    pub fn new(input: impl Into<Shape>) -> Self {
        let (mut graph, input) = (Graph::new(), input.into());
        let last = graph.input("input", input);
        Sequential { graph, last, input, misplaced: None }
    }

    /// Appends a layer, or a recipe of several such as a [`Block`](crate::graph::Block).
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, part: impl Part) -> Self {
        self.last = self.graph.add(part, self.last);
        self
    }

    /// Appends a layer under a name of your own, which its parameters and the summary carry.
    pub fn add_named(mut self, name: &str, part: impl Part) -> Self {
        self.last = self.graph.add_named(name, part, self.last);
        self
    }

    /// Whether the weights of the layer added last are trained; yes by default. Frozen weights take part in the computation and
    /// stay as they are: no gradient, no decay, no averaging. After `build` see [`Model::set_trainable`].
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
        match self.graph.is_empty() {
            true => self.misplaced = Some("trainable"),
            false => self.graph.trainable(trainable),
        }
        self
    }

    /// What the learning rate is multiplied by for the weights of the layer added last, finite and not negative; 1 by default.
    /// Factors of a container and of a layer inside multiply. After `build` see [`Model::set_learning_rate_factor`].
    ///
    /// PyTorch: parameter groups.
    pub fn learning_rate_factor(mut self, factor: f64) -> Self {
        match self.graph.is_empty() {
            true => self.misplaced = Some("learning_rate_factor"),
            false => self.graph.learning_rate_factor(factor),
        }
        self
    }

    /// Fixes the shapes of all layers and draws the initial weights; the same seed gives the same weights. The seed also
    /// decides the order of samples and all noise in training.
    ///
    /// # Errors
    /// [`Error::Layer`] with the layer's position and name for a shape or setting that cannot work; [`Error::Config`] for a
    /// model without layers.
    pub fn build(self, seed: u64) -> Result<Model> {
        self.build_as(seed)
    }

    /// [`build`](Self::build) for any element type: `.build_as::<f64>(seed)`.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    #[inline(never)]
    pub fn build_as<T: Float>(self, seed: u64) -> Result<Model<T>> {
        let Sequential { graph, last, input, misplaced } = self;
        if let Some(setting) = misplaced {
            let problem = format!("{setting}(...) stands before the first layer");
            return Err(Error::Config { op: "build", problem, hint: "it speaks of the layer added last".into() });
        }
        if graph.is_empty() {
            let problem = "the model has no layers".to_owned();
            return Err(Error::Config { op: "build", problem, hint: "add at least one with .add(...)".into() });
        }
        graph.build_as([last], seed).map_err(|error| channels_first(error, input))
    }
}

#[cfg(any(feature = "files", feature = "keras"))]
impl Sequential {
    /// [`Model::load`] by the name of what most models are.
    ///
    /// # Errors
    /// As [`Model::load`].
    #[cfg(feature = "files")]
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Model> {
        Model::load(path)
    }

    /// [`Model::load_bytes`].
    ///
    /// # Errors
    /// As [`Model::load_bytes`].
    #[cfg(feature = "files")]
    pub fn load_bytes(bytes: &[u8]) -> Result<Model> {
        Model::load_bytes(bytes)
    }

    /// [`Model::load_keras`].
    ///
    /// # Errors
    /// As [`Model::load_keras`].
    #[cfg(feature = "keras")]
    pub fn load_keras(path: impl AsRef<std::path::Path>) -> Result<Model> {
        Model::load_keras(path)
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
