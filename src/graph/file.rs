//! A graph as a value that serde writes and reads: the architecture in a model's file.
//!
//! A node says what it is, its settings, and which values it takes where that is not the one before it alone. Values are counted in the
//! order of the graph: inputs first, then what each node gives.

use serde::{Deserialize, Serialize};

use super::adapters::AdapterSpec;
use super::node::{Item, NodeSpec, ScopeSpec, Settings, Step};
use super::{Graph, Part, Value};
use crate::error::{Error, Result};
use crate::layers::OpConfig;
use crate::layers::{LayerConfig, NamedConfig};
use crate::tensor::Shape;

/// What a file says of a graph.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    pub inputs: Vec<WrittenInput>,
    pub nodes: Vec<WrittenItem>,
    /// The values that are outputs; the last one alone where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<u32>>,
    /// Their names, where they are not those of what gives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    output_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    adapters: Vec<AdapterSpec>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WrittenInput {
    pub name: String,
    pub shape: Vec<usize>,
}

/// A node, or several under a name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct WrittenItem {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trainable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learning_rate_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<LayerConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<OpConfig>,
    /// The values that it takes; the last one alone where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<u32>>,
    /// How many values it gives; 1 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outputs: Option<u32>,
    /// Whether the values that it gives have no mask, whatever it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    drops_mask: bool,
    /// The class of several nodes under a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The number of the shared part that is applied here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared: Option<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<WrittenItem>,
}

/// The most values that a node of a file gives.
const MAX_OUTPUTS: u32 = 1 << 10;

/// What makes a step again, with how many values it gives; none where it stays as it is.
type MakeOwn<'a> = &'a dyn Fn(&Step) -> Option<Result<(Step, usize)>>;

/// The classes of scopes.
const SCOPES: [&str; 11] = [
    "scope",
    "Block",
    "Residual",
    "Add",
    "Average",
    "Concatenate",
    "Maximum",
    "Minimum",
    "Multiply",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
];

impl Graph {
    /// What a file says of this graph, whose outputs are fixed.
    pub(crate) fn written(&self) -> Written {
        let mut values = self.inputs.len() as u32;
        let nodes = self.items().iter().map(|item| write(item, &mut values)).collect();
        let last = self.outputs.len() == 1 && self.outputs[0] + 1 == values;
        Written {
            inputs: self
                .inputs
                .iter()
                .map(|(name, shape)| WrittenInput { name: name.clone(), shape: shape.dims().to_vec() })
                .collect(),
            nodes,
            outputs: (!last).then(|| self.outputs.clone()),
            output_names: self.output_names.clone(),
            adapters: self.adapters.clone(),
        }
    }

    /// What a file says of each node outside of scopes and of each scope, with a name for messages.
    pub(crate) fn written_nodes(&self) -> Vec<(String, WrittenItem)> {
        let named = |item: WrittenItem| {
            let class = item.layer.as_ref().map(|_| "layer").or(item.op.as_ref().map(|_| "operation"));
            let name = item.name.clone().or(item.scope.clone()).or(class.map(str::to_owned));
            (name.unwrap_or_default(), item)
        };
        self.written().nodes.into_iter().map(named).collect()
    }

    /// The graph that a file describes.
    ///
    /// # Errors
    /// [`Error::Config`] for a description that is none, by the node.
    pub(crate) fn read(written: Written) -> Result<Self> {
        let mut g = Graph::new();
        for WrittenInput { name, shape } in &written.inputs {
            g.input(name, Shape::try_from(&shape[..])?);
        }
        for item in written.nodes {
            g.read_item(item)?;
        }
        let values = g.values;
        let last = values.checked_sub(1).into_iter().collect();
        let outputs = written.outputs.unwrap_or(last);
        if let Some(output) = outputs.iter().find(|v| **v >= values) {
            return Err(bad(format!("an output is value {output} of {values}")));
        }
        let outputs: Vec<Value> = outputs.into_iter().map(|index| Value { graph: g.id, index }).collect();
        g.finish(&outputs)?;
        g.name_outputs(written.output_names);
        g.adapters = written.adapters;
        Ok(g)
    }

    /// Makes again what a file alone cannot: nodes for which `make` has a step, with how many values it gives.
    ///
    /// # Errors
    /// Those of `make`, and [`Error::Config`] for a step that gives another number of values, both with the node's name.
    pub(crate) fn make_own(&mut self, make: MakeOwn<'_>) -> Result<()> {
        fn walk(items: &mut [Item], make: MakeOwn<'_>) -> Result<()> {
            for item in items {
                let node = match item {
                    Item::Scope(scope) => {
                        walk(&mut scope.items, make)?;
                        continue;
                    }
                    Item::Node(node) => node,
                };
                let Some(made) = make(&node.step) else { continue };
                let (step, outputs) = made?;
                if outputs != node.outputs.len() {
                    let what = node.name.as_deref().unwrap_or("an operation of your own");
                    let problem = format!("{what} gives {outputs} values, and {} in the file", node.outputs.len());
                    return Err(bad(problem));
                }
                node.step = step;
            }
            Ok(())
        }
        self.open.iter_mut().try_for_each(|items| walk(items, make))
    }

