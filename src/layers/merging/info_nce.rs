//! Contrast with the other rows of a batch.

use super::dot::{Side, normalize, normalize_backward};
use super::wanted;
use crate::error::{Error, Result};
use crate::kernels::gemm::{Matrix, gemm};
use crate::kernels::parallel::{self, ChunksMut};
use crate::kernels::rows;
use crate::layer::{Builder, Inputs, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// The InfoNCE loss of two embeddings of each sample, in which those of the other samples of the batch are the negatives: training brings what belongs
/// together near each other, and everything else apart (contrastive learning, multiple negatives ranking).
///
/// With B samples, embeddings a and b `[B, n]`, and further negatives c, d … `[B, n]`, where there are any, under b:
///
/// ```text
/// sᵢⱼ = scale·cos(aᵢ, bⱼ),  B columns for b, B more for each of c, d …
/// yᵢ  = ln Σⱼ exp sᵢⱼ − sᵢᵢ                                      the cross-entropy of choosing bᵢ for aᵢ
/// yᵢ  = ½(that) + ½(ln Σⱼ exp sⱼᵢ − sᵢᵢ), over the columns of b    symmetric
/// ```
///
/// - Inputs: two or more, one vector `[n]` a sample each; output: `[1]`, the loss of the sample, not negative. No parameters.
/// - Defaults: [`scale`](Self::scale) 20, one over the temperature; one direction; cosines.
/// - Gradient: with P = softmax of the rows of s and Q = that of its columns, ds = diag(dy)·(P − I), symmetric ½diag(dy)·(P − I) +
///   ½(Q − I)·diag(dy); dâ = scale·ds·b̂, db̂ = scale·dsᵀ·â, and through the lengths as [`Dot`](super::Dot) has it.
///
/// The output is what training makes small: [`MeanAbsoluteError`](crate::losses::MeanAbsoluteError) with targets of 0 is its mean. It takes weights of
/// samples too; a sample of weight 0 still is a negative of the others.
///
/// **A row alone is not the row in a batch**, unlike everywhere else: the loss grows with the number of negatives, about as ln B before training. So
/// it is compared between batches of one size only, that of `evaluate` too, and a smaller last batch is better dropped
/// ([`drop_last`](crate::data::Batched::drop_last)); larger batches learn better. Equal samples in a batch would be each other's negatives.
///
/// A. van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018; M. Henderson et al., "Efficient Natural Language Response
/// Suggestion for Smart Reply", 2017; A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021 (CLIP,
/// symmetric); T. Gao et al., "SimCSE", 2021 (further negatives). sentence-transformers: `MultipleNegativesRankingLoss` and
/// `MultipleNegativesSymmetricRankingLoss`.
///
/// ```
/// use gradus::prelude::*;
/// // One encoder for both sides.
/// let mut g = Graph::new();
/// let inputs = ["question", "answer"].map(|name| g.input(name, [8]));
/// let encoder = g.shared("encoder", Dense::new(4));
/// let places = inputs.map(|x| g.apply(&encoder, x));
/// let loss = g.op_named("contrast", InfoNce::new().symmetric(true), &places);
/// let mut model = g.build([loss, places[0]], 1)?;
/// model.compile_heads(Adam::default(), [Head::new("contrast").loss(MeanAbsoluteError::default())])?;
///
/// let questions = Tensor::from_fn([32, 8], |i| (i * 37 % 101) as f32 / 50.0 - 1.0);
/// let answers = questions.clone().map(|v| v * 0.5 + 0.1);
/// let how = Fit::default().batch_size(16).epochs(2).verbose(Verbose::Silent);
/// model.fit([("question", &questions), ("answer", &answers)], [("contrast", &Tensor::zeros([32, 1]))], &how)?;
/// // Where questions are: the second output.
/// let outputs = model.predict_all([("question", &questions), ("answer", &answers)])?;
/// assert_eq!(outputs[1].dims(), [32, 4]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct InfoNce {
    scale: f64,
    symmetric: bool,
    normalize: bool,
    /// How many inputs there are, and their size; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    sizes: [usize; 2],
}

impl Default for InfoNce {
    fn default() -> Self {
        InfoNce { scale: 20.0, symmetric: false, normalize: true, sizes: [0; 2] }
    }
}

impl InfoNce {
    /// In one direction, of cosines times 20.
    pub fn new() -> Self {
        Self::default()
    }

    /// What cosines are multiplied by, above 0: one over the temperature. 20 by default; CLIP begins at 14.3 and learns it up to 100.
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Whether each b has to choose its a, too; no by default. Further negatives are those of a alone.
    pub fn symmetric(mut self, symmetric: bool) -> Self {
        self.symmetric = symmetric;
        self
    }

