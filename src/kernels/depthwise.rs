//! Convolutions in which each channel meets a filter of its own, computed directly: y[p, c] = Σ taps x[p + tap, c]·w[tap, c].

use std::ops::Range;

use super::blocks::{Blocks, add_in_order};
use super::float::Float;
use super::parallel::{self, ChunksMut};
use super::patches::Window;
use super::pooling::each_tap;
use super::simd::{self, Loop};

/// Channels whose sums stay in registers together.
const LANES: usize = 32;

/// y = the convolution of the images x with w `[taps, channels]`, then `finish(y, z)` for an output row at a time.
pub fn forward<T: Float>(
    window: &Window,
    x: &[T],
    w: &[T],
    y: &mut [T],
    z: &mut [T],
    finish: impl Fn(&mut [T], &mut [T]) + Sync,
) {
    let row = window.width.output * window.channels;
    let n = y.len() / row.max(1);
    let z_row = if z.is_empty() { 0 } else { row };
    let parts = parallel::parts(n, row.saturating_mul(window.taps()));
    parallel::par_chunks(0..n, parts, (ChunksMut(y, row), ChunksMut(z, z_row)), &|range, (y, z)| {
        let mut z = z.0;
        for (i, y) in range.zip(y.0.chunks_exact_mut(row)) {
            simd::run(Forward { window, x, w, row: i, y });
            let now = z.split_off_mut(..z_row).unwrap_or_default();
            finish(y, now);
        }
    });
}

struct Forward<'a, T> {
    window: &'a Window,
    x: &'a [T],
    w: &'a [T],
    row: usize,
    y: &'a mut [T],
}

impl<T: Float> Loop for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Forward { window, x, w, row, y } = self;
        let (channels, height) = (window.channels, window.height.output);
        let x = &x[row / height * window.image()..];
        for (column, y) in y.chunks_exact_mut(channels).enumerate() {
            let place = (row % height, column);
            let mut first = 0;
            while first + LANES <= channels {
                let mut sums = [T::zero(); LANES];
                each_tap(window, place, |tap, at| {
                    let (x, w) = (&x[at + first..][..LANES], &w[tap * channels + first..][..LANES]);
                    for l in 0..LANES {
                        sums[l] += x[l] * w[l];
                    }
                });
                y[first..first + LANES].copy_from_slice(&sums);
                first += LANES;
            }
            let y = &mut y[first..];
            y.fill(T::zero());
            each_tap(window, place, |tap, at| {
                let (x, w) = (&x[at + first..], &w[tap * channels + first..]);
                y.iter_mut().zip(x).zip(w).for_each(|((y, &x), &w)| *y += x * w);
            });
        }
    }
}

/// dx = the gradient of the images from dy.
pub fn input_gradient<T: Float>(window: &Window, w: &[T], dy: &[T], dx: &mut [T]) {
    let (image, output) = (window.image(), window.pixels() * window.channels);
    parallel::rows(dx, image, output.saturating_mul(window.taps()), |first, dx| {
        for (dx, dy) in dx.chunks_exact_mut(image).zip(dy[first * output..].chunks_exact(output)) {
            simd::run(Input { window, w, dy, dx });
        }
    });
}

struct Input<'a, T> {
    window: &'a Window,
    w: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Loop for Input<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Input { window, w, dy, dx } = self;
        let channels = window.channels;
        dx.fill(T::zero());
        for (pixel, dy) in dy.chunks_exact(channels).enumerate() {
            let place = (pixel / window.width.output, pixel % window.width.output);
            each_tap(window, place, |tap, at| {
                let (dx, w) = (&mut dx[at..at + channels], &w[tap * channels..][..channels]);
                dx.iter_mut().zip(dy).zip(w).for_each(|((dx, &dy), &w)| *dx += dy * w);
            });
        }
    }
}

/// How the sums over images of [`weight_gradient`] are cut.
fn blocks(images: usize) -> Blocks {
    Blocks::of(images, 16, 1)
}

