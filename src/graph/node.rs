//! What a graph knows of a node before it is built.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layer::{Layer, Op};
use crate::layers::{LayerConfig, merging, operators};
use crate::tensor::Float;

/// A node, or several under a name.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Node(NodeSpec),
    Scope(ScopeSpec),
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
    Own(Arc<dyn OwnLayer>),
    Op(Arc<dyn OwnOp>),
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
    pub fn code<T: Float>(&self) -> Result<Code<T>> {
        let op = |boxed| Ok(Code::Op(boxed));
        match self {
            Step::Layer(config) => (**config).clone().into_layer().map(Code::Layer),
            Step::Own(own) => {
                let layer = own.layer();
                let class = layer.class();
                as_type::<Box<dyn Layer<f32>>, Box<dyn Layer<T>>>(layer).map(Code::Layer).ok_or_else(|| single(class))
            }
            Step::Op(own) => match of_this_crate(own.any()) {
                Some(boxed) => op(boxed),
                None => {
                    let own = own.op();
                    let class = own.class();
                    as_type::<Box<dyn Op<f32>>, Box<dyn Op<T>>>(own).map(Code::Op).ok_or_else(|| single(class))
                }
            },
        }
    }
}

/// An operation of this crate for another type of numbers.
fn of_this_crate<T: Float>(own: &dyn Any) -> Option<Box<dyn Op<T>>> {
    macro_rules! first {
        ($($room:ident: $($op:ident),*;)*) => {
            None$($(.or_else(|| Some(Box::new(own.downcast_ref::<$room::$op>()?.clone()) as Box<dyn Op<T>>)))*)*
        };
    }
    first! {
        merging: Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract;
        operators: Divide, Power;
    }
}

/// A value as another type, if that is the same.
fn as_type<A: 'static, B: 'static>(value: A) -> Option<B> {
    let any: Box<dyn Any> = Box::new(value);
    any.downcast().ok().map(|same| *same)
}

fn single(class: &str) -> Error {
    let problem = format!("{class} is not of this crate, and a graph holds such for f32 alone");
    Error::Config { op: "build", problem, hint: "build the graph in f32".into() }
}

/// A layer that is not one of this crate's.
pub(crate) trait OwnLayer: Debug + Send + Sync {
    fn layer(&self) -> Box<dyn Layer<f32>>;
}

impl<L: Layer<f32> + Clone + 'static> OwnLayer for L {
    fn layer(&self) -> Box<dyn Layer<f32>> {
        self.clone().boxed()
    }
}

/// An operation.
pub(crate) trait OwnOp: Debug + Send + Sync {
    fn op(&self) -> Box<dyn Op<f32>>;
    fn any(&self) -> &dyn Any;
}

impl<O: Op<f32> + Clone + 'static> OwnOp for O {
    fn op(&self) -> Box<dyn Op<f32>> {
        Box::new(self.clone())
    }

    fn any(&self) -> &dyn Any {
        self
    }
}

/// A layer's description: its configuration, or itself where only its own crate can make it again.
#[inline(never)]
pub(crate) fn described<L: Layer<f32> + Clone + 'static>(layer: L) -> Step {
    match layer.config() {
        LayerConfig::Custom { .. } => Step::Own(Arc::new(layer)),
        config => Step::Layer(Box::new(config)),
    }
}

/// An operation's description, and how many values it gives.
#[inline(never)]
pub(crate) fn op_step<O: Op<f32> + Clone + 'static>(op: O) -> (Step, usize) {
    let outputs = op.outputs();
    (Step::Op(Arc::new(op)), outputs)
}
