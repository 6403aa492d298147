//! The blocks that transformers are made of.

use super::super::{Graph, Part, Value};
use crate::activations::Activation;
use crate::error::Error;
use crate::initializers::Init;
use crate::layers::merging::Add;
use crate::layers::{Dense, Dropout, GatedDense, LayerNorm, MultiHeadAttention, PositionBias, RmsNorm, Rotary};

/// How a transformer's steps are normalised.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BlockNorm {
    /// [`LayerNorm`] with this ε.
    Layer(f64),
    /// [`RmsNorm`] with this ε.
    Rms(f64),
    /// [`RmsNorm`] with this ε and [`unit_offset`](RmsNorm::unit_offset), as Gemma has it.
    RmsUnitOffset(f64),
}

impl BlockNorm {
    /// The root-mean-square norm; the ε of a layer norm.
    fn by_squares(self) -> Result<RmsNorm, f64> {
        match self {
            BlockNorm::Layer(epsilon) => Err(epsilon),
            BlockNorm::Rms(epsilon) => Ok(RmsNorm::new().epsilon(epsilon)),
            BlockNorm::RmsUnitOffset(epsilon) => Ok(RmsNorm::new().epsilon(epsilon).unit_offset(true)),
        }
    }
}

impl Part for BlockNorm {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        match self.by_squares() {
            Ok(norm) => g.add(norm.passes_mask(true), x),
            Err(epsilon) => g.add(LayerNorm::new().epsilon(epsilon), x),
        }
    }
}

/// What a block takes beside x.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct BlockInputs {
    /// Which step sees which, `[T, T]` or `[heads, T, T]`, see [`MultiHeadAttention::mask`].
    pub mask: Option<Value>,
    /// The number of the document of each step `[T]`, see [`MultiHeadAttention::documents`].
    pub documents: Option<Value>,
    /// An encoder's steps `[S, m]`, to which a decoder's attend.
    pub encoder: Option<Value>,
}

impl BlockInputs {
    /// Documents that steps belong to, and see alone.
    pub fn documents(documents: Value) -> Self {
        BlockInputs { documents: Some(documents), ..Self::default() }
    }

    /// An encoder's steps.
    pub fn encoder(encoder: Value) -> Self {
        BlockInputs { encoder: Some(encoder), ..Self::default() }
    }
}

/// What encoder and decoder blocks have in common.
#[derive(Clone, Debug)]
struct Settings {
    features: usize,
    heads: usize,
    head_dim: Option<usize>,
    attention: MultiHeadAttention,
    qk_norm: bool,
    hidden: usize,
    activation: Activation,
    gated: bool,
    fused_gate: bool,
    use_bias: bool,
    attention_bias: Option<bool>,
    output_bias: Option<bool>,
    dropout: f64,
    activation_dropout: f64,
    norm: BlockNorm,
    pre_norm: bool,
    post_norm: bool,
    parallel: bool,
    initializer: Init,
    residual_initializer: Option<Init>,
    inputs: BlockInputs,
}

impl Settings {
    fn new(features: usize, heads: usize) -> Self {
        Settings {
            features,
            heads,
            head_dim: None,
            attention: MultiHeadAttention::new(heads, features / heads.max(1)).even_where_empty(false),
            qk_norm: false,
            hidden: features.saturating_mul(4),
            activation: Activation::Gelu,
            gated: false,
            fused_gate: false,
            use_bias: true,
            attention_bias: None,
            output_bias: None,
            dropout: 0.0,
            activation_dropout: 0.0,
            norm: BlockNorm::Layer(1e-5),
            pre_norm: true,
            post_norm: false,
            parallel: false,
            initializer: Init::GlorotUniform,
            residual_initializer: None,
            inputs: BlockInputs::default(),
        }
    }

    fn attention(&self) -> MultiHeadAttention {
        let last = self.residual_initializer.as_ref().unwrap_or(&self.initializer);
        let bias = self.attention_bias.unwrap_or(self.use_bias);
        let mut attention = self.attention.clone().use_bias(bias).output_dim(self.features);
        if let Some(bias) = self.output_bias {
            attention = attention.output_bias(bias);
        }
        if let Some(head_dim) = self.head_dim {
            attention = attention.key_dim(head_dim);
        }
        if self.qk_norm {
            attention = attention.qk_norm(self.norm.by_squares().ok());
        }
        attention.kernel_initializer(self.initializer.clone()).output_initializer(last.clone())
    }

