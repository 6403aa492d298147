//! Images changed at random, so that a network sees a new version of each in every epoch.

use std::fmt;

use super::source::{Order, Source, Stretch};
use crate::error::{Error, Result};
use crate::memory;
use crate::random::{Key, Purpose};
use crate::tensor::{FREE, Float, Shape};

/// What may happen to an image `[height, width, channels]`: flips, rotation, zoom and shift (one map of the plane, with bilinear
/// interpolation), then brightness and contrast, then a square cut out. Nothing happens by default.
///
/// What is drawn for a sample follows from seed, epoch and position alone: a run with augmentation resumes exactly and is the same
/// for any number of workers.
///
/// Keras `RandomFlip`, `RandomRotation`, `RandomZoom`, `RandomTranslation`, `RandomBrightness`, `RandomContrast`; DeVries, Taylor:
/// "Improved Regularization of Convolutional Neural Networks with Cutout", 2017.
///
/// ```
/// use gradus::prelude::*;
/// let digits = digits();
/// let images = digits.x.reshape([1797, 8, 8, 1])?;
/// let augment = Augment::new().rotation(15.0).shift([0.1, 0.1]).zoom(0.1);
/// let data = Samples::new(images, digits.y)?.augment(augment, 1).shuffle(1).batch(64).prefetch(1)?;
/// assert_eq!(Dataset::<f32>::batches(&data), Some(29));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    flip_horizontal: bool,
    flip_vertical: bool,
    rotation: f64,
    zoom: f64,
    shift: [f64; 2],
    crop: usize,
    brightness: f64,
    contrast: f64,
    cutout: f64,
    range: [f64; 2],
    beyond: Beyond,
}

/// The most pixels that an image is moved by: past the sides of any picture.
const MAX_CROP: usize = 1 << 15;

/// What stands beyond the edge of an image that is turned, shifted or made smaller.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Beyond {
    /// One value.
    Constant(f64),
    /// The value at the edge.
    Edge,
    /// The image again, mirrored.
    Reflect,
}

impl Default for Augment {
    fn default() -> Self {
        Augment {
            flip_horizontal: false,
            flip_vertical: false,
            rotation: 0.0,
            zoom: 0.0,
            shift: [0.0; 2],
            crop: 0,
            brightness: 0.0,
            contrast: 0.0,
            cutout: 0.0,
            range: [0.0, 255.0],
            beyond: Beyond::Constant(0.0),
        }
    }
}

impl Augment {
    /// Nothing happens yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Left and right change places in half of the images.
    pub fn flip_horizontal(mut self) -> Self {
        self.flip_horizontal = true;
        self
    }

    /// Top and bottom change places in half of the images.
    pub fn flip_vertical(mut self) -> Self {
        self.flip_vertical = true;
        self
    }

    /// Turned about the middle by up to so many degrees, either way.
    pub fn rotation(mut self, degrees: f64) -> Self {
        self.rotation = degrees;
        self
    }

    /// Made larger or smaller by up to this part: 0.1 is a factor from 0.9 to 1.1. Below 1.
    pub fn zoom(mut self, part: f64) -> Self {
        self.zoom = part;
        self
    }

    /// Moved by up to these parts of height and width, either way.
    pub fn shift(mut self, parts: [f64; 2]) -> Self {
        self.shift = parts;
        self
    }

    /// Moved by a whole number of pixels, up to so many, either way: what padding by so many and cropping at random does.
    pub fn crop(mut self, pixels: usize) -> Self {
        self.crop = pixels;
        self
    }

    /// Made brighter or darker by up to this part of the range of values.
    pub fn brightness(mut self, part: f64) -> Self {
        self.brightness = part;
        self
    }

    /// Differences from each channel's mean made larger or smaller by up to this part.
    pub fn contrast(mut self, part: f64) -> Self {
        self.contrast = part;
        self
    }

    /// A square of this part of the shorter side is cut out at a random place, in part beyond the edge: it gets the lowest value of
    /// the range.
    pub fn cutout(mut self, part: f64) -> Self {
        self.cutout = part;
        self
    }

