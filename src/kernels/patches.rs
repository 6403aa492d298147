//! Windows that slide over images: where they stand, their values gathered into rows, and rows added back.
//!
//! Images are `[height, width, channels]`, one after the other. A patch is what a window covers: `[kernel height, kernel
//! width, channels]`, zeros where it reaches past the edge. Sequences are images of height 1.

use std::ops::Range;

use super::float::Float;
use super::simd::{self, Loop};

/// A window along one axis: output position o and tap t meet input position o·stride + t·dilation − before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// Input positions.
    pub input: usize,
    /// Output positions.
    pub output: usize,
    /// Taps.
    pub kernel: usize,
    /// Input positions between two output positions.
    pub stride: usize,
    /// Input positions between two taps.
    pub dilation: usize,
    /// Zeros in front of the input.
    pub before: usize,
}

impl Axis {
    /// The input position of a tap, unless it lies outside.
    #[inline(always)]
    pub fn at(&self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap * self.dilation).checked_sub(self.before).filter(|&i| i < self.input)
    }

    /// The taps that lie inside at an output position.
    #[inline(always)]
    pub fn taps(&self, output: usize) -> Range<usize> {
        let start = output * self.stride;
        // Divisions take longer than all else here.
        let in_taps = |places: usize| if self.dilation == 1 { places } else { places.div_ceil(self.dilation) };
        let first = in_taps(self.before.saturating_sub(start)).min(self.kernel);
        let end = in_taps((self.input + self.before).saturating_sub(start)).min(self.kernel);
        first..end.max(first)
    }

    /// The output positions whose windows lie inside.
    fn inside(&self) -> Range<usize> {
        let first = self.before.div_ceil(self.stride);
        let reach = (self.kernel - 1) * self.dilation;
        let end = (self.input + self.before).checked_sub(reach + 1).map_or(0, |last| last / self.stride + 1);
        first.min(self.output)..end.clamp(first.min(self.output), self.output)
    }

    /// Whether each output position is its input position.
    fn is_identity(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.before == 0 && self.input == self.output
    }
}

/// A window over images with channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Along the height.
    pub height: Axis,
    /// Along the width.
    pub width: Axis,
    /// Channels of the input.
    pub channels: usize,
}

/// How a matrix of patches is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A row is a patch.
    Patches,
    /// A row is one tap of all patches: for a single channel, where the taps of neighbouring patches stand next to each
    /// other.
    Taps,
    /// The image itself, for windows of one tap.
    Image,
}

impl Window {
    /// Values of an input image.
    pub fn image(&self) -> usize {
        self.height.input * self.width.input * self.channels
    }

    /// Values of an input row.
    fn row(&self) -> usize {
        self.width.input * self.channels
    }

    /// Taps of the window.
    pub fn taps(&self) -> usize {
        self.height.kernel * self.width.kernel
    }

    /// Whether every input position lies under one window and no more.
    pub fn is_partition(&self) -> bool {
        let one = |a: &Axis| a.stride == a.kernel && a.dilation == 1 && a.before == 0 && a.output * a.stride == a.input;
        one(&self.height) && one(&self.width)
    }

    /// Output pixels of an image.
    pub fn pixels(&self) -> usize {
        self.height.output * self.width.output
    }

    /// The layout that [`gather`](Self::gather) writes fastest when it takes all channels or some.
    pub fn layout(&self) -> Layout {
        if self.height.is_identity() && self.width.is_identity() {
            Layout::Image
        } else if self.channels == 1 && self.width.stride == 1 {
            Layout::Taps
        } else {
            Layout::Patches
        }
    }

    /// Where an output row, counted over all images, meets the input at a tap of the height: the first value of that row.
    #[inline(always)]
    fn input_row(&self, row: usize, tap: usize) -> Option<usize> {
        let (image, y) = (row / self.height.output, row % self.height.output);
        Some(image * self.image() + self.height.at(y, tap)? * self.row())
    }

    /// The patches of the output rows (counted over all images), of some channels, in the layout that
    /// [`layout`](Self::layout) names; nothing for the image itself.
    pub fn gather<T: Float>(&self, x: &[T], rows: Range<usize>, channels: Range<usize>, out: &mut [T]) {
        match self.layout() {
            Layout::Image => {}
            Layout::Taps => self.gather_taps(x, rows, out),
            Layout::Patches => simd::run(Gather { window: self, x, rows, channels, out }),
        }
    }

