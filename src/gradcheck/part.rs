//! Recipes of several nodes, in the place of a layer.

use std::sync::Mutex;

use super::{Report, check_boxed};
use crate::error::Result;
use crate::graph::{Given, Graph, Net, Part, Work};
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::tensor::{Shape, Tensor};

/// [`check_layer`](super::check_layer) for what is added to a graph behind one value: a recipe of several nodes, wired and run as in a model.
///
/// ```
/// use gradus::prelude::*;
/// let report = gradus::gradcheck::check_part(Residual::new().add(Dense::new(4)), [4])?;
/// assert!(report.error < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// As [`check_layer`](super::check_layer), and those of wiring.
pub fn check_part(part: impl Part, input: impl Into<Shape>) -> Result<Report> {
    let input = input.into();
    let mut graph = Graph::new();
    let x = graph.input("x", input);
    let y = graph.add(part, x);
    graph.finish(&[y])?;
    check_boxed(Box::new(Wired { graph, net: None, works: Mutex::default() }), input)
}

/// A graph of one input and one output in the place of a layer.
#[derive(Debug)]
struct Wired {
    graph: Graph,
    net: Option<Net<f64>>,
    /// Of passes that backward may follow, and of others.
    works: Mutex<[Work<f64>; 2]>,
}

impl Wired {
    fn with(&self, kept: bool, f: impl FnOnce(&Net<f64>, &mut Work<f64>)) {
        if let (Some(net), Ok(mut works)) = (&self.net, self.works.lock()) {
            f(net, &mut works[usize::from(!kept)]);
        }
    }
}

impl Layer<f64> for Wired {
    fn class(&self) -> &'static str {
        "Graph"
    }

    fn build(&mut self, _: Shape, b: &mut Builder<f64>) -> Result<Shape> {
        let net = self.graph.assemble(b)?;
        let output = net.output_shapes()[0];
        self.net = Some(net);
        Ok(output)
    }

    fn token_ids(&self) -> Option<usize> {
        self.net.as_ref()?.token_ids(0)
    }

    fn forward(&self, pass: &mut Pass<'_, f64>, _: &mut Slot<f64>, x: &Tensor<f64>, y: &mut Tensor<f64>) {
        self.with(pass.needs_backward(), |net, work| {
            net.run(pass, work, Given::Refs(&[x]));
            y.copy_from(net.output(work, 0));
        });
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, f64>,
        _: &mut Slot<f64>,
        x: &Tensor<f64>,
        _: &Tensor<f64>,
        dy: &mut Tensor<f64>,
        dx: Option<&mut Tensor<f64>>,
    ) {
        self.with(true, |net, work| {
            let plan = net.plan(pass.params(), &[dx.is_some()], &[true]);
            net.output_gradient(work, &plan, 0).copy_from(dy);
            net.run_back(pass, work, &plan, Given::Refs(&[x]));
            if let (Some(dx), Some(found)) = (dx, net.input_gradient(work, &plan, 0)) {
                dx.copy_from(found);
            }
        });
    }
}
