//! Attention of one head by products of queries and keys.

use super::weighing::{D_QUERY, Weighing};
use crate::error::Result;
use crate::initializers::Init;
use crate::kernels::additive;
use crate::kernels::batched::{each_sample, multiply};
use crate::kernels::gemm::Matrix;
use crate::kernels::rows;
use crate::layer::{Builder, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = softmax(s)·v with s = c·q·kᵀ: each step of the query takes from the values by how well it agrees with their keys.
///
/// - Inputs: query `[T, n]` and value `[S, m]`, or query, value and key `[S, n]`; without a key the values are the keys. Output `[T, m]`. T and S may be
///   free.
/// - Parameters: with [`use_scale`](Self::use_scale) the number c, `scale` `[]`, which begins at 1; with [`concat`](Self::concat)
///   `concat_score_weight` `[]`, 1 too.
/// - Defaults: c = 1 (not 1/√n, which is [`DotProductAttention`](crate::layers::DotProductAttention)'s), every step sees every other, no dropout.
/// - With [`concat`](Self::concat) scores are s = w·Σ tanh(c·(q + k)), the sum over features.
/// - The value's mask says which keys are seen, by 10⁹ that is taken off the scores of others, as in Keras: a step that sees none goes by the scores
///   of all, as far as their precision goes. Steps that the query's mask leaves out give zeros. The output's mask is that of the query.
/// - Gradient, with p = softmax(s), dp = dy·vᵀ: dv = pᵀ·dy, ds = p ∘ (dp − Σ dp ∘ p), dq = c·ds·k, dk = c·dsᵀ·q, dc = Σ ds ∘ q·kᵀ.
///
/// The scores of a batch, T·S a sample, are kept. Keras `Attention`. Luong, Pham, Manning: "Effective Approaches to Attention-based Neural Machine
/// Translation", 2015.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::layers::Attention;
/// use gradus::prelude::*;
/// let mut g = Graph::new();
/// let (query, value) = (g.input("query", [FREE, 8]), g.input("value", [FREE, 8]));
/// let y = g.op(Attention::new().use_scale(true), &[query, value]);
/// let model = g.build([y], 0)?;
/// let y = model.predict([&Tensor::full([1, 3, 8], 0.5), &Tensor::full([1, 5, 8], 2.0)])?;
/// assert!((y.as_slice()[0] - 2.0).abs() < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Attention {
    use_scale: bool,
    concat: bool,
    weighing: Weighing,
    #[cfg_attr(feature = "serde", serde(skip))]
    scale: Option<ParamId>,
    #[cfg_attr(feature = "serde", serde(skip))]
    weight: Option<ParamId>,
}

impl Attention {
    /// By products of queries and keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether scores are multiplied by a number that is learned; no by default.
    pub fn use_scale(mut self, use_scale: bool) -> Self {
        self.use_scale = use_scale;
        self
    }

    /// Whether scores are w·Σ tanh(c·(q + k)) in the place of products; no by default. Keras's `score_mode="concat"`.
    pub fn concat(mut self, concat: bool) -> Self {
        self.concat = concat;
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

    /// Whether there is a second output, the weights `[T, S]` as the values are multiplied by them. For
    /// [`Graph::op_outputs`](crate::graph::Graph::op_outputs).
    pub fn return_scores(mut self, return_scores: bool) -> Self {
        self.weighing.return_scores = return_scores;
        self
    }

    /// The number that scores, or sums within, are multiplied by.
    fn factor<T: Float>(&self, pass: &Pass<'_, T>) -> T {
        self.scale.map_or(T::one(), |scale| pass.weight(scale)[0])
    }

    fn space_of(&self, n: additive::Sizes, backward: bool) -> usize {
        let own = match (self.concat, backward) {
            (true, _) => Weighing::additive_space(n, backward),
            (false, true) => n.batch.saturating_mul(n.queries).saturating_mul(n.width),
            (false, false) => 0,
        };
        self.weighing.space(n, backward).saturating_add(own)
    }
}

impl<T: Float> Op<T> for Attention {
    fn class(&self) -> &'static str {
        "Attention"
    }

    fn outputs(&self) -> usize {
        self.weighing.outputs()
    }