    /// The lowest and the highest value, 0 and 255 by default; brightness and contrast keep to them.
    pub fn value_range(mut self, range: [f64; 2]) -> Self {
        self.range = range;
        self
    }

    /// What stands beyond the edge; 0 by default.
    pub fn beyond(mut self, beyond: Beyond) -> Self {
        self.beyond = beyond;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Argument`] for a part that is negative, not finite or, where 1 is the most, larger; for a shift of more than 32,768
    /// pixels; for a range that is empty; for values that single precision does not hold.
    pub fn check(&self) -> Result<()> {
        for (name, value, most) in [
            ("rotation", self.rotation, 360.0),
            ("zoom", self.zoom, 0.999),
            ("shift", self.shift[0], 1.0),
            ("shift", self.shift[1], 1.0),
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 1.0),
            ("cutout", self.cutout, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                let hint = "0 leaves it out";
                return Err(Error::argument("Augment", name, format!("from 0 to {most}"), value, hint));
            }
        }
        if self.crop > MAX_CROP {
            let expected = format!("at most {MAX_CROP} pixels");
            return Err(Error::argument("Augment", "crop", expected, self.crop, "4 is usual for images of 32 pixels"));
        }
        let [low, high] = self.range;
        let holds = |v: f64| v.abs() <= f64::from(f32::MAX);
        if let Beyond::Constant(v) = self.beyond
            && !holds(v)
        {
            return Err(Error::argument("Augment", "beyond", "a finite number", v, "0 is the default"));
        }
        if !(holds(low) && holds(high) && low < high) {
            let got = format!("[{low}, {high}]");
            return Err(Error::argument(
                "Augment",
                "value_range",
                "two finite numbers, the lower first",
                got,
                "[0, 255]",
            ));
        }
        Ok(())
    }

    /// Changes one image `[height, width, channels]` in place; `scratch` is used as it comes.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Shape`] if `x` does not hold as many values as the sizes say.
    #[inline(never)]
    pub fn apply<T: Float>(&self, key: Key, size: [usize; 3], x: &mut [T], scratch: &mut Vec<T>) -> Result<()> {
        self.check()?;
        let [height, width, channels] = size;
        let len = Shape::from(size).checked_len("Augment")?;
        if len != x.len() {
            let expected = format!("{len} values for an image of {height} times {width} with {channels} channels");
            return Err(Error::shape("Augment", expected, x.len(), "pass [height, width, channels] of the image"));
        }
        if len == 0 {
            return Ok(());
        }
        let draw = |i: u64| 2.0 * key.unit(i) - 1.0;
        let whole = |i: u64| key.below(i, 2 * self.crop + 1) as f64 - self.crop as f64;
        let flip = |on: bool, i: u64| if on && key.bits(i) & 1 == 1 { -1.0 } else { 1.0 };
        let (angle, zoom) = (draw(0) * self.rotation.to_radians(), 1.0 + draw(1) * self.zoom);
        let shift =
            [draw(2) * self.shift[0] * height as f64 + whole(3), draw(4) * self.shift[1] * width as f64 + whole(5)];
        let flips = [flip(self.flip_vertical, 6), flip(self.flip_horizontal, 7)];
        if angle != 0.0 || zoom != 1.0 || shift != [0.0; 2] || flips != [1.0; 2] {
            scratch.clear();
            scratch.extend_from_slice(x);
            self.warp([height, width, channels], angle, zoom, shift, flips, scratch, x);
        }
        if self.brightness > 0.0 || self.contrast > 0.0 {
            let [low, high] = self.range;
            let (add, times) = (draw(8) * self.brightness * (high - low), 1.0 + draw(9) * self.contrast);
            for c in 0..channels {
                let own = || x.iter().skip(c).step_by(channels);
                let mean = own().fold(0.0, |s, v| s + v.as_f64()) / (height * width).max(1) as f64;
                for v in x.iter_mut().skip(c).step_by(channels) {
                    *v = T::of(((v.as_f64() - mean) * times + mean + add).clamp(low, high));
                }
            }
        }
        if self.cutout > 0.0 {
            let side = (self.cutout * height.min(width) as f64).round() as usize;
            let [top, left] = [(10, height), (11, width)].map(|(i, n)| key.below(i, n) as isize - side as isize / 2);
            let inside =
                |start: isize, n: usize| start.max(0) as usize..((start + side as isize).max(0) as usize).min(n);
            for y in inside(top, height) {
                for x in x[y * width * channels..].chunks_exact_mut(channels).take(width).enumerate() {
                    if inside(left, width).contains(&x.0) {
                        x.1.fill(T::of(self.range[0]));
                    }
                }
            }
        }
        Ok(())
    }

