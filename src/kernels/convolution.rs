//! Convolutions as matrix products: patches are gathered for a few output rows at a time, so that they stay in the cache.
//!
//! With P pixels, K values a patch and F filters: y `[P, F]` = patches `[P, K]` · w `[K, F]`. A window of one tap needs no
//! gathering. With groups, the channels of each group meet the filters of that group alone.
//!
//! Outputs and input gradients belong to one thread each. Weight gradients are summed over images: the batch is cut into a
//! number of blocks that depends on sizes only, each block is summed in order by one thread, and the blocks' sums are added in
//! order.

use std::ops::Range;

use super::blocks::{Block, Blocks, add_in_order, each_block};
use super::float::Float;
use super::gemm::{MADDS_PER_UPDATE, Matrix, product};
use super::parallel::{self, ChunksMut, PerThread};
use super::patches::{Layout, Window};
use super::rows;

/// A window with filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Convolution {
    /// The window and the input's channels.
    pub window: Window,
    /// Output channels.
    pub filters: usize,
    /// Groups of channels and filters; divides both.
    pub groups: usize,
}

/// Values of gathered patches, or of their outputs, at a time: a quarter of a megabyte in f32.
const PATCH_VALUES: usize = 1 << 16;

/// Pixels at a time at least, so that reading the weights pays.
const PIXELS: usize = 96;

/// Blocks of a batch, for the sums over images: at most, and at least where their sums take much memory.
const BLOCKS: (usize, usize) = (16, 4);

/// Values of all blocks' sums from which their number falls.
const MAX_SUMS: usize = 1 << 20;

/// What [`Convolution::backward`] is to compute; empty slices where nothing is wanted.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// ∂L/∂w, shaped like the weights.
    pub weights: &'a mut [T],
    /// Whether to add to the weights' gradient, else it is overwritten.
    pub add: bool,
    /// ∂L/∂b, `[filters]`, added to.
    pub bias: &'a mut [T],
    /// ∂L/∂x, overwritten.
    pub input: &'a mut [T],
}

impl Convolution {
    /// Values of a patch within one group.
    pub fn patch(&self) -> usize {
        self.window.taps() * self.window.channels / self.groups
    }

    /// Values of the weights.
    fn weights(&self) -> usize {
        self.patch() * self.filters
    }

    /// Output rows whose patches are gathered together.
    fn rows_together(&self) -> usize {
        let pixels = (PATCH_VALUES / self.patch().max(self.filters)).max(PIXELS);
        pixels.div_ceil(self.window.width.output)
    }

    /// Working space of one thread.
    fn space(&self) -> usize {
        (self.rows_together() * self.window.width.output).saturating_mul(self.patch())
    }

    /// The work of an output row.
    fn work(&self) -> usize {
        self.window.width.output.saturating_mul(self.weights()).div_ceil(MADDS_PER_UPDATE)
    }

    fn channels(&self, group: usize) -> Range<usize> {
        let each = self.window.channels / self.groups;
        group * each..(group + 1) * each
    }

