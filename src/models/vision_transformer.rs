//! The vision transformer.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{BlockNorm, Graph, Part, TransformerEncoderBlock, Value};
use crate::initializers::Init;
use crate::layers::{ClassToken, Conv2d, Dense, Dropout, LayerNorm, PositionEmbedding, Reshape, Slice};
use crate::model::Model;

/// ViT: a picture is cut into patches, each of which becomes a step; a class token before them, trained positions, encoder blocks with norms before their
/// parts, and a last norm. Pictures `[height, width, channels]` become steps `[1 + patches, features]`, the class token's first, on which
/// [`classify`](Self::classify) stands.
///
/// Sizes are fields; by default those of ViT-B/16, 86 million weights. Initial values: a standard deviation of 0.02, cut off at two of them. What a picture's
/// sides have beyond whole patches is left out. [`hf`](crate::models::hf) opens the published weights (feature `files`).
///
/// Dosovitskiy and others: "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2021.
///
/// ```
/// use gradus::models::VisionTransformer;
/// use gradus::prelude::*;
/// let small = VisionTransformer {
///     image: [8, 12],
///     channels: 1,
///     patch: [4, 4],
///     features: 32,
///     blocks: 2,
///     heads: 4,
///     ..VisionTransformer::default()
/// };
/// let model = small.build(10, 0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 8, 12, 1]))?.dims(), &[2, 10]);
/// // The steps alone, as a part of another model.
/// let model = Sequential::new([8, 12, 1]).add(small).build(0)?;
/// assert_eq!(model.output_shape(), [1 + 2 * 3, 32].into());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct VisionTransformer {
    /// Height and width of a picture, in pixels.
    pub image: [usize; 2],
    /// Numbers of a pixel.
    pub channels: usize,
    /// Height and width of a patch, in pixels.
    pub patch: [usize; 2],
    /// Numbers of a step.
    pub features: usize,
    /// Encoder blocks.
    pub blocks: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Units of feed-forward layers; 4 times the features if `None`.
    pub hidden: Option<usize>,
    /// The activation of feed-forward layers.
    pub activation: Activation,
    /// ε of the norms.
    pub epsilon: f64,
    /// Whether queries, keys and values have biases.
    pub attention_bias: bool,
    /// The part that is dropped in training: of embedded patches, of what blocks add, and of attention's probabilities where
    /// [`attention_dropout`](Self::attention_dropout) says nothing else.
    pub dropout: f64,
    /// The part of attention's probabilities that is dropped in training; [`dropout`](Self::dropout) if `None`.
    pub attention_dropout: Option<f64>,
}

impl Default for VisionTransformer {
    fn default() -> Self {
        VisionTransformer {
            image: [224; 2],
            channels: 3,
            patch: [16; 2],
            features: 768,
            blocks: 12,
            heads: 12,
            hidden: None,
            activation: Activation::Gelu,
            epsilon: 1e-6,
            attention_bias: true,
            dropout: 0.0,
            attention_dropout: None,
        }
    }
}

impl VisionTransformer {
    fn init() -> Init {
        Init::TruncatedNormal { mean: 0.0, std: 0.02 }
    }

    /// How many patches a picture has.
    pub fn patches(&self) -> usize {
        let [down, across] = [0, 1].map(|axis| self.image[axis].checked_div(self.patch[axis]).unwrap_or(0));
        down.saturating_mul(across)
    }

    /// A classifier, with an input `pictures` `[height, width, channels]`; its outputs are logits `[classes]`.
    ///
    /// # Errors
    /// Sizes that cannot work.
    pub fn build(&self, classes: usize, seed: u64) -> Result<Model> {
        let mut g = Graph::new();
        let [height, width] = self.image;
        let pictures = g.input("pictures", [height, width, self.channels]);
        let steps = self.wire_with(&mut g, pictures);
        let logits = self.classify(&mut g, steps, classes);
        g.build([logits], seed)
    }

