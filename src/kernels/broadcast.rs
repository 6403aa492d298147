//! Operands of several shapes joined element by element: along an axis an operand has the result's size, or size 1, which counts for
//! all positions; and sums over those positions, which is the reverse.

use super::float::Float;
use super::{parallel, rows};

/// The most axes of an operand.
const MAX_AXES: usize = 8;

/// Values that are joined in one go, so that every operand finds them in the first-level cache.
const BLOCK: usize = 1024;

/// Where the operands of a result have their values.
///
/// The result's axes are taken together where every operand goes through both or through neither: `[H, W, C]` and `[C]` are rows of C
/// values, H·W of them a sample; operands of one shape are a single row with the whole batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Broadcast {
    /// Values of one sample of the result.
    len: usize,
    /// The length of a row: the last of the axes taken together.
    width: usize,
    /// Rows along the axis before.
    rows: usize,
    /// The sizes of the axes before that, outermost first, and how many there are; the first of all axes goes on for the whole batch.
    outer: [usize; MAX_AXES],
    outer_len: usize,
    operands: Vec<Operand>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Operand {
    /// Values of one sample.
    len: usize,
    /// Whether there is one value for each of the result.
    whole: bool,
    /// Whether there is one value for each of a row, else one for the row.
    along_row: bool,
    /// How far apart the values for neighbouring rows are; 0 where they are the same.
    row_step: usize,
    /// The same for the outer axes.
    steps: [usize; MAX_AXES],
}

/// A stretch of the result, and where an operand has its values for it.
#[derive(Clone, Copy)]
enum Piece {
    /// One for each, from here on.
    Each(usize),
    /// The same row again and again, from here on, so many values.
    Rows(usize, usize),
    /// One for each row, from here on, of so many values.
    PerRow(usize, usize),
}