    /// y(p) = x(q), q the point that flips, rotation, zoom and shift take to p.
    #[allow(clippy::too_many_arguments)]
    fn warp<T: Float>(
        &self,
        [height, width, channels]: [usize; 3],
        angle: f64,
        zoom: f64,
        shift: [f64; 2],
        flips: [f64; 2],
        from: &[T],
        to: &mut [T],
    ) {
        let (sin, cos) = (angle.sin() / zoom, angle.cos() / zoom);
        let middle = [(height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0];
        for (pixel, to) in to.chunks_exact_mut(channels).enumerate() {
            let v = (pixel / width) as f64 - middle[0] - shift[0];
            let u = (pixel % width) as f64 - middle[1] - shift[1];
            let y = flips[0] * (cos * v - sin * u) + middle[0];
            let x = flips[1] * (sin * v + cos * u) + middle[1];
            let (top, left) = (y.floor(), x.floor());
            let (down, right) = (y - top, x - left);
            let weights = [(1.0 - down) * (1.0 - right), (1.0 - down) * right, down * (1.0 - right), down * right];
            for (c, to) in to.iter_mut().enumerate() {
                let mut sum = 0.0;
                for (i, weight) in weights.into_iter().enumerate().filter(|(_, w)| *w != 0.0) {
                    let place = [top as isize + (i / 2) as isize, left as isize + (i % 2) as isize];
                    sum += weight * self.value(from, [height, width, channels], place, c);
                }
                *to = T::of(sum);
            }
        }
    }

    /// The value at a place, which may lie beyond the edge.
    fn value<T: Float>(&self, x: &[T], [height, width, channels]: [usize; 3], place: [isize; 2], c: usize) -> f64 {
        let at = |place: isize, n: usize| {
            let last = n as isize - 1;
            match self.beyond {
                Beyond::Constant(_) => (0..=last).contains(&place).then_some(place as usize),
                Beyond::Edge => Some(place.clamp(0, last) as usize),
                Beyond::Reflect => {
                    let there = place.rem_euclid(2 * n as isize);
                    Some(there.min(2 * n as isize - 1 - there) as usize)
                }
            }
        };
        match (at(place[0], height), at(place[1], width), self.beyond) {
            (Some(y), Some(column), _) => x[(y * width + column) * channels + c].as_f64(),
            (_, _, Beyond::Constant(value)) => value,
            _ => 0.0,
        }
    }
}

/// Images of a source changed at random; see [`Source::augment`].
#[derive(Clone)]
pub struct Augmented<S> {
    source: S,
    augment: Augment,
    seed: u64,
}

impl<S> Augmented<S> {
    pub(crate) fn new(source: S, augment: Augment, seed: u64) -> Self {
        Augmented { source, augment, seed }
    }

