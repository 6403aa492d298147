//! Attention with its projections.

use super::DotProductAttention;
use super::dot_product_attention::Attended;
use super::projection::Projection;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::frequencies::Frequencies;
use crate::kernels::rotary::Turn;
use crate::layer::{Builder, Continuation, Inputs, Layer, MaskRule, Op, Pass, Slot};
use crate::layers::{LayerConfig, OpConfig, PositionBias, RmsNorm, Rotary};
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = concat(head₁ … head_h)·W_o + b_o with headᵢ = attention(x·W_q, x'·W_k, x'·W_v): each step takes from all steps what h learned questions find there.
///
/// - Inputs: the query `[T, n]` alone (each step attends to all others), or the query and the value `[S, m]`, or query, value and key; output
///   `[T, n]`, or `[T, output_dim]`. T and S may be free. Behind those come, where said so, a [`mask`](Self::mask) `[T, S]` or `[heads, T, S]` and
///   [`documents`](Self::documents) `[T]`.
/// - Parameters: `query/kernel` `[n, heads·key_dim]`, `key/kernel` `[m, key_heads·key_dim]`, `value/kernel` `[m, key_heads·value_dim]`,
///   `attention_output/kernel` `[heads·value_dim, n]`, each with a `bias`; with [`fused`](Self::fused) `query_key_value/kernel` in the place of the first
///   three, their columns side by side.
/// - Defaults: value_dim is key_dim, as many heads of keys as of queries, with biases, Glorot uniform, every step sees every other, no dropout.
/// - With [`qk_norm`](Self::qk_norm) each head of queries and keys goes through a norm, `query_norm/scale` and `key_norm/scale` `[key_dim]`, before it is
///   turned by its position.
/// - A step that sees no key: the mean of all values, or where there is [`dropout`](Self::dropout) or scores are [returned](Self::return_scores) zeros (so
///   that the output is its bias), both as in Keras; [`even_where_empty`](Self::even_where_empty) says otherwise. No gradient of queries and keys comes
///   from it.
/// - Gradient: that of [`DotProductAttention`] between those of four products.
///
/// Vaswani and others: "Attention Is All You Need", 2017. Keras `MultiHeadAttention` (kernels there `[n, heads, key_dim]`), and with
/// [`key_heads`](Self::key_heads) `GroupQueryAttention`; PyTorch `MultiheadAttention`.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::prelude::*;
/// // In a chain each step attends to those before it.
/// let model = Sequential::new([FREE, 12]).add(MultiHeadAttention::new(3, 4).causal(true)).build(0)?;
/// assert_eq!(model.predict(&Tensor::full([2, 7, 12], 0.1))?.dims(), &[2, 7, 12]);
///
/// // A decoder's steps attend to an encoder's.
/// let mut g = Graph::new();
/// let (decoder, encoder) = (g.input("decoder", [FREE, 12]), g.input("encoder", [FREE, 8]));
/// let y = g.op(MultiHeadAttention::new(3, 4), &[decoder, encoder]);
/// let model = g.build([y], 0)?;
/// assert_eq!(model.predict([&Tensor::full([1, 2, 12], 0.1), &Tensor::full([1, 5, 8], 0.1)])?.dims(), &[1, 2, 12]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MultiHeadAttention {
    key_dim: usize,
    value_dim: Option<usize>,
    output_dim: Option<usize>,
    use_bias: bool,
    output_bias: Option<bool>,
    kernel_initializer: Init,
    output_initializer: Option<Init>,
    fused: bool,
    rotary: Option<Rotary>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    qk_norm: Option<Box<RmsNorm>>,
    even: Option<bool>,
    attention: DotProductAttention,
    #[cfg_attr(feature = "serde", serde(skip))]
    built: Box<Built>,
}