    /// What cannot be built, and would not be noticed.
    fn check(&self, g: &mut Graph, class: &'static str) {
        if self.head_dim.is_none() && self.heads > 0 && !self.features.is_multiple_of(self.heads) {
            let expected = format!("a divisor of the {} features", self.features);
            let hint = "heads share the features; name the width of each with head_dim";
            g.refuse(Error::argument(class, "heads", expected, self.heads, hint));
        }
        let problem = match (self.qk_norm && self.norm.by_squares().is_err(), self.post_norm && !self.pre_norm) {
            (true, _) => "qk_norm goes with a root-mean-square norm, and norm is a layer norm",
            (_, true) => "post_norm stands behind what is normalised before, and pre_norm is off",
            _ if self.post_norm && self.parallel => {
                "post_norm stands behind one part after the other, and parallel is on"
            }
            _ => return,
        };
        let hint = "leave one of them out";
        g.refuse(Error::Config { op: class, problem: problem.to_owned(), hint: hint.into() });
    }

    /// x + dropout(y).
    fn residual(&self, g: &mut Graph, x: Value, y: Value) -> Value {
        let y = if self.dropout > 0.0 { g.add(Dropout::new(self.dropout), y) } else { y };
        g.op(Add::new().same_shapes(true), &[x, y])
    }

    /// The part of a block that `f` is: normalised before, or behind the sum.
    fn around(&self, g: &mut Graph, name: &str, x: Value, f: impl FnOnce(&mut Graph, Value) -> Value) -> Value {
        let norm = format!("{name}_norm");
        if self.pre_norm {
            let normal = g.add_named(&norm, self.norm, x);
            let mut y = f(g, normal);
            if self.post_norm {
                y = g.add_named(&format!("{name}_post_norm"), self.norm, y);
            }
            return self.residual(g, x, y);
        }
        let y = f(g, x);
        let sum = self.residual(g, x, y);
        g.add_named(&norm, self.norm, sum)
    }

    fn feed_forward(&self, g: &mut Graph, x: Value) -> Value {
        let (init, bias) = (self.initializer.clone(), self.use_bias);
        let last = self.residual_initializer.clone().unwrap_or_else(|| init.clone());
        let hidden = match self.gated {
            true => g.add_named(
                "hidden",
                GatedDense::new(self.hidden, self.activation)
                    .fused(self.fused_gate)
                    .use_bias(bias)
                    .kernel_initializer(init),
                x,
            ),
            false => g.add_named(
                "hidden",
                Dense::new(self.hidden).activation(self.activation).use_bias(bias).kernel_initializer(init),
                x,
            ),
        };
        let hidden = match self.activation_dropout > 0.0 {
            true => g.add(Dropout::new(self.activation_dropout), hidden),
            false => hidden,
        };
        g.add_named("output", Dense::new(self.features).use_bias(bias).kernel_initializer(last), hidden)
    }

    fn wire(&self, g: &mut Graph, x: Value, causal: bool) -> Value {
        self.check(g, if causal { "TransformerDecoderBlock" } else { "TransformerEncoderBlock" });
        let more = self.inputs;
        let attention = self.attention().causal(causal).mask(more.mask.is_some()).documents(more.documents.is_some());
        let behind: Vec<Value> = more.mask.into_iter().chain(more.documents).collect();
        let attend = |g: &mut Graph, x: Value| g.op_named("attention", attention, &[&[x][..], &behind].concat());
        if self.parallel {
            // Both read the block's input, by a norm of their own each.
            let normal = [g.add_named("attention_norm", self.norm, x), g.add_named("feed_forward_norm", self.norm, x)];
            let (a, f) = (attend(g, normal[0]), self.feed_forward(g, normal[1]));
            let sum = self.residual(g, x, a);
            return self.residual(g, sum, f);
        }
        let mut x = self.around(g, "attention", x, attend);
        if let Some(encoder) = more.encoder {
            let attention = self.attention().window(None).bias(PositionBias::None).without_rotary();
            x = self.around(g, "cross_attention", x, |g, x| g.op_named("cross_attention", attention, &[x, encoder]));
        }
        self.around(g, "feed_forward", x, |g, x| self.feed_forward(g, x))
    }
}