    /// Height, width and channels of an image, if the settings can work.
    fn size<T: Float>(&self) -> Result<[usize; 3]>
    where
        S: Source<T>,
    {
        self.augment.check()?;
        let shapes = self.source.all_shapes().0;
        let [shape] = shapes[..] else {
            let got = format!("{} inputs a sample", shapes.len());
            return Err(Error::shape(
                "Augment",
                "one image a sample",
                got,
                "augment the images, then zip with the rest",
            ));
        };
        image_size(shape)
    }
}

/// Height, width and channels.
fn image_size(shape: Shape) -> Result<[usize; 3]> {
    shape.dims().try_into().map_err(|_| {
        let hint = "give samples three axes, 1 channel for grey images";
        Error::shape("Augment", "images [height, width, channels]", shape, hint)
    })
}

impl<S: fmt::Debug> fmt::Debug for Augmented<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.augment({:?}, {})", self.source, self.augment, self.seed)
    }
}

impl<T: Float, S: Source<T>> Source<T> for Augmented<S> {
    fn shapes(&self) -> (Shape, Shape) {
        self.source.shapes()
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        self.source.all_shapes()
    }

    fn shapes_at(&self, epoch: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        self.source.shapes_at(epoch, position, shapes)
    }

    fn samples(&self) -> Option<usize> {
        self.source.samples()
    }

    fn read(&self, epoch: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let mut size = self.size()?;
        if size.contains(&FREE) {
            let mut shapes = Vec::new();
            self.source.shapes_at(epoch, first, &mut shapes)?;
            size = image_size(shapes.first().copied().unwrap_or_default())?;
        }
        self.source.read(epoch, first, x, y)?;
        let key = Key::new(self.seed, Purpose::Augment).with(epoch as u64);
        let mut scratch = Vec::new();
        memory::reserve("augment", "a sample of the source", &mut scratch, size.iter().product())?;
        for (i, x, _) in Stretch::new(self.shapes(), x.len(), y.len()).each(x, y) {
            self.augment.apply(key.with((first + i) as u64), size, x, &mut scratch)?;
        }
        Ok(())
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        self.source.read_targets(first, y)
    }

    fn order(&self) -> Order {
        self.source.order()
    }