impl Broadcast {
    /// Operands with samples of these sizes; axes of 1 stand in front of those that have fewer. Sizes along an axis are equal or 1.
    pub fn new<'a>(operands: impl Iterator<Item = &'a [usize]> + Clone) -> Self {
        let mut plan = Broadcast::default();
        plan.set(operands);
        plan
    }

    /// The same in the place of what was there, in its memory.
    pub fn set<'a>(&mut self, operands: impl Iterator<Item = &'a [usize]> + Clone) {
        let rank = operands.clone().map(<[usize]>::len).max().unwrap_or(0);
        let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
        // Sizes of the axes taken together, and their last axis. The batch is one, and all operands go through it.
        let (mut axes, mut n) = ([(usize::MAX, None); MAX_AXES + 1], 1);
        let goes_through = |dims, axis: Option<usize>| axis.is_none_or(|axis| size(dims, axis) != 1);
        let mut len = 1usize;
        for axis in 0..rank {
            let all = operands.clone().map(|dims| size(dims, axis)).find(|&n| n != 1).unwrap_or(1);
            if all == 1 {
                continue;
            }
            len = len.saturating_mul(all);
            let last = axes[n - 1];
            if operands.clone().all(|dims| goes_through(dims, Some(axis)) == goes_through(dims, last.1)) {
                axes[n - 1] = (if n == 1 { usize::MAX } else { last.0.saturating_mul(all) }, Some(axis));
            } else {
                axes[n] = (all, Some(axis));
                n += 1;
            }
        }
        self.operands.clear();
        self.operands.extend(operands.map(|dims| {
            let own = |axis| size(dims, axis);
            let step = |last: Option<usize>| match last {
                Some(axis) if own(axis) == 1 => 0,
                last => (last.map_or(0, |axis| axis + 1)..rank).map(own).fold(1, usize::saturating_mul),
            };
            let mut steps = [0; MAX_AXES];
            steps.iter_mut().zip(&axes[..n.saturating_sub(2)]).for_each(|(s, axis)| *s = step(axis.1));
            let along_row = step(axes[n - 1].1) != 0;
            let row_step = if n > 1 { step(axes[n - 2].1) } else { 0 };
            let own_len = dims.iter().fold(1usize, |n, &d| n.saturating_mul(d));
            Operand { len: own_len, whole: own_len == len, along_row, row_step, steps }
        }));
        (self.len, self.width) = (len, axes[n - 1].0);
        self.rows = if n > 1 { axes[n - 2].0 } else { 1 };
        self.outer_len = n.saturating_sub(2);
        self.outer = [0; MAX_AXES];
        self.outer.iter_mut().zip(&axes[..self.outer_len]).for_each(|(size, axis)| *size = axis.0);
    }

    /// Whether all operands have the result's shape.
    pub fn all_equal(&self) -> bool {
        self.operands.iter().all(|operand| operand.whole)
    }

    /// Calls `f` with stretches of a part of the result, `len` values from `start` on, and where operand `i` has its values for them.
    #[inline(always)]
    fn pieces(&self, i: usize, start: usize, len: usize, mut f: impl FnMut(std::ops::Range<usize>, Piece)) {
        let operand = &self.operands[i];
        if operand.whole {
            return f(0..len, Piece::Each(start));
        }
        let mut done = 0;
        while done < len {
            let (row, column) = ((start + done) / self.width, (start + done) % self.width);
            let (mut outer, row) = (row / self.rows, row % self.rows);
            let mut at = row * operand.row_step;
            for (size, step) in self.outer[..self.outer_len].iter().zip(&operand.steps).rev() {
                at += outer % size * step;
                outer /= size;
            }
            // Whole rows, or what is left of one.
            let (rest, whole_rows) = (len - done, column == 0 && len - done >= self.width);
            let n = if whole_rows {
                (self.rows - row).min(rest / self.width) * self.width
            } else {
                rest.min(self.width - column)
            };
            let piece = match (operand.along_row, operand.row_step) {
                (true, 0) if whole_rows => Piece::Rows(at, self.width),
                (true, _) => Piece::Each(at + column),
                (false, 0) => Piece::PerRow(at, n),
                (false, _) => Piece::PerRow(at, if whole_rows { self.width } else { n }),
            };
            f(done..done + n, piece);
            done += n;
        }
    }

    /// `f(y, x)` for the part of the result that begins at `start`, with the values of operand `i`.
    pub fn combine<T: Float>(&self, i: usize, x: &[T], start: usize, y: &mut [T], f: impl Fn(&mut T, T)) {
        self.pieces(i, start, y.len(), |part, piece| {
            let y = &mut y[part];
            match piece {
                Piece::Each(at) => y.iter_mut().zip(&x[at..]).for_each(|(y, x)| f(y, *x)),
                Piece::Rows(at, width) => {
                    let x = &x[at..at + width];
                    for y in y.chunks_exact_mut(width) {
                        y.iter_mut().zip(x).for_each(|(y, x)| f(y, *x));
                    }
                }
                Piece::PerRow(at, width) => {
                    for (y, x) in y.chunks_exact_mut(width).zip(&x[at..]) {
                        y.iter_mut().for_each(|y| f(y, *x));
                    }
                }
            }
        });
    }

    /// The part of the result that begins at `start`: the first operand, and `f(y, x)` with each of the others in turn.
    pub fn fold<'a, T: Float>(
        &self,
        x: impl Fn(usize) -> &'a [T],
        start: usize,
        y: &mut [T],
        f: impl Fn(&mut T, T) + Copy,
    ) {
        let folded = match self.operands.as_slice() {
            [] => 0,
            [Operand { whole: true, .. }, Operand { whole: true, .. }, ..] => {
                let part = start..start + y.len();
                let both = x(0)[part.clone()].iter().zip(&x(1)[part]);
                for (y, (a, b)) in y.iter_mut().zip(both) {
                    let mut folded = *a;
                    f(&mut folded, *b);
                    *y = folded;
                }
                2
            }
            _ => {
                self.combine(0, x(0), start, y, |y, x| *y = x);
                1
            }
        };
        for i in folded..self.operands.len() {
            self.combine(i, x(i), start, y, f);
        }
    }

    /// dx of operand `i`: Σ g over the positions that its values count for, `g(start, part)` writing the part of g that begins at `start`,
    /// at a cost of `work` a value. Sums are taken sample by sample, in an order that depends on the sizes of a sample only.
    pub fn backward<T: Float>(&self, i: usize, dx: &mut [T], work: usize, g: impl Fn(usize, &mut [T]) + Sync) {
        let operand = &self.operands[i];
        if operand.whole {
            return each_block(dx, work, g);
        }
        let len = operand.len.max(1);
        parallel::rows(dx, len, self.len.saturating_mul(work + 1), |first, dx| {
            let mut space = [T::zero(); BLOCK];
            for (sample, dx) in (first..).zip(dx.chunks_exact_mut(len)) {
                dx.fill(T::zero());
                for done in (0..self.len).step_by(BLOCK) {
                    let part = &mut space[..BLOCK.min(self.len - done)];
                    let start = sample * self.len + done;
                    g(start, part);
                    self.add_up(i, start, part, dx, sample * len);
                }
            }
        });
    }

    /// Adds the part of g that begins at `start` to a sample of dx that begins at `first`.
    fn add_up<T: Float>(&self, i: usize, start: usize, g: &[T], dx: &mut [T], first: usize) {
        let add = |dx: &mut [T], g: &[T]| dx.iter_mut().zip(g).for_each(|(dx, g)| *dx += *g);
        self.pieces(i, start, g.len(), |part, piece| {
            let g = &g[part];
            match piece {
                Piece::Each(at) => add(&mut dx[at - first..], g),
                Piece::Rows(at, width) => g.chunks_exact(width).for_each(|g| add(&mut dx[at - first..], g)),
                Piece::PerRow(at, width) => {
                    for (dx, g) in dx[at - first..].iter_mut().zip(g.chunks_exact(width)) {
                        *dx += rows::sum(g);
                    }
                }
            }
        });
    }
}

