//! Products along an axis of each of two values.

use super::{axis_of, two};
use crate::error::{Error, Result};
use crate::kernels::batched::{each_sample, multiply};
use crate::kernels::gemm::Matrix;
use crate::kernels::parallel::{self, ChunksMut};
use crate::kernels::rows;
use crate::layer::{Builder, Inputs, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{FREE, Float, MAX_RANK, Shape, Tensor};

/// y = Σₖ x₀[…, k, …]·x₁[…, k, …], sample by sample: the other axes of x₀, then those of x₁.
///
/// - Inputs: two, with one size along their axis `k`; output: the sizes that are left, `[1]` where none are. `[m, k]` and `[n, k]` along
///   `[2, 2]` give `[m, n]`, two of `[k]` along `[1, 1]` give `[1]`. No parameters.
/// - Default: values as they are. Axes are counted from 1, as axis 0 is the batch, or from −1 for the last.
/// - With [`normalize`](Self::normalize), x̂ = x / ‖x‖₂ along the axis takes the place of x, so that y is the cosine of the angle; a vector of
///   zeros stays one.
/// - Gradient, x₀ and x₁ as matrices `[m, k]` and `[n, k]`: dx₀ = dy·x₁, dx₁ = dyᵀ·x₀; through the normalisation
///   dx = (dx̂ − x̂·Σ dx̂·x̂) / ‖x‖, 0 for a vector of zeros.
///
/// Keras `Dot`, PyTorch `bmm` and `cosine_similarity`.
///
/// ```
/// use gradus::layers::merging::Dot;
/// use gradus::{Builder, Op, Shape};
/// let (x, b) = ([Shape::from([6, 3]), Shape::from([5, 3])], &mut Builder::<f32>::new(0));
/// assert_eq!(Dot::new([-1, -1]).build(&x, b)?, [Shape::from([6, 5])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dot {
    axes: [isize; 2],
    #[cfg_attr(feature = "serde", serde(default))]
    normalize: bool,
    /// Where no size is free; else each pass finds them.
    #[cfg_attr(feature = "serde", serde(skip))]
    sides: Option<[Side; 2]>,
}

impl Dot {
    /// Along this axis of the first and that of the second operand, counted from 1 as axis 0 is the batch, or from −1 for the last.
    pub fn new(axes: [isize; 2]) -> Self {
        Dot { axes, normalize: false, sides: None }
    }

    /// Whether vectors along the axis are brought to length 1 first; no by default.
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// The axes, counted from 0 within a sample.
    fn axes(&self, x: [Shape; 2]) -> Result<[usize; 2]> {
        Ok([axis_of("Dot", "axes", self.axes[0], x[0], 0)?, axis_of("Dot", "axes", self.axes[1], x[1], 1)?])
    }

    /// How operands of these samples, which were found to go together, lie.
    fn sides(&self, x: [Shape; 2]) -> [Side; 2] {
        let axes = self.axes(x).unwrap_or_default();
        [Side::of(x[0], axes[0]), Side::of(x[1], axes[1])]
    }

    fn sides_of<T: Float>(&self, x: Inputs<'_, T>) -> [Side; 2] {
        self.sides.unwrap_or_else(|| self.sides([x[0].shape().sample(), x[1].shape().sample()]))
    }

    /// See [`Op::space`].
    fn space_of(&self, [a, b]: [Side; 2], samples: usize, backward: bool) -> usize {
        if !self.normalize {
            return 0;
        }
        // Vectors of length 1, two numbers for each length; and dx̂ of one operand at a time.
        let kept = a.len() + b.len() + 2 * (a.count() + b.count());
        let scratch = if backward { a.len().max(b.len()) } else { 0 };
        kept.saturating_add(scratch).saturating_mul(samples)
    }

    /// How the operands of the products lie: normalised ones are vectors one after the other.
    fn products_of(&self, sides: [Side; 2]) -> [Side; 2] {
        if self.normalize { sides.map(|side| side.vectors()) } else { sides }
    }

