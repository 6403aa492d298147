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
            let terms = match terms {
                Terms::Moments => Terms::Moments,
                Terms::Gradients(dy) => Terms::Gradients(&dy[range.clone()]),
            };
            simd::run(Block { x: &x[range], shift, terms, space });
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

struct Block<'a, T> {
    x: &'a [T],
    shift: &'a [T],
    terms: Terms<'a, T>,
    space: &'a mut [T],
}

impl<T: Float> Loop for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Block { x, shift, terms, space } = self;
        let n = shift.len();
        space.fill(T::zero());
        let (sums, some) = space.split_at_mut(2 * n);
        for (i, x) in x.chunks(TOGETHER * n).enumerate() {
            some.fill(T::zero());
            let (first, second) = some.split_at_mut(n);
            match terms {
                Terms::Moments => {
                    for x in x.chunks_exact(n) {
                        for c in 0..n {
                            let d = x[c] - shift[c];
                            first[c] += d;
                            second[c] += d * d;
                        }
                    }
                }
                Terms::Gradients(dy) => {
                    let dy = &dy[i * TOGETHER * n..][..x.len()];
                    for (x, dy) in x.chunks_exact(n).zip(dy.chunks_exact(n)) {
                        for c in 0..n {
                            first[c] += dy[c];
                            second[c] += dy[c] * (x[c] - shift[c]);
                        }
                    }
                }
            }
            sums.iter_mut().zip(&*some).for_each(|(s, v)| *s += *v);
        }
    }
}

/// y = (x − mean)·scale + offset, each channel with its own.
pub fn normalise<T: Float>(x: &[T], mean: &[T], scale: &[T], offset: &[T], y: &mut [T]) {
    let n = mean.len();
    parallel::rows(y, n, 2 * n, |first, y| {
        let x = &x[first * n..];
        simd::vectorised(|| {
            for (y, x) in y.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                for c in 0..n {
                    y[c] = (x[c] - mean[c]) * scale[c] + offset[c];
                }
            }
        });
    });
}

/// dx = scale·(dy − mean of dy − (x − mean)·slope), each channel with its own.
pub fn normalise_backward<T: Float>(x: &[T], dy: &[T], [mean, scale, level, slope]: [&[T]; 4], dx: &mut [T]) {
    let n = mean.len();
    parallel::rows(dx, n, 4 * n, |first, dx| {
        let each = x[first * n..].chunks_exact(n).zip(dy[first * n..].chunks_exact(n));
        simd::vectorised(|| {
            for (dx, (x, dy)) in dx.chunks_exact_mut(n).zip(each) {
                for c in 0..n {
                    dx[c] = scale[c] * (dy[c] - level[c] - (x[c] - mean[c]) * slope[c]);
                }
            }
        });
    });
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