    fn check(&self) -> Result<()> {
        self.source.check()?;
        self.size().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Samples;
    use crate::tensor::Tensor;

    const SIZES: [usize; 3] = [3, 4, 2];

    fn image() -> Vec<f64> {
        (0..24).map(f64::from).collect()
    }

    fn warped(augment: &Augment, angle: f64, zoom: f64, shift: [f64; 2], flips: [f64; 2]) -> Vec<f64> {
        let mut to = vec![f64::NAN; 24];
        augment.warp(SIZES, angle, zoom, shift, flips, &image(), &mut to);
        to
    }

    #[test]
    fn flips_shifts_and_turns() {
        let plain = Augment::new();
        let flipped = warped(&plain, 0.0, 1.0, [0.0; 2], [1.0, -1.0]);
        assert_eq!(flipped[..8], [6.0, 7.0, 4.0, 5.0, 2.0, 3.0, 0.0, 1.0]);
        let down = warped(&plain, 0.0, 1.0, [1.0, 0.0], [1.0; 2]);
        assert_eq!(down[..8], [0.0; 8]);
        assert_eq!(down[8..], image()[..16]);
        let edge = warped(&plain.clone().beyond(Beyond::Edge), 0.0, 1.0, [2.0, 0.0], [1.0; 2]);
        assert_eq!(edge[8..16], image()[..8]);
        let mirrored = warped(&plain.clone().beyond(Beyond::Reflect), 0.0, 1.0, [0.0, -1.0], [1.0; 2]);
        assert_eq!(mirrored[..8], [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 6.0, 7.0]);
        // Half a turn is both flips.
        let turned = warped(&plain, std::f64::consts::PI, 1.0, [0.0; 2], [1.0; 2]);
        let both = warped(&plain, 0.0, 1.0, [0.0; 2], [-1.0; 2]);
        assert!(turned.iter().zip(&both).all(|(a, b)| (a - b).abs() < 1e-9), "{turned:?}");
        // Halfway between two pixels is their mean.
        let half = warped(&plain, 0.0, 1.0, [0.0, 0.5], [1.0; 2]);
        assert_eq!(half[2..4], [1.0, 2.0]);
    }

    #[test]
    fn values_keep_to_their_range_and_squares_are_cut_out() {
        let augment = Augment::new().brightness(1.0).contrast(1.0).value_range([0.0, 23.0]);
        let key = Key::new(1, Purpose::Augment);
        for i in 0..50 {
            let mut x = image();
            augment.apply(key.with(i), SIZES, &mut x, &mut Vec::new()).unwrap();
            assert!(x.iter().all(|v| (0.0..=23.0).contains(v)));
        }
        let augment = Augment::new().cutout(0.5).value_range([-1.0, 1.0]);
        let mut counts = Vec::new();
        for i in 0..50 {
            let mut x = vec![0.5; 10 * 12 * 3];
            augment.apply(key.with(i), [10, 12, 3], &mut x, &mut Vec::new()).unwrap();
            counts.push(x.iter().filter(|v| **v == -1.0).count());
        }
        assert!(counts.iter().all(|n| n % 3 == 0 && (3 * 4..=3 * 25).contains(n)), "{counts:?}");
        assert!(counts.contains(&75));
    }

    #[test]
    fn by_seed_epoch_and_position_alone() {
        let x = Tensor::from_fn([20, 8, 8, 1], |i| (i * 37 % 101) as f32);
        let augment =
            Augment::new().rotation(20.0).zoom(0.2).shift([0.1, 0.2]).crop(1).flip_horizontal().brightness(0.1);
        let source = Samples::new(x.clone(), Tensor::zeros([20])).unwrap().augment(augment, 3);
        let read = |epoch, first, n: usize| {
            let (mut x, mut y) = (vec![0.0; 64 * n], vec![0.0; n]);
            source.read(epoch, first, &mut x, &mut y).unwrap();
            x
        };
        let all = read(0, 0, 20);
        assert_ne!(all, x.as_slice());
        assert_eq!(read(0, 7, 2), all[7 * 64..9 * 64]);
        assert_ne!(read(1, 0, 20), all);
        let nothing = Samples::new(x.clone(), Tensor::zeros([20])).unwrap().augment(Augment::new(), 3);
        let (mut same, mut y) = (vec![0.0; 64 * 20], vec![0.0; 20]);
        nothing.read(0, 0, &mut same, &mut y).unwrap();
        assert_eq!(same, x.as_slice());
    }

    #[test]
    fn impossible_settings() {
        for (augment, what) in [
            (Augment::new().rotation(-1.0), "rotation must be from 0 to 360"),
            (Augment::new().zoom(1.0), "zoom"),
            (Augment::new().shift([0.1, f64::NAN]), "shift"),
            (Augment::new().cutout(2.0), "cutout"),
            (Augment::new().value_range([1.0, 0.0]), "value_range"),
            (Augment::new().value_range([-1e308, 1e308]), "value_range"),
            (Augment::new().crop(usize::MAX), "crop must be at most 32768 pixels"),
            (Augment::new().crop(1 << 63), "crop"),
            (Augment::new().beyond(Beyond::Constant(f64::NAN)), "beyond"),
        ] {
            let error = augment.check().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let apply = |size, x: &mut [f32]| {
            Augment::new().crop(1 << 15).apply(Key::new(1, Purpose::Data), size, x, &mut Vec::new())
        };
        for size in [[2, 2, 1], [usize::MAX, 2, 2], [1 << 32, 1 << 32, 1], [0, 1, 3]] {
            assert!(apply(size, &mut [1.0; 3]).unwrap_err().is_shape(), "{size:?}");
        }
        assert!(apply([0, 4, 3], &mut []).is_ok() && apply([1, 3, 1], &mut [1.0; 3]).is_ok());
        let flat = Samples::new(Tensor::<f32>::zeros([2, 64]), Tensor::zeros([2])).unwrap().augment(Augment::new(), 1);
        let error = flat.read(0, 0, &mut [0.0; 64], &mut [0.0]).unwrap_err().to_string();
        assert!(error.contains("images [height, width, channels], got [64]"), "{error}");
    }
}
