//! From a graph to a net: names, shapes, weights.

use std::collections::BTreeMap;

use super::Graph;
use super::net::{Net, Node};
use super::node::{Code, Item, NodeSpec, ScopeSpec, Settings};
use super::outline::Outline;
use super::plan::Wires;
use super::sizes::check_open;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::checks::{check_open_output, check_place};
use crate::layer::{Builder, Op, Reach};
use crate::params::Params;
use crate::tensor::{Float, Shape};

/// What building has found so far.
struct Build<T: Float> {
    nodes: Vec<Node<T>>,
    /// The shape of each value.
    shapes: Vec<Shape>,
    /// The path under which each shared part was built first.
    shared: BTreeMap<usize, String>,
    /// The input whose values each value has, unless a layer has changed them.
    origins: Vec<Option<u32>>,
    /// Inputs that are token ids, and how many there are of those.
    token_ids: Vec<(u32, usize)>,
    /// Inputs that are positions, likewise.
    position_ids: Vec<(u32, usize)>,
}

impl Graph {
    /// What computes `outputs`, and its weights: the parts of a [`Model`](crate::Model), for a training loop of one's own.
    ///
    /// A value may be several outputs, an input may be one. Nodes that no output needs are left out of the net; their weights are there.
    /// The same seed gives the same weights.
    ///
    /// # Errors
    /// The first mistake in wiring; [`Error::Layer`] with the node's number and name for shapes or settings that cannot work;
    /// [`Error::Config`] for no outputs or an input that no output needs.
    #[inline(never)]
    pub fn build_net<T: Float>(mut self, outputs: &[super::Value], seed: u64) -> Result<(Net<T>, Params<T>)> {
        self.finish(outputs)?;
        let mut b = Builder::new(seed);
        let net = self.assemble(&mut b)?;
        Ok((net, b.into_params()))
    }

    /// Fixes the outputs; the first mistake in wiring is an error.
    pub(crate) fn finish(&mut self, outputs: &[super::Value]) -> Result<()> {
        self.outputs = self.places(outputs)?;
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        if self.outputs.is_empty() {
            let problem = "the graph has no outputs".to_owned();
            return Err(Error::Config { op: "build", problem, hint: "pass the values that the model gives".into() });
        }
        Ok(())
    }

    /// Fixes the shapes of all values, registers the weights and finds the order of computation of a graph whose outputs are fixed.
    pub(crate) fn assemble<T: Float>(&self, b: &mut Builder<T>) -> Result<Net<T>> {
        let mut shapes = Vec::new();
        for (name, shape) in &self.inputs {
            shape.batched(1)?;
            if shape.open_len("build")? == 0 {
                let hint = "give every size at least 1; the batch axis is left out";
                return Err(Error::shape("build", format!("at least one value in the input {name}"), *shape, hint));
            }
            shapes.push(*shape);
        }
        let origins = (0..shapes.len() as u32).map(Some).collect();
        let mut build = Build {
            nodes: Vec::new(),
            shapes,
            shared: BTreeMap::new(),
            origins,
            token_ids: Vec::new(),
            position_ids: Vec::new(),
        };
        let outline = self.items().iter().map(|item| build.item(item, b)).collect::<Result<Vec<_>>>()?;
        let Build { nodes, shapes, token_ids, position_ids, .. } = build;
        let mut net = Net::new(self.inputs.clone(), nodes, shapes, self.outputs.clone(), outline)?;
        (net.token_ids, net.position_ids) = (token_ids, position_ids);
        net.name_outputs(&self.output_names);
        Ok(net)
    }
}

/// An error for a name that was given to another before.
fn check_name(given: Option<&str>, name: &str, index: usize) -> Result<()> {
    let Some(given) = given.filter(|given| *given != name) else { return Ok(()) };
    let hint = "give each its own name; what has none is numbered";
    let source = Error::argument("build", "name", "one that nothing else has here", format!("{given:?}"), hint);
    Err(Error::Layer { index, name: given.to_owned(), source: Box::new(source) })
}

/// Every value once, in the order in which they come.
fn distinct(values: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut out = Vec::new();
    for v in values {
        if !out.contains(&v) {
            out.push(v);
        }
    }
    out
}

impl<T: Float> Build<T> {
    fn item(&mut self, item: &Item, b: &mut Builder<T>) -> Result<Outline> {
        match item {
            Item::Node(node) => self.node(node, b),
            Item::Scope(scope) => self.scope(scope, b),
        }
    }

