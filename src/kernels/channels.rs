//! Sums over all rows of each channel (the last axis), for batch normalisation.
//!
//! The rows are cut into a number of blocks that depends on sizes only; a block is summed by one thread, a few rows at a time
//! so that rounding errors stay small, and the blocks' sums are added in order.

use super::parallel;
use super::simd::{self, Loop};
use crate::tensor::Float;

/// Rows whose sums are added up before they go to the block's.
const TOGETHER: usize = 64;

/// Blocks at most.
const BLOCKS: usize = 16;

fn block(rows: usize) -> usize {
    rows.div_ceil(BLOCKS).max(TOGETHER)
}

/// Values of working space for [`sums`] over so many rows.
pub fn space(rows: usize, channels: usize) -> usize {
    // Each block's two sums, and what is added to them next.
    rows.div_ceil(block(rows)) * 4 * channels
}

/// What is summed for each channel.
#[derive(Clone, Copy, Debug)]
pub enum Terms<'a, T> {
    /// Σ (x − shift) and Σ (x − shift)².
    Moments,
    /// Σ dy and Σ dy·(x − shift).
    Gradients(&'a [T]),
}

/// Two sums over the rows of x `[rows, channels]`, into `first` and `second`.
pub fn sums<T: Float>(x: &[T], shift: &[T], terms: Terms<'_, T>, space: &mut [T], first: &mut [T], second: &mut [T]) {
    let channels = shift.len();
    let rows = x.len() / channels.max(1);
    let block = block(rows);
    let blocks = rows.div_ceil(block);
    let space = &mut space[..blocks * 4 * channels];
    parallel::rows(space, 4 * channels, 2 * block * channels, |start, space| {
        for (i, space) in (start..).zip(space.chunks_exact_mut(4 * channels)) {
            let range = i * block * channels..((i + 1) * block).min(rows) * channels;
            match terms {
                Terms::Moments => simd::run(Block::<T, true> { x: &x[range], dy: &[], shift, space }),
                Terms::Gradients(dy) => {
                    simd::run(Block::<T, false> { x: &x[range.clone()], dy: &dy[range], shift, space });
                }
            }
        }
    });
    first.fill(T::zero());
    second.fill(T::zero());
    for space in space.chunks_exact(4 * channels) {
        let (a, rest) = space.split_at(channels);
        first.iter_mut().zip(a).for_each(|(s, v)| *s += *v);
        second.iter_mut().zip(rest).for_each(|(s, v)| *s += *v);
    }
}

/// The sums of a block of rows; `dy` is empty for moments.
struct Block<'a, T, const MOMENTS: bool> {
    x: &'a [T],
    dy: &'a [T],
    shift: &'a [T],
    space: &'a mut [T],
}

/// Channels whose sums stay in registers, and rows that are summed on their own so that additions need not wait for each other.
const LANES: usize = 16;
const PHASES: usize = 4;

impl<T: Float, const MOMENTS: bool> Block<'_, T, MOMENTS> {
    /// What the two sums are made of: x − shift or dy, and that times x − shift.
    #[inline(always)]
    fn terms(x: T, dy: T, shift: T) -> [T; 2] {
        let d = x - shift;
        if MOMENTS { [d, d * d] } else { [dy, dy * d] }
    }
}

impl<T: Float, const MOMENTS: bool> Loop for Block<'_, T, MOMENTS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Block { x, dy, shift, space } = self;
        let n = shift.len();
        space.fill(T::zero());
        let (sums, some) = space.split_at_mut(2 * n);
        let (first, second) = some.split_at_mut(n);
        for (i, x) in x.chunks(TOGETHER * n).enumerate() {
            let dy = if MOMENTS { x } else { &dy[i * TOGETHER * n..][..x.len()] };
            let whole = n - n % LANES;
            for c in (0..whole).step_by(LANES) {
                let mut own = [T::zero(); LANES];
                own.copy_from_slice(&shift[c..c + LANES]);
                let (mut a, mut b) = ([[T::zero(); LANES]; PHASES], [[T::zero(); LANES]; PHASES]);
                let each = x.chunks_exact(PHASES * n).zip(dy.chunks_exact(PHASES * n));
                for (x, dy) in each {
                    for p in 0..PHASES {
                        let (x, dy) = (&x[p * n + c..][..LANES], &dy[p * n + c..][..LANES]);
                        for l in 0..LANES {
                            let [s, t] = Self::terms(x[l], dy[l], own[l]);
                            a[p][l] += s;
                            b[p][l] += t;
                        }
                    }
                }
                let done = x.len() / (PHASES * n) * PHASES * n;
                for (x, dy) in x[done..].chunks_exact(n).zip(dy[done..].chunks_exact(n)) {
                    for l in 0..LANES {
                        let [s, t] = Self::terms(x[c + l], dy[c + l], own[l]);
                        a[0][l] += s;
                        b[0][l] += t;
                    }
                }
                for l in 0..LANES {
                    first[c + l] = (a[0][l] + a[1][l]) + (a[2][l] + a[3][l]);
                    second[c + l] = (b[0][l] + b[1][l]) + (b[2][l] + b[3][l]);
                }
            }
            first[whole..].fill(T::zero());
            second[whole..].fill(T::zero());
            for (x, dy) in x.chunks_exact(n).zip(dy.chunks_exact(n)) {
                for c in whole..n {
                    let [s, t] = Self::terms(x[c], dy[c], shift[c]);
                    first[c] += s;
                    second[c] += t;
                }
            }
            sums.iter_mut().zip(first.iter().chain(&*second)).for_each(|(s, v)| *s += *v);
        }
    }
}

