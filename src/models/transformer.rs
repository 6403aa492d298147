//! The encoder–decoder Transformer.

use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{BlockInputs, BlockNorm, Graph, TransformerDecoderBlock, TransformerEncoderBlock, Value};
use crate::initializers::Init;
use crate::layers::{
    Dense, Dropout, Embedding, PositionBias, PositionEmbedding, Rescaling, SinusoidalPositions, TiedDense,
};
use crate::model::Model;
use crate::tensor::FREE;

/// How an encoder–decoder tells steps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransformerPositions {
    /// Sines and cosines in turn, [`SinusoidalPositions`].
    Sinusoidal,
    /// All sines, then all cosines (Marian).
    SinusoidalHalves,
    /// A trained table for each side, [`PositionEmbedding`] (BART).
    Learned {
        /// The longest sequence.
        context: usize,
        /// The row of the first step: 2 in BART's tables.
        offset: usize,
    },
    /// Trained numbers that are added to scores by distance, [`PositionBias::Relative`]: each side has a table, that of its first block (T5).
    Relative {
        /// How many buckets of distances.
        buckets: usize,
        /// From here on all distances are in the last bucket.
        max_distance: usize,
    },
}

/// The Transformer: encoder blocks over a source, decoder blocks over the tokens so far that attend to what the encoder made of it. Token ids `source`
/// `[S]` and `target` `[T]` become logits `[T, vocabulary]` of the tokens that follow.
///
/// - One table embeds source and target, times √features, and gives the logits; sinusoidal positions are added.
/// - Token 0 is padding, and is not seen. `target` begins with a token that begins texts, and the target of training is what follows.
/// - Sizes are fields; by default those of the paper's base model, with norms behind the sums. Initial values: a standard deviation of 1/√features for
///   the table, Glorot uniform elsewhere. Deep ones want [`pre_norm`](Self::pre_norm), or a warm-up.
/// - Further fields make it Marian, BART and T5; those of [`Default`] are the paper's.
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
    /// Encoder blocks, and as many decoder blocks where [`decoder_blocks`](Self::decoder_blocks) says nothing.
    pub blocks: usize,
    /// Decoder blocks; as many as encoder blocks if `None`.
    pub decoder_blocks: Option<usize>,
    /// Heads of attention.
    pub heads: usize,
    /// Heads of the decoder's attention; as many if `None`.
    pub decoder_heads: Option<usize>,
    /// The width of each head; features / heads if `None`.
    pub head_dim: Option<usize>,
    /// Units of feed-forward layers.
    pub hidden: usize,
    /// Units of the decoder's feed-forward layers; as many if `None`.
    pub decoder_hidden: Option<usize>,
    /// The activation of feed-forward layers.
    pub activation: Activation,
    /// Whether feed-forward layers are gated.
    pub gated: bool,
    /// Whether products add biases.
    pub use_bias: bool,
    /// What scores are multiplied by; 1/√head_dim if `None`, and 1 for T5.
    pub scale: Option<f64>,
    /// How steps are normalised.
    pub norm: BlockNorm,
    /// Whether parts of blocks have their norms before, with one more at each end, in the place of behind.
    pub pre_norm: bool,
    /// How steps are told apart.
    pub positions: TransformerPositions,
    /// Whether embeddings are multiplied by √features.
    pub scales_embeddings: bool,
    /// Whether embeddings with their positions are normalised, each side by a norm of its own.
    pub embedding_norm: bool,
    /// Whether token 0 is padding, and is not seen.
    pub mask_zero: bool,
    /// The token whose embedding gets no gradient where it is looked up, see [`Embedding::padding_row`].
    pub padding: Option<usize>,
    /// Whether the table of tokens gives the logits, or a matrix of its own.
    pub tied: bool,
    /// What the decoder's steps are multiplied by before they become logits: 1/√features in T5 with a tied head.
    pub head_scale: Option<f64>,
    /// Whether a tied head adds numbers to the logits that are not trained (`final_logits_bias` of Marian and BART).
    pub head_bias: bool,
    /// The part that is dropped in training: of embeddings, and of what blocks add.
    pub dropout: f64,
    /// The part of attention's probabilities that is dropped in training.
    pub attention_dropout: f64,
    /// The part of feed-forward layers' units that is dropped in training.
    pub activation_dropout: f64,
    /// The part of the last steps of each side that is dropped in training.
    pub end_dropout: f64,
}