    fn output(&self, x: &[Shape]) -> Result<Shape> {
        let x = two("Dot", x, "use Multiply for the product of more, element by element")?;
        let axes = self.axes(x)?;
        let [first, second] = [0, 1].map(|i| x[i].dims()[axes[i]]);
        if first != second && first != FREE && second != FREE {
            let expected = format!("one size along axis {} of operand 0 and {} of operand 1", axes[0] + 1, axes[1] + 1);
            let got = format!("{first} in {} and {second} in {}", x[0], x[1]);
            return Err(Error::shape(
                "Dot",
                expected,
                got,
                "choose other axes, or bring one operand to the other's size",
            ));
        }
        let rest = |i: usize| (0..x[i].rank()).filter(move |at| *at != axes[i]).map(move |at| (i, at));
        let (mut sizes, n) = ([1; MAX_RANK], (x[0].rank() + x[1].rank() - 2).max(1));
        if n >= MAX_RANK {
            let expected = format!("at most {} axes a sample in the output", MAX_RANK - 1);
            let got = format!("{n} of {} and {}", x[0], x[1]);
            return Err(Error::shape("Dot", expected, got, "flatten some axes"));
        }
        sizes.iter_mut().zip(rest(0).chain(rest(1))).for_each(|(size, (i, at))| *size = x[i].dims()[at]);
        let output = Shape::try_from(&sizes[..n])?;
        output.open_len("Dot")?;
        Ok(output)
    }
}

/// An operand as vectors of `k` values: `blocks` times `each` of them, element by element side by side `[blocks, k, each]`, or one after
/// the other `[each, k]`, which then is the one block.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Side {
    blocks: usize,
    k: usize,
    each: usize,
    side_by_side: bool,
}

impl Side {
    pub fn of(shape: Shape, axis: usize) -> Self {
        let (before, after) = shape.dims().split_at(axis);
        let (before, after) = (before.iter().product(), after[1..].iter().product());
        let k = shape.dims()[axis];
        match after {
            1 => Side { blocks: 1, k, each: before, side_by_side: false },
            each => Side { blocks: before, k, each, side_by_side: true },
        }
    }

    /// The number of vectors.
    fn count(&self) -> usize {
        self.blocks * self.each
    }

    /// Values of a sample.
    fn len(&self) -> usize {
        self.count() * self.k
    }

    /// The same vectors one after the other.
    fn vectors(&self) -> Side {
        Side { blocks: 1, k: self.k, each: self.count(), side_by_side: false }
    }

    /// The vectors of a block as rows.
    fn rows<'a, T>(&self, x: &'a [T], block: usize) -> Matrix<'a, T> {
        let x = &x[block * self.each * self.k..];
        if self.side_by_side { Matrix::transposed(x, self.each) } else { Matrix::rows(x, self.k) }
    }

    /// The vectors of a block as columns.
    fn columns<'a, T>(&self, x: &'a [T], block: usize) -> Matrix<'a, T> {
        let x = &x[block * self.each * self.k..];
        if self.side_by_side { Matrix::rows(x, self.each) } else { Matrix::transposed(x, self.k) }
    }

    /// Where vector `i` begins, and how far apart its values are.
    fn vector(&self, i: usize) -> (usize, usize) {
        if self.side_by_side {
            (i / self.each * self.each * self.k + i % self.each, self.each)
        } else {
            (i * self.k, 1)
        }
    }
}

/// y `[m, n]` of every sample.
fn forward<T: Float>([a, b]: [Side; 2], x: [&[T]; 2], y: &mut [T]) {
    let (m, k, n) = (a.count(), a.k, b.count());
    if m * n == 1 {
        return parallel::rows(y, 1, k, |first, y| {
            for (i, y) in (first..).zip(y) {
                *y = rows::dot(&x[0][i * k..][..k], &x[1][i * k..][..k]);
            }
        });
    }
    each_sample(y, m * n, m * k * n, |alone, sample, y| {
        let x = [&x[0][sample * a.len()..], &x[1][sample * b.len()..]];
        for i in 0..a.blocks {
            for j in 0..b.blocks {
                let y = &mut y[i * a.each * n + j * b.each..];
                multiply(alone, [a.each, k, b.each], a.rows(x[0], i), b.columns(x[1], j), T::zero(), y, n);
            }
        }
    });
}

