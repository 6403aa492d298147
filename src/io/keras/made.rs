//! A layer as it was read.

use super::merging::Join;
use crate::graph::{Graph, Value};
use crate::layer::Layer;
use crate::layers::LayerConfig;

/// What a layer is in a graph.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Layer(Box<LayerConfig>),
    Join(Join),
}

/// A weight of a layer inside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner {
    pub name: &'static str,
    /// The folder inside, and the array there.
    pub folder: &'static str,
    pub array: usize,
    /// The axis here that is two in the file, and how many heads the first of them counts.
    pub heads: Option<(usize, usize)>,
}

/// A layer, and what its arrays are called here.
#[derive(Debug)]
pub(super) struct Made {
    pub step: Step,
    /// The last names of its weights, in the order of the file's arrays.
    pub weights: Vec<&'static str>,
    /// Those of layers inside.
    pub inner: Vec<Inner>,
    /// Weights whose values are known already.
    pub given: Vec<(&'static str, Vec<f64>)>,
    /// How many arrays it has that are known otherwise.
    pub spare: usize,
    /// Where its arrays lie in its folder.
    pub below: String,
    /// Whether a layer inside is not trained.
    pub frozen: bool,
    /// Whether it is an operator, whose result carries no mask.
    pub operator: bool,
}

impl Made {
    pub fn new(layer: impl Layer<f32>, weights: Vec<&'static str>) -> Self {
        Made { weights, ..Made::plain(layer.config()) }
    }

    pub fn plain(layer: LayerConfig) -> Self {
        Made::of(Step::Layer(Box::new(layer)))
    }

    /// What has no weights.
    pub fn of(step: Step) -> Self {
        let (weights, inner, given, below) = (Vec::new(), Vec::new(), Vec::new(), String::new());
        Made { step, weights, inner, given, spare: 0, below, frozen: false, operator: false }
    }

    /// Adds it to a graph, under a name or, within the scope of a shared one, under its class's; with what this call computes, where that depends on
    /// the call.
    pub fn wire(&self, g: &mut Graph, name: Option<&str>, of_call: Option<&Step>, x: &[Value]) -> Option<Vec<Value>> {
        let y = match (of_call.unwrap_or(&self.step), x, name) {
            (Step::Layer(layer), &[x], Some(name)) => vec![g.add_named(name, (**layer).clone(), x)],
            (Step::Layer(layer), &[x], None) => vec![g.add((**layer).clone(), x)],
            (Step::Layer(_), ..) => return None,
            (Step::Join(join), ..) => join.wire(g, name, x),
        };
        if self.operator && matches!(self.step, Step::Join(_)) {
            g.drop_mask();
        }
        Some(y)
    }
}