/// What build finds.
#[derive(Clone, Debug, Default, PartialEq)]
struct Built {
    /// query, key and value, or all in one; and the output.
    projections: Vec<Projection>,
    output: Projection,
    /// Of queries and keys, or none.
    norms: Vec<RmsNorm>,
    shapes: Vec<Shape>,
    /// How fast the pairs of a head turn.
    frequencies: Option<Frequencies>,
}

/// The most inputs of the operation inside: q, k, v, a mask and documents.
const MOST_INPUTS: usize = 5;

/// Places in the slot: q, k, v, what attention gives, their gradients, and a gradient of an input that another is added to.
const Q: usize = 0;
const ATTENDED: usize = 3;
const D_Q: usize = 4;
const D_ATTENDED: usize = 7;
const FUSED: usize = 8;
const D_FUSED: usize = 9;
/// Positions of steps within their documents.
const POSITIONS: usize = 10;
/// Queries and keys before their norms; on the way back the gradients there.
const UNNORMED: usize = 11;
/// Children of the slot: attention, and the norms of queries and keys.
const ATTENTION: usize = 0;
const NORM: usize = 1;

impl MultiHeadAttention {
    /// So many heads of this width.
    pub fn new(heads: usize, key_dim: usize) -> Self {
        MultiHeadAttention {
            key_dim,
            value_dim: None,
            output_dim: None,
            use_bias: true,
            output_bias: None,
            kernel_initializer: Init::GlorotUniform,
            output_initializer: None,
            fused: false,
            rotary: None,
            qk_norm: None,
            even: None,
            attention: DotProductAttention::new(heads),
            built: Box::default(),
        }
    }

    /// The width of each head, in the place of what `new` was given.
    pub fn key_dim(mut self, key_dim: usize) -> Self {
        self.key_dim = key_dim;
        self
    }

    /// The width of each head's values; that of keys by default.
    pub fn value_dim(mut self, value_dim: usize) -> Self {
        self.value_dim = Some(value_dim);
        self
    }

    /// Features of the output; those of the query by default.
    pub fn output_dim(mut self, output_dim: usize) -> Self {
        self.output_dim = Some(output_dim);
        self
    }

    /// Heads of keys and values, which divide those of queries: each serves a group of them. As many by default.
    pub fn key_heads(mut self, key_heads: usize) -> Self {
        self.attention = self.attention.key_heads(key_heads);
        self
    }

    /// Whether the projections add biases; yes by default.
    pub fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// Whether the last projection adds a bias; as the others by default.
    pub fn output_bias(mut self, output_bias: bool) -> Self {
        self.output_bias = Some(output_bias);
        self
    }

    /// How kernels are filled; Glorot uniform by default.
    pub fn kernel_initializer(mut self, init: impl Into<Init>) -> Self {
        self.kernel_initializer = init.into();
        self
    }

    /// How the kernel of the last projection is filled; as the others by default.
    pub fn output_initializer(mut self, init: impl Into<Init>) -> Self {
        self.output_initializer = Some(init.into());
        self
    }

    /// Whether queries, keys and values of one input come from one product, as in GPT-2; no by default.
    pub fn fused(mut self, fused: bool) -> Self {
        self.fused = fused;
        self
    }

    /// Queries and keys are turned by their positions, within their documents where there are [`documents`](Self::documents); not by default. For steps
    /// that attend to each other.
    pub fn rotary(mut self, rotary: Rotary) -> Self {
        self.rotary = Some(rotary);
        self
    }

    /// The norm that each head of queries and of keys goes through, over its key_dim values, before positions turn it (Qwen 3, Gemma 3); none by default.
    pub fn qk_norm(mut self, norm: impl Into<Option<RmsNorm>>) -> Self {
        self.qk_norm = norm.into().map(Box::new);
        self
    }

    /// Queries and keys are not turned.
    pub(crate) fn without_rotary(mut self) -> Self {
        self.rotary = None;
        self
    }

    /// Whether a step sees those up to itself alone; no by default.
    pub fn causal(mut self, causal: bool) -> Self {
        self.attention = self.attention.causal(causal);
        self
    }

