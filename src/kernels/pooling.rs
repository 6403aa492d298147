//! Largest and mean values under windows, each channel on its own. Taps outside of the image do not count.

use std::ops::Range;

use super::float::Float;
use super::parallel::{self, ChunksMut};
use super::patches::Window;
use super::simd::{self, Loop};

/// Channels whose values stay in registers together, at most.
const LANES: usize = 32;

/// The positions of a window's taps that lie inside: calls `f(tap, first value of the input pixel within its image)`.
#[inline(always)]
pub(super) fn each_tap(w: &Window, (y, x): (usize, usize), mut f: impl FnMut(usize, usize)) {
    let across = w.width.taps(x);
    for down in w.height.taps(y) {
        let line = (y * w.height.stride + down * w.height.dilation - w.height.before) * w.width.input;
        for tap in across.clone() {
            let column = x * w.width.stride + tap * w.width.dilation - w.width.before;
            f(down * w.width.kernel + tap, (line + column) * w.channels);
        }
    }
}

/// y = the largest value under each window, and into `winners` (unless that is empty) which tap it came from, the first of
/// equals. NaN counts as largest.
pub fn max<T: Float>(window: &Window, x: &[T], y: &mut [T], winners: &mut [u32]) {
    let row = window.width.output * window.channels;
    let n = y.len() / row.max(1);
    let kept = if winners.is_empty() { 0 } else { row };
    let parts = parallel::parts(n, row.saturating_mul(window.taps()));
    parallel::par_chunks(0..n, parts, (ChunksMut(y, row), ChunksMut(winners, kept)), &|range, (y, winners)| {
        let (y, winners) = (y.0, winners.0);
        simd::run(Max { window, x, first: range.start, y, winners });
    });
}

struct Max<'a, T> {
    window: &'a Window,
    x: &'a [T],
    first: usize,
    y: &'a mut [T],
    winners: &'a mut [u32],
}

/// Whether a value takes the place of the largest so far.
#[inline(always)]
fn beats<T: Float>(v: T, best: T) -> bool {
    // A NaN takes it from any number, and nothing takes it from a NaN.
    v > best || (v.is_nan() & !best.is_nan())
}

impl<T: Float> Max<'_, T> {
    /// The winners of `N` channels from `c` on of an image `x`, at a column whose output begins at `to`; `down` are the taps inside along
    /// the height.
    #[inline(always)]
    fn lanes<const N: usize>(
        w: &Window,
        ((row, down), column): ((usize, &Range<usize>), usize),
        (x, c): (&[T], usize),
        to: usize,
        y: &mut [T],
        winners: &mut Option<&mut [u32]>,
    ) {
        let (mut best, mut tap_of) = ([T::neg_infinity(); N], [0u32; N]);
        let (across, mut fresh) = (w.width.taps(column), true);
        // No closures, which would not become part of the loop for the processor at hand.
        for i in down.clone() {
            let line = (row * w.height.stride + i * w.height.dilation - w.height.before) * w.width.input;
            for j in across.clone() {
                let at = (line + column * w.width.stride + j * w.width.dilation - w.width.before) * w.channels + c;
                let (x, tap) = (&x[at..][..N], (i * w.width.kernel + j) as u32);
                if fresh {
                    // −∞ everywhere still has a winner.
                    best.copy_from_slice(x);
                    (tap_of, fresh) = ([tap; N], false);
                    continue;
                }
                for l in 0..N {
                    let wins = beats(x[l], best[l]);
                    best[l] = if wins { x[l] } else { best[l] };
                    tap_of[l] = if wins { tap } else { tap_of[l] };
                }
            }
        }
        y[to + c..to + c + N].copy_from_slice(&best);
        if let Some(winners) = winners {
            winners[to + c..to + c + N].copy_from_slice(&tap_of);
        }
    }
}

