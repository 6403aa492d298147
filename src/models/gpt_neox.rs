//! GPT-NeoX.

use super::decoder;
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{BlockNorm, Graph, Part, TransformerDecoderBlock, Value};
use crate::layers::{Dropout, Embedding, LayerNorm, Rotary};
use crate::model::Model;

/// GPT-NeoX, which Pythia's models are too: layer norms, partly turning heads, attention and feed-forward layer side by side, biases, a head of its own. Token
/// ids `[T]` become logits `[T, vocabulary]`.
///
/// Sizes are fields; by default those of Pythia-70M. Initial values: a standard deviation of 0.02, and 0.02 / √(2·blocks) where a block adds to its steps.
/// [`hf`](crate::models::hf) opens published weights (feature `files`).
///
/// Black and others: "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", 2022.
///
/// ```
/// use gradus::models::GptNeoX;
/// use gradus::prelude::*;
/// let small = GptNeoX { vocabulary: 65, features: 32, blocks: 2, heads: 4, ..GptNeoX::default() };
/// let model = small.build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([1, 10]))?.dims(), &[1, 10, 65]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GptNeoX {
    /// Tokens.
    pub vocabulary: usize,
    /// Numbers of a step.
    pub features: usize,
    /// Decoder blocks.
    pub blocks: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Units of feed-forward layers; 4 times the features if `None`.
    pub hidden: Option<usize>,
    /// Their activation.
    pub activation: Activation,
    /// How steps turn with their positions; a quarter of each head by default.
    pub rotary: Option<Rotary>,
    /// Whether the products of attention add biases.
    pub attention_bias: bool,
    /// Whether attention and feed-forward layer stand side by side.
    pub parallel: bool,
    /// ε of the norms.
    pub epsilon: f64,
    /// Whether the head is tied to the embedding.
    pub tied: bool,
    /// The part that is dropped in training: of embeddings, and of what blocks add.
    pub dropout: f64,
    /// The part of attention's probabilities that is dropped in training.
    pub attention_dropout: f64,
}

impl Default for GptNeoX {
    fn default() -> Self {
        GptNeoX {
            vocabulary: 50304,
            features: 512,
            blocks: 6,
            heads: 8,
            hidden: None,
            activation: Activation::Gelu,
            rotary: None,
            attention_bias: true,
            parallel: true,
            epsilon: 1e-5,
            tied: false,
            dropout: 0.0,
            attention_dropout: 0.0,
        }
    }
}

impl GptNeoX {
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
        let mut x = g.add_named("tokens", embedding, tokens);
        if self.dropout > 0.0 {
            x = g.add(Dropout::new(self.dropout), x);
        }
        // An even number, as values turn in pairs.
        let turned = (self.features / self.heads.max(1) / 8).max(1) * 2;
        let rotary = self.rotary.clone().unwrap_or_else(|| Rotary::new().turned(turned));
        let block = TransformerDecoderBlock::new(self.features, self.heads)
            .hidden(self.hidden.unwrap_or(self.features.saturating_mul(4)))
            .activation(self.activation)
            .norm(BlockNorm::Layer(self.epsilon))
            .fused(true)
            .attention_bias(self.attention_bias)
            .rotary(rotary)
            .parallel(self.parallel)
            .dropout(self.dropout)
            .attention_dropout(self.attention_dropout)
            .initializer(init.clone())
            .residual_initializer(residual);
        let x = decoder::blocks(g, x, |_| block.clone(), self.blocks, documents);
        let x = g.add_named("norm", LayerNorm::new().epsilon(self.epsilon), x);
        decoder::head(g, x, self.vocabulary, self.tied, None, init)
    }
}

impl Part for GptNeoX {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        self.wire_with(g, x, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sizes_have_the_published_weights() {
        // Of one block instead of six: 70,426,624 in all.
        let one = GptNeoX { blocks: 1, ..GptNeoX::default() }.build(0).unwrap().params().len();
        let block = 12 * 512 * 512 + 13 * 512;
        assert_eq!(one + 5 * block, 70_426_624);
    }
}
