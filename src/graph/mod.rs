//! Models that are graphs: [`Graph`] describes one, [`Net`] computes it.
//!
//! A graph is a list of nodes in the order in which they were added, which is an order in which they can be computed: a node's inputs are
//! there before it. It carries no numbers and no type of them; [`build`](Graph::build) fixes shapes and draws weights.
//! [`Block`], [`Residual`] and [`Branches`] are recipes: they add nodes and have no passes of their own.

mod adapters;
mod build;
mod by_rows;
mod ending;
mod expression;
#[cfg(feature = "files")]
mod file;
mod given;
mod going_on;
mod inputs;
mod masks;
mod net;
mod node;
mod outline;
mod part;
mod passes;
mod plan;
mod recipes;
mod row_node;
mod segments;
mod sizes;
mod space;
mod stages;
mod work;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};
use crate::layer::{Layer, Op};
use crate::layers::LayerConfig;
use crate::tensor::Shape;
pub(crate) use adapters::AdapterSpec;
pub(crate) use ending::Ending;
pub use expression::{Expression, Operand};
#[cfg(feature = "files")]
pub(crate) use file::{Written, WrittenItem};
pub(crate) use given::Given;
pub use going_on::{Course, Until};
pub use net::Net;
#[cfg(any(feature = "files", feature = "keras"))]
pub(crate) use node::Step;
#[cfg(not(any(feature = "files", feature = "keras")))]
use node::Step;
use node::{Item, NodeSpec, ScopeSpec, Settings};
pub(crate) use node::{described, op_step};
pub use outline::Outline;
pub(crate) use part::NewInput;
pub use plan::Plan;
pub use recipes::{
    Block, BlockInputs, BlockNorm, Branches, Residual, TransformerDecoderBlock, TransformerEncoderBlock, squeeze_excite,
};
pub(crate) use row_node::RowNode;
#[cfg(test)]
pub(crate) use space::layer_space;
pub(crate) use stages::{Parcel, Stage};
pub use work::Work;

/// A value that flows through a graph: what an input or a node gives. A handle, to be copied freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    graph: u32,
    index: u32,
}

impl AsRef<[Value]> for Value {
    /// This value alone, as outputs.
    fn as_ref(&self) -> &[Value] {
        std::slice::from_ref(self)
    }
}

/// A description of a model: inputs, and the nodes that compute from them.
///
/// Mistakes in wiring (a value of another graph, a taken name) are kept and returned by [`build`](Self::build), so that wiring reads
/// without question marks.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::layers::merging::Concatenate;
/// use gradus::prelude::{Activation, Dense};
///
/// let mut g = Graph::new();
/// let (a, b) = (g.input("a", [4]), g.input("b", [3]));
/// let h = g.add(Dense::new(8).activation(Activation::Relu), a);
/// let both = g.op(Concatenate::new(), &[h, b]);
/// let y = g.add(Dense::new(1), both);
/// let mut model = g.build([y], 1)?;
/// assert_eq!(model.output_shapes(), [[1].into()]);
/// assert_eq!(model.params().specs()[2].name, "dense_1/kernel");
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// Keras: the functional API.
#[derive(Debug)]
pub struct Graph {
    id: u32,
    inputs: Vec<(String, Shape)>,
    /// What stands in the scopes that are open, outermost first.
    open: Vec<Vec<Item>>,
    /// How many values there are.
    values: u32,
    /// Parts that are applied several times.
    shared: Vec<SharedPart>,
    /// The first mistake.
    problem: Option<Error>,
    /// The places of the outputs, once they are known.
    outputs: Vec<u32>,
    /// The outputs' names, where they are not those of what gives them.
    output_names: Vec<String>,
    /// Thin matrices beside weights.
    adapters: Vec<AdapterSpec>,
}

/// A part that can be applied to several values with the same weights; made by [`Graph::shared`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    graph: u32,
    index: usize,
}

#[derive(Clone, Debug)]
struct SharedPart {
    name: String,
    part: DynPart,
}

