//! Convolutions of 3×3 taps by Winograd's minimal filtering F(4×4, 3×3): a quarter of the multiplications.
//!
//! A tile of 4×4 outputs comes from 6×6 inputs d and the taps g of each pair of channel and filter: with the matrices below
//! y = Aᵀ·[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A. The products ⊙, summed over channels, are 36 matrix products, one for each point of the
//! tile. The gradients are the transposes of the same steps: with ŷ = A·dy·Aᵀ and x̂ = Bᵀ·d·B, dg = Gᵀ·[x̂ᵀ·ŷ]·G and
//! dd = B·[ŷ·ĝᵀ]·Bᵀ, added up where tiles overlap.
//!
//! Lavin, Gray: "Fast Algorithms for Convolutional Neural Networks", 2015. Rounding errors are some ten times those of plain
//! sums, about 10⁻⁶ of the largest output in f32.

use std::ops::Range;

use super::blocks::{Block, Blocks, add_in_order, each_block};
use super::convolution::Gradients;
use super::float::Float;
use super::gemm::{MADDS_PER_UPDATE, Matrix, product};
use super::parallel::{self, PerThread, SplitMut};
use super::patches::Window;
use super::rows;
use super::simd::{self, Loop};

/// Outputs of a tile along an axis, and points of its transform.
const OUT: usize = 4;
const POINTS: usize = 6;
const ALL: usize = POINTS * POINTS;

/// Channels that are transformed together.
const LANES: usize = 16;

/// Values of the transformed tiles that are worked on together, half a megabyte in f32.
const SPACE_VALUES: usize = 1 << 17;

/// Blocks of a batch, for the sums over images, and values of all blocks' sums that lead to fewer.
const MAX_BLOCKS: usize = 8;
const MIN_BLOCKS: usize = 4;
const MAX_SUMS: usize = 1 << 20;

/// The points at which polynomials are multiplied are 0, ±a, ±b and ∞, with a² = ½ and b² = 2: a third of the rounding errors of the
/// usual ±1 and ±2, as no factor grows large.
const A: f64 = std::f64::consts::FRAC_1_SQRT_2;
const B: f64 = std::f64::consts::SQRT_2;
/// a²·b² is 1; this is a² + b².
const SUM: f64 = 2.5;

/// Bᵀ·d: what 6 inputs become. The rows are the coefficients of x⁴ − (a² + b²)·x² + 1 for the point 0, of that times x for ∞,
/// and for a point p of that times x / (x − p).
#[inline(always)]
fn input<T: Float>(d: [T; 6]) -> [T; 6] {
    let [a, b, sum, half, two] = [A, B, SUM, 0.5, 2.0].map(T::of);
    let (near, near_odd) = (d[4] - two * d[2], a * d[3] - b * d[1]);
    let (far, far_odd) = (d[4] - half * d[2], b * d[3] - a * d[1]);
    [
        (d[0] + d[4]) - sum * d[2],
        near + near_odd,
        near - near_odd,
        far + far_odd,
        far - far_odd,
        (d[1] + d[5]) - sum * d[3],
    ]
}

/// B·p, the transpose.
#[inline(always)]
fn input_back<T: Float>(p: [T; 6]) -> [T; 6] {
    let [a, b, sum, half, two] = [A, B, SUM, 0.5, 2.0].map(T::of);
    let (near, near_odd) = (p[1] + p[2], p[1] - p[2]);
    let (far, far_odd) = (p[3] + p[4], p[3] - p[4]);
    [
        p[0],
        p[5] - (b * near_odd + a * far_odd),
        -(sum * p[0] + two * near + half * far),
        (a * near_odd + b * far_odd) - sum * p[5],
        p[0] + near + far,
        p[5],
    ]
}

/// Aᵀ·p: 4 outputs from 6 points, the powers 0 to 3 of the points.
#[inline(always)]
fn output<T: Float>(p: [T; 6]) -> [T; 4] {
    let [a, b, half, two, a3, b3] = [A, B, 0.5, 2.0, A / 2.0, B * 2.0].map(T::of);
    let (near, near_odd) = (p[1] + p[2], p[1] - p[2]);
    let (far, far_odd) = (p[3] + p[4], p[3] - p[4]);
    [p[0] + near + far, a * near_odd + b * far_odd, half * near + two * far, a3 * near_odd + b3 * far_odd + p[5]]
}