/// y = (x − mean)·scale + offset, each channel with its own.
pub fn normalise<T: Float>(x: &[T], mean: &[T], scale: &[T], offset: &[T], y: &mut [T]) {
    let n = mean.len();
    parallel::rows(y, n, 2 * n, |first, y| {
        let x = &x[first * n..][..y.len()];
        simd::run(Columns::<T, false> { x, dy: x, factors: [mean, scale, offset, offset], y });
    });
}

/// dx = scale·(dy − mean of dy − (x − mean)·slope), each channel with its own; the factors are mean, scale, mean of dy, slope.
pub fn normalise_backward<T: Float>(x: &[T], dy: &[T], factors: [&[T]; 4], dx: &mut [T]) {
    let n = factors[0].len();
    parallel::rows(dx, n, 4 * n, |first, dx| {
        let [x, dy] = [x, dy].map(|v| &v[first * n..][..dx.len()]);
        simd::run(Columns::<T, true> { x, dy, factors, y: dx });
    });
}

/// Either of the two.
struct Columns<'a, T, const BACKWARD: bool> {
    x: &'a [T],
    dy: &'a [T],
    factors: [&'a [T]; 4],
    y: &'a mut [T],
}

impl<T: Float, const BACKWARD: bool> Columns<'_, T, BACKWARD> {
    #[inline(always)]
    fn value(x: T, dy: T, [mean, scale, level, slope]: [T; 4]) -> T {
        if BACKWARD { scale * (dy - level - (x - mean) * slope) } else { (x - mean) * scale + level }
    }
}

impl<T: Float, const BACKWARD: bool> Loop for Columns<'_, T, BACKWARD> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Columns { x, dy, factors, y } = self;
        let n = factors[0].len();
        let whole = n - n % LANES;
        // A few rows at a time, which are then near for the next channels.
        let each = x.chunks(TOGETHER * n).zip(dy.chunks(TOGETHER * n));
        for (y, (x, dy)) in y.chunks_mut(TOGETHER * n).zip(each) {
            for c in (0..whole).step_by(LANES) {
                let mut own = [[T::zero(); LANES]; 4];
                own.iter_mut().zip(factors).for_each(|(own, all)| own.copy_from_slice(&all[c..c + LANES]));
                let each = x.chunks_exact(n).zip(dy.chunks_exact(n));
                for (y, (x, dy)) in y.chunks_exact_mut(n).zip(each) {
                    let (y, x, dy) = (&mut y[c..c + LANES], &x[c..c + LANES], &dy[c..c + LANES]);
                    for l in 0..LANES {
                        y[l] = Self::value(x[l], dy[l], [own[0][l], own[1][l], own[2][l], own[3][l]]);
                    }
                }
            }
            let each = x.chunks_exact(n).zip(dy.chunks_exact(n));
            for (y, (x, dy)) in y.chunks_exact_mut(n).zip(each) {
                for c in whole..n {
                    y[c] = Self::value(x[c], dy[c], [factors[0][c], factors[1][c], factors[2][c], factors[3][c]]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_size() {
        for (rows, channels) in [(1, 1), (3, 5), (64, 16), (65, 17), (1500, 3), (5000, 33)] {
            let x: Vec<f64> = (0..rows * channels).map(|i| ((i * 37) % 101) as f64 * 0.01 + 5.0).collect();
            let dy: Vec<f64> = (0..rows * channels).map(|i| ((i * 53) % 97) as f64 * 0.01 - 0.4).collect();
            let shift = &x[..channels];
            let mut work = vec![f64::NAN; space(rows, channels)];
            let (mut a, mut b) = (vec![f64::NAN; channels], vec![f64::NAN; channels]);
            for gradients in [false, true] {
                let terms = if gradients { Terms::Gradients(&dy) } else { Terms::Moments };
                sums(&x, shift, terms, &mut work, &mut a, &mut b);
                for c in 0..channels {
                    let of = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
                        (0..rows).map(|r| f(x[r * channels + c] - shift[c], dy[r * channels + c])).sum()
                    };
                    let expected = match gradients {
                        true => [of(&|_, g| g), of(&|d, g| d * g)],
                        false => [of(&|d, _| d), of(&|d, _| d * d)],
                    };
                    assert!((a[c] - expected[0]).abs() < 1e-9 && (b[c] - expected[1]).abs() < 1e-9);
                }
            }
        }
    }
}
