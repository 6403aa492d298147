//! Scaled dot-product attention over several heads.

use super::PositionBias;
use crate::error::{Error, Result};
use crate::kernels::attention::{self, Biases, Gradients, Numbers, Rules, Sizes};
use crate::kernels::random::Key;
use crate::layer::cache::Entry;
use crate::layer::{AttentionSteps, Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::layers::regularization::check_rate;
use crate::params::ParamId;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = softmax(q·kᵀ / √width)·v, head by head: each step of q takes from the steps of v, by how well it agrees with those of k.
///
/// - Inputs: q `[T, heads·width]`, k `[S, key_heads·width]`, v `[S, key_heads·value_width]`, heads one after the other; output
///   `[T, heads·value_width]`. T and S may be free. There are no parameters but those of a [`PositionBias`]; projections stand before and behind
///   ([`MultiHeadAttention`](crate::layers::MultiHeadAttention)).
/// - Behind those come, in this order and where said so, a [`mask`](Self::mask) `[T, S]` or `[heads, T, S]` and [`documents`](Self::documents) `[T]`.
/// - Defaults: as many heads of keys as of queries, every step sees every other, no dropout, scores divided by √width.
/// - A step sees a key where all that is said allows it: masks of the three values, [`causal`](Self::causal), [`window`](Self::window), mask and
///   documents. They are joined by logic, nothing is added to scores.
/// - A step that sees no key gives zeros, or with [`even_where_empty`](Self::even_where_empty) the mean of all values of its row, as Keras has it; no
///   gradient of q and k comes from it.
/// - Dropout is of the probabilities, behind the softmax; kept ones are divided by 1 − rate.
/// - Gradient, with p = softmax(s), dp = dy·vᵀ: dv = pᵀ·dy, ds = p ∘ (dp − Σ dy·y), dq = ds·k / √width, dk = dsᵀ·q / √width.
///
/// Neither forward nor backward keeps a matrix T × S (see docs/design.md, "Attention"): memory is linear in T and S. The output's mask is that of q.
///
/// Vaswani and others: "Attention Is All You Need", 2017; several heads of queries for one of keys: Ainslie and others, "GQA", 2023.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::layers::DotProductAttention;
/// use gradus::prelude::*;
/// let mut g = Graph::new();
/// let (q, k, v) = (g.input("q", [FREE, 8]), g.input("k", [FREE, 8]), g.input("v", [FREE, 6]));
/// let y = g.op(DotProductAttention::new(2), &[q, k, v]);
/// let model = g.build([y], 0)?;
/// let (q, k, v) = (Tensor::full([1, 3, 8], 0.5), Tensor::full([1, 5, 8], 0.1), Tensor::full([1, 5, 6], 2.0));
/// let y = model.predict([&q, &k, &v])?;
/// assert_eq!(y.dims(), &[1, 3, 6]);
/// assert!((y.as_slice()[0] - 2.0).abs() < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DotProductAttention {
    heads: usize,
    key_heads: Option<usize>,
    causal: bool,
    window: Option<usize>,
    scale: Option<f64>,
    soft_cap: Option<f64>,
    dropout: f64,
    bias: PositionBias,
    mask: bool,
    documents: bool,
    even: bool,
    return_scores: bool,
    #[cfg_attr(feature = "serde", serde(skip))]
    table: Option<ParamId>,
    #[cfg_attr(feature = "serde", serde(skip))]
    stream: u64,
    /// Shapes of q, k and v.
    #[cfg_attr(feature = "serde", serde(skip))]
    built: Vec<Shape>,
}

/// Places in the slot.
const SUMS: usize = 0;
const DELTAS: usize = 1;
const SPACE: usize = 2;
const BIAS: usize = 3;
const BIAS_GRADIENT: usize = 4;
/// Numbers of a problem in the slot.
const OF_A_PROBLEM: usize = size_of::<Numbers>() / size_of::<u32>();

impl DotProductAttention {
    /// So many heads.
    pub fn new(heads: usize) -> Self {
        DotProductAttention {
            heads,
            key_heads: None,
            causal: false,
            window: None,
            scale: None,
            soft_cap: None,
            dropout: 0.0,
            bias: PositionBias::None,
            mask: false,
            documents: false,
            even: false,
            return_scores: false,
            table: None,
            stream: 0,
            built: Vec::new(),
        }
    }