/// A·y, the transpose.
#[inline(always)]
fn output_back<T: Float>(y: [T; 4]) -> [T; 6] {
    let [a, b, half, two, a3, b3] = [A, B, 0.5, 2.0, A / 2.0, B * 2.0].map(T::of);
    let (near, near_odd) = (y[0] + half * y[2], a * y[1] + a3 * y[3]);
    let (far, far_odd) = (y[0] + two * y[2], b * y[1] + b3 * y[3]);
    [y[0], near + near_odd, near - near_odd, far + far_odd, far - far_odd, y[3]]
}

/// 1 / the product of the differences of a point to the others: 2a²(a² − b²) = −3/2 and 2b²(b² − a²) = 6.
const NEAR: f64 = -1.0 / 1.5;
const FAR: f64 = 1.0 / 6.0;

/// G·g: what 3 taps become.
#[inline(always)]
fn taps<T: Float>(g: [T; 3]) -> [T; 6] {
    let [near, far, near_odd, far_odd, half, two] = [NEAR, FAR, NEAR * A, FAR * B, 0.5, 2.0].map(T::of);
    let (near, near_odd) = (near * (g[0] + half * g[2]), near_odd * g[1]);
    let (far, far_odd) = (far * (g[0] + two * g[2]), far_odd * g[1]);
    [g[0], near + near_odd, near - near_odd, far + far_odd, far - far_odd, g[2]]
}

/// Gᵀ·p, the transpose.
#[inline(always)]
fn taps_back<T: Float>(p: [T; 6]) -> [T; 3] {
    let [near, far, near_odd, far_odd, half, two] = [NEAR, FAR, NEAR * A, FAR * B, 0.5, 2.0].map(T::of);
    let (one, three) = (near * (p[1] + p[2]), far * (p[3] + p[4]));
    [p[0] + one + three, near_odd * (p[1] - p[2]) + far_odd * (p[3] - p[4]), half * one + two * three + p[5]]
}

type Lane<T> = [T; LANES];

/// f along both axes of `LANES` squares of N×N values: `from(i)` gives row i, `to(m, j, values)` takes each of M×M results, and
/// `half` is what stands between.
#[inline(always)]
fn both_axes<'a, T: Float, const N: usize, const M: usize>(
    from: impl Fn(usize) -> [&'a Lane<T>; N],
    half: &mut [[Lane<T>; M]; N],
    f: impl Fn([T; N]) -> [T; M],
    mut to: impl FnMut(usize, usize, &Lane<T>),
) {
    for (i, half) in half.iter_mut().enumerate() {
        let from = from(i);
        for l in 0..LANES {
            let new = f(std::array::from_fn(|i| from[i][l]));
            for m in 0..M {
                half[m][l] = new[m];
            }
        }
    }
    #[allow(clippy::needless_range_loop)]
    for j in 0..M {
        let mut lanes = [[T::zero(); LANES]; M];
        for l in 0..LANES {
            let new = f(std::array::from_fn(|i| half[i][j][l]));
            for m in 0..M {
                lanes[m][l] = new[m];
            }
        }
        for (m, lane) in lanes.iter().enumerate() {
            to(m, j, lane);
        }
    }
}

/// The lane at a place of a slice that is long enough.
#[inline(always)]
fn lane<T: Float>(from: &[T], at: usize) -> &Lane<T> {
    from[at..at + LANES].first_chunk().unwrap_or_else(|| unreachable!())
}

#[inline(always)]
fn put<T: Float>(lane: &Lane<T>, to: &mut [T], at: usize) {
    to[at..at + LANES].copy_from_slice(lane);
}

/// A convolution of 3×3 taps with strides, dilation and groups of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Winograd {
    window: Window,
    filters: usize,
    /// Tiles along the height and the width.
    tiles: [usize; 2],
}

impl Winograd {
    /// The convolution, where this way of computing it pays.
    pub fn new(window: Window, filters: usize, groups: usize) -> Option<Self> {
        let plain = [window.height, window.width].iter().all(|a| [a.kernel, a.stride, a.dilation] == [3, 1, 1]);
        if !plain || groups != 1 || window.channels < LANES || filters < LANES {
            return None;
        }
        let tiles = [window.height.output.div_ceil(OUT), window.width.output.div_ceil(OUT)];
        // The weights of one tile an image take longer to be transformed, and to be read, than the tiles save.
        if tiles == [1, 1] {
            return None;
        }
        // At the edges a tile computes outputs that nobody wants.
        let products = tiles[0] * tiles[1] * ALL;
        (3 * products <= 2 * 9 * window.pixels()).then_some(Winograd { window, filters, tiles })
    }

    /// Values of the transformed weights.
    pub fn weights(&self) -> usize {
        ALL * self.window.channels * self.filters
    }