    /// The graph of layers one after the other, as files of format 1 have them.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn line(input: Shape, layers: Vec<NamedConfig>) -> Result<Self> {
        let mut g = Graph::new();
        let x = g.input("input", input);
        let y = layers.into_iter().fold(x, |x, layer| layer.wire(&mut g, x));
        g.finish(&[y])?;
        if g.is_empty() {
            return Err(bad("a model without layers".into()));
        }
        Ok(g)
    }

    fn read_item(&mut self, item: WrittenItem) -> Result<()> {
        let WrittenItem {
            name,
            trainable,
            learning_rate_factor,
            layer,
            op,
            inputs,
            outputs,
            drops_mask,
            scope,
            shared,
            nodes,
        } = item;
        let settings = Settings {
            trainable: trainable.unwrap_or(true),
            learning_rate_factor: learning_rate_factor.unwrap_or(1.0),
        };
        if let Some(class) = scope {
            let Some(class) = SCOPES.iter().find(|known| **known == class) else {
                return Err(bad(format!("a scope of unknown class {class:?}")));
            };
            if layer.is_some() || op.is_some() {
                return Err(bad(format!("a {class} that is a layer or an operation as well")));
            }
            self.open.push(Vec::new());
            let read = nodes.into_iter().try_for_each(|item| self.read_item(item));
            let items = self.open.pop().unwrap_or_default();
            read?;
            self.put(Item::Scope(ScopeSpec { class, name, settings, shared, items }));
            return Ok(());
        }
        let step = match (layer, op) {
            (Some(layer), None) => Step::Layer(Box::new(layer)),
            (None, Some(op)) => Step::Op(Box::new(op)),
            _ => return Err(bad("a node that is neither one layer nor one operation".into())),
        };
        let what = || match (&name, &step) {
            (Some(name), _) => name.clone(),
            (None, Step::Layer(_)) => "a layer".to_owned(),
            (None, _) => "an operation".to_owned(),
        };
        let values = self.values;
        let inputs = inputs.unwrap_or_else(|| values.checked_sub(1).into_iter().collect());
        if let Some(v) = inputs.iter().find(|v| **v >= values) {
            return Err(bad(format!("{} takes value {v}, and before it there are {values}", what())));
        }
        if inputs.len() != 1 && matches!(step, Step::Layer(_)) {
            return Err(bad(format!("{} takes {} values, a layer takes one", what(), inputs.len())));
        }
        let outputs = outputs.unwrap_or(1);
        if !(1..=MAX_OUTPUTS).contains(&outputs) {
            return Err(bad(format!("{} gives {outputs} values", what())));
        }
        let first = self.next(outputs);
        let outputs = first.index..self.values;
        self.put(Item::Node(NodeSpec { name, settings, step, inputs, outputs, drops_mask }));
        Ok(())
    }
}

fn bad(problem: String) -> Error {
    Error::Config { op: "load", problem, hint: "save the model again".into() }
}

fn write(item: &Item, values: &mut u32) -> WrittenItem {
    let common = |name: &Option<String>, settings: &Settings| WrittenItem {
        name: name.clone(),
        trainable: (!settings.trainable).then_some(false),
        learning_rate_factor: Some(settings.learning_rate_factor).filter(|factor| *factor != 1.0),
        ..WrittenItem::default()
    };
    match item {
        Item::Node(NodeSpec { name, settings, step, inputs, outputs, drops_mask }) => {
            let (layer, op) = match step {
                Step::Layer(config) => (Some((**config).clone()), None),
                Step::OwnLayer(own) => (Some(own.config()), None),
                Step::Op(config) => (None, Some((**config).clone())),
                Step::OwnOp(own) => (None, Some(own.op().config())),
            };
            let before = values.checked_sub(1);
            *values = outputs.end;
            WrittenItem {
                layer,
                op,
                inputs: (inputs.len() != 1 || inputs.first().copied() != before).then(|| inputs.clone()),
                outputs: Some(outputs.len() as u32).filter(|n| *n != 1),
                drops_mask: *drops_mask,
                ..common(name, settings)
            }
        }
        Item::Scope(ScopeSpec { class, name, settings, shared, items }) => WrittenItem {
            scope: Some((*class).to_owned()),
            shared: *shared,
            nodes: items.iter().map(|item| write(item, values)).collect(),
            ..common(name, settings)
        },
    }
}