    /// Heads of k and v, which divide those of q; as many by default. One after the other, each serves a group of heads of q.
    pub fn key_heads(mut self, key_heads: usize) -> Self {
        self.key_heads = Some(key_heads);
        self
    }

    /// Whether a step sees those up to itself alone; no by default.
    pub fn causal(mut self, causal: bool) -> Self {
        self.causal = causal;
        self
    }

    /// How many steps a step sees at most, itself included, up to itself where [`causal`](Self::causal); otherwise so many on each side.
    pub fn window(mut self, window: impl Into<Option<usize>>) -> Self {
        self.window = window.into();
        self
    }

    /// What scores are multiplied by; 1/√width by default.
    pub fn scale(mut self, scale: impl Into<Option<f64>>) -> Self {
        self.scale = scale.into();
        self
    }

    /// Scores s become c·tanh(s / c), which keeps them within ±c.
    pub fn soft_cap(mut self, cap: impl Into<Option<f64>>) -> Self {
        self.soft_cap = cap.into();
        self
    }

    /// The part of the probabilities that is dropped in training; none by default.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.dropout = rate;
        self
    }

    /// What is added to scores by distance; nothing by default.
    pub fn bias(mut self, bias: PositionBias) -> Self {
        self.bias = bias;
        self
    }

    /// Whether an input behind q, k and v says which step sees which key, other than 0: `[T, S]`, or `[heads, T, S]`.
    pub fn mask(mut self, mask: bool) -> Self {
        self.mask = mask;
        self
    }

    /// Whether the last input gives the number of the document that each step belongs to, `[T]`: steps see their own document alone, which is a run of
    /// steps with one number. Each document's output has the bits that it has alone. For steps that see each other (T = S).
    pub fn documents(mut self, documents: bool) -> Self {
        self.documents = documents;
        self
    }

    /// Whether a step that sees no key gives the mean of all values of its row, as Keras's `MultiHeadAttention` does, instead of zeros.
    pub fn even_where_empty(mut self, even: bool) -> Self {
        self.even = even;
        self
    }

    /// Whether there is a second output, the probabilities `[heads, T, S]` before dropout: memory grows with T·S then.
    pub fn return_scores(mut self, return_scores: bool) -> Self {
        self.return_scores = return_scores;
        self
    }

    /// Heads of queries and of keys.
    pub(super) fn head_counts(&self) -> [usize; 2] {
        [self.heads, self.kv_heads()]
    }

    /// How many inputs come behind q, k and v.
    pub(super) fn more_inputs(&self) -> usize {
        self.inputs() - 3
    }

    /// The documents among a caller's inputs.
    pub(super) fn documents_of<'a, T: Float>(&self, x: Inputs<'a, T>) -> Option<&'a Tensor<T>> {
        self.documents.then(|| x.get(x.len() - 1))
    }

    /// Whether a step that sees nothing gives the mean of all values.
    pub(super) fn is_even(&self) -> bool {
        self.even
    }

    /// Whether there is neither dropout nor an output of scores.
    pub(super) fn is_plain(&self) -> bool {
        self.dropout == 0.0 && !self.return_scores
    }

    /// What attention of these values goes by, where mask and documents are the last of a caller's inputs.
    pub(super) fn with_more<'a, T: Float>(
        &self,
        x: Inputs<'a, T>,
        masked_as: [usize; 3],
        values: [&'a Tensor<T>; 3],
    ) -> Attended<'a, T> {
        let last = x.len().wrapping_sub(1);
        Attended {
            values,
            joined: None,
            masked_as,
            mask: self.mask.then(|| x.get(last - usize::from(self.documents))),
            documents: self.documents.then(|| x.get(last)),
        }
    }

    /// How it goes on, with keys and values of so many features.
    pub(super) fn going_on(&self, widths: [usize; 2], even: bool) -> Continuation {
        if self.mask || self.documents || self.return_scores {
            return Continuation::Whole;
        }
        let DotProductAttention { causal, window, .. } = *self;
        Continuation::Attention(AttentionSteps { widths, causal, window, even })
    }

    fn kv_heads(&self) -> usize {
        self.key_heads.unwrap_or(self.heads)
    }

    /// How many inputs there are.
    fn inputs(&self) -> usize {
        3 + usize::from(self.mask) + usize::from(self.documents)
    }

    /// Which input has the documents.
    fn documents_at(&self) -> Option<usize> {
        self.documents.then(|| 3 + usize::from(self.mask))
    }

    pub(super) fn check(&self) -> Result<()> {
        let (op, heads, key_heads) = ("DotProductAttention", self.heads, self.kv_heads());
        if heads == 0 {
            return Err(Error::argument(op, "heads", "at least 1", 0, "name the number of heads"));
        }
        if key_heads == 0 || !heads.is_multiple_of(key_heads) {
            let expected = format!("a divisor of the {heads} heads");
            return Err(Error::argument(
                op,
                "key_heads",
                expected,
                key_heads,
                "as many heads of queries go with each of keys",
            ));
        }
        if self.window == Some(0) {
            return Err(Error::argument(op, "window", "at least 1", 0, "a step sees itself, at least"));
        }
        for (name, value) in [("scale", self.scale), ("soft_cap", self.soft_cap)] {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                return Err(Error::argument(op, name, "finite and above 0", value, "leave it out for the usual one"));
            }
        }
        check_rate(op, self.dropout, false)
    }

    /// The sizes of samples of these shapes.
    fn sizes(&self, batch: usize, x: [Shape; 3]) -> Sizes {
        let key_heads = self.kv_heads();
        Sizes {
            batch,
            queries: x[0].dims()[0],
            keys: x[1].dims()[0],
            heads: self.heads,
            key_heads,
            width: x[0].last() / self.heads,
            value_width: x[2].last() / key_heads,
            joined: false,
        }
    }

    /// The sizes of queries of this shape and keys that are kept.
    fn sizes_of_kept<T>(&self, q: Shape, kept: &Entry<T>) -> Sizes {
        let key_heads = self.kv_heads();
        Sizes {
            batch: q.first(),
            queries: q.sample().first(),
            keys: kept.places,
            heads: self.heads,
            key_heads,
            width: q.last() / self.heads,
            value_width: kept.widths[1] / key_heads,
            joined: false,
        }
    }

    fn sizes_of<T: Float>(&self, x: &Attended<'_, T>) -> Sizes {
        let shapes = x.values.map(|x| x.shape().sample());
        match x.joined {
            None => self.sizes(x.values[0].shape().first(), shapes),
            Some(widths) => {
                let [q, k, v] = [0, 1, 2].map(|i| shapes[i].with_last(widths[i]));
                Sizes { joined: true, ..self.sizes(x.values[0].shape().first(), [q, k, v]) }
            }
        }
    }

    fn attended<'a, T: Float>(&self, x: Inputs<'a, T>) -> Attended<'a, T> {
        self.with_more(x, [0, 1, 2], [0, 1, 2].map(|i| x.get(i)))
    }

    fn outputs_of(&self, x: &[Shape]) -> Result<[Shape; 2]> {
        let op = "DotProductAttention";
        if x.len() != self.inputs() {
            let more = ["", " and a mask", " and documents", ", a mask and documents"];
            let more = more[usize::from(self.mask) + 2 * usize::from(self.documents)];
            let hint = "pass what the settings name, in this order";
            return Err(Error::shape(op, format!("{} inputs: q, k, v{more}", self.inputs()), x.len(), hint));
        }
        for (shape, name) in x.iter().zip(["q", "k", "v"]) {
            if shape.rank() != 2 {
                let hint = "bring other axes together with a Reshape";
                return Err(Error::shape(op, format!("{name} [steps, features]"), shape, hint));
            }
        }
        let (heads, key_heads) = (self.heads, self.kv_heads());
        // The width of a head; free where the features are.
        let width = |shape: Shape, heads: usize, name: &str| match shape.last() {
            FREE => Ok(FREE),
            features if features > 0 && features.is_multiple_of(heads) => Ok(features / heads),
            _ => {
                let expected = format!("{name} with a multiple of {heads} features, as many heads");
                Err(Error::shape(op, expected, shape, "choose heads that divide the features"))
            }
        };
        let (q, k, v) = (width(x[0], heads, "q")?, width(x[1], key_heads, "k")?, width(x[2], key_heads, "v")?);
        let same = |a: usize, b: usize| a == b || a == FREE || b == FREE;
        if !same(q, k) {
            let expected = format!("k with {} features, {key_heads} heads of the width of q's {heads}", q * key_heads);
            return Err(Error::shape(op, expected, x[1], "project q and k to heads of one width"));
        }
        let (t, s) = (x[0].dims()[0], x[1].dims()[0]);
        if !same(s, x[2].dims()[0]) {
            return Err(Error::shape(op, format!("v of as many steps as k, {}", x[1]), x[2], "give each key a value"));
        }
        if self.mask {
            let goes = match *x[3].dims() {
                [a, b] => same(a, t) && same(b, s),
                [h, a, b] => same(h, heads) && same(a, t) && same(b, s),
                _ => false,
            };
            if !goes {
                let expected = format!("a mask {} or {}", Shape::from([t, s]), Shape::from([heads, t, s]));
                return Err(Error::shape(op, expected, x[3], "say for each step which keys it sees"));
            }
        }
        if let Some(at) = self.documents_at()
            && (!same(t, s) || x[at].rank() != 1 || !same(x[at].dims()[0], t))
        {
            let expected = format!("documents {}, and as many keys as queries", Shape::from([t]));
            let got = format!("{} for queries {} and keys {}", x[at], x[0], x[1]);
            return Err(Error::shape(op, expected, got, "give each step the number of its document"));
        }
        let y = Shape::from([t, if v == FREE { FREE } else { v * heads }]);
        let scores = Shape::from([heads, t, s]);
        if self.return_scores {
            scores.open_len(op)?;
        }
        y.open_len(op)?;
        Ok([y, scores])
    }

    /// The parts of the batch that have to do with each other, as numbers in the slot; keys are those of the batch, or `kept` ones.
    fn problems<T: Float>(
        pass: &Pass<'_, T>,
        sizes: Sizes,
        x: &Attended<'_, T>,
        kept: Option<&Entry<T>>,
        numbers: &mut Vec<u32>,
    ) {
        numbers.clear();
        if let Some(kept) = kept {
            for row in 0..sizes.batch {
                let [own, position, keys] = pass.kept(kept, row, sizes.queries);
                let seen = |key: usize| kept.mask().is_none_or(|mask| mask[own * sizes.keys + key % sizes.keys]);
                let [first, end] = ends(0..keys, seen);
                numbers.extend([row, 0, sizes.queries, first, end, position, own].map(|n| n as u32));
            }
            return;
        }
        let documents = x.documents.map(Tensor::as_slice);
        for row in 0..sizes.batch {
            let own = row * sizes.keys..(row + 1) * sizes.keys;
            let masks = [1, 2].map(|i| pass.mask_of(x.masked_as[i]));
            let seen = |key: usize| masks.iter().all(|mask| mask.is_none_or(|mask| mask[own.start + key]));
            let mut add = |queries: std::ops::Range<usize>, keys: std::ops::Range<usize>| {
                let [first, end] = ends(keys, seen);
                numbers.extend([row, queries.start, queries.end, first, end, 0, row].map(|n| n as u32));
            };
            let Some(documents) = documents else {
                add(0..sizes.queries, 0..sizes.keys);
                continue;
            };
            let documents = &documents[row * sizes.queries..(row + 1) * sizes.queries];
            let mut start = 0;
            for document in documents.chunk_by(|a, b| a == b) {
                let end = start + document.len();
                add(start..end, start..end);
                start = end;
            }
        }
    }

    /// The first distance, and how many there are: of steps that stand at the positions of as many keys, or behind keys that are kept.
    fn distances(sizes: Sizes, kept: bool) -> (isize, usize) {
        let (behind, keys) = if kept { (sizes.keys, sizes.queries) } else { (sizes.queries, sizes.keys) };
        (1 - behind as isize, (behind + keys).saturating_sub(1))
    }

    /// Values of the gradients of biases by distance.
    fn bias_gradients(sizes: Sizes) -> usize {
        sizes.batch.saturating_mul(sizes.queries + sizes.keys).saturating_mul(sizes.heads)
    }

    /// How many values the slot keeps.
    fn space_of(&self, sizes: Sizes, backward: bool) -> usize {
        let per_query = sizes.batch.saturating_mul(sizes.queries).saturating_mul(sizes.heads);
        let bias = if self.bias == PositionBias::None {
            0
        } else {
            self.heads.saturating_mul(Self::distances(sizes, false).1)
        };
        let gradient = if backward && self.table.is_some() { Self::bias_gradients(sizes) } else { 0 };
        let kept = per_query.saturating_mul(1 + usize::from(backward));
        kept.saturating_add(bias).saturating_add(gradient).saturating_add(attention::most_space(backward))
    }

    /// y, and the probabilities where asked for.
    pub(super) fn attend<T: Float>(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Attended<'_, T>,
        y: &mut Tensor<T>,
        scores: Option<&mut Tensor<T>>,
    ) {
        let [q, k, v] = x.values.map(Tensor::as_slice);
        let kept = pass.keep([k, v], [1, 2].map(|i| x.masked_as[i]));
        let (sizes, [k, v]) = match &kept {
            Some(kept) => {
                (self.sizes_of_kept(x.values[0].shape(), kept), kept.planes.each_ref().map(|plane| &plane[..]))
            }
            None => (self.sizes_of(x), [k, v]),
        };
        let mut numbers = std::mem::take(&mut slot.indices);
        Self::problems(pass, sizes, x, kept.as_ref(), &mut numbers);
        let problems = numbers.as_chunks::<OF_A_PROBLEM>().0;
        let per_query = sizes.batch * sizes.queries * sizes.heads;
        slot.scratch(SUMS, per_query);
        slot.scratch(SPACE, attention::space(sizes, problems, false));
        if self.bias != PositionBias::None {
            let (first, distances) = Self::distances(sizes, kept.is_some());
            let table = self.table.map_or(&[][..], |table| pass.weight(table));
            self.bias.write(self.heads, table, first, slot.scratch(BIAS, self.heads * distances));
        }
        let [sums, _, space, bias] = slot.buffers();
        let (key, qkv) = (|row| pass.key(self.stream, row), [q, k, v]);
        let mut rules = rules(self, pass, sizes, x, self.biases(sizes, kept.is_some(), bias.as_slice()), &key);
        if let Some(kept) = &kept {
            rules.key_masks = [kept.mask(), None];
        }
        let (sums, space) = (&mut sums.as_mut_slice()[..per_query], space.as_mut_slice());
        attention::forward(sizes, problems, &rules, qkv, y.as_mut_slice(), sums, space);
        if let Some(scores) = scores {
            attention::probabilities(sizes, problems, &rules, qkv, sums, scores.as_mut_slice(), space);
        }
        slot.indices = numbers;
        pass.put_back(kept);
    }

    /// What is added to scores by distance, where anything is.
    fn biases<'a, T>(&self, sizes: Sizes, kept: bool, values: &'a [T]) -> Option<Biases<'a, T>> {
        let (first, distances) = Self::distances(sizes, kept);
        (self.bias != PositionBias::None).then_some(Biases { values, first, distances })
    }

    /// The gradients that there are places for, from y and dy, and the probabilities and their gradient where they are an output.
    pub(super) fn attend_backward<T: Float>(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Attended<'_, T>,
        [y, dy]: [&Tensor<T>; 2],
        scores: Option<[&Tensor<T>; 2]>,
        dqkv: [Option<&mut Tensor<T>>; 3],
    ) {
        let sizes = self.sizes_of(x);
        let numbers = std::mem::take(&mut slot.indices);
        let problems = numbers.as_chunks::<OF_A_PROBLEM>().0;
        let trained = self.table.filter(|table| pass.wants(*table));
        let bias_gradients = if trained.is_some() { Self::bias_gradients(sizes) } else { 0 };
        let per_query = sizes.batch * sizes.queries * sizes.heads;
        slot.scratch(DELTAS, per_query);
        slot.scratch(SPACE, attention::space(sizes, problems, true));
        slot.scratch(BIAS_GRADIENT, bias_gradients);
        let [sums, deltas, space, bias, bias_gradient] = slot.buffers();
        let bias_gradient = &mut bias_gradient.as_mut_slice()[..bias_gradients];
        {
            let key = |row| pass.key(self.stream, row);
            let rules = rules(self, pass, sizes, x, self.biases(sizes, false, bias.as_slice()), &key);
            let [dq, dk, dv] = dqkv.map(|dx| dx.map(Tensor::as_mut_slice));
            let gradients = Gradients {
                q: dq,
                k: dk,
                v: dv,
                bias: trained.is_some().then_some(&mut *bias_gradient),
                scores: scores.map(|both| both.map(Tensor::as_slice)),
            };
            attention::backward(
                sizes,
                problems,
                &rules,
                x.values.map(Tensor::as_slice),
                [y.as_slice(), dy.as_slice()],
                &sums.as_slice()[..per_query],
                &mut deltas.as_mut_slice()[..per_query],
                gradients,
                space.as_mut_slice(),
            );
        }
        if let Some(table) = trained {
            let table = pass.gradient(table);
            attention::each_bias(sizes, problems, bias_gradient, |first, distances, g| {
                self.bias.add_gradient(self.heads, distances, first, g, table);
            });
        }
        slot.indices = numbers;
    }
}