    /// Rows of tiles that are worked on together.
    fn strips_together(&self) -> usize {
        let strip = ALL * self.tiles[1] * (self.window.channels + self.filters);
        (SPACE_VALUES / strip).max(1)
    }

    /// From one point to the next in so many transformed tiles: an odd number of lines, so that points do not crowd each other
    /// out of the cache.
    fn point(tiles: usize, channels: usize) -> usize {
        ((tiles * padded(channels) / LANES) | 1) * LANES
    }

    /// Values of the transformed inputs and outputs of the tiles that are worked on together.
    fn spaces(&self) -> [usize; 2] {
        let tiles = self.strips_together() * self.tiles[1];
        [self.window.channels, self.filters].map(|channels| ALL * Self::point(tiles, channels))
    }

    /// The work of a row of tiles.
    fn work(&self) -> usize {
        let products = ALL * self.tiles[1] * self.window.channels * self.filters;
        products / MADDS_PER_UPDATE + 2 * ALL * self.tiles[1] * (self.window.channels + self.filters)
    }

    fn forward_parts(&self, images: usize) -> usize {
        parallel::parts(images * self.tiles[0], self.work())
    }

    /// Working space of [`forward`](Self::forward), in values.
    pub fn forward_space(&self, images: usize) -> usize {
        self.forward_parts(images) * self.spaces().iter().sum::<usize>()
    }

    /// Values that [`transform_both`](Self::transform_both) writes: both forms, and space to turn the weights in.
    pub fn both(&self) -> usize {
        2 * self.weights() + 9 * self.window.channels * self.filters
    }

    /// ĝ `[points, channels, filters]` from the weights `[3, 3, channels, filters]`.
    pub fn transform<T: Float>(&self, w: &[T], points: &mut [T]) {
        let size = self.window.channels * self.filters;
        let lanes = size / LANES;
        let mut rest = points;
        let planes = std::array::from_fn(|_| rest.split_off_mut(..size).unwrap_or_default());
        let cut = Planes { planes, lanes };
        parallel::par_chunks(0..lanes, parallel::parts(lanes, 2 * ALL * LANES), cut, &|range, cut| {
            simd::run(Weights { size, w, first: range.start * LANES, planes: cut.planes });
        });
    }

    /// The same with channels and filters exchanged; `points` holds both, the exchanged ones behind the others.
    pub fn transform_both<T: Float>(&self, w: &[T], points: &mut [T]) {
        let (plain, rest) = points.split_at_mut(self.weights());
        let (turned, exchanged) = rest.split_at_mut(self.weights());
        let (c, f) = (self.window.channels, self.filters);
        // Nine numbers of each pair are exchanged in the place of 36.
        parallel::rows(&mut exchanged[..9 * c * f], c * f, 4 * c * f, |first, exchanged| {
            for (from, to) in w[first * c * f..].chunks_exact(c * f).zip(exchanged.chunks_exact_mut(c * f)) {
                // A few filters at a time, so that the lines read stay in the first-level cache.
                for (block, to) in to.chunks_mut(LANES * c).enumerate() {
                    for channel in 0..c {
                        let from = &from[channel * f + block * LANES..(channel + 1) * f];
                        to[channel..].iter_mut().step_by(c).zip(from).for_each(|(t, s)| *t = *s);
                    }
                }
            }
        });
        self.transform(w, plain);
        self.transform(exchanged, turned);
    }

    /// y from x and ĝ, then `finish(y, z)` for a few rows at a time, with the same rows of `z` unless that is empty.
    pub fn forward<T: Float>(
        &self,
        x: &[T],
        points: &[T],
        y: &mut [T],
        z: &mut [T],
        space: &mut [T],
        finish: impl Fn(&mut [T], &mut [T]) + Sync,
    ) {
        let (c, f) = (self.window.channels, self.filters);
        let strips = y.len() / (self.window.pixels() * f).max(1) * self.tiles[0];
        let spaces = self.spaces();
        let cut = (Strips::of(self, y), Strips::of(self, z), PerThread(space, spaces.iter().sum()));
        let parts = parallel::parts(strips, self.work());
        parallel::par_chunks(0..strips, parts, cut, &|range, (mut y, mut z, space)| {
            let (inputs, outputs) = space.0.split_at_mut(spaces[0]);
            let mut first = range.start;
            while first < range.end {
                let these = first..range.end.min(first + self.strips_together());
                first = these.end;
                let tiles = these.len() * self.tiles[1];
                let [from, to] = [c, f].map(|channels| Self::point(tiles, channels));
                simd::run(Inputs { of: self, x, strips: these.clone(), points: inputs });
                for p in 0..ALL {
                    let (a, w) = (Matrix::rows(&inputs[p * from..], padded(c)), Matrix::rows(&points[p * c * f..], f));
                    product([tiles, c, f], a, w, T::zero(), &mut outputs[p * to..], padded(f));
                }
                let (now, later) = y.split(these.len(), 0);
                simd::run(Outputs { of: self, points: outputs, strips: these.clone(), y: &mut *now.data });
                let (kept, rest) = z.split(these.len(), 0);
                finish(now.data, kept.data);
                (y, z) = (later, rest);
            }
        });
    }

