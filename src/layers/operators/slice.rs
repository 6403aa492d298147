//! A part of every sample.

use std::ops::{Bound, RangeBounds};

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::geometry::Geometry;
use crate::tensor::{FREE, Float, MAX_RANK, Shape, Tensor};

/// A part of every sample: of each axis one position, which takes the axis away, or a range of them. Axes of which nothing is said
/// are whole.
///
/// Positions count from 0, negative ones from the end, and ranges that reach beyond an axis end with it, all as in Python:
///
/// | Keras | |
/// |---|---|
/// | `x[:, 0]` | `Slice::new().at(0)` |
/// | `x[:, -1, 1:3]` | `Slice::new().at(-1).range(1..3)` |
/// | `x[:, ::2]` | `Slice::new().every(2, ..)` |
/// | `x[:, :, :-1]` | `Slice::new().range(..).range(..-1)` |
/// | `x[:, 1:-1]` | `Slice::new().between(1, -1)` |
///
/// - The batch is whole, steps are at least 1. `...` is written as a `range(..)` for each axis; new axes are a
///   [`Reshape`](crate::layers::Reshape)'s.
/// - Output: the sizes of the ranges, then of the axes that are left. No parameters.
/// - Of an axis of free size, a range whose ends count from one side (`..3`, `-3..`) takes as many positions of every sample, so that sizes
///   behind it are known; too short a sample is an error, where Python takes what there is. Of other ranges (`1..`, `..-1`) the number is
///   free.
/// - Gradient: dx = dy where a value was taken, 0 elsewhere.
///
/// Keras `x[…]`, operator `GetItem`.
///
/// ```
/// use gradus::prelude::*;
/// // The last step of a sequence.
/// let model = Sequential::new([3, 2]).add(Slice::new().at(-1)).build(0)?;
/// let y = model.predict(&Tensor::from([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))?;
/// assert_eq!(y, Tensor::from([[5.0, 6.0]]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Slice {
    axes: Vec<Axis>,
    #[cfg_attr(feature = "serde", serde(skip))]
    walk: Geometry<Walk>,
    /// Whether rows along the last axis are taken whole.
    #[cfg_attr(feature = "serde", serde(skip))]
    whole_rows: bool,
}

/// What is taken of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Axis {
    At(isize),
    Range { start: Option<isize>, stop: Option<isize>, step: usize },
}

const ALL: Axis = Axis::Range { start: None, stop: None, step: 1 };

impl Slice {
    /// Everything, until something is said of the axes, the first behind the batch first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of the next axis this position, and the axis away.
    pub fn at(mut self, position: isize) -> Self {
        self.axes.push(Axis::At(position));
        self
    }

    /// Of the next axis this range.
    pub fn range(self, range: impl RangeBounds<isize>) -> Self {
        self.every(1, range)
    }

    /// Of the next axis the range `start..stop`: for ends counted from different sides, as Clippy takes `1..-1` for empty.
    pub fn between(self, start: isize, stop: isize) -> Self {
        self.range((Bound::Included(start), Bound::Excluded(stop)))
    }

    /// Of the next axis every `step`-th position of this range, from its first on.
    pub fn every(mut self, step: usize, range: impl RangeBounds<isize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(start) => Some(*start),
            Bound::Excluded(before) => Some(before.saturating_add(1)),
            Bound::Unbounded => None,
        };
        let stop = match range.end_bound() {
            Bound::Excluded(stop) => Some(*stop),
            // Behind the last position there is none to count from the end.
            Bound::Included(-1) | Bound::Unbounded => None,
            Bound::Included(last) => Some(last.saturating_add(1)),
        };
        self.axes.push(Axis::Range { start, stop, step });
        self
    }

    /// What is taken of each axis of samples of this rank.
    fn axes(&self, rank: usize) -> impl Iterator<Item = Axis> {
        self.axes.iter().copied().chain(std::iter::repeat(ALL)).take(rank)
    }

    /// The positions of each axis of samples of this shape, where they were of the shape `built` at build.
    fn positions(&self, sample: Shape, built: Shape) -> Result<[Positions; MAX_RANK]> {
        let mut all = [Positions::default(); MAX_RANK];
        for (i, (axis, positions)) in self.axes(sample.rank()).zip(&mut all).enumerate() {
            *positions = axis.positions(i, sample, built.dims().get(i) == Some(&FREE))?;
        }
        Ok(all)
    }

    fn walk(&self, sample: Shape, built: Shape) -> Result<Walk> {
        Ok(Walk::new(sample, &self.positions(sample, built)?[..sample.rank()]))
    }

    fn walk_over<T: Float>(&self, x: &Tensor<T>) -> Walk {
        self.walk.of(x, |sample| self.walk(sample, self.walk.input()))
    }
}