/// What attention goes by: q, k and v, which of the caller's inputs has the mask of each, and what else there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attended<'a, T> {
    pub values: [&'a Tensor<T>; 3],
    /// The features of q, k and v where all three are one tensor, in which those stand side by side.
    pub joined: Option<[usize; 3]>,
    pub masked_as: [usize; 3],
    pub mask: Option<&'a Tensor<T>>,
    pub documents: Option<&'a Tensor<T>>,
}

/// The first key that is seen and the one behind the last, so that tiles are counted without padding at the ends.
fn ends(keys: std::ops::Range<usize>, seen: impl Fn(usize) -> bool) -> [usize; 2] {
    let first = keys.clone().find(|key| seen(*key)).unwrap_or(keys.start);
    [first, (first..keys.end).rev().find(|key| seen(*key)).map_or(first, |last| last + 1)]
}

/// What a pass says of the rules.
fn rules<'a, T: Float>(
    op: &DotProductAttention,
    pass: &'a Pass<'_, T>,
    sizes: Sizes,
    x: &Attended<'a, T>,
    bias: Option<Biases<'a, T>>,
    key: &'a (dyn Fn(usize) -> Key + Sync),
) -> Rules<'a, T> {
    let window = op.window.map_or(usize::MAX, |window| window - 1);
    Rules {
        scale: T::of(op.scale.unwrap_or(1.0 / (sizes.width.max(1) as f64).sqrt())),
        soft_cap: op.soft_cap.map(T::of),
        before: window,
        behind: if op.causal { 0 } else { window },
        bias,
        query_mask: pass.mask_of(x.masked_as[0]),
        key_masks: [1, 2].map(|i| pass.mask_of(x.masked_as[i])),
        mask: x.mask.map(Tensor::as_slice),
        by_head: x.mask.is_some_and(|mask| mask.shape().sample().rank() == 3),
        dropout: (pass.training && op.dropout > 0.0).then_some((op.dropout, key)),
        even: op.even,
    }
}