    /// The patches of some output rows as a matrix `[P, K]`, gathered into `space` if need be.
    fn patches<'a, T: Float>(
        &self,
        x: &'a [T],
        rows: Range<usize>,
        group: usize,
        space: &'a mut [T],
    ) -> Patches<'a, T> {
        let (pixels, patch) = (rows.len() * self.window.width.output, self.patch());
        let layout = self.window.layout();
        if layout == Layout::Image {
            let first = rows.start * self.window.width.output * self.window.channels + self.channels(group).start;
            return Patches { data: &x[first..], layout, stride: self.window.channels };
        }
        let space = &mut space[..pixels * patch];
        self.window.gather(x, rows, self.channels(group), space);
        Patches { data: space, layout, stride: if layout == Layout::Taps { pixels } else { patch } }
    }

    /// Threads and the space they need, in values, for [`forward`](Self::forward) of so many images.
    pub fn forward_space(&self, images: usize) -> usize {
        self.space_of(parallel::parts(images * self.window.height.output, self.work()))
    }

    fn space_of(&self, parts: usize) -> usize {
        if self.window.layout() == Layout::Image { 0 } else { parts.saturating_mul(self.space()) }
    }

    /// y = patches(x)·w, then `finish(y, z)` for a few rows of y at a time, with the same rows of `z` unless that is empty.
    pub fn forward<T: Float>(
        &self,
        x: &[T],
        w: &[T],
        y: &mut [T],
        z: &mut [T],
        space: &mut [T],
        finish: impl Fn(&mut [T], &mut [T]) + Sync,
    ) {
        let (f, patch) = (self.filters, self.patch());
        let (row, rows) = (self.window.width.output * f, self.rows_together());
        let n = y.len() / row;
        let parts = parallel::parts(n, self.work());
        let z_row = if z.is_empty() { 0 } else { row };
        let cut = (ChunksMut(y, row), ChunksMut(z, z_row), PerThread(space, self.space_of(1)));
        parallel::par_chunks(0..n, parts, cut, &|range, (y, z, space)| {
            let mut z = z.0;
            for (i, y) in y.0.chunks_mut(rows * row).enumerate() {
                let first = range.start + i * rows;
                let these = first..first + y.len() / row;
                for group in 0..self.groups {
                    let a = self.patches(x, these.clone(), group, space.0);
                    let columns = group * (f / self.groups);
                    let size = [y.len() / f, patch, f / self.groups];
                    product(size, a.matrix(), Matrix::rows(&w[columns..], f), T::zero(), &mut y[columns..], f);
                }
                let now = z.split_off_mut(..these.len() * z_row).unwrap_or_default();
                finish(y, now);
            }
        });
    }

    /// How sums over images are cut.
    fn blocks(&self, images: usize) -> Blocks {
        Blocks::of(images, (MAX_SUMS / self.weights()).clamp(BLOCKS.1, BLOCKS.0), 1)
    }

    fn backward_parts(&self, blocks: Blocks) -> usize {
        parallel::parts(blocks.count, (blocks.each * self.window.height.output).saturating_mul(self.work()))
    }

    /// Threads' space and blocks' sums, in values, that [`backward`](Self::backward) needs for so many images.
    pub fn backward_space(&self, images: usize) -> [usize; 2] {
        let blocks = self.blocks(images);
        [self.backward_parts(blocks).saturating_mul(self.space()), blocks.count * (self.weights() + self.filters)]
    }

    /// The gradients from dy: `start(dy, image range)` turns dy of a few images into dz in place, then
    /// dw += patches(x)ᵀ·dz, db += Σ rows of dz, dx = the transpose of gathering(dz·wᵀ).
    ///
    /// `turned` is w with its two axes exchanged, `[F, K]` of each group one after the other, needed for dx alone.
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Float>(
        &self,
        x: &[T],
        turned: &[T],
        dy: &mut [T],
        space: &mut [T],
        sums: &mut [T],
        start: impl Fn(&mut [T], Range<usize>) + Sync,
        gradients: Gradients<'_, T>,
    ) {
        let image = self.window.pixels() * self.filters;
        let blocks = self.blocks(dy.len() / image.max(1));
        let Gradients { weights, add, bias, input } = gradients;
        let (trained, biased) = (!weights.is_empty(), !bias.is_empty());
        let sum = self.weights() + self.filters;
        each_block(
            blocks,
            self.backward_parts(blocks),
            (dy, image),
            (input, self.window.image()),
            (&mut *sums, sum),
            (space, self.space()),
            |Block { first, dy, dx, sums, space }| {
                let (dw, db) = sums.split_at_mut(self.weights());
                db.fill(T::zero());
                dx.fill(T::zero());
                let wanted = [trained, biased, !dx.is_empty()];
                self.backward_block(x, turned, first, dy, space, &start, dw, db, dx, wanted);
            },
        );
        add_in_order(&sums[..blocks.count * sum], sum, weights, add, bias);
    }

    /// [`backward`](Self::backward) for a block of images, dw overwritten, db and dx added to.
    #[allow(clippy::too_many_arguments)]
    fn backward_block<T: Float>(
        &self,
        x: &[T],
        turned: &[T],
        first: usize,
        dy: &mut [T],
        space: &mut [T],
        start: &(impl Fn(&mut [T], Range<usize>) + Sync),
        dw: &mut [T],
        db: &mut [T],
        dx: &mut [T],
        [trained, biased, input]: [bool; 3],
    ) {
        let (f, patch, height) = (self.filters, self.patch(), self.window.height.output);
        let (row, rows) = (self.window.width.output * f, self.rows_together());
        let each = f / self.groups;
        for (i, dz) in dy.chunks_mut(rows * row).enumerate() {
            let these = first * height + i * rows..first * height + i * rows + dz.len() / row;
            let pixels = dz.len() / f;
            start(dz, these.start * row..these.end * row);
            if biased {
                rows::sum_rows_here(dz, db);
            }
            for group in 0..self.groups {
                let columns = group * each;
                let dz = Matrix::rows(&dz[columns..], f);
                if trained {
                    let a = self.patches(x, these.clone(), group, space);
                    let beta = if i == 0 { T::zero() } else { T::one() };
                    product([patch, pixels, each], a.transposed(), dz, beta, &mut dw[columns..], f);
                }
                if input {
                    let w = Matrix::rows(&turned[columns * patch..], patch);
                    if self.window.layout() == Layout::Image {
                        let at = (these.start - first * height) * self.window.width.output * self.window.channels;
                        let dx = &mut dx[at + self.channels(group).start..];
                        product([pixels, each, patch], dz, w, T::zero(), dx, self.window.channels);
                        continue;
                    }
                    let patches = &mut space[..pixels * patch];
                    product([pixels, each, patch], dz, w, T::zero(), patches, patch);
                    let skipped = (these.start / height - first) * self.window.image();
                    self.window.scatter(patches, these.clone(), self.channels(group), &mut dx[skipped..]);
                }
            }
        }
    }

    /// y = the transpose of gathering(x·wᵀ), the transposed convolution: x holds `filters` channels for each output pixel of
    /// the window, y images of its input. `turned` as for [`backward`](Self::backward); `finish` as for
    /// [`forward`](Self::forward), for whole images.
    pub fn transposed<T: Float>(
        &self,
        x: &[T],
        turned: &[T],
        y: &mut [T],
        z: &mut [T],
        space: &mut [T],
        finish: impl Fn(&mut [T], &mut [T]) + Sync,
    ) {
        let image = self.window.image();
        let images = y.len() / image.max(1);
        let (row, rows, height) =
            (self.window.width.output * self.filters, self.rows_together(), self.window.height.output);
        let parts = parallel::parts(images, height.saturating_mul(self.work()));
        let z_image = if z.is_empty() { 0 } else { image };
        let cut = (ChunksMut(y, image), ChunksMut(z, z_image), PerThread(space, self.space()));
        let w = Matrix::rows(turned, self.patch());
        parallel::par_chunks(0..images, parts, cut, &|range, (y, z, space)| {
            let mut z = z.0;
            for (i, y) in range.zip(y.0.chunks_exact_mut(image)) {
                y.fill(T::zero());
                for start in (0..height).step_by(rows) {
                    let end = (start + rows).min(height);
                    let these = i * height + start..i * height + end;
                    let pixels = these.len() * self.window.width.output;
                    let patches = &mut space.0[..pixels * self.patch()];
                    let x = Matrix::rows(&x[these.start * row..], self.filters);
                    product([pixels, self.filters, self.patch()], x, w, T::zero(), patches, self.patch());
                    self.window.scatter(patches, these, 0..self.window.channels, y);
                }
                let now = z.split_off_mut(..z_image).unwrap_or_default();
                finish(y, now);
            }
        });
    }

    /// Threads' space that [`transposed`](Self::transposed) needs for so many images.
    pub fn transposed_space(&self, images: usize) -> usize {
        let parts = parallel::parts(images, self.window.height.output.saturating_mul(self.work()));
        parts.saturating_mul(self.space())
    }

    /// w `[K, F]` with its axes exchanged: `[F, K]`, group after group as their filters stand.
    pub fn transpose_weights<T: Float>(&self, w: &[T], turned: &mut [T]) {
        let patch = self.patch();
        // A few rows at a time, so that the lines written to stay in the first-level cache.
        for (block, w) in w.chunks(self.filters * 16).enumerate() {
            for (column, to) in turned.chunks_exact_mut(patch).enumerate() {
                let to = to[block * 16..].iter_mut();
                to.zip(w[column..].iter().step_by(self.filters)).for_each(|(t, w)| *t = *w);
            }
        }
    }
}