    /// How sums over images are cut: into fewer blocks where there are many weights, as each block writes products for all of them.
    fn blocks(&self, images: usize) -> Blocks {
        let weights = 9 * self.window.channels * self.filters;
        Blocks::of(images, (MAX_SUMS / weights).clamp(MIN_BLOCKS, MAX_BLOCKS), 1)
    }

    fn backward_parts(&self, blocks: Blocks) -> usize {
        parallel::parts(blocks.count, 2 * blocks.each * self.tiles[0] * self.work())
    }

    /// Values of a part's working space and of a block's sums.
    fn backward_sizes(&self) -> [usize; 2] {
        let weights = 9 * self.window.channels * self.filters;
        [self.spaces().iter().sum::<usize>() + self.weights(), weights + self.filters]
    }

    /// Working space and blocks' sums, in values, that [`backward`](Self::backward) needs for so many images.
    pub fn backward_space(&self, images: usize) -> [usize; 2] {
        let [space, sum] = self.backward_sizes();
        let blocks = self.blocks(images);
        [self.backward_parts(blocks) * space, blocks.count * sum]
    }

    /// The gradients from dy; as [`Convolution::backward`](super::convolution::Convolution::backward), with `points` from
    /// [`transform_both`](Self::transform_both).
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Float>(
        &self,
        x: &[T],
        points: &[T],
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
        let [space_size, sum] = self.backward_sizes();
        let turned = points.get(self.weights()..).unwrap_or(&[]);
        each_block(
            blocks,
            self.backward_parts(blocks),
            (dy, image),
            (input, self.window.image()),
            (&mut *sums, sum),
            (space, space_size),
            |Block { first, dy, dx, sums, space }| {
                sums.fill(T::zero());
                self.backward_block(x, turned, first, dy, space, &start, sums, dx, [trained, biased]);
            },
        );
        add_in_order(&sums[..blocks.count * sum], sum, weights, add, bias);
    }

    /// [`backward`](Self::backward) for a block of images, whose sums are zero before.
    #[allow(clippy::too_many_arguments)]
    fn backward_block<T: Float>(
        &self,
        x: &[T],
        turned: &[T],
        first: usize,
        dy: &mut [T],
        space: &mut [T],
        start: &(impl Fn(&mut [T], Range<usize>) + Sync),
        sums: &mut [T],
        dx: &mut [T],
        [trained, biased]: [bool; 2],
    ) {
        let (c, f) = (self.window.channels, self.filters);
        let [inputs, outputs] = self.spaces();
        let (inputs, rest) = space.split_at_mut(inputs);
        let (outputs, products) = rest.split_at_mut(outputs);
        let (dw, db) = sums.split_at_mut(9 * c * f);
        let image = self.window.pixels() * f;
        let all = first * self.tiles[0]..(first + dy.len() / image) * self.tiles[0];
        let mut dy = Strips { of: self, data: dy, first: all.start };
        let mut strip = all.start;
        while strip < all.end {
            let these = strip..all.end.min(strip + self.strips_together());
            let tiles = these.len() * self.tiles[1];
            let [from, to] = [c, f].map(|channels| Self::point(tiles, channels));
            let at = self.position(these.start);
            let (now, later) = dy.split(these.len(), 0);
            let dz = now.data;
            dy = later;
            start(dz, at..at + dz.len());
            if biased {
                rows::sum_rows_here(dz, db);
            }
            simd::run(OutputsBack { of: self, dz, strips: these.clone(), points: outputs });
            if trained {
                simd::run(Inputs { of: self, x, strips: these.clone(), points: inputs });
                let beta = if strip == all.start { T::zero() } else { T::one() };
                for p in 0..ALL {
                    let a = Matrix::transposed(&inputs[p * from..], padded(c));
                    let b = Matrix::rows(&outputs[p * to..], padded(f));
                    product([c, tiles, f], a, b, beta, &mut products[p * c * f..], f);
                }
            }
            if !dx.is_empty() {
                for p in 0..ALL {
                    let (a, w) = (Matrix::rows(&outputs[p * to..], padded(f)), Matrix::rows(&turned[p * c * f..], c));
                    product([tiles, f, c], a, w, T::zero(), &mut inputs[p * from..], padded(c));
                }
                simd::run(InputsBack { of: self, points: inputs, strips: these.clone(), first, dx });
            }
            strip = these.end;
        }
        if trained {
            simd::run(WeightsBack { size: c * f, points: products, dw });
        }
    }

