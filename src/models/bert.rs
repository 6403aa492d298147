//! BERT.

use crate::activations::Activation;
use crate::graph::{BlockNorm, Graph, TransformerEncoderBlock, Value};
use crate::initializers::Init;
use crate::layers::merging::Add;
use crate::layers::{Dense, Dropout, Embedding, LayerNorm, PositionBias, PositionEmbedding, Slice, TiedDense};

/// BERT: embeddings of tokens, positions and sentences, a norm, and encoder blocks with norms behind the sums. Token ids `[T]` become steps
/// `[T, features]`, on which heads stand: [`pooled`](Self::pooled) for whole texts, [`masked_language`](Self::masked_language) for hidden tokens.
///
/// Sizes are fields; by default those of BERT-base, 109 million weights. Initial values: a standard deviation of 0.02. RoBERTa, XLM-R, MPNet and
/// DistilBERT are settings of it; [`hf`](crate::models::hf) opens the published weights (feature `files`).
///
/// Devlin and others: "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2019; Liu and others: "RoBERTa", 2019; Song and
/// others: "MPNet: Masked and Permuted Pre-training for Language Understanding", 2020; Sanh and others: "DistilBERT", 2019.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::models::Bert;
/// use gradus::prelude::*;
/// let small = Bert { vocabulary: 90, context: 24, features: 32, blocks: 2, heads: 4, ..Bert::default() };
/// let mut g = Graph::new();
/// let (tokens, mask) = (g.input("tokens", [FREE]), g.input("mask", [FREE]));
/// let steps = small.wire_with(&mut g, tokens, None, Some(mask));
/// let text = small.pooled(&mut g, steps);
/// let classes = g.add(Dense::new(3), text);
/// let model = g.build([classes], 0)?;
/// let (tokens, mask) = (Tensor::full([2, 7], 5.0), Tensor::full([2, 7], 1.0));
/// assert_eq!(model.predict([&tokens, &mask])?.dims(), &[2, 3]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bert {
    /// Tokens.
    pub vocabulary: usize,
    /// The longest sequence.
    pub context: usize,
    /// Kinds of sentences.
    pub sentences: usize,
    /// Numbers of a step.
    pub features: usize,
    /// Encoder blocks.
    pub blocks: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Units of feed-forward layers; 4 times the features if `None`.
    pub hidden: Option<usize>,
    /// The activation of feed-forward layers, and of the head of [`masked_language`](Self::masked_language).
    pub activation: Activation,
    /// ε of the norms.
    pub epsilon: f64,
    /// The part that is dropped in training: of embeddings, of what blocks add, and of attention's probabilities where
    /// [`attention_dropout`](Self::attention_dropout) says nothing else.
    pub dropout: f64,
    /// The part of attention's probabilities that is dropped in training; [`dropout`](Self::dropout) if `None`.
    pub attention_dropout: Option<f64>,
    /// The token of padding, whose row of the table has no gradient from being looked up; none if `None`.
    pub padding: Option<usize>,
    /// Whether positions are counted over tokens that are no [`padding`](Self::padding) (RoBERTa, MPNet), see
    /// [`PositionEmbedding::count_tokens`].
    pub counts_tokens: bool,
    /// Whether all steps are of sentence 0 where there are no numbers of sentences (RoBERTa, whose table has one row); else nothing is added there.
    pub one_sentence: bool,
    /// Whether attention adds a trained number by distance, one table for all blocks (MPNet): [`PositionBias::relative`].
    pub relative: bool,
}

impl Default for Bert {
    fn default() -> Self {
        Bert {
            vocabulary: 30522,
            context: 512,
            sentences: 2,
            features: 768,
            blocks: 12,
            heads: 12,
            hidden: None,
            activation: Activation::Gelu,
            epsilon: 1e-12,
            dropout: 0.1,
            attention_dropout: None,
            padding: None,
            counts_tokens: false,
            one_sentence: false,
            relative: false,
        }
    }
}

impl Bert {
    fn init() -> Init {
        Init::Normal { mean: 0.0, std: 0.02 }
    }