/// Patches as they were gathered.
struct Patches<'a, T> {
    data: &'a [T],
    layout: Layout,
    stride: usize,
}

impl<'a, T> Patches<'a, T> {
    /// `[P, K]`.
    fn matrix(&self) -> Matrix<'a, T> {
        match self.layout {
            Layout::Taps => Matrix::transposed(self.data, self.stride),
            _ => Matrix::rows(self.data, self.stride),
        }
    }

    /// `[K, P]`.
    fn transposed(&self) -> Matrix<'a, T> {
        match self.layout {
            Layout::Taps => Matrix::rows(self.data, self.stride),
            _ => Matrix::transposed(self.data, self.stride),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::patches::tests::{values, windows};

    fn convolutions() -> Vec<Convolution> {
        let all = windows().into_iter().enumerate().map(|(i, window)| {
            let groups = if window.channels % 3 == 0 && i % 2 == 0 { 3 } else { 1 };
            Convolution { window, filters: 5 * groups, groups }
        });
        all.collect()
    }

    /// All patches of a group by `gather` of one row at a time, `[P, K]`.
    fn patches(c: &Convolution, x: &[f64], images: usize, group: usize) -> Vec<f64> {
        let patch = c.patch();
        let mut out = Vec::new();
        for row in 0..images * c.window.height.output {
            let mut space = vec![0.0; c.window.width.output * patch];
            let p = c.patches(x, row..row + 1, group, &mut space);
            for pixel in 0..c.window.width.output {
                for k in 0..patch {
                    let taps = p.layout == Layout::Taps;
                    out.push(p.data[if taps { k * p.stride + pixel } else { pixel * p.stride + k }]);
                }
            }
        }
        out
    }

    fn close(a: &[f64], b: &[f64], what: &str, c: &Convolution) {
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11), "{what}: {c:?}");
    }

    #[test]
    fn agrees_with_plain_sums() {
        for c in convolutions() {
            let (images, f, patch) = (5, c.filters, c.patch());
            let each = f / c.groups;
            let pixels = images * c.window.pixels();
            let x = values(images * c.window.image(), 1);
            let (w, g) = (values(patch * f, 2), values(pixels * f, 3));
            let mut y = vec![f64::NAN; pixels * f];
            let mut space = vec![f64::NAN; c.forward_space(images)];
            c.forward(&x, &w, &mut y, &mut [], &mut space, |_, _| ());
            let mut expected = vec![0.0; pixels * f];
            let (mut dw, mut dx) = (vec![0.0; patch * f], vec![0.0; x.len()]);
            for group in 0..c.groups {
                let p = patches(&c, &x, images, group);
                let mut dp = vec![0.0; p.len()];
                for (pixel, (p, dp)) in p.chunks(patch).zip(dp.chunks_mut(patch)).enumerate() {
                    for o in group * each..(group + 1) * each {
                        for k in 0..patch {
                            expected[pixel * f + o] += p[k] * w[k * f + o];
                            dw[k * f + o] += p[k] * g[pixel * f + o];
                            dp[k] += w[k * f + o] * g[pixel * f + o];
                        }
                    }
                }
                c.window.scatter(&dp, 0..images * c.window.height.output, c.channels(group), &mut dx);
            }
            close(&y, &expected, "forward", &c);

            let mut turned = vec![0.0; w.len()];
            c.transpose_weights(&w, &mut turned);
            let [space, sums] = c.backward_space(images);
            let (mut space, mut sums) = (vec![f64::NAN; space], vec![f64::NAN; sums]);
            let (mut got_w, mut got_b, mut got_x) = (vec![f64::NAN; w.len()], vec![1.0; f], vec![f64::NAN; x.len()]);
            // dz is twice what comes.
            let mut dy: Vec<f64> = g.iter().map(|g| g / 2.0).collect();
            let start = |dz: &mut [f64], range: Range<usize>| {
                assert!(dz.iter().zip(&g[range]).all(|(z, g)| 2.0 * z == *g));
                dz.iter_mut().for_each(|z| *z *= 2.0);
            };
            let gradients = Gradients { weights: &mut got_w, add: false, bias: &mut got_b, input: &mut got_x };
            c.backward(&x, &turned, &mut dy, &mut space, &mut sums, start, gradients);
            close(&got_w, &dw, "weights", &c);
            close(&got_x, &dx, "input", &c);
            let db: Vec<f64> = (0..f).map(|o| 1.0 + g.iter().skip(o).step_by(f).sum::<f64>()).collect();
            close(&got_b, &db, "bias", &c);

            if c.groups == 1 {
                let mut y = vec![f64::NAN; x.len()];
                let mut space = vec![f64::NAN; c.transposed_space(images)];
                c.transposed(&g, &turned, &mut y, &mut [], &mut space, |_, _| ());
                close(&y, &dx, "transposed", &c);
            }
        }
    }
}