impl Default for Transformer {
    fn default() -> Self {
        Transformer {
            vocabulary: 37000,
            features: 512,
            blocks: 6,
            decoder_blocks: None,
            heads: 8,
            decoder_heads: None,
            head_dim: None,
            hidden: 2048,
            decoder_hidden: None,
            activation: Activation::Relu,
            gated: false,
            use_bias: true,
            scale: None,
            norm: BlockNorm::Layer(1e-5),
            pre_norm: false,
            positions: TransformerPositions::Sinusoidal,
            scales_embeddings: true,
            embedding_norm: false,
            mask_zero: true,
            padding: None,
            tied: true,
            head_scale: None,
            head_bias: false,
            dropout: 0.1,
            attention_dropout: 0.0,
            activation_dropout: 0.0,
            end_dropout: 0.0,
        }
    }
}

/// A block of either kind with the settings that both have.
macro_rules! block {
    ($kind:ident, $of:expr, $heads:expr, $hidden:expr) => {
        $kind::new($of.features, $heads)
            .head_dim($of.head_dim)
            .hidden($hidden)
            .activation($of.activation)
            .gated($of.gated)
            .use_bias($of.use_bias)
            .scale($of.scale)
            .norm($of.norm)
            .pre_norm($of.pre_norm)
            .dropout($of.dropout)
            .attention_dropout($of.attention_dropout)
            .activation_dropout($of.activation_dropout)
    };
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
        self.wire_masked(g, source, None, target)
    }

    /// [`wire_with`](Self::wire_with) a mask of the source `[S]`, which is not 0 where a token counts.
    pub fn wire_masked(&self, g: &mut Graph, source: Value, mask: Option<Value>, target: Value) -> Value {
        let init = Init::Normal { mean: 0.0, std: 1.0 / (self.features.max(1) as f64).sqrt() };
        let table = Embedding::new(self.vocabulary, self.features).embeddings_initializer(init.clone());
        let table = g.shared("tokens", table.mask_zero(self.mask_zero).padding_row(self.padding));
        let mut x = g.apply(&table, source);
        x = self.placed(g, "encoder", x);
        if let Some(mask) = mask {
            x = g.masked(x, mask);
        }
        let block = block!(TransformerEncoderBlock, self, self.heads, self.hidden);
        for i in 0..self.blocks {
            let block = block.clone().bias(self.bias("encoder", i));
            x = g.add_named(&format!("encoder_{i}"), block, x);
        }
        let encoder = self.ended(g, "encoder", x);

        let y = g.apply(&table, target);
        let mut y = self.placed(g, "decoder", y);
        let (heads, hidden) = (self.decoder_heads.unwrap_or(self.heads), self.decoder_hidden.unwrap_or(self.hidden));
        let block = block!(TransformerDecoderBlock, self, heads, hidden).inputs(BlockInputs::encoder(encoder));
        for i in 0..self.decoder_blocks.unwrap_or(self.blocks) {
            let block = block.clone().bias(self.bias("decoder", i));
            y = g.add_named(&format!("decoder_{i}"), block, y);
        }
        let mut y = self.ended(g, "decoder", y);
        if let Some(scale) = self.head_scale {
            y = g.add(Rescaling::new(scale), y);
        }
        if !self.tied {
            let head = Dense::new(self.vocabulary).use_bias(false).kernel_initializer(init);
            return g.add_named("head", head, y);
        }
        let logits = g.add_named("head", TiedDense::new("tokens/embedding/embeddings").use_bias(self.head_bias), y);
        if self.head_bias {
            // The matrix is the table's, which is trained.
            g.trainable(false);
        }
        logits
    }

    /// Embeddings of one side with their positions.
    fn placed(&self, g: &mut Graph, side: &str, mut x: Value) -> Value {
        if self.scales_embeddings {
            x = g.add(Rescaling::new((self.features as f64).sqrt()), x);
        }
        x = match self.positions {
            TransformerPositions::Sinusoidal => g.add(SinusoidalPositions::new(), x),
            TransformerPositions::SinusoidalHalves => g.add(SinusoidalPositions::new().halves(true), x),
            TransformerPositions::Learned { context, offset } => {
                g.add_named(&format!("{side}_positions"), PositionEmbedding::new(context).offset(offset), x)
            }
            TransformerPositions::Relative { .. } => x,
        };
        if self.embedding_norm {
            x = g.add_named(&format!("{side}_embedding_norm"), self.norm, x);
        }
        if self.dropout > 0.0 { g.add(Dropout::new(self.dropout), x) } else { x }
    }

    /// What a block of one side adds to scores.
    fn bias(&self, side: &str, block: usize) -> PositionBias {
        let TransformerPositions::Relative { buckets, max_distance } = self.positions else {
            return PositionBias::None;
        };
        let shared = (block > 0).then(|| format!("{side}_0/attention/relative_bias"));
        PositionBias::Relative { buckets, max_distance, bidirectional: side == "encoder", shared }
    }

    /// The last steps of one side, with a norm where blocks have none at their ends.
    fn ended(&self, g: &mut Graph, side: &str, mut x: Value) -> Value {
        if self.pre_norm {
            x = g.add_named(&format!("{side}_norm"), self.norm, x);
        }
        if self.end_dropout > 0.0 { g.add(Dropout::new(self.end_dropout), x) } else { x }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::{Decoder, GenerationSettings, Generator};
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
    fn further_kinds_write_with_the_bits_of_all_steps() {
        let small = Transformer {
            vocabulary: 20,
            features: 12,
            blocks: 2,
            decoder_blocks: Some(1),
            heads: 2,
            decoder_heads: Some(3),
            hidden: 10,
            decoder_hidden: Some(7),
            mask_zero: false,
            ..Transformer::default()
        };
        let marian = Transformer {
            positions: TransformerPositions::SinusoidalHalves,
            activation: Activation::Silu,
            padding: Some(19),
            head_bias: true,
            ..small.clone()
        };
        let bart = Transformer {
            positions: TransformerPositions::Learned { context: 9, offset: 2 },
            scales_embeddings: false,
            embedding_norm: true,
            attention_dropout: 0.1,
            activation_dropout: 0.1,
            ..small.clone()
        };
        let t5 = Transformer {
            positions: TransformerPositions::Relative { buckets: 4, max_distance: 6 },
            head_dim: Some(5),
            use_bias: false,
            scale: Some(1.0),
            norm: BlockNorm::Rms(1e-6),
            pre_norm: true,
            gated: true,
            tied: false,
            head_scale: Some(0.5),
            end_dropout: 0.1,
            ..small
        };
        for (kind, settings) in [marian, bart, t5].iter().enumerate() {
            let mut g = Graph::new();
            let [source, mask, target] = ["source", "mask", "target"].map(|name| g.input(name, [FREE]));
            let logits = settings.wire_masked(&mut g, source, Some(mask), target);
            let model = g.build([logits], 3).unwrap();
            let tensor = |values: &[f32]| Tensor::new([1, values.len()], values.to_vec()).unwrap();
            let targets = [1.0, 7.0, 7.0, 19.0, 4.0, 0.0];
            let all = model.predict([&tensor(&[4.0, 0.0, 2.0]), &tensor(&[1.0; 3]), &tensor(&targets)]).unwrap();
            // Padding is what the mask says, whatever tokens stand there.
            let (padded, mask) = (tensor(&[4.0, 0.0, 2.0, 6.0, 0.0]), tensor(&[1.0, 1.0, 1.0, 0.0, 0.0]));
            assert_eq!(model.predict([&padded, &mask, &tensor(&targets)]).unwrap(), all, "{kind}");

            let mut decoder = model.decoder().unwrap();
            decoder.set_sources([padded, mask]).unwrap();
            let mut logits = vec![0.0; 20];
            decoder.prompt(&[&[1, 7]], &mut logits).unwrap();
            for (i, row) in all.as_slice().chunks(20).enumerate().skip(1) {
                assert_eq!(logits, row, "{kind}, step {i}");
                if let Some(target) = targets.get(i + 1) {
                    decoder.step(&[*target as u32], &mut logits).unwrap();
                }
            }
        }
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