    /// Whether vectors are brought to length 1 first, so that products are cosines; yes by default.
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    fn check(&self, x: &[Shape]) -> Result<()> {
        if x.len() < 2 {
            let hint = "pass the embeddings of both sides, and further negatives behind them";
            return Err(Error::shape("InfoNce", "at least 2 operands", x.len(), hint));
        }
        let all = x.iter().find(|shape| !shape.is_free()).unwrap_or(&x[0]);
        let fits = |shape: &&Shape| {
            shape.rank() == 1 && (shape.is_free() || all.is_free() || *shape == all) && !shape.is_empty()
        };
        match x.iter().enumerate().find(|(_, shape)| !fits(shape)) {
            None => Ok(()),
            Some((i, shape)) => {
                let hint = "end both towers with layers of one size; a sequence is pooled to one vector first";
                let got = format!("{shape} as operand {i}, where another is {all}");
                Err(Error::shape("InfoNce", "one vector a sample, all of one size", got, hint))
            }
        }
    }

    /// See [`Op::space`].
    fn space_of(&self, [inputs, width]: [usize; 2], samples: usize, backward: bool) -> usize {
        let scores = samples.saturating_mul(inputs.saturating_sub(1));
        let vectors = inputs.saturating_mul(width + if self.normalize { 2 } else { 0 });
        // Of each row, and of each column, the largest score and a sum; the gradient of scores, and that of the vectors of one operand.
        let sums = if self.symmetric { 4 } else { 2 };
        let scratch = if backward { scores + if self.normalize { width } else { 0 } } else { 0 };
        [scores, vectors, sums, scratch].into_iter().fold(0, usize::saturating_add).saturating_mul(samples)
    }
}

/// The largest of some scores and Σ exp(s − that), in two passes over the columns `first..` of rows of scores.
fn column_sums<T: Float>(scores: &[T], width: usize, first: usize, sums: &mut [T]) {
    sums.chunks_exact_mut(2).for_each(|sums| sums.copy_from_slice(&[T::neg_infinity(), T::zero()]));
    for row in scores.chunks_exact(width) {
        for (sums, &s) in sums.chunks_exact_mut(2).zip(&row[first..]) {
            sums[0] = if s > sums[0] || s.is_nan() { s } else { sums[0] };
        }
    }
    for row in scores.chunks_exact(width) {
        for (sums, &s) in sums.chunks_exact_mut(2).zip(&row[first..]) {
            sums[1] += (s - sums[0]).exp();
        }
    }
}

/// ln Σ exp s − own, which rounding leaves no less than 0.
fn surprise<T: Float>(sums: &[T], own: T) -> T {
    let loss = sums[1].ln() - (own - sums[0]);
    if loss < T::zero() { T::zero() } else { loss }
}