    fn scope(&mut self, scope: &ScopeSpec, b: &mut Builder<T>) -> Result<Outline> {
        let (first, value) = (b.params().specs().len(), self.shapes.len() as u32);
        let index = self.nodes.len();
        let inside = |build: &mut Self, b: &mut Builder<T>| {
            scope.items.iter().map(|item| build.item(item, b)).collect::<Result<Vec<_>>>()
        };
        let (name, path, parts) = match scope.shared.and_then(|shared| self.shared.get(&shared).cloned()) {
            // The weights are those of the first time.
            Some(path) => (path.clone(), path.clone(), b.again(&path, |b| inside(self, b))?),
            None => {
                let given = scope.name.as_deref();
                let (name, (path, built)) = b.scoped(scope.class, given, |b| {
                    let checked = check_place(given.unwrap_or(scope.class), b.depth());
                    (b.path().to_owned(), checked.and_then(|()| inside(self, b)))
                });
                // Scopes of the user's are numbered, as they stand in loops.
                check_name(given.filter(|_| scope.class != "scope"), &name, index)?;
                if let Some(shared) = scope.shared {
                    self.shared.insert(shared, path.clone());
                }
                let Settings { trainable, learning_rate_factor } = scope.settings;
                let parts = built?;
                b.settle(first, trainable, learning_rate_factor).map_err(|source| Error::Layer {
                    index,
                    name: name.clone(),
                    source: Box::new(source),
                })?;
                (name, path, parts)
            }
        };
        let outputs = value..self.shapes.len() as u32;
        let read = parts.iter().flat_map(|part| &part.inputs);
        let inputs = distinct(read.copied().filter(|v| !outputs.contains(v)));
        Ok(Outline {
            name,
            path,
            class: scope.class,
            output: self.shapes.last().copied().unwrap_or(Shape::SCALAR),
            params: first..b.params().specs().len(),
            inputs,
            outputs,
            parts,
        })
    }

    fn node(&mut self, spec: &NodeSpec, b: &mut Builder<T>) -> Result<Outline> {
        let index = self.nodes.len();
        let mut code = spec.step.code()?;
        let x: Vec<Shape> = spec.inputs.iter().map(|&v| self.shapes[v as usize]).collect();
        let first = b.params().specs().len();
        b.take_registered();
        let (class, given) = (code.class(), spec.name.as_deref());
        let mut path = String::new();
        let (name, built) = b.scoped(class, given, |b| {
            b.path().clone_into(&mut path);
            check_place(given.unwrap_or(class), b.depth())?;
            if x.is_empty() {
                return Err(Error::argument(
                    "build",
                    "inputs",
                    "at least one value",
                    0,
                    "hand the operation what it is to join",
                ));
            }
            let outputs = match &mut code {
                Code::Layer(layer) => vec![layer.build(x[0], b)?],
                Code::Op(op) => op.build(&x, b)?,
            };
            if outputs.len() != spec.outputs.len() {
                let hint = "let Op::outputs say how many shapes build returns";
                return Err(Error::argument("build", "outputs", spec.outputs.len(), outputs.len(), hint));
            }
            if x.iter().any(Shape::is_free) {
                check_open(&code, &x, &outputs)?;
            }
            self.follow_ids(&code, spec)?;
            outputs.into_iter().map(|shape| check_open_output("build", shape)).collect::<Result<Vec<_>>>()
        });
        check_name(given, &name, index)?;
        let Settings { trainable, learning_rate_factor } = spec.settings;
        let outputs = built
            .and_then(|outputs| b.settle(first, trainable, learning_rate_factor).map(|()| outputs))
            .map_err(|source| Error::Layer { index, name: path.clone(), source: Box::new(source) })?;
        self.shapes.extend(outputs);
        self.origins.resize(self.shapes.len(), None);
        let wires = Wires { inputs: spec.inputs.clone(), outputs: spec.outputs.clone() };
        self.nodes.push(Node {
            code,
            name: path.clone(),
            wires,
            params: b.take_registered(),
            by_rows: true,
            drops_mask: spec.drops_mask,
        });
        Ok(Outline {
            name,
            path,
            class,
            output: self.shapes.last().copied().unwrap_or(Shape::SCALAR),
            params: first..b.params().specs().len(),
            inputs: distinct(spec.inputs.iter().copied()),
            outputs: spec.outputs.clone(),
            parts: Vec::new(),
        })
    }

    /// Finds out from which input a node has its values, and whether they are to be token ids or positions.
    fn follow_ids(&mut self, code: &Code<T>, spec: &NodeSpec) -> Result<()> {
        let layer = match code {
            Code::Layer(layer) => layer,
            Code::Op(op) => return self.follow_positions(&**op, spec),
        };
        let origin = self.origins[spec.inputs[0] as usize];
        if let Some(count) = layer.token_ids() {
            let Some(input) = origin else {
                let problem = format!("{} takes token ids, and its input is computed from others", layer.class());
                let hint = "put it behind an input, or behind layers that only hand values on (Reshape, Slice), so that ids can be checked";
                return Err(Error::Config { op: "build", problem, hint: hint.into() });
            };
            if !self.token_ids.contains(&(input, count)) {
                self.token_ids.push((input, count));
            }
        } else if layer.reach(Activation::Linear) == Reach::Training {
            self.origins.resize(spec.outputs.start as usize, None);
            self.origins.push(origin);
        }
        Ok(())
    }

    fn follow_positions(&mut self, op: &dyn Op<T>, spec: &NodeSpec) -> Result<()> {
        for (number, &value) in spec.inputs.iter().enumerate() {
            let Some(count) = op.position_ids(number) else { continue };
            let Some(input) = self.origins[value as usize] else {
                let problem =
                    format!("{} takes positions as input {number}, which is computed from others", op.class());
                let hint = "let them come from an input, or from layers that only hand values on (Reshape, Slice), so that they can be checked";
                return Err(Error::Config { op: "build", problem, hint: hint.into() });
            };
            if !self.position_ids.contains(&(input, count)) {
                self.position_ids.push((input, count));
            }
        }
        Ok(())
    }
}