/// The methods that set what both kinds of blocks have.
macro_rules! block_builders {
    () => {
        /// Units of the feed-forward layer between its two products; 4 times the features by default.
        pub fn hidden(mut self, hidden: usize) -> Self {
            self.settings.hidden = hidden;
            self
        }

        /// The activation between them; GELU by default.
        pub fn activation(mut self, activation: Activation) -> Self {
            self.settings.activation = activation;
            self
        }

        /// Whether the feed-forward layer is a [`GatedDense`]: SwiGLU with [`Activation::Silu`], GeGLU with [`Activation::Gelu`]; no by default.
        pub fn gated(mut self, gated: bool) -> Self {
            self.settings.gated = gated;
            self
        }

        /// Whether both products of a gated feed-forward layer are one, see [`GatedDense::fused`]; no by default.
        pub fn fused_gate(mut self, fused: bool) -> Self {
            self.settings.fused_gate = fused;
            self
        }

        /// Whether products add biases; yes by default.
        pub fn use_bias(mut self, use_bias: bool) -> Self {
            self.settings.use_bias = use_bias;
            self
        }

        /// Whether the products of queries, keys and values add biases, and that of attention's output where [`output_bias`](Self::output_bias) says
        /// nothing; as [`use_bias`](Self::use_bias) by default. Qwen 2: these alone.
        pub fn attention_bias(mut self, attention_bias: bool) -> Self {
            self.settings.attention_bias = Some(attention_bias);
            self
        }

        /// Whether the product of attention's output adds a bias; as those of queries by default.
        pub fn output_bias(mut self, output_bias: bool) -> Self {
            self.settings.output_bias = Some(output_bias);
            self
        }

        /// The part of what each part of the block gives that is dropped in training, before it is added; none by default.
        pub fn dropout(mut self, rate: f64) -> Self {
            self.settings.dropout = rate;
            self
        }

        /// The part of attention's probabilities that is dropped in training; none by default.
        pub fn attention_dropout(mut self, rate: f64) -> Self {
            self.settings.attention = self.settings.attention.dropout(rate);
            self
        }

        /// The part of the feed-forward layer's units that is dropped in training, behind their activation (BART, T5); none by default.
        pub fn activation_dropout(mut self, rate: f64) -> Self {
            self.settings.activation_dropout = rate;
            self
        }

        /// How steps are normalised; [`LayerNorm`] with ε = 1e-5 by default.
        pub fn norm(mut self, norm: BlockNorm) -> Self {
            self.settings.norm = norm;
            self
        }

        /// Whether each part's input is normalised (GPT-2, Llama), or the sum behind it ("Attention Is All You Need", BERT); the first by default.
        pub fn pre_norm(mut self, pre_norm: bool) -> Self {
            self.settings.pre_norm = pre_norm;
            self
        }

        /// Whether what each part gives is normalised once more, before it is added (Gemma 2 and 3, with norms of their own: four in a block); no by
        /// default. For [`pre_norm`](Self::pre_norm).
        pub fn post_norm(mut self, post_norm: bool) -> Self {
            self.settings.post_norm = post_norm;
            self
        }

        /// Whether heads of queries and keys go through root-mean-square norms like those of the block, see [`MultiHeadAttention::qk_norm`]; no by default.
        pub fn qk_norm(mut self, qk_norm: bool) -> Self {
            self.settings.qk_norm = qk_norm;
            self
        }

        /// What scores are multiplied by, see [`MultiHeadAttention::scale`]; 1/√head_dim by default.
        pub fn scale(mut self, scale: impl Into<Option<f64>>) -> Self {
            self.settings.attention = self.settings.attention.scale(scale);
            self
        }

        /// The size that scores come near to and do not reach, see [`MultiHeadAttention::soft_cap`]; none by default.
        pub fn soft_cap(mut self, cap: impl Into<Option<f64>>) -> Self {
            self.settings.attention = self.settings.attention.soft_cap(cap);
            self
        }

        /// Whether attention and feed-forward layer stand side by side, both behind a norm of the block's input (GPT-NeoX); no by default.
        pub fn parallel(mut self, parallel: bool) -> Self {
            self.settings.parallel = parallel;
            self
        }

        /// Heads of keys and values, see [`MultiHeadAttention::key_heads`].
        pub fn key_heads(mut self, key_heads: usize) -> Self {
            self.settings.attention = self.settings.attention.key_heads(key_heads);
            self
        }

        /// The width of each head; features / heads, which then must be a whole number, by default.
        pub fn head_dim(mut self, head_dim: impl Into<Option<usize>>) -> Self {
            self.settings.head_dim = head_dim.into();
            self
        }

        /// How many steps a step sees, see [`MultiHeadAttention::window`]; all by default.
        pub fn window(mut self, window: impl Into<Option<usize>>) -> Self {
            self.settings.attention = self.settings.attention.window(window);
            self
        }

        /// What is added to scores by distance; nothing by default.
        pub fn bias(mut self, bias: PositionBias) -> Self {
            self.settings.attention = self.settings.attention.bias(bias);
            self
        }

        /// Queries and keys are turned by their positions, see [`Rotary`]; not by default.
        pub fn rotary(mut self, rotary: Rotary) -> Self {
            self.settings.attention = self.settings.attention.rotary(rotary);
            self
        }

        /// Whether queries, keys and values come from one product; no by default.
        pub fn fused(mut self, fused: bool) -> Self {
            self.settings.attention = self.settings.attention.fused(fused);
            self
        }

        /// How kernels are filled; Glorot uniform by default.
        pub fn initializer(mut self, init: impl Into<Init>) -> Self {
            self.settings.initializer = init.into();
            self
        }

        /// How the kernels are filled whose outputs are added to the steps; as the others by default. GPT-2: a standard deviation of
        /// 0.02 / √(2·blocks).
        pub fn residual_initializer(mut self, init: impl Into<Init>) -> Self {
            self.settings.residual_initializer = Some(init.into());
            self
        }

        /// What the block takes beside x, values of the graph that it is added to; nothing by default.
        pub fn inputs(mut self, inputs: BlockInputs) -> Self {
            self.settings.inputs = inputs;
            self
        }
    };
}