    fn gather_taps<T: Float>(&self, x: &[T], rows: Range<usize>, out: &mut [T]) {
        let width = &self.width;
        let pixels = rows.len() * width.output;
        for (tap, out) in out.chunks_exact_mut(pixels).take(self.taps()).enumerate() {
            let (down, across) = (tap / width.kernel, tap % width.kernel);
            // Output positions before `first` and from `end` on lie outside.
            let shift = across * width.dilation;
            let first = width.before.saturating_sub(shift).min(width.output);
            let end = (width.input + width.before).saturating_sub(shift).clamp(first, width.output);
            for (row, out) in rows.clone().zip(out.chunks_exact_mut(width.output)) {
                let Some(start) = self.input_row(row, down) else {
                    out.fill(T::zero());
                    continue;
                };
                out[..first].fill(T::zero());
                if first < end {
                    out[first..end].copy_from_slice(&x[start + first + shift - width.before..][..end - first]);
                }
                out[end..].fill(T::zero());
            }
        }
    }

    /// Adds patches of output rows, each a row of `from`, to the images that the rows belong to: `to` begins with the image
    /// of the first of `rows`. The transpose of [`gather`](Self::gather) in the layout of patches.
    pub fn scatter<T: Float>(&self, from: &[T], rows: Range<usize>, channels: Range<usize>, to: &mut [T]) {
        simd::run(Scatter { window: self, from, rows, channels, to });
    }
}

/// The runs of contiguous values that a patch is made of, in ascending order: calls `f(position in the patch, length,
/// where)`, where being an input row and a position in it, or none for zeros outside of the image.
#[inline(always)]
fn runs(
    w: &Window,
    (y, x): (usize, usize),
    interior: bool,
    channels: &Range<usize>,
    mut f: impl FnMut(usize, usize, Option<(usize, usize)>),
) {
    let (taken, across) = (channels.len(), &w.width);
    let line = across.kernel * taken;
    let whole = taken == w.channels && across.dilation == 1;
    for tap in 0..w.height.kernel {
        let at = tap * line;
        let Some(row) = w.height.at(y, tap) else {
            f(at, line, None);
            continue;
        };
        if whole && interior {
            f(at, line, Some((row, (x * across.stride - across.before) * w.channels)));
            continue;
        }
        let inside = if interior { 0..across.kernel } else { across.taps(x) };
        if inside.is_empty() {
            f(at, line, None);
            continue;
        }
        let first = x * across.stride + inside.start * across.dilation - across.before;
        f(at, inside.start * taken, None);
        if whole {
            f(at + inside.start * taken, inside.len() * taken, Some((row, first * w.channels)));
        } else {
            for (i, t) in inside.clone().enumerate() {
                let from = (first + i * across.dilation) * w.channels + channels.start;
                f(at + t * taken, taken, Some((row, from)));
            }
        }
        f(at + inside.end * taken, (across.kernel - inside.end) * taken, None);
    }
}

/// Values copied at once, past the end of a run where there is room: a copy of known size is a few instructions.
const BLOCK: usize = 16;

/// The first `len` values; what follows them in `to` may be overwritten.
#[inline(always)]
fn copy<T: Float>(from: &[T], to: &mut [T], len: usize) {
    let blocks = len.next_multiple_of(BLOCK);
    if blocks <= from.len() && blocks <= to.len() {
        for (to, from) in to[..blocks].chunks_exact_mut(BLOCK).zip(from[..blocks].chunks_exact(BLOCK)) {
            to.copy_from_slice(from);
        }
    } else {
        to[..len].copy_from_slice(&from[..len]);
    }
}

struct Gather<'a, T> {
    window: &'a Window,
    x: &'a [T],
    rows: Range<usize>,
    channels: Range<usize>,
    out: &'a mut [T],
}

impl<T: Float> Loop for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Gather { window: w, x, rows, channels, out } = self;
        let (patch, row) = (w.taps() * channels.len(), w.row());
        let inside = w.width.inside();
        let mut at = 0;
        for r in rows {
            let image = &x[r / w.height.output * w.image()..];
            let y = r % w.height.output;
            for column in 0..w.width.output {
                let out = &mut out[at..];
                // Stretches ascend, so that what a copy writes too much is written again.
                runs(w, (y, column), inside.contains(&column), &channels, |to, len, from| match from {
                    Some((y, x)) => copy(&image[y * row + x..], &mut out[to..], len),
                    None => out[to..to + len].fill(T::zero()),
                });
                at += patch;
            }
        }
    }
}

struct Scatter<'a, T> {
    window: &'a Window,
    from: &'a [T],
    rows: Range<usize>,
    channels: Range<usize>,
    to: &'a mut [T],
}