/// The positions of an axis: the first, how many, and how far apart. Of an axis of free size the number alone has a meaning.
#[derive(Clone, Copy, Default)]
struct Positions {
    first: usize,
    count: usize,
    step: usize,
}

/// The position in an axis of this size, at most its end, of one that may be counted from the end.
fn bounded(position: isize, size: usize) -> usize {
    match position {
        0.. => size.min(position.unsigned_abs()),
        _ => size.saturating_sub(position.unsigned_abs()),
    }
}

/// Where both ends of a range count from one side: how many positions it takes of an axis that is long enough, and how long that is.
fn known(start: Option<isize>, stop: Option<isize>, step: usize) -> Option<[usize; 2]> {
    let (start, stop) = match (start.unwrap_or(0), stop) {
        (_, Some(0)) => (0, 0),
        (start @ 0.., Some(stop @ 1..)) => (start, stop),
        (start @ ..0, None) => (start, 0),
        (start @ ..0, Some(stop @ ..0)) => (start, stop),
        _ => return None,
    };
    let count = stop.saturating_sub(start).max(0).unsigned_abs().div_ceil(step);
    let beside = if start < 0 { stop } else { start }.unsigned_abs();
    Some([count, if count == 0 { 0 } else { beside + (count - 1) * step + 1 }])
}

impl Axis {
    /// The positions of the axis with this number, of samples of this shape; `free` says whether its size was so at build.
    fn positions(self, axis: usize, sample: Shape, free: bool) -> Result<Positions> {
        let size = sample.dims()[axis];
        let of = || format!("of axis {} of samples {sample}, counted from 1 as the batch is axis 0", axis + 1);
        match self {
            // Each batch has to have it.
            Axis::At(_) if size == FREE => Ok(Positions { first: 0, count: 1, step: 1 }),
            Axis::At(position) => {
                let first = if position < 0 { size.wrapping_sub(position.unsigned_abs()) } else { position as usize };
                if first >= size {
                    let expected = format!("from -{size} to {} for the position {}", size as isize - 1, of());
                    return Err(Error::argument("Slice", "at", expected, position, "negative ones count from the end"));
                }
                Ok(Positions { first, count: 1, step: 1 })
            }
            Axis::Range { step: 0, .. } => {
                let hint = "1 takes every position; ranges do not run backwards";
                Err(Error::argument("Slice", "step", "at least 1", 0, hint))
            }
            Axis::Range { start, stop, step } => {
                let range = || {
                    let [start, stop] = [start, stop].map(|end| end.map_or(String::new(), |end| end.to_string()));
                    format!("{start}..{stop}")
                };
                let known = if free { known(start, stop, step) } else { None };
                if let Some([_, least]) = known.filter(|[_, least]| size < *least) {
                    let expected = format!("at least {least} positions for the range {} {}", range(), of());
                    let hint = "pad the samples, or let one end count from the other side, so that the number of positions is free too";
                    return Err(Error::shape("Slice", expected, size, hint));
                }
                let first = start.map_or(0, |start| bounded(start, size));
                let end = stop.map_or(size, |stop| bounded(stop, size));
                let count = match size {
                    FREE => known.map_or(FREE, |[count, _]| count),
                    _ => end.saturating_sub(first).div_ceil(step),
                };
                if count == 0 {
                    let got = range();
                    let expected = format!("a range that leaves at least one position {}", of());
                    return Err(Error::argument("Slice", "range", expected, got, "let it end behind its start"));
                }
                Ok(Positions { first, count, step })
            }
        }
    }
}

/// Where the values that are taken lie in a sample: runs of neighbours, and loops over those.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Walk {
    /// Values of a sample.
    len: usize,
    /// Where the first value lies.
    first: usize,
    /// Values side by side.
    run: usize,
    /// The loops over runs: how often, and how far apart; outermost first, and how many there are.
    loops: [[usize; 2]; MAX_RANK],
    depth: usize,
}