/// What can be added to a graph behind one value: every [`Layer`], and recipes that add several nodes.
///
/// ```
/// use gradus::graph::{Graph, Part, Value};
/// use gradus::layers::merging::Add;
/// use gradus::prelude::{Activation, Dense};
///
/// /// Two dense layers around which a shortcut leads.
/// #[derive(Clone, Debug)]
/// struct Shortcut(usize);
///
/// impl Part for Shortcut {
///     fn wire(self, g: &mut Graph, x: Value) -> Value {
///         let h = g.add(Dense::new(2 * self.0).activation(Activation::Relu), x);
///         let h = g.add(Dense::new(self.0), h);
///         g.op(Add::new(), &[x, h])
///     }
/// }
///
/// let mut g = Graph::new();
/// let x = g.input("x", [4]);
/// let y = g.scope("first", |g| g.add(Shortcut(4), x));
/// let (_, params) = g.build_net::<f32>(&[y], 0)?;
/// assert_eq!(params.specs()[0].name, "first/dense/kernel");
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait Part {
    /// Adds the nodes; gives the value of the last.
    fn wire(self, g: &mut Graph, x: Value) -> Value;
}

impl<L: Layer<f32> + Clone + 'static> Part for L {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        g.push((described::<f32, L>(self), 1), &[x])
    }
}

/// A layer of your own in a model of `f64`; this crate's layers serve models of either type as they are.
///
/// ```
/// use gradus::graph::F64;
/// use gradus::prelude::*;
/// let model = Sequential::new([3]).add(F64(Dense::new(2))).build_as::<f64>(0)?;
/// assert_eq!(model.output_shape(), Shape::from([2]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct F64<L>(pub L);

impl<L: Layer<f64> + Clone + 'static> Part for F64<L> {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        g.push((described::<f64, L>(self.0), 1), &[x])
    }
}

/// A part that was chosen at run time, so that several kinds have one type.
///
/// ```
/// use gradus::graph::DynPart;
/// use gradus::prelude::*;
/// let deep = true;
/// let head = if deep { DynPart::new(Block::new().add(Dense::new(8)).add(Dense::new(1))) } else { DynPart::new(Dense::new(1)) };
/// let model = Sequential::new([3]).add(head).build(0)?;
/// assert_eq!(model.params().len(), 3 * 8 + 8 + 8 + 1);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DynPart(Arc<dyn AnyPart>);

impl DynPart {
    /// Any part as one of this type.
    pub fn new(part: impl Part + Clone + Debug + Send + Sync + 'static) -> Self {
        DynPart(Arc::new(part))
    }
}

impl Part for DynPart {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        self.0.wire_again(g, x)
    }
}

impl Part for Box<dyn Layer<f32>> {
    /// A layer of this crate that was chosen at run time; one of your own only its type can add.
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        let config = self.config();
        if let LayerConfig::Custom { class, .. } = &config {
            let problem = format!("{class} is not of this crate, and behind a box a graph cannot make it again");
            g.note(Error::Config { op: "build", problem, hint: "add the layer itself, without the box".into() });
        }
        g.add(config, x)
    }
}

/// A part that can be wired several times.
trait AnyPart: Debug + Send + Sync {
    fn wire_again(&self, g: &mut Graph, x: Value) -> Value;
}

impl<P: Part + Clone + Debug + Send + Sync> AnyPart for P {
    fn wire_again(&self, g: &mut Graph, x: Value) -> Value {
        self.clone().wire(g, x)
    }
}

impl Default for Graph {
    fn default() -> Self {
        Graph::new()
    }
}