    /// Adds the model behind pictures, outside of all scopes: the steps `[1 + patches, features]` behind the last norm.
    pub fn wire_with(&self, g: &mut Graph, pictures: Value) -> Value {
        let patches = self.patches();
        if patches == 0 {
            let hint = "a picture has one patch at least";
            let expected = format!("from 1 to the sides of the picture, {:?}", self.image);
            g.refuse(Error::argument("VisionTransformer", "patch", expected, format!("{:?}", self.patch), hint));
        }
        let patch = Conv2d::new(self.features, self.patch).strides(self.patch).kernel_initializer(Self::init());
        let x = g.add_named("patches", patch, pictures);
        // Pictures of another size have another number of patches, which is an error here.
        let x =
            g.add(Reshape::new([patches, self.features].map(|size| isize::try_from(size).unwrap_or(isize::MAX))), x);
        let x = g.add_named("class", ClassToken::new().token_initializer(Self::init()), x);
        let positions = PositionEmbedding::new(patches.saturating_add(1)).embeddings_initializer(Self::init());
        let mut x = g.add_named("positions", positions, x);
        if self.dropout > 0.0 {
            x = g.add(Dropout::new(self.dropout), x);
        }
        let block = TransformerEncoderBlock::new(self.features, self.heads)
            .hidden(self.hidden.unwrap_or(self.features.saturating_mul(4)))
            .activation(self.activation)
            .norm(BlockNorm::Layer(self.epsilon))
            .attention_bias(self.attention_bias)
            .output_bias(true)
            .dropout(self.dropout)
            .attention_dropout(self.attention_dropout.unwrap_or(self.dropout))
            .initializer(Self::init());
        for i in 0..self.blocks {
            x = g.add_named(&format!("block_{i}"), block.clone(), x);
        }
        g.add_named("norm", LayerNorm::new().epsilon(self.epsilon), x)
    }

    /// Logits `[classes]` of the class token.
    pub fn classify(&self, g: &mut Graph, steps: Value, classes: usize) -> Value {
        let token = g.add(Slice::new().at(0), steps);
        g.add_named("classifier", Dense::new(classes).kernel_initializer(Self::init()), token)
    }
}

impl Part for VisionTransformer {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        self.wire_with(g, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_part;
    use crate::model::Sequential;

    fn small() -> VisionTransformer {
        VisionTransformer {
            image: [5, 6],
            channels: 2,
            patch: [2, 3],
            features: 4,
            blocks: 1,
            heads: 2,
            hidden: Some(6),
            ..VisionTransformer::default()
        }
    }

    #[test]
    fn the_published_sizes_have_the_published_weights() {
        // Of one block instead of twelve: 86,567,656 in all, with a thousand classes.
        let one = VisionTransformer { blocks: 1, ..VisionTransformer::default() }.build(1000, 0).unwrap();
        let block = 12 * 768 * 768 + 13 * 768;
        assert_eq!(one.params().len() + 11 * block, 86_567_656);
    }

    #[test]
    fn gradients() {
        check_part(small(), [5, 6, 2]).unwrap();
        check_part(VisionTransformer { attention_bias: false, ..small() }, [5, 6, 2]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |settings: VisionTransformer| settings.build(3, 0).unwrap_err().to_string();
        for patch in [[0, 2], [6, 2], [usize::MAX, 1]] {
            assert!(error(VisionTransformer { patch, ..small() }).contains("patch must be from 1 to"), "{patch:?}");
        }
        assert!(VisionTransformer { image: [usize::MAX; 2], ..small() }.build(3, 0).is_err());
        assert!(VisionTransformer { features: usize::MAX, ..small() }.build(3, 0).is_err());
        let other = Sequential::new([7, 6, 2]).add(small()).build(0).unwrap_err().to_string();
        assert!(other.contains("Reshape"), "{other}");
    }
}