impl<T: Float> Op<T> for DotProductAttention {
    fn class(&self) -> &'static str {
        "DotProductAttention"
    }

    fn outputs(&self) -> usize {
        1 + usize::from(self.return_scores)
    }

    fn build(&mut self, x: &[Shape], b: &mut Builder<T>) -> Result<Vec<Shape>> {
        self.check()?;
        let outputs = self.outputs_of(x)?;
        self.table = self.bias.build(self.heads, b)?;
        self.stream = b.stream();
        self.built = x[..3].to_vec();
        Ok(outputs[..Op::<T>::outputs(self)].to_vec())
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        let outputs = self.outputs_of(x)?;
        y.iter_mut().zip(outputs).for_each(|(y, output)| *y = output);
        Ok(())
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let (values, scores) = y.split_at_mut(1);
        self.attend(pass, slot, &self.attended(x), &mut values[0], scores.first_mut());
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
        let (qkv, more) = dx.split_at_mut(3);
        // Where steps may be seen and which documents they are of has no gradient.
        more.iter_mut().flatten().for_each(|dx| dx.as_mut_slice().fill(T::zero()));
        let mut places = qkv.iter_mut().map(Option::as_mut);
        let dqkv = [0, 1, 2].map(|_| places.next().flatten());
        let scores = y.get(1).map(|p| [p, &dy[1]]);
        self.attend_backward(pass, slot, &self.attended(x), [&y[0], &dy[0]], scores, dqkv);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        let built = [0, 1, 2].map(|i| self.built.get(i).copied().unwrap_or_default());
        self.space_of(self.sizes(samples, built), backward)
    }

    fn space_for(&self, x: &[Shape], backward: bool) -> usize {
        self.space_of(self.sizes(x[0].first(), [0, 1, 2].map(|i| x[i].sample())), backward)
    }

    fn masked_outputs(&self) -> usize {
        1
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        let widths = [1, 2].map(|i| self.built.get(i).map_or(0, Shape::last));
        self.going_on(widths, self.even)
    }

    fn config(&self) -> OpConfig {
        OpConfig::DotProductAttention(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_op;

    fn shapes(t: usize, s: usize, [q, k, v]: [usize; 3]) -> [Shape; 3] {
        [[t, q].into(), [s, k].into(), [s, v].into()]
    }

    #[test]
    fn gradients() {
        let two = DotProductAttention::new(2);
        let ops = [
            (two.clone(), shapes(3, 5, [6, 6, 4])),
            (two.clone().causal(true), shapes(5, 5, [4, 4, 2])),
            (two.clone().causal(true).window(2).soft_cap(1.5), shapes(5, 5, [2, 2, 4])),
            (two.clone().window(2).scale(0.7).even_where_empty(true), shapes(5, 4, [2, 2, 2])),
            (DotProductAttention::new(4).key_heads(2).dropout(0.3), shapes(3, 4, [8, 4, 2])),
            (two.clone().bias(PositionBias::Alibi).causal(true), shapes(4, 4, [4, 4, 4])),
            (two.clone().bias(PositionBias::relative(true)).dropout(0.2), shapes(3, 4, [4, 4, 2])),
            (two.clone().return_scores(true), shapes(3, 2, [4, 4, 2])),
            (DotProductAttention::new(1), shapes(1, 1, [1, 1, 1])),
        ];
        for (op, x) in ops {
            check_op(op.clone(), &x).unwrap_or_else(|e| panic!("{op:?}: {e}"));
        }
        let [q, k, v] = shapes(3, 4, [4, 4, 2]);
        check_op(two.clone().mask(true), &[q, k, v, [3, 4].into()]).unwrap();
        check_op(two.clone().mask(true), &[q, k, v, [2, 3, 4].into()]).unwrap();
        check_op(two.clone().documents(true), &[q, [3, 4].into(), [3, 2].into(), [3].into()]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |op: DotProductAttention, x: &[Shape]| {
            let mut op = op;
            Op::<f64>::build(&mut op, x, &mut Builder::new(0)).unwrap_err().to_string()
        };
        let x = shapes(3, 5, [6, 6, 4]);
        let two = DotProductAttention::new(2);
        assert!(error(DotProductAttention::new(0), &x).contains("heads must be at least 1"));
        assert!(error(two.clone().key_heads(3), &x).contains("key_heads must be a divisor of the 2 heads, got 3"));
        assert!(error(two.clone().window(0), &x).contains("window must be at least 1"));
        assert!(
            error(two.clone().dropout(1.0), &x).contains("dropout")
                || error(two.clone().dropout(1.0), &x).contains("rate")
        );
        assert!(error(two.clone().soft_cap(f64::NAN), &x).contains("soft_cap"));
        assert!(error(DotProductAttention::new(4), &x).contains("q with a multiple of 4 features"));
        assert!(error(two.clone().mask(true), &x).contains("4 inputs: q, k, v and a mask, got 3"));
        assert!(error(two.clone(), &shapes(3, 5, [6, 4, 4])).contains("k with 6 features"));
        let [q, k, _] = x;
        assert!(error(two.clone(), &[q, k, [4, 4].into()]).contains("v of as many steps as k, [5, 6], got [4, 4]"));
        assert!(error(two.clone().documents(true), &[q, k, x[2], [3].into()]).contains("as many keys as queries"));
        let few = PositionBias::Relative { buckets: 3, max_distance: 9, bidirectional: true, shared: None };
        assert!(error(two.clone().bias(few), &x).contains("at least 4 buckets"));
        assert!(error(two.bias(PositionBias::shared(true, "a/b")), &x).contains("\"a/b\""));
    }
}