    /// The first value of a row of tiles in y.
    fn position(&self, strip: usize) -> usize {
        let row = self.window.width.output * self.filters;
        let down = (strip % self.tiles[0] * OUT).min(self.window.height.output);
        (strip / self.tiles[0] * self.window.height.output + down) * row
    }

    /// Image, row and column (in tiles) of the tiles in some rows of tiles.
    #[inline(always)]
    fn each(&self, strips: Range<usize>) -> impl Iterator<Item = (usize, usize, usize)> {
        let [tall, wide] = self.tiles;
        strips.flat_map(move |strip| (0..wide).map(move |x| (strip / tall, strip % tall, x)))
    }
}

/// The rows of y that belong to rows of tiles, from one of them on; none for any where there is no data.
struct Strips<'a, T> {
    of: &'a Winograd,
    data: &'a mut [T],
    first: usize,
}

impl<'a, T> Strips<'a, T> {
    fn of(of: &'a Winograd, data: &'a mut [T]) -> Self {
        Strips { of, data, first: 0 }
    }
}

impl<T: Send> SplitMut for Strips<'_, T> {
    fn split(self, items: usize, _: usize) -> (Self, Self) {
        let Strips { of, data, first } = self;
        let middle = (of.position(first + items) - of.position(first)).min(data.len());
        let (a, b) = data.split_at_mut(middle);
        (Strips { of, data: a, first }, Strips { of, data: b, first: first + items })
    }
}

/// A few channels of an image's pixels, as lanes: those that are there are read where they stand.
struct Pixels<T> {
    zeros: Lane<T>,
    /// The last channels, where they are fewer than a lane, of each pixel.
    part: [[Lane<T>; POINTS]; POINTS],
}

impl<T: Float> Pixels<T> {
    fn new() -> Self {
        Pixels { zeros: [T::zero(); LANES], part: [[[T::zero(); LANES]; POINTS]; POINTS] }
    }

    /// Copies the channels of pixels that fill no lane; `at` gives the place of a pixel.
    #[inline(always)]
    fn fill(&mut self, from: &[T], n: usize, size: usize, at: impl Fn(usize, usize) -> Option<usize>) {
        for (i, row) in self.part.iter_mut().enumerate().take(size) {
            for (j, part) in row.iter_mut().enumerate().take(size) {
                match at(i, j) {
                    Some(at) => part.iter_mut().zip(&from[at..at + n]).for_each(|(p, f)| *p = *f),
                    None => *part = self.zeros,
                }
            }
        }
    }
}

struct Inputs<'a, T> {
    of: &'a Winograd,
    x: &'a [T],
    strips: Range<usize>,
    points: &'a mut [T],
}

impl<T: Float> Loop for Inputs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Inputs { of, x, strips, points } = self;
        let (w, c, wide) = (&of.window, of.window.channels, padded(of.window.channels));
        let point = Winograd::point(strips.len() * of.tiles[1], c);
        let (mut pixels, mut half) = (Pixels::new(), [[[T::zero(); LANES]; POINTS]; POINTS]);
        for (tile, (image, ty, tx)) in of.each(strips).enumerate() {
            // The pixels that the next row of tiles reads first, which may be those of the next image.
            let below = (ty + 1) * OUT + (POINTS - OUT) - w.height.before.min(POINTS - OUT);
            for i in 0..OUT {
                let at = image * w.image() + ((below + i) * w.width.input + tx * OUT) * c;
                simd::fetch(x, at..at + OUT * c);
            }
            let x = &x[image * w.image()..][..w.image()];
            let rows: [_; POINTS] = std::array::from_fn(|i| w.height.at(ty * OUT, i));
            let columns: [_; POINTS] = std::array::from_fn(|j| w.width.at(tx * OUT, j));
            for first in (0..c).step_by(LANES) {
                let place = |i: usize, j: usize| Some((rows[i]? * w.width.input + columns[j]?) * c + first);
                let to = tile * wide + first;
                let store = |m: usize, j: usize, values: &Lane<T>| put(values, points, (m * POINTS + j) * point + to);
                if first + LANES <= c {
                    let zeros = &pixels.zeros;
                    let row = |i| std::array::from_fn(|j| place(i, j).map_or(zeros, |at| lane(x, at)));
                    both_axes(row, &mut half, input, store);
                } else {
                    pixels.fill(x, c - first, POINTS, place);
                    both_axes(|i| pixels.part[i].each_ref(), &mut half, input, store);
                }
            }
        }
    }
}