    /// Adds the encoder behind token ids, outside of all scopes: the last block's steps. `sentences` says which of two sentences a token is of; without
    /// it there is no embedding of sentences. `mask` is not 0 where a token counts.
    pub fn wire_with(&self, g: &mut Graph, tokens: Value, sentences: Option<Value>, mask: Option<Value>) -> Value {
        let embedding = |rows: usize| Embedding::new(rows, self.features).embeddings_initializer(Self::init());
        let x = g.add_named("tokens", embedding(self.vocabulary).padding_row(self.padding), tokens);
        let positions = PositionEmbedding::new(self.context).embeddings_initializer(Self::init());
        let mut x = match self.padding.filter(|_| self.counts_tokens) {
            Some(padding) => g.op_named("positions", positions.count_tokens(padding), &[x, tokens]),
            None => g.add_named("positions", positions, x),
        };
        if let Some(sentences) = sentences {
            let kinds = g.add_named("sentences", embedding(self.sentences), sentences);
            x = g.op(Add::new().same_shapes(true), &[x, kinds]);
        } else if self.one_sentence {
            let kinds = PositionEmbedding::new(self.sentences).fixed(0).embeddings_initializer(Self::init());
            x = g.add_named("sentences", kinds, x);
        }
        x = g.add_named("norm", LayerNorm::new().epsilon(self.epsilon), x);
        if self.dropout > 0.0 {
            x = g.add(Dropout::new(self.dropout), x);
        }
        if let Some(mask) = mask {
            x = g.masked(x, mask);
        }
        let block = TransformerEncoderBlock::new(self.features, self.heads)
            .hidden(self.hidden.unwrap_or(self.features.saturating_mul(4)))
            .activation(self.activation)
            .norm(BlockNorm::Layer(self.epsilon))
            .pre_norm(false)
            .dropout(self.dropout)
            .attention_dropout(self.attention_dropout.unwrap_or(self.dropout))
            .initializer(Self::init());
        for i in 0..self.blocks {
            let bias = match (self.relative, i) {
                (false, _) => PositionBias::None,
                (true, 0) => PositionBias::relative(true),
                (true, _) => PositionBias::shared(true, "block_0/attention/relative_bias"),
            };
            x = g.add_named(&format!("block_{i}"), block.clone().bias(bias), x);
        }
        x
    }

    /// The first step through a dense layer with tanh: a whole text as `[features]`.
    pub fn pooled(&self, g: &mut Graph, steps: Value) -> Value {
        let first = g.add(Slice::new().at(0), steps);
        let dense = Dense::new(self.features).activation(Activation::Tanh).kernel_initializer(Self::init());
        g.add_named("pooler", dense, first)
    }

    /// Logits `[T, vocabulary]` of the token that stands, or stood, at each step: a dense layer with the activation, a norm, and a head tied to the
    /// embedding.
    pub fn masked_language(&self, g: &mut Graph, steps: Value) -> Value {
        let dense = Dense::new(self.features).activation(self.activation).kernel_initializer(Self::init());
        let x = g.add_named("transform", dense, steps);
        let x = g.add_named("transform_norm", LayerNorm::new().epsilon(self.epsilon), x);
        g.add_named("head", TiedDense::new("tokens/embeddings").use_bias(true), x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::FREE;

    #[test]
    fn counted_positions_and_a_shared_bias() {
        let settings = Bert {
            vocabulary: 9,
            context: 6,
            sentences: 1,
            features: 8,
            blocks: 2,
            heads: 2,
            padding: Some(1),
            counts_tokens: true,
            one_sentence: true,
            relative: true,
            ..Bert::default()
        };
        let mut g = Graph::new();
        let (tokens, mask) = (g.input("tokens", [FREE]), g.input("mask", [FREE]));
        let steps = settings.wire_with(&mut g, tokens, None, Some(mask));
        let model = g.build([steps], 0).unwrap();
        let sizes = [9 * 8, 8 * 8, 8, 32 * 2].iter().sum::<usize>() + 2 * 8;
        assert_eq!(model.params().len(), sizes + 2 * (12 * 8 * 8 + 13 * 8));
        let tensor = |values: [f32; 4]| crate::Tensor::from([values]);
        let left = model.predict([&tensor([1.0, 5.0, 7.0, 2.0]), &tensor([0.0, 1.0, 1.0, 1.0])]).unwrap();
        let right = model.predict([&tensor([5.0, 7.0, 2.0, 1.0]), &tensor([1.0, 1.0, 1.0, 0.0])]).unwrap();
        assert_eq!(left.as_slice()[8..], right.as_slice()[..24]);
    }

    #[test]
    fn the_published_sizes_have_the_published_weights() {
        let mut g = Graph::new();
        let (tokens, sentences) = (g.input("tokens", [FREE]), g.input("sentences", [FREE]));
        let one = Bert { blocks: 1, ..Bert::default() };
        let steps = one.wire_with(&mut g, tokens, Some(sentences), None);
        let text = one.pooled(&mut g, steps);
        // Of one block instead of twelve: 109,482,240 in all.
        let block = 12 * 768 * 768 + 13 * 768;
        assert_eq!(g.build([text], 0).unwrap().params().len() + 11 * block, 109_482_240);
    }
}
