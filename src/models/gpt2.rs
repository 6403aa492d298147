//! GPT-2.

use super::decoder;
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{BlockNorm, Graph, Part, TransformerDecoderBlock, Value};
use crate::layers::{Dropout, Embedding, LayerNorm, PositionEmbedding, TiedDense};
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
    /// The part that is dropped in training: of embeddings, of what blocks add, and of attention's probabilities.
    pub dropout: f64,
}

impl Default for Gpt2 {
    fn default() -> Self {
        Gpt2 { vocabulary: 50257, context: 1024, features: 768, blocks: 12, heads: 12, hidden: None, dropout: 0.0 }
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
        if self.dropout > 0.0 {
            x = g.add(Dropout::new(self.dropout), x);
        }
        let block = TransformerDecoderBlock::new(self.features, self.heads)
            .hidden(self.hidden.unwrap_or(4 * self.features))
            .activation(Activation::GeluTanh)
            .norm(BlockNorm::Layer(1e-5))
            .fused(true)
            .dropout(self.dropout)
            .attention_dropout(self.dropout)
            .initializer(init)
            .residual_initializer(residual);
        let x = decoder::blocks(g, x, &block, self.blocks, documents);
        let x = g.add_named("norm", LayerNorm::new().epsilon(1e-5), x);
        g.add_named("head", TiedDense::new("tokens/embeddings"), x)
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