/// dx of one operand for every sample, `x` the values of the other.
fn backward<T: Float>(of_first: bool, own: Side, other: Side, x: &[T], dy: &[T], dx: &mut [T]) {
    let (k, own_count, count) = (own.k, own.count(), other.count());
    if own_count * count == 1 {
        return parallel::rows(dx, k.max(1), k, |first, dx| {
            let each = x[first * k..].chunks_exact(k.max(1)).zip(&dy[first..]);
            for (dx, (x, dy)) in dx.chunks_exact_mut(k.max(1)).zip(each) {
                dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = *dy * *x);
            }
        });
    }
    // dy is [own, other] for the first operand, [other, own] for the second.
    let (width, steps) = if of_first { (count, [count, 1]) } else { (own_count, [1, own_count]) };
    each_sample(dx, own.len(), own_count * k * count, |alone, sample, dx| {
        let (x, dy) = (&x[sample * other.len()..], &dy[sample * own_count * count..]);
        if count == 0 {
            return dx.fill(T::zero());
        }
        for i in 0..own.blocks {
            let dx = &mut dx[i * own.each * k..];
            for j in 0..other.blocks {
                let dy = &dy[i * own.each * steps[0] + j * other.each * steps[1]..];
                let beta = if j == 0 { T::zero() } else { T::one() };
                if own.side_by_side {
                    // dx [k, each] = xᵀ·dyᵀ
                    let dy = if of_first { Matrix::transposed(dy, width) } else { Matrix::rows(dy, width) };
                    multiply(alone, [k, other.each, own.each], other.columns(x, j), dy, beta, dx, own.each);
                } else {
                    // dx [each, k] = dy·x
                    let dy = if of_first { Matrix::rows(dy, width) } else { Matrix::transposed(dy, width) };
                    multiply(alone, [own.each, other.each, k], dy, other.rows(x, j), beta, dx, k);
                }
            }
        }
    });
}

/// v / ‖x‖ for a length in two factors; 0 where that is 0.
fn over<T: Float>([top, length]: [T; 2]) -> impl Fn(T) -> T {
    let r = if length == T::zero() { T::zero() } else { T::one() / length };
    move |v| if top == T::one() { v * r } else { v / top / length }
}

/// x̂ = x / ‖x‖, vectors one after the other, and their lengths as two factors.
pub(super) fn normalize<T: Float>(side: Side, x: &[T], unit: &mut [T], lengths: &mut [T]) {
    let (count, k) = (side.count(), side.k);
    let samples = x.len() / side.len().max(1);
    let cut = (ChunksMut(unit, side.len()), ChunksMut(lengths, 2 * count));
    let parts = parallel::parts(samples, 4 * side.len());
    parallel::par_chunks(0..samples, parts, cut, &|range, (unit, lengths)| {
        let vectors = unit.0.chunks_exact_mut(k.max(1)).zip(lengths.0.chunks_exact_mut(2));
        for (i, (unit, lengths)) in vectors.enumerate() {
            let (start, step) = side.vector(i % count);
            let x = &x[(range.start + i / count) * side.len() + start..];
            unit.iter_mut().zip(x.iter().step_by(step)).for_each(|(unit, x)| *unit = *x);
            let length = rows::scaled_norm(rows::dot(unit, unit), unit);
            lengths.copy_from_slice(&length);
            let over = over(length);
            unit.iter_mut().for_each(|v| *v = over(*v));
        }
    });
}

/// dx = (dx̂ − x̂·Σ dx̂·x̂) / ‖x‖.
pub(super) fn normalize_backward<T: Float>(side: Side, unit: &[T], lengths: &[T], d: &[T], dx: &mut [T]) {
    let (count, k) = (side.count(), side.k);
    parallel::rows(dx, side.len(), 4 * side.len(), |first, dx| {
        for (sample, dx) in (first..).zip(dx.chunks_exact_mut(side.len().max(1))) {
            let part = sample * side.len()..(sample + 1) * side.len();
            let vectors = unit[part.clone()].chunks_exact(k.max(1)).zip(d[part].chunks_exact(k.max(1)));
            for (i, (unit, d)) in vectors.enumerate() {
                let (start, step) = side.vector(i);
                let at = 2 * (sample * count + i);
                let over = over([lengths[at], lengths[at + 1]]);
                let along = rows::dot(d, unit);
                let each = d.iter().zip(unit);
                dx[start..].iter_mut().step_by(step).zip(each).for_each(|(dx, (d, unit))| {
                    *dx = over(*d - *unit * along);
                });
            }
        }
    });
}