impl<T: Float> Op<T> for InfoNce {
    fn class(&self) -> &'static str {
        "InfoNce"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        if !(self.scale > 0.0 && T::of(self.scale).is_finite()) {
            let expected = format!("above 0 and finite as {}", T::NAME);
            return Err(Error::argument("InfoNce", "scale", expected, self.scale, "20 is usual"));
        }
        self.check(x)?;
        let width = x.iter().map(Shape::last).find(|width| *width != FREE).unwrap_or(0);
        self.sizes = [x.len(), width];
        Ok(vec![Shape::from([1])])
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        self.check(x)?;
        y[0] = Shape::from([1]);
        Ok(())
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let (samples, n) = (x[0].samples(), x[0].shape().last());
        let width = samples * (x.len() - 1);
        let [vectors, lengths, scores, row_sums, sums] = slot.buffers();
        vectors.resize([x.len() * samples * n]);
        lengths.resize([if self.normalize { 2 * x.len() * samples } else { 0 }]);
        let each = vectors.as_mut_slice().chunks_exact_mut((samples * n).max(1));
        for (i, (x, vectors)) in x.iter().zip(each).enumerate() {
            match self.normalize {
                true => {
                    let lengths = &mut lengths.as_mut_slice()[2 * i * samples..][..2 * samples];
                    normalize(Side::of(Shape::from([n]), 0), x.as_slice(), vectors, lengths);
                }
                false => vectors.copy_from_slice(x.as_slice()),
            }
        }
        let (a, others) = vectors.as_slice().split_at(samples * n);
        scores.resize([samples * width]);
        row_sums.resize([2 * samples]);
        gemm([samples, n, width], Matrix::rows(a, n), Matrix::transposed(others, n), T::zero(), scores.as_mut_slice());
        let scale = T::of(self.scale);
        let cut = (ChunksMut(scores.as_mut_slice(), width), ChunksMut(row_sums.as_mut_slice(), 2));
        parallel::par_chunks(0..samples, parallel::parts(samples, 16 * width), cut, &|_, (scores, sums)| {
            for (row, sums) in scores.0.chunks_exact_mut(width.max(1)).zip(sums.0.chunks_exact_mut(2)) {
                row.iter_mut().for_each(|s| *s *= scale);
                let (top, sum) = rows::exp_into(row, None);
                sums.copy_from_slice(&[top, sum]);
            }
        });
        let own = |i: usize| scores.as_slice()[i * width + i];
        let each = y[0].as_mut_slice().iter_mut().zip(row_sums.as_slice().chunks_exact(2));
        each.enumerate().for_each(|(i, (y, sums))| *y = surprise(sums, own(i)));
        if self.symmetric {
            sums.resize([2 * samples]);
            let parts = parallel::parts(samples, 16 * samples);
            parallel::par_chunks(0..samples, parts, ChunksMut(sums.as_mut_slice(), 2), &|columns, sums| {
                column_sums(scores.as_slice(), width, columns.start, sums.0);
            });
            let half = T::of(0.5);
            let each = y[0].as_mut_slice().iter_mut().zip(sums.as_slice().chunks_exact(2));
            each.enumerate().for_each(|(i, (y, sums))| *y = half * (*y + surprise(sums, own(i))));
        }
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        let (samples, n) = (x[0].samples(), x[0].shape().last());
        let width = samples * (x.len() - 1);
        let [vectors, lengths, scores, row_sums, sums, d, unit] = slot.buffers();
        let (scores, row_sums, sums, dy) = (scores.as_slice(), row_sums.as_slice(), sums.as_slice(), dy[0].as_slice());
        let d = d.scratch(samples * width);
        let scale = T::of(if self.symmetric { 0.5 * self.scale } else { self.scale });
        // d = scale·ds
        parallel::rows(d, width, 16 * width, |first, d| {
            for (i, d) in (first..).zip(d.chunks_exact_mut(width.max(1))) {
                let (row, own) = (&scores[i * width..], &row_sums[2 * i..]);
                let factor = scale * dy[i] / own[1];
                d.iter_mut().zip(row).for_each(|(d, &s)| *d = factor * (s - own[0]).exp());
                d[i] -= scale * dy[i];
                if self.symmetric {
                    for (((d, &s), sums), &dy) in d.iter_mut().zip(row).zip(sums.chunks_exact(2)).zip(dy) {
                        *d += scale * dy * ((s - sums[0]).exp() / sums[1]);
                    }
                    d[i] -= scale * dy[i];
                }
            }
        });
        let (d, (a, others)) = (&*d, vectors.as_slice().split_at(samples * n));
        let product = |i: usize, to: &mut [T]| match i {
            0 => gemm([samples, width, n], Matrix::rows(d, width), Matrix::rows(others, n), T::zero(), to),
            _ => {
                let d = Matrix::transposed(&d[(i - 1) * samples..], width);
                gemm([samples, samples, n], d, Matrix::rows(a, n), T::zero(), to);
            }
        };
        for (i, dx) in wanted(dx) {
            if !self.normalize {
                product(i, dx);
                continue;
            }
            let of_unit = unit.scratch(samples * n);
            product(i, of_unit);
            let vectors = &vectors.as_slice()[i * samples * n..];
            let lengths = &lengths.as_slice()[2 * i * samples..];
            normalize_backward(Side::of(Shape::from([n]), 0), vectors, lengths, of_unit, dx);
        }
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        self.space_of(self.sizes, samples, backward)
    }

    fn space_for(&self, x: &[Shape], backward: bool) -> usize {
        let Some(first) = x.first() else { return 0 };
        self.space_of([x.len(), first.last()], first.first(), backward)
    }

    fn config(&self) -> OpConfig {
        OpConfig::InfoNce(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::error;
    use super::*;
    use crate::gradcheck::check_op_over_batch;

    #[test]
    fn gradients() {
        for (inputs, n) in [(2, 1), (2, 5), (3, 7), (4, 3)] {
            for symmetric in [false, true] {
                for (normalize, scale) in [(true, 3.0), (false, 0.7)] {
                    let op = InfoNce::new().scale(scale).symmetric(symmetric).normalize(normalize);
                    check_op_over_batch(op, &vec![Shape::from([n]); inputs]).unwrap();
                }
            }
        }
    }

    fn forward<T: Float>(op: &InfoNce, x: &[Tensor<T>]) -> Vec<T> {
        let mut op = op.clone();
        let shapes: Vec<_> = x.iter().map(|x| x.shape().sample()).collect();
        let at: Vec<u32> = (0..x.len() as u32).collect();
        Op::<T>::build(&mut op, &shapes, &mut Builder::new(0)).unwrap();
        let (params, mut y) = (crate::Params::new(), [Tensor::full([x[0].samples(), 1], T::nan())]);
        op.forward(&mut Pass::inference(&params), &mut Slot::new(), Inputs::new(x, &at), &mut y);
        y[0].as_slice().to_vec()
    }

    #[test]
    fn is_the_cross_entropy_of_cosines() {
        let (samples, n) = (19, 6);
        let x: Vec<Tensor<f64>> = [1, 2, 3]
            .map(|part| Tensor::from_fn([samples, n], |i| ((i * 37 + part * 11) * part % 101) as f64 / 50.0 - 1.0))
            .into();
        let cosine = |a: &[f64], b: &[f64]| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        // −ln of the probability, as it is defined.
        let chosen =
            |own: f64, all: Vec<f64>| -((20.0 * own).exp() / all.iter().map(|s| (20.0 * s).exp()).sum::<f64>()).ln();
        for inputs in [2, 3] {
            for symmetric in [false, true] {
                let y = forward(&InfoNce::new().symmetric(symmetric), &x[..inputs]);
                for (i, y) in y.iter().enumerate() {
                    let own = cosine(x[0].row(i), x[1].row(i));
                    let candidates = x[1..inputs].iter().flat_map(|x| (0..samples).map(move |j| x.row(j)));
                    let of_a = chosen(own, candidates.map(|b| cosine(x[0].row(i), b)).collect());
                    let of_b = chosen(own, (0..samples).map(|j| cosine(x[0].row(j), x[1].row(i))).collect());
                    let expected = if symmetric { (of_a + of_b) / 2.0 } else { of_a };
                    assert!((y - expected).abs() < 1e-12 * expected.max(1.0), "{y} {expected}");
                }
            }
        }
    }

    #[test]
    fn losses_stay_between_0_and_what_can_be_held() {
        let apart = Tensor::from([[1.0f32, 0.0], [-1.0, 0.0], [0.0, 1.0]]);
        let y = forward(&InfoNce::new().scale(1e4).symmetric(true), &[apart.clone(), apart.clone()]);
        assert_eq!(y, [0.0; 3]);
        let swapped = apart.select(&[1, 0, 2]).unwrap();
        let y = forward(&InfoNce::new().scale(1e4), &[apart.clone(), swapped]);
        assert_eq!(y, [2e4, 2e4, 0.0]);
        // A vector of zeros has no direction; a sample alone nothing to be told from.
        let zeros = Tensor::zeros([3, 2]);
        assert!(forward(&InfoNce::new(), &[apart.clone(), zeros]).iter().all(|y| (y - 3f32.ln()).abs() < 1e-6));
        assert_eq!(
            forward(&InfoNce::new().symmetric(true), &[apart.rows(0..1).unwrap(), apart.rows(1..2).unwrap()]),
            [0.0]
        );
        let bad = Tensor::from([[f32::NAN, 0.0], [-1.0, 0.0], [0.0, 1.0]]);
        assert!(forward(&InfoNce::new(), &[bad, apart])[0].is_nan());
    }

    #[test]
    fn impossible_operands() {
        let hint = "end both towers with layers of one size; a sequence is pooled to one vector first";
        assert_eq!(
            error(InfoNce::new(), &[[3].into(), [4].into()]),
            format!(
                "InfoNce: expected one vector a sample, all of one size, got [4] as operand 1, where another is [3]; {hint}"
            )
        );
        assert!(error(InfoNce::new(), &[[5, 3].into(), [5, 3].into()]).contains("got [5, 3] as operand 0"));
        assert!(error(InfoNce::new(), &[Shape::SCALAR; 2]).contains("one vector a sample"));
        assert!(error(InfoNce::new(), &[[3].into()]).contains("at least 2 operands, got 1"));
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(error(InfoNce::new().scale(scale), &[[3].into(); 2]).contains("scale must be above 0"));
        }
        let mut y = [Shape::SCALAR];
        assert!(Op::<f32>::output_shapes(&InfoNce::new(), &[[FREE].into(), [3].into()], &mut y).is_ok());
        assert!(Op::<f32>::output_shapes(&InfoNce::new(), &[[FREE].into(), [3].into(), [4].into()], &mut y).is_err());
    }
}