/// Steps that see all others, then a feed-forward layer for each: x ← x + attention(norm(x)), x ← x + W₂·f(W₁·norm(x)).
///
/// - Input and output `[T, features]`; T may be free. Parameters are those of a [`MultiHeadAttention`], two norms and two [`Dense`].
/// - Defaults: pre-norm, [`LayerNorm`], GELU, 4·features hidden units, biases, no dropout.
/// - Padding is what the mask of x says; a step that sees nothing takes nothing from attention.
/// - A recipe: it adds nodes, whose gradients are their own.
///
/// Vaswani and others: "Attention Is All You Need", 2017; normalised before: Xiong and others, 2020; side by side: Black and others, "GPT-NeoX", 2022.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([FREE])
///     .add(Embedding::new(100, 16).mask_zero(true))
///     .add(TransformerEncoderBlock::new(16, 4).hidden(32))
///     .add(GlobalAveragePooling1d::new())
///     .add(Dense::new(1))
///     .build(0)?;
/// assert_eq!(model.output_shape(), [1].into());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TransformerEncoderBlock {
    settings: Settings,
}

impl TransformerEncoderBlock {
    /// For steps of so many features, which heads share among them.
    pub fn new(features: usize, heads: usize) -> Self {
        TransformerEncoderBlock { settings: Settings::new(features, heads) }
    }

    block_builders!();
}

impl Part for TransformerEncoderBlock {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        g.class_scope("TransformerEncoderBlock", |g| self.settings.wire(g, x, false))
    }
}

/// Steps that see those up to themselves, then, where there is one, an encoder's, then a feed-forward layer for each.
///
/// As [`TransformerEncoderBlock`], with causal attention; [`inputs`](Self::inputs) and [`BlockInputs::encoder`] put attention to an encoder's
/// steps `[S, m]` between, without window, bias or rotary positions.
///
/// ```
/// use gradus::prelude::*;
/// let swiglu = TransformerDecoderBlock::new(16, 4).key_heads(2).gated(true).activation(Activation::Silu).use_bias(false);
/// let model = Sequential::new([FREE, 16]).add(swiglu.norm(BlockNorm::Rms(1e-6)).rotary(Rotary::new())).build(0)?;
/// assert_eq!(model.predict(&Tensor::full([1, 5, 16], 0.1))?.dims(), &[1, 5, 16]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TransformerDecoderBlock {
    settings: Settings,
}