/// Values of working space that [`weight_gradient`] needs for `images` images.
pub fn weight_space(window: &Window, images: usize) -> usize {
    blocks(images).count * window.taps() * window.channels
}

/// dw += the gradient of the filters from dy: summed over blocks of images, and the blocks added in order.
pub fn weight_gradient<T: Float>(window: &Window, x: &[T], dy: &[T], dw: &mut [T], sums: &mut [T]) {
    let output = window.pixels() * window.channels;
    let blocks = blocks(dy.len() / output.max(1));
    let width = dw.len();
    let sums = &mut sums[..blocks.count * width];
    parallel::rows(sums, width, (blocks.each * output).saturating_mul(window.taps()), |first, sums| {
        for (i, sums) in (first..).zip(sums.chunks_exact_mut(width)) {
            simd::run(Weights { window, x, dy, images: blocks.items(i), dw: sums });
        }
    });
    add_in_order(sums, width, dw, true, &mut []);
}

struct Weights<'a, T> {
    window: &'a Window,
    x: &'a [T],
    dy: &'a [T],
    images: Range<usize>,
    dw: &'a mut [T],
}

impl<T: Float> Loop for Weights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Weights { window, x, dy, images, dw } = self;
        let channels = window.channels;
        dw.fill(T::zero());
        for pixel in images.start * window.pixels()..images.end * window.pixels() {
            let (image, at) = (pixel / window.pixels(), pixel % window.pixels());
            let place = (at / window.width.output, at % window.width.output);
            let dy = &dy[pixel * channels..][..channels];
            let x = &x[image * window.image()..];
            each_tap(window, place, |tap, at| {
                let (x, dw) = (&x[at..at + channels], &mut dw[tap * channels..][..channels]);
                dw.iter_mut().zip(x).zip(dy).for_each(|((w, &x), &dy)| *w += x * dy);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::convolution::Convolution;
    use crate::kernels::patches::tests::{values, windows};

    /// Against a convolution with as many groups as channels.
    #[test]
    fn agrees_with_groups() {
        for mut window in windows() {
            for channels in [1, 6, 17, 32, 75] {
                window.channels = channels;
                let c = Convolution { window, filters: channels, groups: channels };
                let images = 3;
                let x = values(images * window.image(), 1);
                let w = values(window.taps() * channels, 2);
                let g = values(images * window.pixels() * channels, 3);
                let (mut y, mut expected) = (vec![f64::NAN; g.len()], vec![f64::NAN; g.len()]);
                let mut z = y.clone();
                forward(&window, &x, &w, &mut y, &mut z, |y, z| z.copy_from_slice(y));
                assert_eq!(y, z);
                let mut space = vec![0.0; c.forward_space(images)];
                c.forward(&x, &w, &mut expected, &mut [], &mut space, |_, _| ());
                let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11);
                assert!(close(&y, &expected), "{window:?}");
                let [space, sums] = c.backward_space(images);
                let (mut space, mut sums) = (vec![0.0; space], vec![0.0; sums]);
                let (mut dw, mut dx) = (vec![0.0; w.len()], vec![0.0; x.len()]);
                let mut turned = w.clone();
                c.transpose_weights(&w, &mut turned);
                let wanted = crate::kernels::convolution::Gradients {
                    weights: &mut dw,
                    add: false,
                    bias: &mut [],
                    input: &mut dx,
                };
                c.backward(&x, &turned, &mut g.clone(), &mut space, &mut sums, |_, _| (), wanted);
                let (mut got_w, mut got_x) = (vec![0.0; w.len()], vec![f64::NAN; x.len()]);
                weight_gradient(&window, &x, &g, &mut got_w, &mut vec![f64::NAN; weight_space(&window, images)]);
                input_gradient(&window, &w, &g, &mut got_x);
                assert!(close(&got_w, &dw) && close(&got_x, &dx), "{window:?}");
            }
        }
    }
}