    /// See [`DotProductAttention::window`].
    pub fn window(mut self, window: impl Into<Option<usize>>) -> Self {
        self.attention = self.attention.window(window);
        self
    }

    /// What scores are multiplied by; 1/√key_dim by default.
    pub fn scale(mut self, scale: impl Into<Option<f64>>) -> Self {
        self.attention = self.attention.scale(scale);
        self
    }

    /// See [`DotProductAttention::soft_cap`].
    pub fn soft_cap(mut self, cap: impl Into<Option<f64>>) -> Self {
        self.attention = self.attention.soft_cap(cap);
        self
    }

    /// The part of the probabilities that is dropped in training; none by default.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.attention = self.attention.dropout(rate);
        self
    }

    /// What is added to scores by distance; nothing by default.
    pub fn bias(mut self, bias: PositionBias) -> Self {
        self.attention = self.attention.bias(bias);
        self
    }

    /// See [`DotProductAttention::mask`].
    pub fn mask(mut self, mask: bool) -> Self {
        self.attention = self.attention.mask(mask);
        self
    }

    /// See [`DotProductAttention::documents`].
    pub fn documents(mut self, documents: bool) -> Self {
        self.attention = self.attention.documents(documents);
        self
    }

    /// Whether a step that sees no key gives the mean of all values, or zeros; by default as in Keras, see above.
    pub fn even_where_empty(mut self, even: bool) -> Self {
        self.even = Some(even);
        self
    }

    /// Whether there is a second output, the probabilities `[heads, T, S]` before dropout. For [`Graph::op_outputs`](crate::graph::Graph::op_outputs).
    pub fn return_scores(mut self, return_scores: bool) -> Self {
        self.attention = self.attention.return_scores(return_scores);
        self
    }

    /// How many of so many inputs are query, value and key.
    #[cfg(feature = "keras")]
    pub(crate) fn values(&self, inputs: usize) -> usize {
        inputs.saturating_sub(self.attention.more_inputs())
    }

    /// Which inputs are the query, the key and the value, of those that come before mask and documents.
    fn places(&self, inputs: usize) -> [usize; 3] {
        match inputs - self.attention.more_inputs() {
            1 => [0, 0, 0],
            2 => [0, 1, 1],
            _ => [0, 2, 1],
        }
    }

    fn widths(&self) -> [usize; 3] {
        let (heads, value_dim) = (self.attention.head_counts(), self.value_dim.unwrap_or(self.key_dim));
        [heads[0] * self.key_dim, heads[1] * self.key_dim, heads[1] * value_dim]
    }

    /// The inner operation's inputs where these are its caller's, for shapes.
    fn inner_shapes(&self, x: &[Shape]) -> Result<([Shape; MOST_INPUTS], usize)> {
        let op = "MultiHeadAttention";
        let more = self.attention.more_inputs();
        if !(1..=3).contains(&x.len().wrapping_sub(more)) {
            let expected = format!("1 to 3 inputs (query, value, key) and {more} behind them");
            return Err(Error::shape(op, expected, x.len(), "pass what the settings name, in this order"));
        }
        let places = self.places(x.len());
        for (at, name) in places.iter().zip(["query", "key", "value"]) {
            if x[*at].rank() != 2 || x[*at].last() == FREE {
                let hint = "bring other axes together with a Reshape";
                return Err(Error::shape(op, format!("{name} [steps, features]"), x[*at], hint));
            }
        }
        if self.rotary.is_some() && places != [0, 0, 0] {
            let hint = "leave out rotary, or pass the query alone";
            return Err(Error::shape(op, "the query alone, as positions are those of its steps", x.len() - more, hint));
        }
        if self.fused && places != [0, 0, 0] {
            let hint = "leave out fused, or pass the query alone";
            return Err(Error::shape(
                op,
                "the query alone, as one product gives queries, keys and values",
                x.len() - more,
                hint,
            ));
        }
        // Without memory, as it is asked for each batch where sizes are free.
        let mut shapes = [Shape::SCALAR; MOST_INPUTS];
        for ((shape, at), width) in shapes.iter_mut().zip(places).zip(self.widths()) {
            *shape = x[at].with_last(width);
        }
        shapes[3..3 + more].copy_from_slice(&x[x.len() - more..]);
        Ok((shapes, 3 + more))
    }

    /// Whether attention reads queries, keys and values where one product has put them side by side. Norms and rotary positions change them in
    /// tensors of their own, and so does a cache keep them.
    fn stays_joined(&self) -> bool {
        self.fused && self.rotary.is_none() && self.qk_norm.is_none()
    }

    fn attended_joined<'a, T: Float>(&self, x: Inputs<'a, T>, joined: &'a Tensor<T>) -> Attended<'a, T> {
        Attended { joined: Some(self.widths()), ..self.attended(x, [joined; 3]) }
    }

    fn attended<'a, T: Float>(&self, x: Inputs<'a, T>, qkv: [&'a Tensor<T>; 3]) -> Attended<'a, T> {
        self.attention.with_more(x, self.places(x.len()), qkv)
    }

    /// Turns queries and keys, or their gradients back.
    fn turn<T: Float>(
        &self,
        pass: &mut Pass<'_, T>,
        x: Inputs<'_, T>,
        [q, k]: [&mut Tensor<T>; 2],
        positions: &mut Tensor<T>,
        back: bool,
    ) {
        let (Some(rotary), Some(frequencies)) = (&self.rotary, self.built.frequencies) else { return };
        let steps = x[0].shape().dims()[1];
        let given = self.attention.documents_of(x).map(|documents| {
            positions.resize(documents.shape());
            let rows = positions.as_mut_slice().chunks_mut(steps.max(1)).zip(documents.as_slice().chunks(steps.max(1)));
            for (positions, documents) in rows {
                let mut at = 0;
                for document in documents.chunk_by(|a, b| a == b) {
                    let own = positions[at..at + document.len()].iter_mut();
                    own.enumerate().for_each(|(i, position)| *position = T::of(i as f64));
                    at += document.len();
                }
            }
            positions.as_slice()
        });
        let angles = pass.angles(frequencies, steps, given);
        let turn = Turn { angles, pairs: rotary.pairs(), head_dim: self.key_dim, back };
        let [query, key, _] = self.widths();
        turn.here(q.as_mut_slice(), query);
        turn.here(k.as_mut_slice(), key);
    }

    /// q, k and v from the columns of one product.
    fn split<T: Float>(&self, from: &Tensor<T>, to: &mut [Tensor<T>]) {
        let widths = self.widths();
        let all = widths.iter().sum();
        let mut at = 0;
        for (to, width) in to.iter_mut().zip(widths) {
            let rows = to.as_mut_slice().chunks_exact_mut(width).zip(from.as_slice().chunks_exact(all));
            rows.for_each(|(to, from)| to.copy_from_slice(&from[at..at + width]));
            at += width;
        }
    }

    fn join<T: Float>(&self, from: &[Tensor<T>], to: &mut Tensor<T>) {
        let widths = self.widths();
        let all = widths.iter().sum();
        let mut at = 0;
        for (from, width) in from.iter().zip(widths) {
            let rows = to.as_mut_slice().chunks_exact_mut(all).zip(from.as_slice().chunks_exact(width));
            rows.for_each(|(to, from)| to[at..at + width].copy_from_slice(from));
            at += width;
        }
    }
}