impl Graph {
    /// A graph without inputs or nodes.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Graph {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            inputs: Vec::new(),
            open: vec![Vec::new()],
            values: 0,
            shared: Vec::new(),
            problem: None,
            outputs: Vec::new(),
            output_names: Vec::new(),
            adapters: Vec::new(),
        }
    }

    /// What was added so far, outside of scopes that are open.
    fn items(&self) -> &[Item] {
        self.open.first().map_or(&[], Vec::as_slice)
    }

    /// Names for the outputs, which are fixed; one for each.
    #[cfg_attr(not(feature = "serde"), allow(dead_code))]
    pub(crate) fn name_outputs(&mut self, names: Vec<String>) {
        self.output_names = names;
    }

    /// Whether nothing has been added.
    pub(crate) fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    /// An input whose samples have this shape. The name says which data it takes; no two inputs have the same. Inputs come before all
    /// nodes.
    ///
    /// A size of [`FREE`](crate::FREE) stays open: each batch has its own, the same for all of its samples.
    ///
    /// ```
    /// use gradus::graph::{Graph, Work};
    /// use gradus::prelude::*;
    ///
    /// let mut g = Graph::new();
    /// let x = g.input("x", [FREE, 3]);
    /// let h = g.add(Conv1d::new(4, 2), x);
    /// let h = g.add(GlobalAveragePooling1d::new(), h);
    /// let y = g.add(Dense::new(1), h);
    /// let (net, params) = g.build_net::<f32>(&[y], 1)?;
    ///
    /// let mut work = Work::default();
    /// for length in [7, 2, 50] {
    ///     net.forward(&mut Pass::inference(&params), &mut work, &[&Tensor::zeros([5, length, 3])])?;
    ///     assert_eq!(net.output(&work, 0).dims(), &[5, 1]);
    /// }
    /// let error = net.forward(&mut Pass::inference(&params), &mut work, &[&Tensor::zeros([5, 1, 3])]).unwrap_err();
    /// assert!(error.to_string().contains("layer 0 (conv1d): Conv1d: expected a length of at least 2"), "{error}");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> Value {
        if self.values as usize > self.inputs.len() {
            let problem = format!("the input {name} comes after the first node");
            self.note(Error::Config { op: "Graph", problem, hint: "declare all inputs first".into() });
        }
        if name.is_empty() || name.chars().any(char::is_control) || self.inputs.iter().any(|(other, _)| other == name) {
            let expected = "an input's own, of one line and not empty";
            self.note(Error::argument("Graph", "name", expected, format!("{name:?}"), "give each input another name"));
        }
        self.inputs.push((name.to_owned(), shape.into()));
        self.next(1)
    }

    /// Adds a layer or a recipe behind a value.
    pub fn add(&mut self, part: impl Part, x: Value) -> Value {
        part.wire(self, x)
    }

    /// [`add`](Self::add) under a name of your own, which the parameters carry; several nodes go into a scope of this name.
    pub fn add_named(&mut self, name: &str, part: impl Part, x: Value) -> Value {
        self.open.push(Vec::new());
        let y = self.add(part, x);
        let mut items = self.open.pop().unwrap_or_default();
        let name = Some(name.to_owned());
        match (items.pop(), items.is_empty()) {
            (Some(Item::Node(node)), true) => self.put(Item::Node(NodeSpec { name, ..node })),
            (Some(Item::Scope(scope)), true) => self.put(Item::Scope(ScopeSpec { name, ..scope })),
            (last, _) => {
                items.extend(last);
                self.put(Item::Scope(ScopeSpec { class: "scope", name, items, ..ScopeSpec::default() }));
            }
        }
        y
    }

    /// Adds an operation on several values; its first output.
    pub fn op(&mut self, op: impl Op<f32> + Clone + 'static, x: &[Value]) -> Value {
        self.push(op_step(op), x)
    }

    /// [`op`](Self::op) with all outputs.
    pub fn op_outputs(&mut self, op: impl Op<f32> + Clone + 'static, x: &[Value]) -> Vec<Value> {
        let first = self.op(op, x);
        (first.index..self.values).map(|index| Value { index, ..first }).collect()
    }

    /// [`op`](Self::op) under a name of your own.
    pub fn op_named(&mut self, name: &str, op: impl Op<f32> + Clone + 'static, x: &[Value]) -> Value {
        let y = self.op(op, x);
        if let Some(Item::Node(node)) = self.open.last_mut().and_then(|items| items.last_mut()) {
            node.name = Some(name.to_owned());
        }
        y
    }

    /// [`op_named`](Self::op_named) with all outputs.
    pub fn op_outputs_named(&mut self, name: &str, op: impl Op<f32> + Clone + 'static, x: &[Value]) -> Vec<Value> {
        let first = self.op_named(name, op, x);
        (first.index..self.values).map(|index| Value { index, ..first }).collect()
    }

    /// Adds what `f` adds within a scope of this name: its parameters are `name/dense/kernel` and so on.
    pub fn scope<R>(&mut self, name: &str, f: impl FnOnce(&mut Graph) -> R) -> R {
        self.scope_with(ScopeSpec { class: "scope", name: Some(name.to_owned()), ..ScopeSpec::default() }, f)
    }

    /// The scope of a container, which is named after its class where it has no name of its own.
    fn class_scope<R>(&mut self, class: &'static str, f: impl FnOnce(&mut Graph) -> R) -> R {
        self.scope_with(ScopeSpec { class, ..ScopeSpec::default() }, f)
    }

    /// Adds a layer by its configuration.
    fn layer(&mut self, layer: LayerConfig, x: Value) -> Value {
        self.push((Step::Layer(Box::new(layer)), 1), &[x])
    }

    fn scope_with<R>(&mut self, scope: ScopeSpec, f: impl FnOnce(&mut Graph) -> R) -> R {
        self.open.push(Vec::new());
        let result = f(self);
        let items = self.open.pop().unwrap_or_default();
        self.put(Item::Scope(ScopeSpec { items, ..scope }));
        result
    }

    /// A part that will be applied to several values with the same weights, which are named after it.
    ///
    /// ```
    /// use gradus::graph::Graph;
    /// use gradus::layers::merging::Subtract;
    /// use gradus::prelude::Dense;
    ///
    /// let mut g = Graph::new();
    /// let (left, right) = (g.input("left", [5]), g.input("right", [5]));
    /// let tower = g.shared("tower", Dense::new(3));
    /// let (a, b) = (g.apply(&tower, left), g.apply(&tower, right));
    /// let difference = g.op(Subtract::new(), &[a, b]);
    /// let (_, params) = g.build_net::<f32>(&[difference], 0)?;
    /// assert_eq!(params.len(), 5 * 3 + 3);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn shared(&mut self, name: &str, part: impl Part + Clone + Debug + Send + Sync + 'static) -> Shared {
        self.shared.push(SharedPart { name: name.to_owned(), part: DynPart::new(part) });
        Shared { graph: self.id, index: self.shared.len() - 1 }
    }

    /// Applies a shared part to a value.
    pub fn apply(&mut self, shared: &Shared, x: Value) -> Value {
        let Some(found) = self.shared.get(shared.index).filter(|_| shared.graph == self.id) else {
            self.note(foreign("a shared part"));
            return x;
        };
        let (name, part) = (Some(found.name.clone()), found.part.clone());
        let scope = ScopeSpec { class: "scope", name, shared: Some(shared.index), ..ScopeSpec::default() };
        self.scope_with(scope, |g| part.wire(g, x))
    }

    /// The place of what will be added several times with the same weights.
    #[cfg(feature = "keras")]
    pub(crate) fn place(&mut self, name: &str) -> Shared {
        self.shared(name, crate::layers::Identity::new())
    }

    /// Adds what `f` adds in such a place; it asks for the same weights each time.
    #[cfg(feature = "keras")]
    pub(crate) fn within<R>(&mut self, place: &Shared, f: impl FnOnce(&mut Graph) -> R) -> R {
        let name = self.shared.get(place.index).map(|part| part.name.clone());
        self.scope_with(ScopeSpec { class: "scope", name, shared: Some(place.index), ..ScopeSpec::default() }, f)
    }

    /// Whether the weights of what was added last are trained; yes by default. See
    /// [`Sequential::trainable`](crate::Sequential::trainable).
    pub fn trainable(&mut self, trainable: bool) {
        match self.last() {
            Some(settings) => settings.trainable = trainable,
            None => self.note(misplaced("trainable")),
        }
    }

    /// What the learning rate is multiplied by for the weights of what was added last; 1 by default.
    pub fn learning_rate_factor(&mut self, factor: f64) {
        match self.last() {
            Some(settings) => settings.learning_rate_factor = factor,
            None => self.note(misplaced("learning_rate_factor")),
        }
    }

    /// Has the values of the node that was added last carry no mask, whatever it makes of those of its inputs: operators (`a + b`) do so, as
    /// in Keras, where the layer of the same name passes masks on.
    pub fn drop_mask(&mut self) {
        match self.open.last_mut().and_then(|items| items.last_mut()) {
            Some(Item::Node(node)) => node.drops_mask = true,
            _ => self.note(misplaced("drop_mask")),
        }
    }

    /// `x` under a mask that comes with the data: a step counts where `mask`, whose samples have the first axes of those of `x` (all but the
    /// last at most), is not 0. The mask goes on from there as [`Masking`](crate::layers::Masking)'s does: layers pass it on or drop it, and
    /// losses and metrics of an output that carries it count those steps alone.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut g = Graph::new();
    /// let (x, mask) = (g.input("x", [4, 3]), g.input("mask", [4]));
    /// let h = g.masked(x, mask);
    /// let h = g.add(Dense::new(2), h);
    /// let y = g.add(GlobalAveragePooling1d::new(), h);
    /// let model = g.build([y], 1)?;
    /// let x = Tensor::from_fn([1, 4, 3], |i| i as f32);
    /// // The mean over the first two steps.
    /// let padded = model.predict([&x, &Tensor::from([[1.0, 1.0, 0.0, 0.0]])])?;
    /// assert_ne!(padded, model.predict([&x, &Tensor::from([[1.0; 4]])])?);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// Keras: `mask=` of a layer's call.
    pub fn masked(&mut self, x: Value, mask: Value) -> Value {
        self.op(crate::layers::merging::WithMask::new(), &[x, mask])
    }

    /// `x` under the mask that another value of as many steps carries, whatever became of its own.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let mut g = Graph::new();
    /// let ids = g.input("ids", [FREE]);
    /// let embedded = g.add(Embedding::new(100, 8).mask_zero(true), ids);
    /// // Convolutions drop masks.
    /// let h = g.add(Conv1d::new(8, 3).padding(Padding::Same), embedded);
    /// let h = g.masked_as(h, embedded);
    /// let y = g.add(GlobalAveragePooling1d::new(), h);
    /// assert_eq!(g.build([y], 1)?.predict(&Tensor::from([[5.0, 7.0, 0.0]]))?.dims(), &[1, 8]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// Keras: `mask=` of a layer's call with what `embedding.compute_mask` gives.
    pub fn masked_as(&mut self, x: Value, of: Value) -> Value {
        self.op(crate::layers::merging::WithMaskOf::new(), &[x, of])
    }

    fn last(&mut self) -> Option<&mut Settings> {
        self.open.last_mut()?.last_mut().map(Item::settings)
    }

    #[inline(never)]
    fn push(&mut self, (step, outputs): (Step, usize), x: &[Value]) -> Value {
        if x.iter().any(|value| value.graph != self.id) {
            let number = x.iter().position(|value| value.graph != self.id).unwrap_or(0);
            self.note(foreign(&format!("input {number} of {}", step.shown())));
        }
        if outputs == 0 {
            let hint = "let Op::outputs say how many values it gives";
            self.note(Error::argument("Graph", "outputs", "at least 1", 0, hint));
        }
        let inputs = x.iter().map(|value| value.index).collect();
        let first = self.next(outputs as u32);
        self.put(Item::Node(NodeSpec {
            name: None,
            settings: Settings::default(),
            step,
            inputs,
            outputs: first.index..self.values,
            drops_mask: false,
        }));
        first
    }

    fn put(&mut self, item: Item) {
        match self.open.last_mut() {
            Some(items) => items.push(item),
            None => self.open.push(vec![item]),
        }
    }

    fn next(&mut self, n: u32) -> Value {
        let value = Value { graph: self.id, index: self.values };
        self.values += n;
        value
    }

    /// The shape of a value's samples, if it is an input: others have theirs once the graph is built.
    pub fn input_shape(&self, x: Value) -> Option<Shape> {
        let input = self.inputs.get(x.index as usize).filter(|_| x.graph == self.id);
        input.map(|(_, shape)| *shape)
    }

    /// Keeps a mistake that a [`Part`] has found, for [`build`](Self::build) to return; the first of several stays.
    pub fn refuse(&mut self, problem: Error) {
        self.note(problem);
    }

    /// Keeps the first mistake.
    fn note(&mut self, problem: Error) {
        self.problem.get_or_insert(problem);
    }

    /// The places of values, all of this graph.
    fn places(&self, values: &[Value]) -> Result<Vec<u32>> {
        match values.iter().all(|value| value.graph == self.id) {
            true => Ok(values.iter().map(|value| value.index).collect()),
            false => Err(foreign("an output")),
        }
    }
}

fn foreign(what: &str) -> Error {
    let problem = format!("{what} belongs to another graph");
    Error::Config { op: "Graph", problem, hint: "use what this graph's input, add, op and shared gave".into() }
}

fn misplaced(setting: &str) -> Error {
    let problem = format!("{setting}(...) stands before the first node");
    Error::Config { op: "Graph", problem, hint: "it speaks of what was added last".into() }
}
