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

/// A layer, and what its arrays are called here.
#[derive(Debug)]
pub(super) struct Made {
    pub step: Step,
    /// The last names of its weights, in the order of the file's arrays.
    pub weights: Vec<&'static str>,
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
        let (weights, given, below) = (Vec::new(), Vec::new(), String::new());
        Made { step, weights, given, spare: 0, below, frozen: false, operator: false }
    }

    /// Adds it to a graph, under a name or, within the scope of a shared one, under its class's.
    pub fn wire(&self, g: &mut Graph, name: Option<&str>, x: &[Value]) -> Option<Value> {
        let y = match (&self.step, x, name) {
            (Step::Layer(layer), &[x], Some(name)) => Some(g.add_named(name, (**layer).clone(), x)),
            (Step::Layer(layer), &[x], None) => Some(g.add((**layer).clone(), x)),
            (Step::Layer(_), ..) => None,
            (Step::Join(join), ..) => Some(join.wire(g, name, x)),
        };
        if self.operator && matches!(self.step, Step::Join(_)) {
            g.drop_mask();
        }
        y
    }
}
