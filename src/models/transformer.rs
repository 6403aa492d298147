//! The encoder–decoder Transformer.

use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{BlockInputs, BlockNorm, Graph, TransformerDecoderBlock, TransformerEncoderBlock, Value};
use crate::initializers::Init;
use crate::layers::{Dropout, Embedding, LayerNorm, Rescaling, SinusoidalPositions, TiedDense};
use crate::model::Model;
use crate::tensor::FREE;

/// The Transformer: encoder blocks over a source, decoder blocks over the tokens so far that attend to what the encoder made of it. Token ids `source`
/// `[S]` and `target` `[T]` become logits `[T, vocabulary]` of the tokens that follow.
///
/// - One table embeds source and target, times √features, and gives the logits; sinusoidal positions are added.
/// - Token 0 is padding, and is not seen. `target` begins with a token that begins texts, and the target of training is what follows.
/// - Sizes are fields; by default those of the paper's base model, with norms behind the sums. Initial values: a standard deviation of 1/√features for
///   the table, Glorot uniform elsewhere. Deep ones want [`pre_norm`](Self::pre_norm), or a warm-up.
/// - [`Model::decoder`] writes with it; the encoder runs once for each source.
///
/// Vaswani and others: "Attention Is All You Need", 2017.
///
/// ```
/// use gradus::models::Transformer;
/// use gradus::prelude::*;
/// let small = Transformer { vocabulary: 30, features: 16, blocks: 2, heads: 2, hidden: 32, ..Transformer::default() };
/// let model = small.build(0)?;
/// let (source, target) = (Tensor::full([2, 7], 5.0), Tensor::full([2, 4], 1.0));
/// assert_eq!(model.predict([&source, &target])?.dims(), &[2, 4, 30]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Transformer {
    /// Tokens, those of source and target together.
    pub vocabulary: usize,
    /// Numbers of a step.
    pub features: usize,
    /// Encoder blocks, and as many decoder blocks.
    pub blocks: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Units of feed-forward layers.
    pub hidden: usize,
    /// Whether parts of blocks have their norms before, with one more at each end, in the place of behind.
    pub pre_norm: bool,
    /// The part that is dropped in training: of embeddings, and of what blocks add.
    pub dropout: f64,
}

impl Default for Transformer {
    fn default() -> Self {
        Transformer {
            vocabulary: 37000,
            features: 512,
            blocks: 6,
            heads: 8,
            hidden: 2048,
            pre_norm: false,
            dropout: 0.1,
        }
    }
}

impl Transformer {
    /// The model, with inputs `source` `[S]` and `target` `[T]`.
    ///
    /// # Errors
    /// Sizes that cannot work.
    pub fn build(&self, seed: u64) -> Result<Model> {
        let mut g = Graph::new();
        let (source, target) = (g.input("source", [FREE]), g.input("target", [FREE]));
        let logits = self.wire_with(&mut g, source, target);
        g.build([logits], seed)
    }

    /// Adds the model behind token ids, outside of all scopes. The logits.
    pub fn wire_with(&self, g: &mut Graph, source: Value, target: Value) -> Value {
        let init = Init::Normal { mean: 0.0, std: 1.0 / (self.features.max(1) as f64).sqrt() };
        let table = Embedding::new(self.vocabulary, self.features).embeddings_initializer(init).mask_zero(true);
        let table = g.shared("tokens", table);
        let embed = |g: &mut Graph, tokens: Value| {
            let x = g.apply(&table, tokens);
            let x = g.add(Rescaling::new((self.features as f64).sqrt()), x);
            let x = g.add(SinusoidalPositions::new(), x);
            if self.dropout > 0.0 { g.add(Dropout::new(self.dropout), x) } else { x }
        };
        // A norm at the end of blocks whose sums are not normalised.
        let end = |g: &mut Graph, name: &str, x: Value| match self.pre_norm {
            true => g.add_named(name, LayerNorm::new().epsilon(1e-5), x),
            false => x,
        };
        let mut x = embed(g, source);
        let block = TransformerEncoderBlock::new(self.features, self.heads)
            .hidden(self.hidden)
            .activation(Activation::Relu)
            .norm(BlockNorm::Layer(1e-5))
            .pre_norm(self.pre_norm)
            .dropout(self.dropout);
        for i in 0..self.blocks {
            x = g.add_named(&format!("encoder_{i}"), block.clone(), x);
        }
        let encoder = end(g, "encoder_norm", x);
        let mut y = embed(g, target);
        let block = TransformerDecoderBlock::new(self.features, self.heads)
            .hidden(self.hidden)
            .activation(Activation::Relu)
            .norm(BlockNorm::Layer(1e-5))
            .pre_norm(self.pre_norm)
            .dropout(self.dropout)
            .inputs(BlockInputs::encoder(encoder));
        for i in 0..self.blocks {
            y = g.add_named(&format!("decoder_{i}"), block.clone(), y);
        }
        let y = end(g, "decoder_norm", y);
        g.add_named("head", TiedDense::new("tokens/embedding/embeddings"), y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::{GenerationSettings, Generator};
    use crate::tensor::Tensor;

    #[test]
    fn the_published_sizes_have_the_published_weights() {
        // Of one block each instead of six: 63 million, without the padding of the paper's vocabulary.
        let one = Transformer { blocks: 1, ..Transformer::default() }.build(0).unwrap().params().len();
        let attention = 4 * (512 * 512 + 512);
        let feed_forward = 2 * 512 * 2048 + 2048 + 512;
        let both = 3 * attention + 2 * feed_forward + 5 * 2 * 512;
        assert_eq!(one, 37000 * 512 + both);
    }

    #[test]
    fn padding_changes_no_bit_and_encoders_run_once() {
        let small = Transformer { vocabulary: 30, features: 16, blocks: 2, heads: 2, hidden: 20, ..Default::default() };
        for pre_norm in [false, true] {
            let model = Transformer { pre_norm, ..small.clone() }.build(4).unwrap();
            let tokens = |dims: [usize; 2], values: &[f32]| Tensor::new(dims, values.to_vec()).unwrap();
            let (source, target) = (tokens([1, 3], &[4.0, 9.0, 2.0]), tokens([1, 2], &[1.0, 7.0]));
            let alone = model.predict([&source, &target]).unwrap();
            let padded = tokens([2, 5], &[4.0, 9.0, 2.0, 0.0, 0.0, 3.0, 3.0, 8.0, 1.0, 5.0]);
            let target = tokens([2, 3], &[1.0, 7.0, 0.0, 1.0, 2.0, 2.0]);
            let both = model.predict([&padded, &target]).unwrap();
            assert_eq!(both.as_slice()[..60], alone.as_slice()[..]);

            let mut decoder = model.decoder().unwrap();
            decoder.set_source_tokens(&[[4, 9, 2]]).unwrap();
            let mut generator = Generator::new(GenerationSettings::default().max_new_tokens(3));
            let text = generator.generate(&mut decoder, &[[1, 7]]).unwrap();
            let row = &alone.as_slice()[30..];
            let best = (0..30).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
            assert_eq!(text[0][0].tokens[0] as usize, best);
        }
    }
}
