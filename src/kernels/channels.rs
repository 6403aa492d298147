//! Sums over all rows of each channel (the last axis), for batch normalisation.
//!
//! The rows are cut into a number of blocks that depends on sizes only; a block is summed by one thread, a few rows at a time
//! so that rounding errors stay small, and the blocks' sums are added in order.

use std::ops::Range;

use super::blocks::Blocks;
use super::float::Float;
use super::parallel::{self, ChunksMut};
use super::simd::{self, Loop};

/// Rows whose sums are added up before they go to the block's.
const ROWS: usize = 64;

/// How the rows are cut.
fn blocks(rows: usize) -> Blocks {
    Blocks::of(rows, 16, ROWS)
}

/// Values of working space for the sums over so many rows.
pub fn space(rows: usize, channels: usize) -> usize {
    // Each block's two sums, and what is added to them next.
    blocks(rows).count * 4 * channels
}

/// Σ (x − shift) and Σ (x − shift)² over the rows of x `[rows, channels]`, into `first` and `second`.
pub fn moments<T: Float>(x: &[T], shift: &[T], space: &mut [T], first: &mut [T], second: &mut [T]) {
    sums::<T, true>(x, shift, &mut [], 0, |_, _| {}, space, first, second);
}

/// Σ dz and Σ dz·(x − shift), likewise. `start(dy, range)`, which costs `work` a value, makes dz of a few rows of dy, which are the
/// values in `range` of all.
#[allow(clippy::too_many_arguments)]
pub fn gradients<T: Float>(
    x: &[T],
    shift: &[T],
    dy: &mut [T],
    work: usize,
    start: impl Fn(&mut [T], Range<usize>) + Sync,
    space: &mut [T],
    first: &mut [T],
    second: &mut [T],
) {
    sums::<T, false>(x, shift, dy, work, start, space, first, second);
}