impl<T: Float> Loop for Max<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Max { window: w, x, first, y, winners } = self;
        let (channels, row) = (w.channels, w.width.output * w.channels);
        for (i, y) in y.chunks_exact_mut(row).enumerate() {
            let (image, down) = ((first + i) / w.height.output, (first + i) % w.height.output);
            let x = &x[image * w.image()..][..w.image()];
            let mut winners = winners.get_mut(i * row..(i + 1) * row);
            let taps = w.height.taps(down);
            for column in 0..w.width.output {
                let (start, place) = (column * channels, ((down, &taps), column));
                let mut c = 0;
                while c + LANES <= channels {
                    Self::lanes::<LANES>(w, place, (x, c), start, y, &mut winners);
                    c += LANES;
                }
                // What is left, half as many at a time; the last few one by one.
                if c + 16 <= channels {
                    Self::lanes::<16>(w, place, (x, c), start, y, &mut winners);
                    c += 16;
                }
                if c + 8 <= channels {
                    Self::lanes::<8>(w, place, (x, c), start, y, &mut winners);
                    c += 8;
                }
                for c in c..channels {
                    let (mut best, mut tap_of) = (T::neg_infinity(), None);
                    each_tap(w, (down, column), |tap, at| {
                        if tap_of.is_none() || beats(x[at + c], best) {
                            (best, tap_of) = (x[at + c], Some(tap as u32));
                        }
                    });
                    y[start + c] = best;
                    if let Some(winners) = &mut winners {
                        winners[start + c] = tap_of.unwrap_or(0);
                    }
                }
            }
        }
    }
}

/// dx from dy and the taps that won.
pub fn max_backward<T: Float>(window: &Window, winners: &[u32], dy: &[T], dx: &mut [T]) {
    let (image, output) = (window.image(), window.pixels() * window.channels);
    parallel::rows(dx, image, output.saturating_mul(window.taps()), |first, dx| {
        let each = dy[first * output..].chunks_exact(output).zip(winners[first * output..].chunks_exact(output));
        for (dx, (dy, winners)) in dx.chunks_exact_mut(image).zip(each) {
            simd::run(MaxBackward { window, winners, dy, dx });
        }
    });
}

struct MaxBackward<'a, T> {
    window: &'a Window,
    winners: &'a [u32],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Loop for MaxBackward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let MaxBackward { window: w, winners, dy, dx } = self;
        let channels = w.channels;
        if w.is_partition() {
            // Every position is under one window, which writes it.
            for (pixel, (dy, winners)) in dy.chunks_exact(channels).zip(winners.chunks_exact(channels)).enumerate() {
                each_tap(w, (pixel / w.width.output, pixel % w.width.output), |tap, at| {
                    let dx = &mut dx[at..at + channels];
                    for ((dx, &dy), &winner) in dx.iter_mut().zip(dy).zip(winners) {
                        *dx = if winner == tap as u32 { dy } else { T::zero() };
                    }
                });
            }
            return;
        }
        dx.fill(T::zero());
        for (pixel, (dy, winners)) in dy.chunks_exact(channels).zip(winners.chunks_exact(channels)).enumerate() {
            each_tap(w, (pixel / w.width.output, pixel % w.width.output), |tap, at| {
                let dx = &mut dx[at..at + channels];
                for ((dx, &dy), &winner) in dx.iter_mut().zip(dy).zip(winners) {
                    *dx += if winner == tap as u32 { dy } else { T::zero() };
                }
            });
        }
    }
}

/// y = the mean of the values under each window.
pub fn average<T: Float>(window: &Window, x: &[T], y: &mut [T]) {
    let row = window.width.output * window.channels;
    parallel::rows(y, row, row.saturating_mul(window.taps()), |first, y| simd::run(Average { window, x, first, y }));
}

struct Average<'a, T> {
    window: &'a Window,
    x: &'a [T],
    first: usize,
    y: &'a mut [T],
}

/// 1 / the number of taps inside.
#[inline(always)]
fn inv_n<T: Float>(w: &Window, (y, x): (usize, usize)) -> T {
    T::one() / T::of((w.height.taps(y).len() * w.width.taps(x).len()).max(1) as f64)
}

impl<T: Float> Loop for Average<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Average { window: w, x, first, y } = self;
        let channels = w.channels;
        for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
            let (row, column) = (first + pixel / w.width.output, pixel % w.width.output);
            let place = (row % w.height.output, column);
            let x = &x[row / w.height.output * w.image()..];
            y.fill(T::zero());
            each_tap(w, place, |_, at| y.iter_mut().zip(&x[at..at + channels]).for_each(|(y, x)| *y += *x));
            let inv_n = inv_n::<T>(w, place);
            y.iter_mut().for_each(|y| *y *= inv_n);
        }
    }
}