    fn build(&mut self, x: &[Shape], b: &mut Builder<T>) -> Result<Vec<Shape>> {
        let outputs = self.weighing.build("Attention", x, b)?;
        let number = |b: &mut Builder<T>, name, wanted: bool| match wanted {
            true => b.bias(name, Shape::SCALAR, &Init::Ones).map(Some),
            false => Ok(None),
        };
        self.scale = number(b, "scale", self.use_scale)?;
        self.weight = number(b, "concat_score_weight", self.concat)?;
        Ok(outputs)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        self.weighing.output_shapes("Attention", x, y)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let (n, factor) = (Weighing::sizes_of(x), self.factor(pass));
        let (q, k) = (x[0].as_slice(), Weighing::key(x).as_slice());
        if let Some(weight) = self.weight {
            let each = pass.weight(weight)[0];
            Weighing::additive_scores(slot, x, factor, |features| features.fill(each));
        } else {
            let size = [n.queries, n.width, n.keys];
            let scores = Weighing::scores(n, slot).as_mut_slice();
            each_sample(scores, n.queries * n.keys, size.iter().product(), |alone, sample, scores| {
                let q = Matrix::rows(&q[sample * n.queries * n.width..], n.width);
                let k = Matrix::transposed(&k[sample * n.keys * n.width..], n.width);
                multiply(alone, size, q, k, T::zero(), scores, n.keys);
                if self.scale.is_some() {
                    scores.iter_mut().for_each(|score| *score *= factor);
                }
            });
        }
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
        let (n, factor) = (Weighing::sizes_of(x), self.factor(pass));
        self.weighing.backward(pass, slot, x, dy, dx[1].as_mut());
        let (q, k) = (x[0].as_slice(), Weighing::key(x).as_slice());
        let with_values = x.len() == 2;
        if let Some(weight) = self.weight {
            let (mut dw, mut dc) = (T::zero(), T::zero());
            for (w, c) in Weighing::additive_backward(slot, x, factor, dx) {
                dw += rows::sum(w);
                dc += rows::sum(c);
            }
            add(pass, Some(weight), dw);
            return add(pass, self.scale, dc);
        }
        // ds·k, which the gradients of the query and of the scale are made of.
        slot.scratch(D_QUERY, n.batch * n.queries * n.width);
        let [_, _, d_scores, products] = slot.buffers();
        let (ds, products) = (d_scores.as_slice(), &mut products.as_mut_slice()[..n.batch * n.queries * n.width]);
        let size = [n.queries, n.keys, n.width];
        each_sample(products, n.queries * n.width, size.iter().product(), |alone, sample, products| {
            let ds = Matrix::rows(&ds[sample * n.queries * n.keys..], n.keys);
            let k = Matrix::rows(&k[sample * n.keys * n.width..], n.width);
            multiply(alone, size, ds, k, T::zero(), products, n.width);
        });
        if self.scale.is_some_and(|scale| pass.wants(scale)) {
            let each = (n.queries * n.width).max(1);
            let of_samples = products.chunks_exact(each).zip(q.chunks_exact(each)).map(|(p, q)| rows::dot(p, q));
            add(pass, self.scale, of_samples.fold(T::zero(), |sum, of_sample| sum + of_sample));
        }
        if let Some(dq) = &mut dx[0] {
            dq.as_mut_slice().iter_mut().zip(&*products).for_each(|(dq, product)| *dq = *product * factor);
        }
        let beta = if with_values { T::one() } else { T::zero() };
        let Some(dk) = dx.last_mut().and_then(Option::as_mut) else { return };
        if self.scale.is_some() {
            d_scores.as_mut_slice().iter_mut().for_each(|ds| *ds *= factor);
        }
        let ds = d_scores.as_slice();
        let size = [n.keys, n.queries, n.width];
        each_sample(dk.as_mut_slice(), n.keys * n.width, size.iter().product(), |alone, sample, dk| {
            let ds = Matrix::transposed(&ds[sample * n.queries * n.keys..], n.keys);
            let q = Matrix::rows(&q[sample * n.queries * n.width..], n.width);
            multiply(alone, size, ds, q, beta, dk, n.width);
        });
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
        OpConfig::Attention(self.clone())
    }
}

/// Adds to the gradient of a number.
fn add<T: Float>(pass: &mut Pass<'_, T>, id: Option<ParamId>, gradient: T) {
    if let Some(id) = id.filter(|id| pass.wants(*id)) {
        pass.gradient(id)[0] += gradient;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_op;

    fn shapes(t: usize, s: usize, [n, m]: [usize; 2]) -> [Shape; 3] {
        [[t, n].into(), [s, m].into(), [s, n].into()]
    }

    #[test]
    fn gradients() {
        let (dot, concat) = (Attention::new(), Attention::new().concat(true));
        for op in [dot.clone(), dot.clone().use_scale(true), concat.clone(), concat.use_scale(true)] {
            check_op(op.clone(), &shapes(3, 5, [4, 2])).unwrap();
            check_op(op.clone().causal(true).dropout(0.3), &shapes(4, 3, [3, 3])[..2]).unwrap();
            check_op(op.clone().return_scores(true), &shapes(2, 3, [1, 5])).unwrap();
            check_op(op.clone().return_scores(true).dropout(0.4), &shapes(2, 3, [5, 5])[..2]).unwrap();
            check_op(op, &shapes(1, 1, [1, 1])).unwrap();
        }
    }

    #[test]
    fn impossible_settings() {
        let error = |op: Attention, x: &[Shape]| {
            let mut op = op;
            Op::<f64>::build(&mut op, x, &mut Builder::new(0)).unwrap_err().to_string()
        };
        let [q, v, k] = shapes(3, 5, [4, 2]);
        assert!(error(Attention::new(), &[q]).contains("2 or 3 inputs: query, value and key, got 1"));
        assert!(error(Attention::new(), &[q, v]).contains("a key of 4 features, as many as the query's, got [5, 2]"));
        assert!(error(Attention::new(), &[q, [4, 2].into(), k]).contains("as many values as keys, [5, 4], got [4, 2]"));
        assert!(error(Attention::new(), &[q, [5].into(), k]).contains("value [steps, features], got [5]"));
        assert!(error(Attention::new().dropout(1.0), &[q, v, k]).contains("rate"));
    }
}