/// Either of the two.
#[allow(clippy::too_many_arguments)]
fn sums<T: Float, const MOMENTS: bool>(
    x: &[T],
    shift: &[T],
    dy: &mut [T],
    work: usize,
    start: impl Fn(&mut [T], Range<usize>) + Sync,
    space: &mut [T],
    first: &mut [T],
    second: &mut [T],
) {
    let channels = shift.len();
    let rows = x.len() / channels.max(1);
    let Blocks { each: block, count, .. } = blocks(rows);
    let space = &mut space[..count * 4 * channels];
    let parts = parallel::parts(count, (2 + work) * block * channels);
    let cut = (ChunksMut(&mut *space, 4 * channels), ChunksMut(dy, block * channels));
    parallel::par_chunks(0..count, parts, cut, &|range, (space, dy)| {
        let mut at = range.start * block * channels;
        let end = (range.end * block).min(rows) * channels;
        let mut dy = dy.0.chunks_mut(ROWS * channels);
        for space in space.0.chunks_exact_mut(4 * channels) {
            space.fill(T::zero());
            // Blocks are whole chunks, so that no chunk reaches into the next block.
            let end = end.min(at + block * channels);
            while at < end {
                let these = at..end.min(at + ROWS * channels);
                at = these.end;
                let dy = dy.next().unwrap_or(&mut []);
                start(dy, these.clone());
                simd::run(Chunk::<T, MOMENTS> { x: &x[these], dy, shift, space });
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

/// The sums of a few rows, added to those of their block; `dy` is empty for moments.
struct Chunk<'a, T, const MOMENTS: bool> {
    x: &'a [T],
    dy: &'a [T],
    shift: &'a [T],
    space: &'a mut [T],
}

/// Channels whose sums stay in registers, and rows that are summed on their own so that additions need not wait for each other.
const LANES: usize = 16;
const PHASES: usize = 4;

impl<T: Float, const MOMENTS: bool> Chunk<'_, T, MOMENTS> {
    /// What the two sums are made of: x − shift or dy, and that times x − shift.
    #[inline(always)]
    fn terms(x: T, dy: T, shift: T) -> [T; 2] {
        let d = x - shift;
        if MOMENTS { [d, d * d] } else { [dy, dy * d] }
    }
}

impl<T: Float, const MOMENTS: bool> Loop for Chunk<'_, T, MOMENTS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Chunk { x, dy, shift, space } = self;
        let n = shift.len();
        let (sums, some) = space.split_at_mut(2 * n);
        let (first, second) = some.split_at_mut(n);
        let dy = if MOMENTS { x } else { &dy[..x.len()] };
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

/// y = (x − mean)·scale + offset, each channel with its own, and then `finish(y, z)`, which costs `work` a value, on a few rows at a
/// time with the same rows of `z` unless that is empty; the factors are mean, scale, offset.
pub fn normalise<T: Float>(
    x: &[T],
    [mean, scale, offset]: [&[T]; 3],
    y: &mut [T],
    z: &mut [T],
    work: usize,
    finish: impl Fn(&mut [T], &mut [T]) + Sync,
) {
    let n = mean.len();
    let rows = y.len() / n.max(1);
    let parts = parallel::parts(rows, (2 + work) * n);
    parallel::par_chunks(0..rows, parts, (ChunksMut(y, n), ChunksMut(z, n)), &|range, (y, z)| {
        let x = &x[range.start * n..range.end * n];
        let mut z = z.0.chunks_mut(ROWS * n);
        for (y, x) in y.0.chunks_mut(ROWS * n).zip(x.chunks(ROWS * n)) {
            simd::run(Columns::<T, false> { x, dy: x, factors: [mean, scale, offset, offset], y });
            finish(y, z.next().unwrap_or(&mut []));
        }
    });
}

/// dx = scale·(dy − mean_g − (x − mean)·mean_gx), each channel with its own, mean_g being the mean of dy; the factors are mean, scale, mean_g, mean_gx.
pub fn normalise_backward<T: Float>(x: &[T], dy: &[T], factors: [&[T]; 4], dx: &mut [T]) {
    let n = factors[0].len();
    parallel::rows(dx, n, 4 * n, |first, dx| {
        let [x, dy] = [x, dy].map(|v| v[first * n..][..dx.len()].chunks(ROWS * n));
        for (y, (x, dy)) in dx.chunks_mut(ROWS * n).zip(x.zip(dy)) {
            simd::run(Columns::<T, true> { x, dy, factors, y });
        }
    });
}

/// Either of the two, for a few rows, which are then near for the next channels.
struct Columns<'a, T, const BACKWARD: bool> {
    x: &'a [T],
    dy: &'a [T],
    factors: [&'a [T]; 4],
    y: &'a mut [T],
}

impl<T: Float, const BACKWARD: bool> Columns<'_, T, BACKWARD> {
    #[inline(always)]
    fn value(x: T, dy: T, factors: [T; 4]) -> T {
        if BACKWARD {
            let [mean, scale, mean_g, mean_gx] = factors;
            scale * (dy - mean_g - (x - mean) * mean_gx)
        } else {
            let [mean, scale, offset, _] = factors;
            (x - mean) * scale + offset
        }
    }
}

impl<T: Float, const BACKWARD: bool> Loop for Columns<'_, T, BACKWARD> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Columns { x, dy, factors, y } = self;
        let n = factors[0].len();
        let whole = n - n % LANES;
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
                if gradients {
                    // What is made of dy at the start is what is summed.
                    let mut half: Vec<f64> = dy.iter().map(|g| g / 2.0).collect();
                    let twice = |dz: &mut [f64], range: Range<usize>| {
                        assert_eq!(dz.len(), range.len());
                        dz.iter_mut().zip(&dy[range]).for_each(|(d, g)| *d = if *d == g / 2.0 { *g } else { f64::NAN });
                    };
                    super::gradients(&x, shift, &mut half, 1, twice, &mut work, &mut a, &mut b);
                    assert_eq!(half, dy);
                } else {
                    moments(&x, shift, &mut work, &mut a, &mut b);
                }
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