impl<T: Float> Op<T> for MultiHeadAttention {
    fn class(&self) -> &'static str {
        "MultiHeadAttention"
    }

    fn outputs(&self) -> usize {
        Op::<T>::outputs(&self.attention)
    }

    fn build(&mut self, x: &[Shape], b: &mut Builder<T>) -> Result<Vec<Shape>> {
        let op = "MultiHeadAttention";
        self.attention.check()?;
        for (name, size) in
            [("key_dim", Some(self.key_dim)), ("value_dim", self.value_dim), ("output_dim", self.output_dim)]
        {
            if size == Some(0) {
                return Err(Error::argument(
                    op,
                    name,
                    "at least 1",
                    0,
                    "name the width of a head, or the output's features",
                ));
            }
        }
        let heads = self.attention.head_counts()[0];
        let fits = |dim: usize| heads.checked_mul(dim).is_some_and(|width| width < FREE / 4);
        if let Some(dim) = [self.key_dim, self.value_dim.unwrap_or(1)].into_iter().find(|dim| !fits(*dim)) {
            let expected = format!("a width of which there may be {heads}");
            return Err(Error::argument(op, "key_dim", expected, dim, "take fewer or narrower heads"));
        }
        let fast = self.attention.is_plain();
        self.attention = self.attention.clone().even_where_empty(self.even.unwrap_or(fast));
        let ((inner, count), places) = (self.inner_shapes(x)?, self.places(x.len()));
        let outputs = Op::<T>::build(&mut self.attention, &inner[..count], b)?;
        self.built.frequencies = match &self.rotary {
            Some(rotary) => Some(rotary.of_head(self.key_dim)?),
            None => None,
        };
        let (widths, n) = (self.widths(), x[0].last());
        let init = &self.kernel_initializer;
        self.built.projections = if self.fused {
            let all = widths.iter().sum();
            vec![Projection::build("query_key_value", [n, all], self.use_bias, init, b)?]
        } else {
            let each = places.iter().zip(widths).zip(["query", "key", "value"]);
            each.map(|((at, width), name)| Projection::build(name, [x[*at].last(), width], self.use_bias, init, b))
                .collect::<Result<_>>()?
        };
        self.built.norms.clear();
        if let Some(norm) = &self.qk_norm {
            for ((at, width), name) in places.iter().zip(widths).zip(["query_norm", "key_norm"]) {
                let mut norm = RmsNorm::clone(norm).last(self.key_dim);
                b.scoped(name, Some(name), |b| Layer::build(&mut norm, x[*at].with_last(width), b)).1?;
                self.built.norms.push(norm);
            }
        }
        let features = self.output_dim.unwrap_or(n);
        let bias = self.output_bias.unwrap_or(self.use_bias);
        let init = self.output_initializer.as_ref().unwrap_or(init);
        self.built.output = Projection::build("attention_output", [outputs[0].last(), features], bias, init, b)?;
        self.built.shapes = x.to_vec();
        let mut all = vec![x[0].with_last(features)];
        all.extend(&outputs[1..]);
        Ok(all)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        let (inner, count) = self.inner_shapes(x)?;
        Op::<T>::output_shapes(&self.attention, &inner[..count], y)?;
        y[0] = x[0].with_last(self.output_dim.unwrap_or(x[0].last()));
        Ok(())
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let (places, widths) = (self.places(x.len()), self.widths());
        // Of an encoder's steps that are kept, only the queries are new.
        let new = if pass.has_source() { 1 } else { 3 };
        let is_joined = self.stays_joined() && !pass.goes_on();
        slot.tensor(Q + 2, Shape::SCALAR);
        for (i, (at, width)) in places.iter().zip(widths).enumerate().take(if is_joined { 0 } else { new }) {
            slot.tensor(Q + i, x[*at].shape().with_last(width));
        }
        let heads = self.attention.head_counts()[0];
        let attended = x[0].shape().with_last(self.value_dim.unwrap_or(self.key_dim) * heads);
        slot.tensor(ATTENDED, attended);
        if let [all] = &self.built.projections[..] {
            let joined = slot.tensor(FUSED, x[0].shape().with_last(widths.iter().sum()));
            all.forward(pass, &x[0], joined);
            let (qkv, joined) = slot.tensors.split_at_mut(FUSED);
            if !is_joined {
                self.split(&joined[0], &mut qkv[Q..Q + 3]);
            }
        } else {
            for (i, (projection, at)) in self.built.projections.iter().zip(places).enumerate().take(new) {
                projection.forward(pass, &x[at], &mut slot.tensors[Q + i]);
            }
        }
        if self.rotary.is_some() {
            slot.tensor(POSITIONS, Shape::SCALAR);
        }
        for i in 0..self.built.norms.len().min(new) {
            let shape = slot.tensors[Q + i].shape();
            slot.tensor(UNNORMED + i, shape);
        }
        let mut tensors = std::mem::take(&mut slot.tensors);
        for (i, norm) in self.built.norms.iter().enumerate().take(new) {
            let (qkv, unnormed) = tensors.split_at_mut(UNNORMED);
            std::mem::swap(&mut qkv[Q + i], &mut unnormed[i]);
            norm.forward(pass, slot.child(NORM + i), &unnormed[i], &mut qkv[Q + i]);
        }
        let (qkv, rest) = tensors.split_at_mut(ATTENDED);
        if let Some(positions) = rest.get_mut(POSITIONS - ATTENDED) {
            let [q, k, ..] = &mut *qkv else { unreachable!("three of them") };
            self.turn(pass, x, [q, k], positions, false);
        }
        let (values, scores) = y.split_at_mut(1);
        let (attended, rest) = rest.split_at_mut(1);
        let of = match is_joined {
            true => self.attended_joined(x, &rest[FUSED - ATTENDED - 1]),
            false => self.attended(x, [&qkv[0], &qkv[1], &qkv[2]]),
        };
        self.attention.attend(pass, slot.child(ATTENTION), &of, &mut attended[0], scores.first_mut());
        self.built.output.forward(pass, &attended[0], &mut values[0]);
        slot.tensors = tensors;
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        y: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        let (places, widths, is_joined) = (self.places(x.len()), self.widths(), self.stays_joined());
        slot.tensor(D_ATTENDED, Shape::SCALAR);
        for (i, (at, width)) in places.iter().zip(widths).enumerate().filter(|_| !is_joined) {
            slot.tensor(D_Q + i, x[*at].shape().with_last(width));
        }
        let attended = slot.tensors[ATTENDED].shape();
        slot.tensor(D_ATTENDED, attended);
        if self.fused {
            slot.tensor(D_FUSED, x[0].shape().with_last(widths.iter().sum()));
        }
        let mut tensors = std::mem::take(&mut slot.tensors);
        let (values, grads) = tensors.split_at_mut(D_Q);
        let (dqkv, grads) = grads.split_at_mut(D_ATTENDED - D_Q);
        let (d_attended, more) = grads.split_at_mut(1);
        self.built.output.backward(pass, &values[ATTENDED], &dy[0], Some((d_attended[0].as_mut_slice(), false)));
        let scores = y.get(1).map(|p| [p, &dy[1]]);
        let both = [&values[ATTENDED], &d_attended[0]];
        let (of, gradients) = if is_joined {
            let [joined, d_joined, ..] = &mut more[FUSED - D_ATTENDED - 1..] else { unreachable!("both are there") };
            (self.attended_joined(x, joined), [Some(d_joined), None, None])
        } else {
            let [dq, dk, dv] = &mut *dqkv else { unreachable!("three of them") };
            (self.attended(x, [&values[0], &values[1], &values[2]]), [Some(dq), Some(dk), Some(dv)])
        };
        self.attention.attend_backward(pass, slot.child(ATTENTION), &of, both, scores, gradients);
        if let Some(positions) = more.get_mut(POSITIONS - D_ATTENDED - 1) {
            let [dq, dk, ..] = &mut *dqkv else { unreachable!("three of them") };
            self.turn(pass, x, [dq, dk], positions, true);
        }
        if !self.built.norms.is_empty() {
            let unnormed = &mut more[UNNORMED - D_ATTENDED - 1..];
            for (i, ((norm, d), from)) in self.built.norms.iter().zip(&mut *dqkv).zip(unnormed).enumerate() {
                // What a norm was given it does not read again; its gradient comes to stand there.
                norm.backward(pass, slot.child(NORM + i), &values[Q + i], &values[Q + i], d, Some(from));
                std::mem::swap(d, from);
            }
        }
        let own = x.len() - self.attention.more_inputs();
        dx[own..].iter_mut().flatten().for_each(|dx| dx.as_mut_slice().fill(T::zero()));
        if let [all] = &self.built.projections[..] {
            let joined = &mut more[D_FUSED - D_ATTENDED - 1];
            if !is_joined {
                self.join(dqkv, joined);
            }
            all.backward(pass, &x[0], joined, dx[0].as_mut().map(|dx| (dx.as_mut_slice(), false)));
        } else {
            let mut written = [false; 3];
            for ((projection, at), dz) in self.built.projections.iter().zip(places).zip(&*dqkv) {
                let place = dx[at].as_mut().map(|dx| (dx.as_mut_slice(), written[at]));
                written[at] = true;
                projection.backward(pass, &x[at], dz, place);
            }
        }
        slot.tensors = tensors;
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        let batches: Vec<Shape> = self.built.shapes.iter().map(|shape| shape.with_batch(samples)).collect();
        Op::<T>::space_for(self, &batches, backward)
    }

    fn space_for(&self, x: &[Shape], backward: bool) -> usize {
        let (places, widths) = (self.places(x.len()), self.widths());
        let inner = [0, 1, 2].map(|i| x[places[i]].with_last(widths[i]));
        let qkv = inner.iter().fold(0usize, |sum, shape| sum.saturating_add(shape.len()));
        let attended = self.value_dim.unwrap_or(self.key_dim) * self.attention.head_counts()[0];
        let each = qkv.saturating_mul(1 + usize::from(self.fused)).saturating_add(x[0].with_last(attended).len());
        // Positions, and the angles of all of them.
        let turned = match self.built.frequencies {
            Some(frequencies) => x[0].with_last(1).len() + frequencies.values * x[0].dims()[1],
            None => 0,
        };
        let normed = self.built.norms.iter().zip(&inner).fold(0usize, |sum, (norm, shape)| {
            sum.saturating_add(shape.len()).saturating_add(Layer::<T>::space_for(norm, *shape, backward))
        });
        let own = each.saturating_mul(1 + usize::from(backward)).saturating_add(turned).saturating_add(normed);
        own.saturating_add(Op::<T>::space_for(&self.attention, &inner, backward))
    }

    fn masked_outputs(&self) -> usize {
        1
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        let [_, keys, values] = self.widths();
        self.attention.going_on([keys, values], self.attention.is_even())
    }

    fn config(&self) -> OpConfig {
        OpConfig::MultiHeadAttention(self.clone())
    }
}