impl Walk {
    fn new(sample: Shape, axes: &[Positions]) -> Self {
        let mut walk = Walk { len: sample.len(), run: 1, ..Walk::default() };
        let (mut stride, mut whole) = (1, true);
        for (&size, axis) in sample.dims().iter().zip(axes).rev() {
            walk.first += axis.first * stride;
            if whole && (axis.step == 1 || axis.count == 1) {
                walk.run *= axis.count;
            } else if axis.count > 1 {
                walk.loops[walk.depth] = [axis.count, axis.step * stride];
                walk.depth += 1;
            }
            whole &= axis.count == size;
            stride *= size;
        }
        walk.loops[..walk.depth].reverse();
        walk
    }

    /// Calls `f(from, to)` with the places of each run in the sample and in what is taken of it.
    #[inline(always)]
    fn runs(&self, mut f: impl FnMut(usize, usize)) {
        let (&[count, step], outer) = self.loops[..self.depth].split_last().unwrap_or((&[1, 0], &[]));
        let rows = outer.iter().map(|[count, _]| count).product();
        let mut to = 0;
        for row in 0..rows {
            let (mut rest, mut from) = (row, self.first);
            for [count, step] in outer.iter().rev() {
                from += rest % count * step;
                rest /= count;
            }
            for i in 0..count {
                f(from + i * step, to);
                to += self.run;
            }
        }
    }
}

impl<T: Float> Layer<T> for Slice {
    fn class(&self) -> &'static str {
        "Slice"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        input.open_len("Slice")?;
        let (rank, given) = (input.rank(), self.axes.len());
        if given > rank {
            let expected = format!("at most {rank} positions and ranges, for samples of shape {input}");
            let hint = "say one for each axis behind the batch, which is whole; new axes are a Reshape's";
            return Err(Error::argument("Slice", "axes", expected, given, hint));
        }
        self.walk = Geometry::new(input, |input| self.walk(input, input))?;
        let counts = self.positions(input, input)?;
        self.whole_rows = match self.axes(rank).last() {
            None | Some(ALL | Axis::Range { start: Some(0), stop: None, step: 1 }) => true,
            Some(Axis::Range { .. }) => input.last() != FREE && counts[rank - 1].count == input.last(),
            Some(Axis::At(_)) => false,
        };
        Layer::<T>::output_shape(self, input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        let positions = self.positions(x, self.walk.input())?;
        let kept = self.axes(x.rank()).zip(&positions).filter(|(axis, _)| !matches!(axis, Axis::At(_)));
        let mut output = [0; MAX_RANK];
        let rank = output.iter_mut().zip(kept).map(|(size, (_, positions))| *size = positions.count).count();
        Shape::try_from(&output[..rank])
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (walk, x, width) = (self.walk_over(x), x.as_slice(), y.shape().sample().len());
        parallel::rows(y.as_mut_slice(), width, width, |first, y| {
            for (x, y) in x[first * walk.len..].chunks_exact(walk.len).zip(y.chunks_exact_mut(width)) {
                walk.runs(|from, to| y[to..to + walk.run].copy_from_slice(&x[from..from + walk.run]));
            }
        });
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        let (walk, dy, width) = (self.walk_over(dx), dy.as_slice(), y.shape().sample().len());
        parallel::rows(dx.as_mut_slice(), walk.len, walk.len, |first, dx| {
            dx.fill(T::zero());
            for (dx, dy) in dx.chunks_exact_mut(walk.len).zip(dy[first * width..].chunks_exact(width)) {
                walk.runs(|from, to| dx[from..from + walk.run].copy_from_slice(&dy[to..to + walk.run]));
            }
        });
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Slice(self.clone())
    }

