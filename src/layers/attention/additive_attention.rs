//! Attention of one head by sums of queries and keys.

use super::weighing::Weighing;
use crate::error::Result;
use crate::initializers::Init;
use crate::kernels::additive;
use crate::layer::{Builder, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = softmax(s)·v with s = Σ w·tanh(q + k), the sum over features: each step of the query takes from the values by what a small network says of it and
/// their keys.
///
/// - Inputs: query `[T, n]` and value `[S, m]`, or query, value and key `[S, n]`; without a key the values are the keys. Output `[T, m]`. T and S may be
///   free. Projections of queries and keys stand before it, as `Dense` layers without activation.
/// - Parameter: w, `scale` `[n]`, Glorot uniform; without [`use_scale`](Self::use_scale) it is 1.
/// - Defaults: with w, every step sees every other, no dropout.
/// - Masks: as in [`Attention`](crate::layers::Attention).
/// - Gradient, with h = tanh(q + k) and ds that of `Attention`: dw = Σ ds·h, dq = Σ over keys of ds·w·(1 − h²), dk the same over queries.
///
/// The scores of a batch, T·S a sample, are kept; tangents, n·T·S, are computed again in backward. Keras `AdditiveAttention`. Bahdanau, Cho, Bengio: "Neural
/// Machine Translation by Jointly Learning to Align and Translate", 2015.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::layers::AdditiveAttention;
/// use gradus::prelude::*;
/// // A decoder's steps look at an encoder's.
/// let mut g = Graph::new();
/// let (decoder, encoder) = (g.input("decoder", [FREE, 6]), g.input("encoder", [FREE, 4]));
/// let (query, key) = (g.add(Dense::new(8), decoder), g.add(Dense::new(8), encoder));
/// let y = g.op(AdditiveAttention::new(), &[query, encoder, key]);
/// let model = g.build([y], 0)?;
/// assert_eq!(model.predict([&Tensor::full([1, 3, 6], 0.1), &Tensor::full([1, 5, 4], 0.2)])?.dims(), &[1, 3, 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AdditiveAttention {
    use_scale: bool,
    weighing: Weighing,
    #[cfg_attr(feature = "serde", serde(skip))]
    scale: Option<ParamId>,
}

impl Default for AdditiveAttention {
    fn default() -> Self {
        AdditiveAttention { use_scale: true, weighing: Weighing::default(), scale: None }
    }
}

impl AdditiveAttention {
    /// With a weight for each feature.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether each feature's tangent has a weight that is learned; yes by default.
    pub fn use_scale(mut self, use_scale: bool) -> Self {
        self.use_scale = use_scale;
        self
    }

    /// Whether a step sees those up to itself alone; no by default.
    pub fn causal(mut self, causal: bool) -> Self {
        self.weighing.causal = causal;
        self
    }

    /// The part of the weights that is dropped in training; none by default.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.weighing.dropout = rate;
        self
    }

    /// See [`Attention::return_scores`](crate::layers::Attention::return_scores).
    pub fn return_scores(mut self, return_scores: bool) -> Self {
        self.weighing.return_scores = return_scores;
        self
    }

    fn space_of(&self, n: additive::Sizes, backward: bool) -> usize {
        self.weighing.space(n, backward).saturating_add(Weighing::additive_space(n, backward))
    }
}

impl<T: Float> Op<T> for AdditiveAttention {
    fn class(&self) -> &'static str {
        "AdditiveAttention"
    }

    fn outputs(&self) -> usize {
        self.weighing.outputs()
    }

    fn build(&mut self, x: &[Shape], b: &mut Builder<T>) -> Result<Vec<Shape>> {
        let outputs = self.weighing.build("AdditiveAttention", x, b)?;
        self.scale = match self.use_scale {
            true => Some(b.weight("scale", [x[0].last()], &Init::GlorotUniform)?),
            false => None,
        };
        Ok(outputs)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        self.weighing.output_shapes("AdditiveAttention", x, y)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        Weighing::additive_scores(slot, x, T::one(), |features| match self.scale {
            Some(scale) => features.copy_from_slice(pass.weight(scale)),
            None => features.fill(T::one()),
        });
        self.weighing.forward(pass, slot, x, y);
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        self.weighing.backward(pass, slot, x, dy, dx[1].as_mut());
        let samples = Weighing::additive_backward(slot, x, T::one(), dx);
        let Some(scale) = self.scale.filter(|scale| pass.wants(*scale)) else { return };
        let gradient = pass.gradient(scale);
        samples.for_each(|(dw, _)| gradient.iter_mut().zip(dw).for_each(|(g, dw)| *g += *dw));
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        self.space_of(self.weighing.sizes_at_build(samples), backward)
    }

    fn space_for(&self, x: &[Shape], backward: bool) -> usize {
        self.space_of(Weighing::sizes(x), backward)
    }

    fn masked_outputs(&self) -> usize {
        1
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn config(&self) -> OpConfig {
        OpConfig::AdditiveAttention(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients() {
        let (q, v, k) = (Shape::from([3, 4]), Shape::from([5, 2]), Shape::from([5, 4]));
        for op in [AdditiveAttention::new(), AdditiveAttention::new().use_scale(false)] {
            check_op(op.clone(), &[q, v, k]).unwrap();
            check_op(op.clone().causal(true).dropout(0.3), &[q, k]).unwrap();
            check_op(op.clone().return_scores(true), &[q, [3, 4].into()]).unwrap();
            check_op(op, &[[1, 67].into(), [2, 67].into()]).unwrap();
        }
    }

    #[test]
    fn impossible_settings() {
        let error = |op: AdditiveAttention, x: &[Shape]| {
            let mut op = op;
            Op::<f64>::build(&mut op, x, &mut Builder::new(0)).unwrap_err().to_string()
        };
        let q = Shape::from([3, 4]);
        assert!(error(AdditiveAttention::new(), &[q, q, q, q]).contains("2 or 3 inputs"));
        assert!(error(AdditiveAttention::new(), &[q, [5, 3].into()]).contains("a key of 4 features"));
        assert!(error(AdditiveAttention::new().dropout(-0.1), &[q, q]).contains("rate"));
    }
}
