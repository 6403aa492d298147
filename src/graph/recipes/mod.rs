//! Recipes: each adds the nodes of what it holds, and the one that joins them.

mod block;
mod branches;
mod list;
mod positions;
mod residual;
mod squeeze_excite;
mod transformer;

pub use block::Block;
pub use branches::Branches;
pub use residual::Residual;
pub use squeeze_excite::squeeze_excite;
pub use transformer::{BlockInputs, BlockNorm, TransformerDecoderBlock, TransformerEncoderBlock};

use super::{Graph, Part, Value};
use crate::layers::config::{ContainerConfig, LayerConfig, NamedConfig};
use crate::layers::merging::{Add, Concatenate, Multiply};

impl Part for LayerConfig {
    /// A layer, or the nodes of a container within a scope of its name: what has weights carries the names that it has in a
    /// [`Sequential`](crate::Sequential).
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        match self {
            LayerConfig::Block(block) => g.class_scope("Block", |g| chain(block.layers, g, x)),
            LayerConfig::Residual(ContainerConfig { layers, activation }) => g.class_scope("Residual", |g| {
                let f = chain(layers, g, x);
                g.op(Add::new().activation(activation).same_shapes(true), &[x, f])
            }),
            LayerConfig::Add(ContainerConfig { layers, activation }) => g.class_scope("Add", |g| {
                let branches = branches(layers, g, x);
                g.op(Add::new().activation(activation).same_shapes(true), &branches)
            }),
            LayerConfig::Concatenate(container) => g.class_scope("Concatenate", |g| {
                let branches = branches(container.layers, g, x);
                g.op(Concatenate::new(), &branches)
            }),
            LayerConfig::Multiply(container) => g.class_scope("Multiply", |g| {
                let branches = branches(container.layers, g, x);
                g.op(Multiply::new(), &branches)
            }),
            layer => g.layer(layer, x),
        }
    }
}

impl Part for NamedConfig {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        let y = match self.name {
            Some(name) => g.add_named(&name, self.layer, x),
            None => g.add(self.layer, x),
        };
        if !self.trainable {
            g.trainable(false);
        }
        if self.learning_rate_factor != 1.0 {
            g.learning_rate_factor(self.learning_rate_factor);
        }
        y
    }
}

fn chain(layers: Vec<NamedConfig>, g: &mut Graph, x: Value) -> Value {
    layers.into_iter().fold(x, |x, layer| g.add(layer, x))
}

fn branches(layers: Vec<NamedConfig>, g: &mut Graph, x: Value) -> Vec<Value> {
    layers.into_iter().map(|layer| g.add(layer, x)).collect()
}