/// dx from dy.
pub fn average_backward<T: Float>(window: &Window, dy: &[T], dx: &mut [T]) {
    let (image, output) = (window.image(), window.pixels() * window.channels);
    parallel::rows(dx, image, output.saturating_mul(window.taps()), |first, dx| {
        for (dx, dy) in dx.chunks_exact_mut(image).zip(dy[first * output..].chunks_exact(output)) {
            simd::run(AverageBackward { window, dy, dx });
        }
    });
}

struct AverageBackward<'a, T> {
    window: &'a Window,
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Loop for AverageBackward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let AverageBackward { window: w, dy, dx } = self;
        dx.fill(T::zero());
        let channels = w.channels;
        for (pixel, dy) in dy.chunks_exact(channels).enumerate() {
            let place = (pixel / w.width.output, pixel % w.width.output);
            let inv_n = inv_n::<T>(w, place);
            each_tap(w, place, |_, at| {
                dx[at..at + channels].iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy * inv_n);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::patches::tests::{values, windows};

    /// Windows that hold at least one pixel everywhere.
    fn pools() -> Vec<Window> {
        let full = |w: &Window| {
            (0..w.pixels()).all(|p| {
                let mut taps = 0;
                each_tap(w, (p / w.width.output, p % w.width.output), |_, _| taps += 1);
                taps > 0
            })
        };
        let more = windows().into_iter().map(|w| Window { channels: w.channels + 30, ..w });
        windows().into_iter().chain(more).filter(full).collect()
    }

    #[test]
    fn agrees_with_plain_loops() {
        for w in pools() {
            let images = 2;
            let x = values(images * w.image(), 1);
            let n = images * w.pixels() * w.channels;
            let g = values(n, 2);
            let (mut y, mut winners, mut mean) = (vec![f64::NAN; n], vec![7; n], vec![f64::NAN; n]);
            max(&w, &x, &mut y, &mut winners);
            average(&w, &x, &mut mean);
            let (mut dx, mut dx_mean) = (vec![f64::NAN; x.len()], vec![f64::NAN; x.len()]);
            max_backward(&w, &winners, &g, &mut dx);
            average_backward(&w, &g, &mut dx_mean);
            let (mut expected, mut expected_mean) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            for i in 0..n {
                let (pixel, c) = (i / w.channels, i % w.channels);
                let (image, pixel) = (pixel / w.pixels(), pixel % w.pixels());
                let mut under = Vec::new();
                each_tap(&w, (pixel / w.width.output, pixel % w.width.output), |_, at| {
                    under.push(image * w.image() + at + c);
                });
                let best = under.iter().copied().max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap();
                assert_eq!(y[i], x[best], "{w:?}");
                expected[best] += g[i];
                let sum: f64 = under.iter().map(|&at| x[at]).sum();
                assert!((mean[i] - sum / under.len() as f64).abs() < 1e-12, "{w:?}");
                under.iter().for_each(|&at| expected_mean[at] += g[i] / under.len() as f64);
            }
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!(close(&dx, &expected) && close(&dx_mean, &expected_mean), "{w:?}");
            let mut alone = vec![0.0; n];
            max(&w, &x, &mut alone, &mut []);
            assert_eq!(alone, y);
        }
    }

    #[test]
    fn nan_and_infinities_show() {
        let axis = crate::kernels::patches::Axis { input: 3, output: 1, kernel: 3, stride: 1, dilation: 1, before: 0 };
        for channels in [1, 8, 16, 32] {
            let w =
                Window { height: crate::kernels::patches::Axis { input: 1, kernel: 1, ..axis }, width: axis, channels };
            for values in [[1.0, f64::NAN, 2.0], [f64::NAN, 1.0, 2.0], [1.0, 2.0, f64::NAN]] {
                let x: Vec<f64> = values.iter().flat_map(|&v| vec![v; channels]).collect();
                let mut y = vec![0.0; channels];
                max(&w, &x, &mut y, &mut []);
                assert!(y.iter().all(|y| y.is_nan()));
            }
            let (mut y, mut winners) = (vec![0.0; channels], vec![9; channels]);
            max(&w, &vec![f64::NEG_INFINITY; 3 * channels], &mut y, &mut winners);
            assert!(y.iter().all(|y| *y == f64::NEG_INFINITY) && winners.iter().all(|w| *w == 0));
        }
    }
}
