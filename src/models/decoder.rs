//! What decoder-only language models have in common.

use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{BlockInputs, Graph, Part, TransformerDecoderBlock, Value};
use crate::initializers::Init;
use crate::layers::{Dense, TiedDense};
use crate::model::Model;
use crate::tensor::FREE;

/// How kernels are filled, and those whose outputs so many blocks add to their steps, two each.
pub(super) fn initializers(blocks: usize) -> [Init; 2] {
    [1.0, 2.0 * blocks.max(1) as f64].map(|sums| Init::Normal { mean: 0.0, std: 0.02 / sums.sqrt() })
}

/// Blocks one after the other, `block_0` and so on, as they are made by their number.
pub(super) fn blocks(
    g: &mut Graph,
    x: Value,
    block: impl Fn(usize) -> TransformerDecoderBlock,
    count: usize,
    documents: Option<Value>,
) -> Value {
    let more = documents.map_or_else(BlockInputs::default, BlockInputs::documents);
    (0..count).fold(x, |x, i| g.add_named(&format!("block_{i}"), block(i).inputs(more), x))
}

/// The logits of steps: a product with the table of tokens, or with a matrix of its own; of sizes below a cap, where there is one.
pub(super) fn head(g: &mut Graph, x: Value, vocabulary: usize, tied: bool, cap: Option<f64>, init: Init) -> Value {
    let activation = cap.map_or(Activation::Linear, Activation::SoftCap);
    match tied {
        true => g.add_named("head", TiedDense::new("tokens/embeddings").activation(activation), x),
        false => {
            let head = Dense::new(vocabulary).use_bias(false).activation(activation).kernel_initializer(init);
            g.add_named("head", head, x)
        }
    }
}

/// A model of `tokens` `[T]` alone.
pub(super) fn build(part: impl Part, seed: u64) -> Result<Model> {
    let mut g = Graph::new();
    let tokens = g.input("tokens", [FREE]);
    let logits = g.add(part, tokens);
    g.build([logits], seed)
}
