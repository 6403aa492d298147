//! Decoders in the style of Llama.

use super::decoder;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{BlockNorm, Graph, Part, TransformerDecoderBlock, Value};
use crate::layers::{Embedding, Rescaling, Rotary};
use crate::model::Model;

/// A decoder in the style of Llama: rotary positions, root-mean-square norms, SwiGLU, grouped queries, no biases. Token ids `[T]` become logits
/// `[T, vocabulary]`.
///
/// Llama 2 and 3, Mistral, Qwen 2 and 3, Phi-3 and Gemma 2 and 3 are settings of it; [`hf`](crate::models::hf) opens published weights (feature `files`).
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
    /// Whether heads of queries and keys have norms (Qwen 3, Gemma 3).
    pub qk_norm: bool,
    /// What scores are multiplied by; 1/√head_dim if `None`.
    pub scale: Option<f64>,
    /// The size that scores come near to and do not reach (Gemma 2); none if `None`.
    pub soft_cap: Option<f64>,
    /// Units of the gated feed-forward layers.
    pub hidden: usize,
    /// The activation of their gates.
    pub activation: Activation,
    /// Whether queries, keys and values come from one product, and gates and what they gate too (Phi-3).
    pub fused: bool,
    /// Whether the products of queries, keys and values add biases (Qwen 2).
    pub attention_bias: bool,
    /// Whether the product of attention's output adds a bias.
    pub output_bias: bool,
    /// Whether feed-forward layers add biases.
    pub feed_forward_bias: bool,
    /// How steps turn with their positions.
    pub rotary: Rotary,
    /// How they do in blocks with a window, where it differs (Gemma 3).
    pub windowed_rotary: Option<Rotary>,
    /// ε of the norms.
    pub epsilon: f64,
    /// Whether norms multiply by 1 + their weights (Gemma).
    pub unit_offset: bool,
    /// Whether what attention and feed-forward layers give is normalised once more (Gemma 2 and 3).
    pub post_norm: bool,
    /// What embeddings are multiplied by (Gemma: √features); nothing if `None`.
    pub embedding_scale: Option<f64>,
    /// The size that logits come near to and do not reach (Gemma 2); none if `None`.
    pub logit_cap: Option<f64>,
    /// How many steps a step sees; all if `None`.
    pub window: Option<usize>,
    /// Which blocks have the window, one entry for each; all if empty.
    pub windowed: Vec<bool>,
    /// The token of padding, whose row of the table has no gradient from being looked up; none if `None`.
    pub padding: Option<usize>,
    /// Whether the head is tied to the embedding.
    pub tied: bool,
    /// The part of what blocks add that is dropped in training.
    pub dropout: f64,
    /// The part of attention's probabilities that is dropped in training.
    pub attention_dropout: f64,
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
            qk_norm: false,
            scale: None,
            soft_cap: None,
            hidden: 768,
            activation: Activation::Silu,
            fused: false,
            attention_bias: false,
            output_bias: false,
            feed_forward_bias: false,
            rotary: Rotary::new(),
            windowed_rotary: None,
            epsilon: 1e-5,
            unit_offset: false,
            post_norm: false,
            embedding_scale: None,
            logit_cap: None,
            window: None,
            windowed: Vec::new(),
            padding: None,
            tied: true,
            dropout: 0.0,
            attention_dropout: 0.0,
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
        if !self.windowed.is_empty() && self.windowed.len() != self.blocks {
            let (expected, got) =
                (format!("empty, or an entry for each of {} blocks", self.blocks), self.windowed.len());
            g.refuse(Error::argument(
                "Llama",
                "windowed",
                expected,
                got,
                "say of each block whether it has the window",
            ));
        }
        let mut x = g.add_named("tokens", embedding.padding_row(self.padding), tokens);
        if let Some(scale) = self.embedding_scale {
            x = g.add(Rescaling::new(scale), x);
        }
        let norm = match self.unit_offset {
            true => BlockNorm::RmsUnitOffset(self.epsilon),
            false => BlockNorm::Rms(self.epsilon),
        };
        let block = TransformerDecoderBlock::new(self.features, self.heads)
            .key_heads(self.key_heads)
            .head_dim(self.head_dim)
            .qk_norm(self.qk_norm)
            .scale(self.scale)
            .soft_cap(self.soft_cap)
            .post_norm(self.post_norm)
            .hidden(self.hidden)
            .activation(self.activation)
            .gated(true)
            .fused(self.fused)
            .fused_gate(self.fused)
            .use_bias(self.feed_forward_bias)
            .attention_bias(self.attention_bias)
            .output_bias(self.output_bias)
            .norm(norm)
            .dropout(self.dropout)
            .attention_dropout(self.attention_dropout)
            .initializer(init.clone())
            .residual_initializer(residual);
        let windowed = |i: usize| self.windowed.get(i).copied().unwrap_or(true);
        let block = |i: usize| {
            let rotary = self.windowed_rotary.as_ref().filter(|_| windowed(i)).unwrap_or(&self.rotary);
            block.clone().window(self.window.filter(|_| windowed(i))).rotary(rotary.clone())
        };
        let x = decoder::blocks(g, x, block, self.blocks, documents);
        let x = g.add_named("norm", norm, x);
        decoder::head(g, x, self.vocabulary, self.tied, self.logit_cap, init)
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
    fn windows_of_some_blocks() {
        let small =
            Llama { vocabulary: 9, features: 8, blocks: 2, heads: 2, key_heads: 2, hidden: 8, ..Llama::default() };
        let ids = crate::Tensor::from_fn([1, 6], |i| i as f32);
        let of = |window, windowed: &[bool]| {
            let model = Llama { window, windowed: windowed.to_vec(), ..small.clone() }.build(0).unwrap();
            model.predict(&ids).unwrap()
        };
        assert_eq!(of(Some(2), &[false, false]), of(None, &[]));
        assert_eq!(of(Some(2), &[true, true]), of(Some(2), &[]));
        assert!(of(Some(2), &[true, false]) != of(Some(2), &[]) && of(Some(2), &[true, false]) != of(None, &[]));
        let error = Llama { windowed: vec![true], ..small.clone() }.build(0).unwrap_err();
        assert!(error.to_string().contains("an entry for each of 2 blocks, got 1"), "{error}");
    }

    #[test]
    fn weights_of_a_known_size() {
        let model = Llama::default().build(0).unwrap();
        let block = 4 * 288 * 288 + 3 * 288 * 768 + 2 * 288;
        assert_eq!(model.params().len(), 32000 * 288 + 6 * block + 288);
    }
}