struct Outputs<'a, T> {
    of: &'a Winograd,
    points: &'a [T],
    strips: Range<usize>,
    /// The rows of y that belong to the tiles.
    y: &'a mut [T],
}

impl<T: Float> Loop for Outputs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Outputs { of, points, strips, y } = self;
        let (w, f, broad) = (&of.window, of.filters, padded(of.filters));
        let point = Winograd::point(strips.len() * of.tiles[1], f);
        let origin = of.position(strips.start);
        let mut half = [[[T::zero(); LANES]; OUT]; POINTS];
        for (tile, (image, ty, tx)) in of.each(strips).enumerate() {
            let (tall, wide) = (w.height.output - ty * OUT, w.width.output - tx * OUT);
            let pixel = (image * w.height.output + ty * OUT) * w.width.output + tx * OUT;
            for first in (0..f).step_by(LANES) {
                let from = tile * broad + first;
                let row = |i| std::array::from_fn(|j| lane(points, (i * POINTS + j) * point + from));
                let n = LANES.min(f - first);
                both_axes(row, &mut half, output, |m, j, values| {
                    if m < tall && j < wide {
                        let at = (pixel + m * w.width.output + j) * f - origin + first;
                        if n == LANES {
                            put(values, y, at);
                        } else {
                            y[at..at + n].iter_mut().zip(values).for_each(|(y, v)| *y = *v);
                        }
                    }
                });
            }
        }
    }
}

struct OutputsBack<'a, T> {
    of: &'a Winograd,
    /// The rows of dz that belong to the tiles.
    dz: &'a [T],
    strips: Range<usize>,
    points: &'a mut [T],
}

impl<T: Float> Loop for OutputsBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let OutputsBack { of, dz, strips, points } = self;
        let (w, f, broad) = (&of.window, of.filters, padded(of.filters));
        let point = Winograd::point(strips.len() * of.tiles[1], f);
        let origin = of.position(strips.start);
        let (mut pixels, mut half) = (Pixels::new(), [[[T::zero(); LANES]; POINTS]; OUT]);
        for (tile, (image, ty, tx)) in of.each(strips).enumerate() {
            let (tall, wide) = (w.height.output - ty * OUT, w.width.output - tx * OUT);
            let pixel = (image * w.height.output + ty * OUT) * w.width.output + tx * OUT;
            // The pixels of the next row of tiles.
            for i in OUT..2 * OUT {
                let at = (pixel + i * w.width.output) * f - origin;
                simd::fetch(dz, at..at + OUT * f);
            }
            for first in (0..f).step_by(LANES) {
                let place = |i: usize, j: usize| {
                    (i < tall && j < wide).then(|| (pixel + i * w.width.output + j) * f - origin + first)
                };
                let to = tile * broad + first;
                let store = |m: usize, j: usize, values: &Lane<T>| put(values, points, (m * POINTS + j) * point + to);
                if first + LANES <= f {
                    let zeros = &pixels.zeros;
                    let row = |i| std::array::from_fn(|j| place(i, j).map_or(zeros, |at| lane(dz, at)));
                    both_axes(row, &mut half, output_back, store);
                } else {
                    pixels.fill(dz, f - first, OUT, place);
                    both_axes(|i| std::array::from_fn(|j| &pixels.part[i][j]), &mut half, output_back, store);
                }
            }
        }
    }
}

struct InputsBack<'a, T> {
    of: &'a Winograd,
    points: &'a [T],
    strips: Range<usize>,
    /// The image that dx begins with.
    first: usize,
    dx: &'a mut [T],
}