/// Calls `f(start, part)` for all of `y` in parts that stay in the cache, values that cost `work` each.
pub fn each_block<T: Float>(y: &mut [T], work: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    parallel::rows(y, 1, work, |first, y| {
        for (i, part) in y.chunks_mut(BLOCK).enumerate() {
            f(first + i * BLOCK, part);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of an operand for a position of the result, by the definition.
    fn at(own: &[usize], result: &[usize], position: usize) -> usize {
        let (mut rest, mut at, mut step) = (position, 0, 1);
        for axis in (0..result.len()).rev() {
            let i = rest % result[axis];
            rest /= result[axis];
            if let Some(n) = (axis + own.len()).checked_sub(result.len()).map(|axis| own[axis]) {
                at += if n == 1 { 0 } else { i * step };
                step *= n;
            }
        }
        at + rest * step
    }

    fn check(shapes: &[&[usize]], result: &[usize]) {
        let samples = 3;
        let len: usize = result.iter().product();
        let plan = Broadcast::new(shapes.iter().copied());
        assert_eq!(plan.len, len);
        let values: Vec<Vec<f64>> = shapes
            .iter()
            .enumerate()
            .map(|(i, s)| (0..samples * s.iter().product::<usize>()).map(|v| (v * 7 + i) as f64).collect())
            .collect();
        let expected: Vec<f64> =
            (0..samples * len).map(|p| shapes.iter().zip(&values).map(|(s, x)| x[at(s, result, p)]).sum()).collect();
        // Parts of any length, so that rows are cut anywhere.
        for each in [1, 2, 5, 7, samples * len] {
            let mut y = vec![f64::NAN; samples * len];
            for (i, part) in y.chunks_mut(each.max(1)).enumerate() {
                plan.fold(|i| &values[i], i * each, part, |y, x| *y += x);
            }
            assert_eq!(y, expected, "{shapes:?} in parts of {each}");
        }
        for (i, own) in shapes.iter().enumerate() {
            let mut dx = vec![f64::NAN; values[i].len()];
            plan.backward(i, &mut dx, 1, |start, g| {
                g.iter_mut().enumerate().for_each(|(p, g)| *g = expected[start + p]);
            });
            let mut sums = vec![0.0; dx.len()];
            (0..samples * len).for_each(|p| sums[at(own, result, p)] += expected[p]);
            assert_eq!(dx, sums, "{shapes:?}, operand {i}");
        }
    }

    #[test]
    fn every_pattern_of_three_axes() {
        // Each axis of two operands and a third that is there or not: the size, or 1.
        for pattern in 0..64 {
            let sizes = |bits: usize| [0, 1, 2].map(|axis| if bits >> axis & 1 == 1 { 1 } else { [2, 3, 5][axis] });
            let (a, b) = (sizes(pattern & 7), sizes(pattern >> 3));
            let result = [0, 1, 2].map(|axis| a[axis].max(b[axis]));
            check(&[&a, &b], &result);
            check(&[&a, &b, &[2, 3, 5]], &[2, 3, 5]);
            check(&[&a, &[5], &b], &[a[0].max(b[0]), a[1].max(b[1]), 5]);
        }
    }

    #[test]
    fn ranks_and_long_rows() {
        check(&[&[]], &[]);
        check(&[&[], &[]], &[]);
        check(&[&[4], &[]], &[4]);
        check(&[&[2, 3, 2, 3, 2], &[3, 1, 3, 1], &[2, 1, 1, 1, 2]], &[2, 3, 2, 3, 2]);
        check(&[&[2, 2500], &[2500], &[2, 1]], &[2, 2500]);
        check(&[&[1300, 3], &[3], &[1300, 1], &[1]], &[1300, 3]);
        check(&[&[0, 3], &[1, 3]], &[0, 3]);
    }

    #[test]
    fn axes_are_taken_together() {
        let plan = |shapes: &[&[usize]]| {
            let plan = Broadcast::new(shapes.iter().copied());
            (plan.outer_len, plan.rows, plan.width, plan.all_equal())
        };
        assert_eq!(plan(&[&[4, 5, 3], &[4, 5, 3]]), (0, 1, usize::MAX, true));
        assert_eq!(plan(&[&[4, 5, 3], &[3]]), (1, 20, 3, false));
        assert_eq!(plan(&[&[4, 5, 3], &[1, 1, 3]]), (1, 20, 3, false));
        assert_eq!(plan(&[&[4, 5, 3], &[4, 5, 1]]), (0, usize::MAX, 3, false));
        assert_eq!(plan(&[&[4, 5, 3], &[4, 1, 3]]), (1, 5, 3, false));
    }
}
