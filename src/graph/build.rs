//! From a graph to a net: names, shapes, weights.

use super::Graph;
use super::net::{Net, Node};
use super::node::{Code, Item, NodeSpec, ScopeSpec, Settings};
use super::plan::Wires;
use crate::error::{Error, Result};
use crate::layer::Builder;
use crate::layer::checks::{check_output, check_place};
use crate::params::Params;
use crate::tensor::{Float, Shape};

/// What building has found so far.
struct Build<T: Float> {
    nodes: Vec<Node<T>>,
    /// The shape of each value.
    shapes: Vec<Shape>,
    /// The path under which each shared part was built first.
    shared: Vec<Option<String>>,
}

impl Graph {
    /// Fixes the shapes of all values, draws the weights (the same seed gives the same) and finds the order of computation: what gives
    /// `outputs`, and the weights. A value may be several outputs, an input may be one. Nodes that no output needs are left out of the
    /// net; their weights are there.
    ///
    /// # Errors
    /// The first mistake in wiring; [`Error::Layer`] with the node's number and name for shapes or settings that cannot work;
    /// [`Error::Config`] for no outputs or an input that no output needs.
    #[inline(never)]
    pub fn build<T: Float>(self, outputs: &[super::Value], seed: u64) -> Result<(Net<T>, Params<T>)> {
        self.build_with(outputs, Builder::new(seed))
    }

    /// [`build`](Self::build) with a builder of one's own.
    pub(crate) fn build_with<T: Float>(
        self,
        outputs: &[super::Value],
        mut b: Builder<T>,
    ) -> Result<(Net<T>, Params<T>)> {
        let places = self.places(outputs)?;
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        if places.is_empty() {
            let problem = "the graph has no outputs".to_owned();
            return Err(Error::Config { op: "build", problem, hint: "pass the values that the model gives".into() });
        }
        let mut shapes = Vec::new();
        for (name, shape) in &self.inputs {
            shape.batched(1)?;
            if shape.checked_len("build")? == 0 {
                let hint = "give every size at least 1; the batch axis is left out";
                return Err(Error::shape("build", format!("at least one value in the input {name}"), *shape, hint));
            }
            shapes.push(*shape);
        }
        let mut build = Build { nodes: Vec::new(), shapes, shared: vec![None; self.shared.len()] };
        for item in self.open.iter().flatten() {
            build.item(item, &mut b)?;
        }
        let Build { nodes, shapes, .. } = build;
        Ok((Net::new(self.inputs, nodes, shapes, places)?, b.into_params()))
    }
}

impl<T: Float> Build<T> {
    fn item(&mut self, item: &Item, b: &mut Builder<T>) -> Result<()> {
        match item {
            Item::Node(node) => self.node(node, b),
            Item::Scope(scope) => self.scope(scope, b),
        }
    }

    fn scope(&mut self, scope: &ScopeSpec, b: &mut Builder<T>) -> Result<()> {
        let first = b.params().specs().len();
        let inside = |build: &mut Self, b: &mut Builder<T>| scope.items.iter().try_for_each(|item| build.item(item, b));
        if let Some(path) = scope.shared.and_then(|shared| self.shared[shared].clone()) {
            return b.again(&path, |b| inside(self, b));
        }
        let name = scope.name.as_deref();
        let (_, (path, built)) = b.scoped(scope.class, name, |b| {
            let checked = check_place(name.unwrap_or(scope.class), b.depth());
            (b.path().to_owned(), checked.and_then(|()| inside(self, b)))
        });
        built?;
        if let Some(shared) = scope.shared {
            self.shared[shared] = Some(path);
        }
        let Settings { trainable, learning_rate_factor } = scope.settings;
        b.settle(first, trainable, learning_rate_factor)
    }

    fn node(&mut self, spec: &NodeSpec, b: &mut Builder<T>) -> Result<()> {
        let index = self.nodes.len();
        let mut code = spec.step.code()?;
        let x: Vec<Shape> = spec.inputs.iter().map(|&v| self.shapes[v as usize]).collect();
        let first = b.params().specs().len();
        b.take_registered();
        let (class, given) = (code.class(), spec.name.as_deref());
        let mut path = String::new();
        let (_, built) = b.scoped(class, given, |b| {
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
            outputs.into_iter().map(check_output).collect::<Result<Vec<_>>>()
        });
        let Settings { trainable, learning_rate_factor } = spec.settings;
        let outputs = built
            .and_then(|outputs| b.settle(first, trainable, learning_rate_factor).map(|()| outputs))
            .map_err(|source| Error::Layer { index, name: path.clone(), source: Box::new(source) })?;
        self.shapes.extend(outputs);
        let wires = Wires { inputs: spec.inputs.clone(), outputs: spec.outputs.clone() };
        self.nodes.push(Node { code, name: path, wires, params: b.take_registered() });
        Ok(())
    }
}