impl<T: Float> Loop for InputsBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let InputsBack { of, points, strips, first: image_of_dx, dx } = self;
        let (w, c, wide) = (&of.window, of.window.channels, padded(of.window.channels));
        let point = Winograd::point(strips.len() * of.tiles[1], c);
        let (mut half, mut out) = ([[[T::zero(); LANES]; POINTS]; POINTS], [[[T::zero(); LANES]; POINTS]; POINTS]);
        for (tile, (image, ty, tx)) in of.each(strips).enumerate() {
            let dx = &mut dx[(image - image_of_dx) * w.image()..][..w.image()];
            let rows: [_; POINTS] = std::array::from_fn(|i| w.height.at(ty * OUT, i));
            let columns: [_; POINTS] = std::array::from_fn(|j| w.width.at(tx * OUT, j));
            for first in (0..c).step_by(LANES) {
                let from = tile * wide + first;
                let row = |i| std::array::from_fn(|j| lane(points, (i * POINTS + j) * point + from));
                // A closure that does more would not become part of this loop.
                both_axes(row, &mut half, input_back, |m, j, values| out[m][j] = *values);
                let n = LANES.min(c - first);
                for (i, (y, out)) in rows.iter().zip(&out).enumerate() {
                    for (j, (x, values)) in columns.iter().zip(out).enumerate() {
                        let Some((y, x)) = y.zip(*x) else { continue };
                        let at = (y * w.width.input + x) * c + first;
                        // Where no tile above or on the left has been, what dx held is of no account.
                        let new = (ty == 0 || i >= POINTS - OUT) && (tx == 0 || j >= POINTS - OUT);
                        match (new, n == LANES) {
                            (true, true) => dx[at..at + LANES].copy_from_slice(values),
                            (true, false) => dx[at..at + n].iter_mut().zip(values).for_each(|(d, v)| *d = *v),
                            (false, true) => dx[at..at + LANES].iter_mut().zip(values).for_each(|(d, v)| *d += *v),
                            (false, false) => dx[at..at + n].iter_mut().zip(values).for_each(|(d, v)| *d += *v),
                        }
                    }
                }
            }
        }
    }
}

/// Values of each point for some lanes of weights; the last lane has what is left too.
struct Planes<'a, T> {
    planes: [&'a mut [T]; ALL],
    lanes: usize,
}

impl<T: Send> SplitMut for Planes<'_, T> {
    fn split(self, items: usize, _: usize) -> (Self, Self) {
        let mut rest = self.planes;
        let at = if items == self.lanes { rest[0].len() } else { items * LANES };
        let planes = rest.each_mut().map(|plane| plane.split_off_mut(..at).unwrap_or_default());
        (Planes { planes, lanes: items }, Planes { planes: rest, lanes: self.lanes - items })
    }
}

struct Weights<'a, T> {
    /// Channels times filters.
    size: usize,
    w: &'a [T],
    /// The first of the weights that are transformed.
    first: usize,
    planes: [&'a mut [T]; ALL],
}

impl<T: Float> Loop for Weights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Weights { size, w, first, mut planes } = self;
        let mut half = [[[T::zero(); LANES]; POINTS]; 3];
        for at in starts(planes[0].len()) {
            let row = |i| std::array::from_fn(|j| lane(w, (i * 3 + j) * size + first + at));
            both_axes(row, &mut half, taps, |m, j, values| put(values, planes[m * POINTS + j], at));
        }
    }
}

struct WeightsBack<'a, T> {
    size: usize,
    points: &'a [T],
    dw: &'a mut [T],
}

impl<T: Float> Loop for WeightsBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let WeightsBack { size, points, dw } = self;
        let mut half = [[[T::zero(); LANES]; 3]; POINTS];
        for first in starts(size) {
            let row = |i| std::array::from_fn(|j| lane(points, (i * POINTS + j) * size + first));
            both_axes(row, &mut half, taps_back, |m, j, values| put(values, dw, (m * 3 + j) * size + first));
        }
    }
}

/// Where lanes begin that cover so many values, at least one lane's; the last may overlap the one before.
fn starts(size: usize) -> impl Iterator<Item = usize> {
    (0..size).step_by(LANES).map(move |first| first.min(size - LANES))
}