impl<T: Float> Loop for Scatter<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Scatter { window: w, from, rows, channels, to } = self;
        let (patch, row) = (w.taps() * channels.len(), w.row());
        let inside = w.width.inside();
        let first = rows.start / w.height.output;
        let mut patches = from.chunks_exact(patch);
        for r in rows {
            let image = &mut to[(r / w.height.output - first) * w.image()..];
            let y = r % w.height.output;
            for (column, from) in (0..w.width.output).zip(patches.by_ref()) {
                runs(w, (y, column), inside.contains(&column), &channels, |at, len, to| {
                    if let Some((y, x)) = to {
                        let to = &mut image[y * row + x..][..len];
                        to.iter_mut().zip(&from[at..at + len]).for_each(|(t, f)| *t += *f);
                    }
                });
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};

    pub(crate) fn values(n: usize, part: u64) -> Vec<f64> {
        let key = Key::new(5, Purpose::Data).with(part);
        (0..n as u64).map(|i| key.unit(i) - 0.5).collect()
    }

    fn axis(input: usize, kernel: usize, stride: usize, dilation: usize, before: usize, after: usize) -> Axis {
        let output = (input + before + after - (kernel - 1) * dilation - 1) / stride + 1;
        Axis { input, output, kernel, stride, dilation, before }
    }

    /// Kernels, strides, dilations and paddings of every kind, some with windows that lie outside altogether.
    pub(crate) fn windows() -> Vec<Window> {
        let axes = [
            axis(7, 3, 1, 1, 0, 0),
            axis(7, 3, 1, 1, 1, 1),
            axis(8, 3, 2, 1, 0, 1),
            axis(9, 2, 3, 2, 1, 2),
            axis(5, 3, 1, 2, 4, 0),
            axis(6, 1, 1, 1, 0, 0),
            axis(6, 3, 3, 1, 0, 0),
            axis(6, 1, 2, 1, 0, 0),
            axis(2, 2, 1, 5, 5, 3),
            axis(1, 1, 1, 1, 0, 0),
        ];
        let each = axes.iter().flat_map(|&height| axes.iter().map(move |&width| (height, width)));
        each.flat_map(|(height, width)| [1, 3, 6, 17].map(|channels| Window { height, width, channels })).collect()
    }

    /// The value of each tap of each patch, one after the other, read in the plainest way.
    fn plain(w: &Window, x: &[f64], rows: Range<usize>, channels: Range<usize>) -> Vec<f64> {
        let mut out = Vec::new();
        for row in rows {
            let (image, y) = (row / w.height.output, row % w.height.output);
            for column in 0..w.width.output {
                for tap in 0..w.taps() {
                    for c in channels.clone() {
                        let at = |a: &Axis, o: usize, t: usize| {
                            let i = (o * a.stride + t * a.dilation) as isize - a.before as isize;
                            (i >= 0 && i < a.input as isize).then_some(i as usize)
                        };
                        let place = at(&w.height, y, tap / w.width.kernel)
                            .zip(at(&w.width, column, tap % w.width.kernel))
                            .map(|(y, x)| ((image * w.height.input + y) * w.width.input + x) * w.channels + c);
                        out.push(place.map_or(0.0, |i| x[i]));
                    }
                }
            }
        }
        out
    }

    #[test]
    fn patches_are_what_windows_cover() {
        for w in windows() {
            let images = 3;
            let x = values(images * w.image(), 1);
            let rows = 1..images * w.height.output;
            for channels in [0..w.channels, w.channels / 2..w.channels.div_ceil(2).max(w.channels / 2 + 1)] {
                let expected = plain(&w, &x, rows.clone(), channels.clone());
                let pixels = rows.len() * w.width.output;
                let mut out = vec![f64::NAN; expected.len()];
                w.gather(&x, rows.clone(), channels.clone(), &mut out);
                match w.layout() {
                    Layout::Image => continue,
                    Layout::Patches => assert_eq!(out, expected, "{w:?}"),
                    Layout::Taps => {
                        let turned = |i: usize| out[i % w.taps() * pixels + i / w.taps()];
                        assert!((0..out.len()).all(|i| turned(i) == expected[i]), "{w:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn scattering_is_the_transpose_of_gathering() {
        for w in windows() {
            // From the middle of the second image on.
            let rows = w.height.output + w.height.output / 2..3 * w.height.output;
            let channels = w.channels / 3..w.channels;
            let x = values(3 * w.image(), 1);
            let patches = plain(&w, &x, rows.clone(), channels.clone());
            let g = values(patches.len(), 2);
            let mut to = vec![0.0; 2 * w.image()];
            w.scatter(&g, rows, channels, &mut to);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            assert!((dot(&patches, &g) - dot(&x[w.image()..], &to)).abs() < 1e-10, "{w:?}");
        }
    }

    #[test]
    fn taps_inside() {
        for a in windows().iter().map(|w| w.height) {
            for o in 0..a.output {
                let expected: Vec<usize> = (0..a.kernel).filter(|&t| a.at(o, t).is_some()).collect();
                assert_eq!(a.taps(o).collect::<Vec<_>>(), expected, "{a:?} at {o}");
                assert_eq!(a.inside().contains(&o), expected.len() == a.kernel, "{a:?} at {o}");
            }
        }
    }
}
