//! Decoders in the style of Llama.

use super::decoder;
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{BlockNorm, Graph, Part, TransformerDecoderBlock, Value};
use crate::layers::{Dense, Embedding, RmsNorm, Rotary, TiedDense};
use crate::model::Model;

/// A decoder in the style of Llama: rotary positions, root-mean-square norms, SwiGLU, grouped queries, no biases. Token ids `[T]` become logits
/// `[T, vocabulary]`.
///
/// Sizes are fields; by default a small model of 15 million weights. Initial values: a standard deviation of 0.02, and 0.02 / √(2·blocks) where a block
/// adds to its steps.
///
/// Touvron and others: "LLaMA: Open and Efficient Foundation Language Models", 2023, and "Llama 2", 2023.
///
/// ```
/// use gradus::models::Llama;
/// use gradus::prelude::*;
/// let small = Llama { vocabulary: 65, features: 32, blocks: 2, heads: 4, key_heads: 2, hidden: 48, ..Llama::default() };
/// let model = small.build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([1, 10]))?.dims(), &[1, 10, 65]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Llama {
    /// Tokens.
    pub vocabulary: usize,
    /// Numbers of a step.
    pub features: usize,
    /// Decoder blocks.
    pub blocks: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub key_heads: usize,
    /// The width of a head; features / heads if `None`.
    pub head_dim: Option<usize>,
    /// Units of the gated feed-forward layers.
    pub hidden: usize,
    /// How steps turn with their positions.
    pub rotary: Rotary,
    /// ε of the norms.
    pub epsilon: f64,
    /// How many steps a step sees; all if `None`.
    pub window: Option<usize>,
    /// Whether the head is tied to the embedding.
    pub tied: bool,
    /// The part of what blocks add that is dropped in training.
    pub dropout: f64,
}

impl Default for Llama {
    fn default() -> Self {
        Llama {
            vocabulary: 32000,
            features: 288,
            blocks: 6,
            heads: 6,
            key_heads: 6,
            head_dim: None,
            hidden: 768,
            rotary: Rotary::new(),
            epsilon: 1e-5,
            window: None,
            tied: true,
            dropout: 0.0,
        }
    }
}

impl Llama {
    /// The model, with an input `tokens` `[T]`.
    ///
    /// # Errors
    /// Sizes that cannot work.
    pub fn build(&self, seed: u64) -> Result<Model> {
        decoder::build(self.clone(), seed)
    }

    /// Adds the model behind token ids, outside of all scopes; with the numbers of their documents `[T]`, where several are packed into one row.
    /// The logits.
    pub fn wire_with(&self, g: &mut Graph, tokens: Value, documents: Option<Value>) -> Value {
        let [init, residual] = decoder::initializers(self.blocks);
        let embedding = Embedding::new(self.vocabulary, self.features).embeddings_initializer(init.clone());
        let x = g.add_named("tokens", embedding, tokens);
        let block = TransformerDecoderBlock::new(self.features, self.heads)
            .key_heads(self.key_heads)
            .head_dim(self.head_dim.unwrap_or(self.features / self.heads.max(1)))
            .hidden(self.hidden)
            .activation(Activation::Silu)
            .gated(true)
            .use_bias(false)
            .norm(BlockNorm::Rms(self.epsilon))
            .rotary(self.rotary.clone())
            .window(self.window)
            .dropout(self.dropout)
            .initializer(init.clone())
            .residual_initializer(residual);
        let x = decoder::blocks(g, x, &block, self.blocks, documents);
        let x = g.add_named("norm", RmsNorm::new().epsilon(self.epsilon), x);
        match self.tied {
            true => g.add_named("head", TiedDense::new("tokens/embeddings"), x),
            false => g.add_named("head", Dense::new(self.vocabulary).use_bias(false).kernel_initializer(init), x),
        }
    }
}

impl Part for Llama {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        self.wire_with(g, x, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_a_known_size() {
        let model = Llama::default().build(0).unwrap();
        let block = 4 * 288 * 288 + 3 * 288 * 768 + 2 * 288;
        assert_eq!(model.params().len(), 32000 * 288 + 6 * block + 288);
    }
}
