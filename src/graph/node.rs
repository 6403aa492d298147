//! What a graph knows of a node before it is built.

use std::any::Any;
use std::fmt::{self, Debug, Formatter};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layer::{Layer, Op};
use crate::layers::LayerConfig;
use crate::layers::OpConfig;
use crate::tensor::Float;

/// A node, or several under a name.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Node(NodeSpec),
    Scope(ScopeSpec),
}

impl Item {
    pub fn settings(&mut self) -> &mut Settings {
        match self {
            Item::Node(node) => &mut node.settings,
            Item::Scope(scope) => &mut scope.settings,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct NodeSpec {
    /// As given by the user.
    pub name: Option<String>,
    pub settings: Settings,
    pub step: Step,
    /// The places of its inputs and outputs among the graph's values.
    pub inputs: Vec<u32>,
    pub outputs: Range<u32>,
    /// Whether its outputs have no mask, whatever its rule.
    pub drops_mask: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ScopeSpec {
    pub class: &'static str,
    pub name: Option<String>,
    pub settings: Settings,
    /// The number of the shared part that is applied here.
    pub shared: Option<usize>,
    pub items: Vec<Item>,
}

/// What holds for the weights below.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub trainable: bool,
    pub learning_rate_factor: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { trainable: true, learning_rate_factor: 1.0 }
    }
}

/// What a node computes.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A layer of this crate.
    Layer(Box<LayerConfig>),
    /// A layer from outside.
    OwnLayer(Arc<dyn OwnLayer>),
    /// An operation of this crate.
    Op(Box<OpConfig>),
    /// An operation from outside.
    OwnOp(Arc<dyn OwnOp>),
}

/// A built node's code.
#[derive(Debug)]
pub(crate) enum Code<T: Float> {
    Layer(Box<dyn Layer<T>>),
    Op(Box<dyn Op<T>>),
}

impl<T: Float> Code<T> {
    pub fn class(&self) -> &'static str {
        match self {
            Code::Layer(layer) => layer.class(),
            Code::Op(op) => op.class(),
        }
    }
}

impl Step {
    /// Its class, for messages.
    pub fn shown(&self) -> String {
        let text = match self {
            Step::Layer(config) => format!("{config:?}"),
            Step::OwnLayer(own) => own.class().to_owned(),
            Step::Op(config) => format!("{config:?}"),
            Step::OwnOp(own) => format!("{own:?}"),
        };
        text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
    }

    pub fn code<T: Float>(&self) -> Result<Code<T>> {
        match self {
            Step::Layer(config) => (**config).clone().into_layer().map(Code::Layer),
            Step::Op(config) => (**config).clone().into_op().map(Code::Op),
            Step::OwnLayer(own) => match own.layer().downcast() {
                Ok(layer) => Ok(Code::Layer(*layer)),
                Err(_) => Err(single(own.class())),
            },
            Step::OwnOp(own) => {
                let op = own.op();
                let class = op.class();
                as_type::<Box<dyn Op<f32>>, Box<dyn Op<T>>>(op).map(Code::Op).ok_or_else(|| single(class))
            }
        }
    }
}

/// A value as another type, if that is the same.
fn as_type<A: 'static, B: 'static>(value: A) -> Option<B> {
    let any: Box<dyn Any> = Box::new(value);
    any.downcast().ok().map(|same| *same)
}

fn single(class: &str) -> Error {
    let problem = format!("{class} is not of this crate, and the graph holds it for numbers of another type");
    let hint = "add it as it is to models of f32, as graph::F64(layer) to models of f64; operations are of f32 alone";
    Error::Config { op: "build", problem, hint: hint.into() }
}

/// A layer that is not one of this crate's, for one type of numbers.
pub(crate) trait OwnLayer: Debug + Send + Sync {
    fn class(&self) -> &'static str;
    #[cfg(feature = "files")]
    fn config(&self) -> LayerConfig;
    /// A `Box<dyn Layer<T>>`, for the T that it is of.
    fn layer(&self) -> Box<dyn Any>;
}

/// Says of which type of numbers a layer is.
struct OwnOf<L, T>(L, PhantomData<T>);

impl<L: Debug, T> Debug for OwnOf<L, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Float, L: Layer<T> + Clone + 'static> OwnLayer for OwnOf<L, T> {
    fn class(&self) -> &'static str {
        self.0.class()
    }

    #[cfg(feature = "files")]
    fn config(&self) -> LayerConfig {
        self.0.config()
    }

    fn layer(&self) -> Box<dyn Any> {
        Box::new(self.0.clone().boxed())
    }
}

/// An operation that is not one of this crate's.
pub(crate) trait OwnOp: Debug + Send + Sync {
    fn op(&self) -> Box<dyn Op<f32>>;
}

impl<O: Op<f32> + Clone + 'static> OwnOp for O {
    fn op(&self) -> Box<dyn Op<f32>> {
        Box::new(self.clone())
    }
}

/// A layer's description: its configuration, or itself where only its own crate can make it again.
#[inline(never)]
pub(crate) fn described<T: Float, L: Layer<T> + Clone + 'static>(layer: L) -> Step {
    match layer.config() {
        LayerConfig::Custom { .. } => Step::OwnLayer(Arc::new(OwnOf(layer, PhantomData::<T>))),
        config => Step::Layer(Box::new(config)),
    }
}

/// An operation's description, and how many values it gives.
#[inline(never)]
pub(crate) fn op_step<O: Op<f32> + Clone + 'static>(op: O) -> (Step, usize) {
    let outputs = op.outputs();
    match op.config() {
        OpConfig::Custom { .. } => (Step::OwnOp(Arc::new(op)), outputs),
        config => (Step::Op(Box::new(config)), outputs),
    }
}