impl<T: Float> Op<T> for Dot {
    fn class(&self) -> &'static str {
        "Dot"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        let output = self.output(x)?;
        self.sides = if x.iter().any(Shape::is_free) { None } else { Some(self.sides([x[0], x[1]])) };
        Ok(vec![output])
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        y[0] = self.output(x)?;
        Ok(())
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let (sides, values) = (self.sides_of(x), [x.get(0).as_slice(), x.get(1).as_slice()]);
        if !self.normalize {
            return forward(sides, values, y[0].as_mut_slice());
        }
        let [first, second, first_lengths, second_lengths] = slot.buffers();
        for (side, x, unit, lengths) in
            [(sides[0], values[0], &mut *first, first_lengths), (sides[1], values[1], &mut *second, second_lengths)]
        {
            unit.resize([x.len()]);
            lengths.resize([2 * side.count() * (x.len() / side.len().max(1))]);
            normalize(side, x, unit.as_mut_slice(), lengths.as_mut_slice());
        }
        forward(self.products_of(sides), [first.as_slice(), second.as_slice()], y[0].as_mut_slice());
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
        let (dy, lying) = (dy[0].as_slice(), self.sides_of(x));
        let sides = self.products_of(lying);
        let [first, second, first_lengths, second_lengths, d] = slot.buffers();
        let units = [first.as_slice(), second.as_slice()];
        let lengths = [first_lengths.as_slice(), second_lengths.as_slice()];
        for (i, dx) in super::wanted(dx) {
            let (own, other) = (sides[i], sides[1 - i]);
            if !self.normalize {
                backward(i == 0, own, other, x[1 - i].as_slice(), dy, dx);
                continue;
            }
            let d = d.scratch(dx.len());
            backward(i == 0, own, other, units[1 - i], dy, d);
            normalize_backward(lying[i], units[i], lengths[i], d, dx);
        }
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        self.space_of(self.sides.unwrap_or_default(), samples, backward)
    }

    fn space_for(&self, x: &[Shape], backward: bool) -> usize {
        let [first, second] = x else { return 0 };
        self.space_of(self.sides([first.sample(), second.sample()]), first.first(), backward)
    }

    fn config(&self) -> OpConfig {
        OpConfig::Dot(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::error;
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients() {
        let check = |axes: [isize; 2], a: &[usize], b: &[usize]| {
            let x = [a, b].map(|dims| Shape::try_from(dims).unwrap());
            check_op(Dot::new(axes), &x).unwrap();
            check_op(Dot::new(axes).normalize(true), &x).unwrap();
        };
        check([1, 1], &[11], &[11]);
        check([-1, -1], &[1], &[1]);
        check([2, 1], &[6, 3], &[3, 4]);
        check([1, 2], &[3, 6], &[4, 3]);
        check([-1, -1], &[6, 3], &[5, 3]);
        check([1, 1], &[3, 6], &[3, 5]);
        check([2, 1], &[4, 3], &[3]);
        check([1, 1], &[3], &[3, 4]);
        // Axes in the middle: products of blocks.
        check([2, 2], &[2, 3, 4], &[5, 3, 1]);
        check([2, 3], &[2, 3, 4], &[2, 2, 3]);
        check([3, 2], &[2, 2, 3], &[2, 3, 2]);
        check([1, 2], &[3, 2, 2], &[2, 3, 2]);
        check([2, 1], &[2, 1], &[1]);
    }

    #[test]
    fn agrees_with_its_definition() {
        for ([i, j], a, b) in
            [([1, 1], [2, 3, 4], [5, 3, 2]), ([0, 2], [3, 2, 4], [2, 5, 3]), ([2, 0], [2, 4, 3], [3, 5, 2])]
        {
            let (sample, samples) = ([Shape::from(a), Shape::from(b)], 2);
            let x = sample.map(|s| Tensor::from_fn(s.with_batch(samples), |i| (i * 37 % 101) as f64 / 50.0 - 1.0));
            let mut op = Dot::new([i as isize + 1, j as isize - 3]);
            let output = Op::<f64>::build(&mut op, &sample, &mut Builder::new(0)).unwrap()[0];
            let (params, mut y) = (crate::Params::new(), [Tensor::full(output.with_batch(samples), f64::NAN)]);
            op.forward(&mut Pass::inference(&params), &mut Slot::new(), Inputs::new(&x, &[0, 1]), &mut y);
            let vectors = |x: &Tensor<f64>, axis: usize| {
                let d = &x.dims()[1..];
                let step: usize = d[axis + 1..].iter().product();
                let k = d[axis];
                (0..x.len() / k)
                    .map(|v| (0..k).map(|l| x.as_slice()[v / step * step * k + v % step + l * step]).collect())
                    .collect::<Vec<Vec<f64>>>()
            };
            let (u, v) = (vectors(&x[0], i), vectors(&x[1], j));
            let (m, n) = (u.len() / samples, v.len() / samples);
            for (at, y) in y[0].iter().enumerate() {
                let (s, p, q) = (at / (m * n), at / n % m, at % n);
                let expected: f64 = u[s * m + p].iter().zip(&v[s * n + q]).map(|(a, b)| a * b).sum();
                assert!((y - expected).abs() < 1e-12, "{a:?} and {b:?} at {at}");
            }
        }
    }

    #[test]
    fn vectors_of_any_length_but_zero() {
        let mut op = Dot::new([1, 1]).normalize(true);
        Op::<f64>::build(&mut op, &[[2].into(); 2], &mut Builder::new(0)).unwrap();
        let x = [Tensor::from([[3e-200, 4e-200], [0.0, 0.0]]), Tensor::from([[4e200, 3e200], [1.0, 2.0]])];
        let (params, mut y) = (crate::Params::new(), [Tensor::zeros([2, 1])]);
        let (pass, slot) = (&mut Pass::inference(&params), &mut Slot::new());
        op.forward(pass, slot, Inputs::new(&x, &[0, 1]), &mut y);
        let [angle, none] = *y[0].as_slice() else { panic!("two samples") };
        assert!(f64::abs(angle - 0.96) < 1e-15 && none == 0.0);
        let mut dx = [Some(Tensor::full([2, 2], f64::NAN)), None];
        op.backward(pass, slot, Inputs::new(&x, &[0, 1]), &y, &mut [Tensor::from([[1.0], [1.0]])], &mut dx);
        assert_eq!(dx[0].as_ref().unwrap().row(1), [0.0, 0.0]);
    }

    #[test]
    fn impossible_operands() {
        let x = [Shape::from([6, 3]), [4, 3].into()];
        assert_eq!(
            error(Dot::new([2, 1]), &x),
            "Dot: expected one size along axis 2 of operand 0 and 1 of operand 1, got 3 in [6, 3] and 4 in [4, 3]; choose \
             other axes, or bring one operand to the other's size"
        );
        assert_eq!(
            error(Dot::new([2, 0]), &x),
            "Dot: axes must be from 1 to 2 or from -2 to -1 for operand 1, samples of [4, 3], got 0; axis 0 is the batch, -1 \
             the last axis"
        );
        assert!(error(Dot::new([3, 2]), &x).contains("for operand 0, samples of [6, 3], got 3"));
        assert!(
            error(Dot::new([1, 1]), &[Shape::SCALAR, [1].into()]).contains("operand 0, whose samples [] have none")
        );
        assert!(error(Dot::new([1, 1]), &x[..1]).contains("expected 2 operands, got 1"));
        let many = [Shape::from([2, 2, 2, 2]), [2, 2, 2, 2].into()];
        assert!(error(Dot::new([1, 1]), &many).contains("at most 5 axes a sample in the output, got 6 of"));
        let huge = [Shape::from([1 << 40, 1]), [1 << 40, 1].into()];
        assert!(error(Dot::new([2, 2]), &huge).contains("a shape that fits in memory"));
    }
}