impl<T: Float> Layer<T> for MultiHeadAttention {
    fn class(&self) -> &'static str {
        "MultiHeadAttention"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        if Op::<T>::outputs(self) > 1 || self.attention.more_inputs() > 0 {
            let problem = "MultiHeadAttention in a chain has one input and one output".to_owned();
            let hint = "add it to a Graph with op or op_outputs, which take several";
            return Err(Error::Config { op: "build", problem, hint: hint.into() });
        }
        Ok(Op::<T>::build(self, &[input], b)?[0])
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        let mut y = [Shape::SCALAR];
        Op::<T>::output_shapes(self, &[x], &mut y)?;
        Ok(y[0])
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        Op::forward(self, pass, slot, Inputs::new(std::slice::from_ref(x), &[0]), std::slice::from_mut(y));
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let x = Inputs::new(std::slice::from_ref(x), &[0]);
        let (y, dy) = (std::slice::from_ref(y), std::slice::from_mut(dy));
        let Some(place) = dx else { return Op::backward(self, pass, slot, x, y, dy, &mut [None]) };
        let mut dx = [Some(std::mem::take(place))];
        Op::backward(self, pass, slot, x, y, dy, &mut dx);
        let [dx] = dx;
        *place = dx.unwrap_or_default();
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Op::<T>::space(self, samples, backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        Op::<T>::space_for(self, &[x], backward)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Op::<T>::continuation(self)
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::MultiHeadAttention(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check_layer, check_op};

    #[test]
    fn gradients_alone() {
        let two = MultiHeadAttention::new(2, 3);
        check_layer(&two, [4, 5]).unwrap();
        check_layer(&two.clone().causal(true).value_dim(2).output_dim(3).use_bias(false), [3, 4]).unwrap();
        check_layer(&two.clone().causal(true).fused(true).dropout(0.2), [3, 4]).unwrap();
        check_layer(&MultiHeadAttention::new(4, 2).key_heads(2).fused(true).value_dim(1), [3, 4]).unwrap();
        // With norms of queries and keys, before positions turn them.
        let normed = MultiHeadAttention::new(4, 6).key_heads(2).qk_norm(RmsNorm::new().epsilon(1e-3));
        check_layer(&normed, [3, 4]).unwrap();
        check_layer(&normed.clone().fused(true).causal(true), [3, 4]).unwrap();
        let offset = normed.rotary(Rotary::new()).qk_norm(RmsNorm::new().unit_offset(true));
        check_layer(&offset.causal(true).window(2), [4, 5]).unwrap();
        let rotary = Rotary::new().turned(2).interleaved(true);
        check_layer(&two.clone().causal(true).rotary(rotary), [4, 5]).unwrap();
        check_layer(&two.bias(PositionBias::Alibi).output_bias(false), [1, 1]).unwrap();
    }

    #[test]
    fn gradients_of_several_inputs() {
        let two = MultiHeadAttention::new(2, 2);
        check_op(two.clone(), &[[3, 4].into(), [2, 5].into()]).unwrap();
        check_op(two.clone(), &[[3, 2].into(), [4, 3].into(), [4, 1].into()]).unwrap();
        check_op(two.clone().return_scores(true), &[[3, 2].into()]).unwrap();
        check_op(two.clone().mask(true), &[[3, 2].into(), [3, 3].into()]).unwrap();
        check_op(two.clone().documents(true).causal(true), &[[3, 2].into(), [3].into()]).unwrap();
        check_op(two.documents(true).rotary(Rotary::new()).fused(true), &[[3, 2].into(), [3].into()]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: MultiHeadAttention, x: &[Shape]| {
            let mut layer = layer;
            Op::<f64>::build(&mut layer, x, &mut Builder::new(0)).unwrap_err().to_string()
        };
        let x = [Shape::from([3, 4])];
        assert!(error(MultiHeadAttention::new(2, 0), &x).contains("key_dim must be at least 1"));
        assert!(error(MultiHeadAttention::new(1 << 40, 1 << 40), &x).contains("take fewer or narrower heads"));
        assert!(error(MultiHeadAttention::new(3, 2).key_heads(2), &x).contains("a divisor of the 3 heads"));
        assert!(error(MultiHeadAttention::new(3, 2), &[[4].into()]).contains("query [steps, features]"));
        assert!(error(MultiHeadAttention::new(3, 2), &[]).contains("1 to 3 inputs"));
        assert!(error(MultiHeadAttention::new(3, 2).fused(true), &[x[0], x[0]]).contains("the query alone"));
        let chain = crate::Sequential::new([3, 4]).add(MultiHeadAttention::new(2, 2).mask(true)).build(0).unwrap_err();
        assert!(chain.to_string().contains("one input and one output"), "{chain}");
    }
}
