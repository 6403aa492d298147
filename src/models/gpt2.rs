//! GPT-2.

use super::decoder;
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{BlockNorm, Graph, Part, TransformerDecoderBlock, Value};
use crate::layers::{Dropout, Embedding, LayerNorm, PositionEmbedding};
use crate::model::Model;

/// GPT-2: token and position embeddings, decoder blocks with pre-norm, GELU and one product for queries, keys and values, a last norm and a head tied
/// to the embedding. Token ids `[T]` become logits `[T, vocabulary]`.
///
/// Sizes are fields; by default those of the smallest published model, 124 million weights. Initial values: a standard deviation of 0.02, and
/// 0.02 / √(2·blocks) where a block adds to its steps.
///
/// Radford and others: "Language Models are Unsupervised Multitask Learners", 2019.
///
/// ```
/// use gradus::models::Gpt2;
/// use gradus::prelude::*;
/// let small = Gpt2 { vocabulary: 65, context: 64, features: 32, blocks: 2, heads: 4, ..Gpt2::default() };
/// let model = small.build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([1, 10]))?.dims(), &[1, 10, 65]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gpt2 {
    /// Tokens.
    pub vocabulary: usize,
    /// The longest sequence.
    pub context: usize,
    /// Numbers of a step.
    pub features: usize,
    /// Decoder blocks.
    pub blocks: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Units of feed-forward layers; 4 times the features if `None`.
    pub hidden: Option<usize>,
    /// The activation of feed-forward layers.
    pub activation: Activation,
    /// ε of the norms.
    pub epsilon: f64,
    /// Whether the head is tied to the embedding.
    pub tied: bool,
    /// The part that is dropped in training: of what blocks add, and of embeddings and attention's probabilities where the next two say nothing else.
    pub dropout: f64,
    /// The part of embeddings that is dropped in training; [`dropout`](Self::dropout) if `None`.
    pub embedding_dropout: Option<f64>,
    /// The part of attention's probabilities that is dropped in training; [`dropout`](Self::dropout) if `None`.
    pub attention_dropout: Option<f64>,
}

impl Default for Gpt2 {
    fn default() -> Self {
        Gpt2 {
            vocabulary: 50257,
            context: 1024,
            features: 768,
            blocks: 12,
            heads: 12,
            hidden: None,
            activation: Activation::GeluTanh,
            epsilon: 1e-5,
            tied: true,
            dropout: 0.0,
            embedding_dropout: None,
            attention_dropout: None,
        }
    }
}

impl Gpt2 {
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
        let positions = PositionEmbedding::new(self.context).embeddings_initializer(init.clone());
        let mut x = g.add_named("positions", positions, x);
        let dropout = self.embedding_dropout.unwrap_or(self.dropout);
        if dropout > 0.0 {
            x = g.add(Dropout::new(dropout), x);
        }
        let block = TransformerDecoderBlock::new(self.features, self.heads)
            .hidden(self.hidden.unwrap_or(self.features.saturating_mul(4)))
            .activation(self.activation)
            .norm(BlockNorm::Layer(self.epsilon))
            .fused(true)
            .dropout(self.dropout)
            .attention_dropout(self.attention_dropout.unwrap_or(self.dropout))
            .initializer(init.clone())
            .residual_initializer(residual);
        let x = decoder::blocks(g, x, |_| block.clone(), self.blocks, documents);
        let x = g.add_named("norm", LayerNorm::new().epsilon(self.epsilon), x);
        decoder::head(g, x, self.vocabulary, self.tied, None, init)
    }
}

impl Part for Gpt2 {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        self.wire_with(g, x, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sizes_have_the_published_weights() {
        // Of one block instead of twelve: 124,439,808 in all.
        let one = Gpt2 { blocks: 1, ..Gpt2::default() }.build(0).unwrap().params().len();
        let block = 12 * 768 * 768 + 13 * 768;
        assert_eq!(one + 11 * block, 124_439_808);
    }
}