/// Channels of a tile in points, filled up to whole lanes so that points are always read and written by lanes.
fn padded(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::convolution::Convolution;
    use crate::kernels::patches::Axis;
    use crate::kernels::patches::tests::values;

    fn axis(input: usize, before: usize, after: usize) -> Axis {
        Axis { input, output: input + before + after - 2, kernel: 3, stride: 1, dilation: 1, before }
    }

    /// Against plain products, forward and backward, in f64.
    #[test]
    fn agrees_with_products() {
        for (height, width, channels, filters) in [
            (axis(8, 1, 1), axis(8, 1, 1), 16, 16),
            (axis(13, 0, 0), axis(13, 0, 0), 17, 33),
            (axis(6, 1, 1), axis(30, 1, 1), 32, 16),
            (axis(9, 0, 2), axis(7, 2, 0), 19, 40),
        ] {
            let window = Window { height, width, channels };
            let fast = Winograd::new(window, filters, 1).unwrap();
            let plain = Convolution { window, filters, groups: 1 };
            for images in [1, 3, 11] {
                let x = values(images * window.image(), 1);
                let (w, g) = (values(9 * channels * filters, 2), values(images * window.pixels() * filters, 3));
                let (mut y, mut expected) = (vec![f64::NAN; g.len()], vec![f64::NAN; g.len()]);
                let mut z = y.clone();
                let mut points = vec![f64::NAN; fast.both()];
                fast.transform_both(&w, &mut points);
                let mut space = vec![f64::NAN; fast.forward_space(images)];
                fast.forward(&x, &points, &mut y, &mut z, &mut space, |y, z| z.copy_from_slice(y));
                let mut space = vec![f64::NAN; plain.forward_space(images)];
                plain.forward(&x, &w, &mut expected, &mut [], &mut space, |_, _| ());
                let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10);
                assert!(close(&y, &expected) && y == z, "{height:?} {width:?}");

                let mut turned = vec![0.0; w.len()];
                plain.transpose_weights(&w, &mut turned);
                let gradients = |fast_one: bool| {
                    let (mut dw, mut db, mut dx) = (vec![1.0; w.len()], vec![2.0; filters], vec![f64::NAN; x.len()]);
                    let wanted = Gradients { weights: &mut dw, add: true, bias: &mut db, input: &mut dx };
                    let mut dy: Vec<f64> = g.iter().map(|g| g / 2.0).collect();
                    let start = |dz: &mut [f64], range: Range<usize>| {
                        assert!(dz.iter().zip(&g[range]).all(|(z, g)| 2.0 * z == *g));
                        dz.iter_mut().for_each(|z| *z *= 2.0);
                    };
                    let [space, sums] =
                        if fast_one { fast.backward_space(images) } else { plain.backward_space(images) };
                    let (mut space, mut sums) = (vec![f64::NAN; space], vec![f64::NAN; sums]);
                    if fast_one {
                        fast.backward(&x, &points, &mut dy, &mut space, &mut sums, start, wanted);
                    } else {
                        plain.backward(&x, &turned, &mut dy, &mut space, &mut sums, start, wanted);
                    }
                    [dw, db, dx]
                };
                for (a, b) in gradients(true).iter().zip(&gradients(false)) {
                    assert!(close(a, b), "{height:?} {width:?} {images}");
                }
            }
        }
    }

    #[test]
    fn only_where_it_pays() {
        let window = |axis: Axis, channels| Window { height: axis, width: axis, channels };
        assert!(Winograd::new(window(axis(8, 1, 1), 16), 16, 1).is_some());
        assert!(Winograd::new(window(axis(8, 1, 1), 16), 16, 2).is_none());
        assert!(Winograd::new(window(axis(8, 1, 1), 3), 16, 1).is_none());
        assert!(Winograd::new(window(axis(2, 1, 1), 16), 16, 1).is_none());
        assert!(Winograd::new(window(Axis { stride: 2, ..axis(8, 1, 1) }, 16), 16, 1).is_none());
    }

    /// In single precision, errors stay near 10⁻⁶ of the largest value.
    #[test]
    fn rounding_in_single_precision() {
        let window = Window { height: axis(16, 1, 1), width: axis(16, 1, 1), channels: 64 };
        let fast = Winograd::new(window, 64, 1).unwrap();
        let (x, w) = (values(window.image(), 1), values(9 * 64 * 64, 2));
        let single = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let (mut y, mut exact) = (vec![0f32; window.pixels() * 64], vec![0f64; window.pixels() * 64]);
        let mut points = vec![0f32; fast.weights()];
        fast.transform(&single(&w), &mut points);
        fast.forward(&single(&x), &points, &mut y, &mut [], &mut vec![0.0; fast.forward_space(1)], |_, _| ());
        let plain = Convolution { window, filters: 64, groups: 1 };
        let [x, w] = [x, w].map(|v| single(&v).into_iter().map(f64::from).collect::<Vec<f64>>());
        plain.forward(&x, &w, &mut exact, &mut [], &mut vec![0.0; plain.forward_space(1)], |_, _| ());
        let largest = exact.iter().fold(0f64, |m, v| m.max(v.abs()));
        let worst = y.iter().zip(&exact).fold(0f64, |m, (y, e)| m.max((f64::from(*y) - e).abs()));
        assert!(worst / largest < 3e-6, "{}", worst / largest);
    }
}