impl TransformerDecoderBlock {
    /// For steps of so many features, which heads share among them.
    pub fn new(features: usize, heads: usize) -> Self {
        TransformerDecoderBlock { settings: Settings::new(features, heads) }
    }

    block_builders!();
}

impl Part for TransformerDecoderBlock {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        g.class_scope("TransformerDecoderBlock", |g| self.settings.wire(g, x, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_part;

    #[test]
    fn gradients_of_every_kind() {
        let encoder = TransformerEncoderBlock::new(4, 2).hidden(3);
        check_part(encoder.clone(), [3, 4]).unwrap();
        let dropped = encoder.clone().dropout(0.2).attention_dropout(0.1).activation_dropout(0.3);
        check_part(dropped.pre_norm(false), [3, 4]).unwrap();
        check_part(encoder.parallel(true).bias(PositionBias::Alibi), [2, 4]).unwrap();
        let decoder = TransformerDecoderBlock::new(4, 2).hidden(3).rotary(Rotary::new());
        check_part(decoder.clone().fused(true).window(2), [4, 4]).unwrap();
        check_part(decoder.clone().use_bias(false).attention_bias(true).output_bias(false), [2, 4]).unwrap();
        check_part(decoder.clone().key_heads(1).gated(true).use_bias(false).norm(BlockNorm::Rms(1e-6)), [3, 4])
            .unwrap();
        let gemma = decoder.norm(BlockNorm::RmsUnitOffset(1e-6)).qk_norm(true).post_norm(true);
        check_part(gemma.head_dim(6).scale(0.3).soft_cap(2.0), [3, 4]).unwrap();
    }

    #[test]
    fn settings_that_do_not_fit() {
        let refused = |block: TransformerDecoderBlock| {
            let sequential = crate::model::Sequential::new([3, 8]).add(block);
            sequential.build(0).unwrap_err().to_string()
        };
        let block = |heads| TransformerDecoderBlock::new(8, heads);
        assert!(refused(block(3)).contains("heads must be a divisor of the 8 features, got 3"));
        assert!(crate::model::Sequential::new([3, 8]).add(block(3).head_dim(2)).build(0).is_ok());
        assert!(refused(block(0)).contains("heads must be at least 1"));
        assert!(refused(block(2).qk_norm(true)).contains("qk_norm goes with a root-mean-square norm"));
        assert!(refused(block(2).post_norm(true).pre_norm(false)).contains("pre_norm is off"));
        assert!(refused(block(2).post_norm(true).parallel(true)).contains("parallel is on"));
    }

    #[test]
    fn padding_changes_no_bit() {
        use crate::tensor::{FREE, Tensor};
        for norm in [BlockNorm::Layer(1e-5), BlockNorm::Rms(1e-6)] {
            let mut g = Graph::new();
            let (x, mask) = (g.input("x", [FREE, 4]), g.input("mask", [FREE]));
            let x = g.masked(x, mask);
            let x = g.add(TransformerEncoderBlock::new(4, 2).norm(norm), x);
            let x = g.add(TransformerEncoderBlock::new(4, 2).norm(norm).pre_norm(false), x);
            let y = g.add(TransformerDecoderBlock::new(4, 2).norm(norm).gated(true), x);
            let model = g.build([y], 3).unwrap();
            let values = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
            let alone = Tensor::new([1, 3, 4], values(12)).unwrap();
            let padded = Tensor::new([1, 5, 4], values(20)).unwrap();
            let alone = model.predict([&alone, &Tensor::full([1, 3], 1.0)]).unwrap();
            let mask = Tensor::new([1, 5], vec![1.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
            let padded = model.predict([&padded, &mask]).unwrap();
            assert_eq!(padded.as_slice()[..12], alone.as_slice()[..], "{norm:?}");
        }
    }

    #[test]
    fn features_that_do_not_fit_are_named() {
        let error = crate::Sequential::new([3, 5]).add(TransformerEncoderBlock::new(4, 2)).build(0).unwrap_err();
        assert!(error.to_string().contains("[3, 5]"), "{error}");
    }
}