    fn reach(&self, activation: Activation) -> Reach {
        if self.whole_rows || !activation.is_row_wise() { Reach::Training } else { Reach::Values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_layer;
    use crate::model::Sequential;

    /// What is taken of samples that hold 0, 1, 2 …
    fn taken(mut slice: Slice, sample: &[usize]) -> Tensor<f64> {
        let sample = Shape::try_from(sample).unwrap();
        let output = Layer::<f64>::build(&mut slice, sample, &mut Builder::new(0)).unwrap();
        let (x, params) = (Tensor::from_fn(sample.with_batch(1), |i| i as f64), crate::Params::new());
        let mut y = Tensor::full(output.with_batch(1), f64::NAN);
        slice.forward(&mut Pass::inference(&params), &mut Slot::new(), &x, &mut y);
        y
    }

    #[test]
    fn positions_count_as_in_python() {
        let row = |slice: Slice| taken(slice, &[5]).as_slice().to_vec();
        assert_eq!(row(Slice::new()), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(row(Slice::new().at(1)), [1.0]);
        assert_eq!(row(Slice::new().at(-5)), [0.0]);
        assert_eq!(row(Slice::new().range(1..3)), [1.0, 2.0]);
        assert_eq!(row(Slice::new().range(1..=3)), [1.0, 2.0, 3.0]);
        assert_eq!(row(Slice::new().range(-2..)), [3.0, 4.0]);
        assert_eq!(row(Slice::new().range(..=-1)), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(row(Slice::new().range(..=-2)), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(row(Slice::new().range(-9..2)), [0.0, 1.0]);
        assert_eq!(row(Slice::new().range(3..99)), [3.0, 4.0]);
        assert_eq!(row(Slice::new().range(isize::MIN..isize::MAX)), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(row(Slice::new().every(2, ..)), [0.0, 2.0, 4.0]);
        assert_eq!(row(Slice::new().between(1, -1)), [1.0, 2.0, 3.0]);
        assert_eq!(row(Slice::new().every(3, 1..)), [1.0, 4.0]);
        assert_eq!(row(Slice::new().every(usize::MAX, 4..)), [4.0]);
        let y = taken(Slice::new().at(-1).range(1..3), &[3, 4]);
        assert_eq!(y, Tensor::from([[9.0, 10.0]]));
        let y = taken(Slice::new().range(..).at(0), &[3, 4]);
        assert_eq!(y, Tensor::from([[0.0, 4.0, 8.0]]));
        let y = taken(Slice::new().every(2, ..).range(..-2), &[3, 4]);
        assert_eq!(y, Tensor::from([[[0.0, 1.0], [8.0, 9.0]]]));
        assert_eq!(taken(Slice::new().at(1).at(2), &[3, 4]), Tensor::from([6.0]));
    }

    /// Every pair and triple of ways against the definition.
    #[test]
    fn every_combination_of_axes() {
        type Way = (fn(Slice) -> Slice, fn(usize) -> Vec<usize>);
        let ways: [Way; 6] = [
            (|s| s.range(..), |n| (0..n).collect()),
            (|s| s.range(1..), |n| (1..n).collect()),
            (|s| s.range(..-1), |n| (0..n - 1).collect()),
            (|s| s.every(2, ..), |n| (0..n).step_by(2).collect()),
            (|s| s.at(-2), |n| vec![n - 2]),
            (|s| s.range(1..2), |_| vec![1]),
        ];
        let sample = [3, 4, 5];
        for number in 0..6 * 6 * 6 {
            let chosen = [number / 36, number / 6 % 6, number % 6].map(|i| ways[i]);
            let slice = chosen.iter().fold(Slice::new(), |slice, (add, _)| add(slice));
            let [a, b, c] = [0, 1, 2].map(|axis| chosen[axis].1(sample[axis]));
            let expected = a.iter().flat_map(|i| {
                let c = &c;
                b.iter().flat_map(move |j| c.iter().map(move |k| ((i * 4 + j) * 5 + k) as f64))
            });
            let expected: Vec<_> = expected.collect();
            assert_eq!(taken(slice.clone(), &sample).as_slice(), expected, "{slice:?}");
            if number % 5 == 0 {
                check_layer(&slice, sample).unwrap();
            }
        }
    }

    #[test]
    fn gradients() {
        check_layer(&Slice::new(), Shape::SCALAR).unwrap();
        check_layer(&Slice::new().at(3), [7]).unwrap();
        check_layer(&Slice::new().every(3, 1..), [7]).unwrap();
        check_layer(&Slice::new().at(-1).range(1..3), [6, 4]).unwrap();
        check_layer(&Slice::new().at(0).every(2, ..).range(..).at(1), [2, 5, 3, 2]).unwrap();
    }

    /// How many positions a range takes of an axis that is free at build, and of the lengths that batches bring.
    #[test]
    fn ranges_of_free_axes() {
        let of = |slice: Slice| {
            let mut slice = slice;
            let built = Layer::<f64>::build(&mut slice, [FREE].into(), &mut Builder::new(0));
            let size = |shape: Result<Shape>| shape.ok().map(|shape| shape.first());
            (size(built), [1, 2, 3, 4, 9].map(|n| size(Layer::<f64>::output_shape(&slice, [n].into())).unwrap_or(0)))
        };
        assert_eq!(of(Slice::new()), (Some(FREE), [1, 2, 3, 4, 9]));
        assert_eq!(of(Slice::new().range(0..3)), (Some(3), [0, 0, 3, 3, 3]));
        assert_eq!(of(Slice::new().every(2, 0..4)), (Some(2), [0, 0, 2, 2, 2]));
        assert_eq!(of(Slice::new().range(-2..)), (Some(2), [0, 2, 2, 2, 2]));
        assert_eq!(of(Slice::new().range(-3..-1)), (Some(2), [0, 0, 2, 2, 2]));
        assert_eq!(of(Slice::new().every(2, -4..)), (Some(2), [0, 0, 2, 2, 2]));
        assert_eq!(of(Slice::new().range(1..)), (Some(FREE), [0, 1, 2, 3, 8]));
        assert_eq!(of(Slice::new().range(..-2)), (Some(FREE), [0, 0, 1, 2, 7]));
        assert_eq!(of(Slice::new().every(2, ..)), (Some(FREE), [1, 1, 2, 2, 5]));
        assert_eq!(of(Slice::new().between(1, -1)), (Some(FREE), [0, 0, 1, 2, 7]));
        assert_eq!(of(Slice::new().range(-2..3)), (Some(FREE), [1, 2, 2, 1, 0]));
        for nothing in [Slice::new().between(2, 1), Slice::new().range(..0), Slice::new().between(-1, -2)] {
            assert_eq!(of(nothing).0, None);
        }
        // Of an axis that is not free, a range ends with it; as many as a free one has to have are too many.
        let open = |slice: Slice| Sequential::new([3, FREE]).add(slice).build(0).map(|model| model.output_shape());
        assert_eq!(open(Slice::new().range(..9).range(..)).unwrap(), Shape::from([3, FREE]));
        assert_eq!(open(Slice::new().at(0).range(-2..)).unwrap(), Shape::from([2]));
        assert!(open(Slice::new().at(0).range(isize::MIN..)).unwrap_err().to_string().contains("fits in memory"));
    }

    #[test]
    fn rows_stay_rows_where_they_are_whole() {
        let reach = |slice: Slice, f: Activation| {
            let mut slice = slice;
            Layer::<f64>::build(&mut slice, [3, 4].into(), &mut Builder::new(0)).unwrap();
            Layer::<f64>::reach(&slice, f)
        };
        for slice in [Slice::new().at(0), Slice::new().every(2, ..), Slice::new().at(0).range(..9)] {
            assert_eq!(reach(slice, Activation::Softmax), Reach::Training);
        }
        for slice in [Slice::new().range(..).at(0), Slice::new().at(0).range(1..)] {
            assert_eq!(reach(slice.clone(), Activation::Softmax), Reach::Values);
            assert_eq!(reach(slice, Activation::Sigmoid), Reach::Training);
        }
        let reach = |slice: Slice| {
            let mut slice = slice;
            Layer::<f64>::build(&mut slice, [3, FREE].into(), &mut Builder::new(0)).unwrap();
            Layer::<f64>::reach(&slice, Activation::Softmax)
        };
        assert_eq!(reach(Slice::new().at(0)), Reach::Training);
        assert_eq!(reach(Slice::new().at(0).range(0..)), Reach::Training);
        for slice in [Slice::new().at(0).range(..9), Slice::new().at(0).range(1..), Slice::new().range(..).at(0)] {
            assert_eq!(reach(slice), Reach::Values);
        }
    }

    #[test]
    fn impossible_parts() {
        let error = |slice: Slice| {
            let built = Sequential::new([3, 4]).add(slice).build(0);
            built.unwrap_err().root().to_string()
        };
        assert_eq!(
            error(Slice::new().at(3)),
            "Slice: at must be from -3 to 2 for the position of axis 1 of samples [3, 4], counted from 1 as the batch is axis 0, \
             got 3; negative ones count from the end"
        );
        assert!(error(Slice::new().range(..).at(-5)).contains("from -4 to 3"));
        assert!(error(Slice::new().at(isize::MIN)).contains("from -3 to 2"));
        assert_eq!(
            error(Slice::new().between(2, 1)),
            "Slice: range must be a range that leaves at least one position of axis 1 of samples [3, 4], counted from 1 as the \
             batch is axis 0, got 2..1; let it end behind its start"
        );
        assert!(error(Slice::new().range(3..)).contains("got 3..; "));
        assert!(error(Slice::new().range(..-3)).contains("got ..-3; "));
        assert!(error(Slice::new().every(0, ..)).contains("step must be at least 1, got 0; 1 takes every position"));
        assert_eq!(
            error(Slice::new().at(0).at(0).range(..)),
            "Slice: axes must be at most 2 positions and ranges, for samples of shape [3, 4], got 3; say one for each axis \
             behind the batch, which is whole; new axes are a Reshape's"
        );
    }
}
