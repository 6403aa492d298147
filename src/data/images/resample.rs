//! Pictures of bytes in another size, as Pillow makes them.
//!
//! Up to its version 12: later ones go along columns first in some sizes, by which bytes differ in their last bit, and more beside sharp edges.

use crate::error::{Error, Result};
use crate::memory;
use crate::tensor::Shape;

/// How a new pixel follows from those near it. The numbers are Pillow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resampling {
    Nearest = 0,
    Lanczos = 1,
    Bilinear = 2,
    Bicubic = 3,
    Box = 4,
    Hamming = 5,
}

impl Resampling {
    /// The one of a number.
    pub(crate) fn of_number(number: usize) -> Option<Self> {
        use Resampling::{Bicubic, Bilinear, Box, Hamming, Lanczos, Nearest};
        [Nearest, Lanczos, Bilinear, Bicubic, Box, Hamming].get(number).copied()
    }

    /// How far a pixel reaches, in pixels of the smaller picture.
    fn support(self) -> f64 {
        match self {
            Resampling::Nearest => 0.0,
            Resampling::Box => 0.5,
            Resampling::Bilinear | Resampling::Hamming => 1.0,
            Resampling::Bicubic => 2.0,
            Resampling::Lanczos => 3.0,
        }
    }

    /// The weight of a pixel at a distance.
    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
        let far = x.abs();
        match self {
            Resampling::Nearest => 0.0,
            Resampling::Box => f64::from(x > -0.5 && x <= 0.5),
            Resampling::Bilinear => (1.0 - far).max(0.0),
            Resampling::Hamming if far < 1.0 => sinc(far) * (0.54 + 0.46 * (std::f64::consts::PI * far).cos()),
            // a = −1/2, Keys: "Cubic convolution interpolation for digital image processing", 1981.
            Resampling::Bicubic if far < 1.0 => (1.5 * far - 2.5) * far * far + 1.0,
            Resampling::Bicubic if far < 2.0 => (((far - 5.0) * far + 8.0) * far - 4.0) * -0.5,
            Resampling::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// Bits behind the point of a weight: 8 of a pixel and 2 for sums beyond 255 stay of 32.
const BITS: u32 = 22;

/// The most bytes of a picture on the way.
const MAX_BYTES: usize = 1 << 28;

/// Where the pixels begin that a new one follows from, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i64>,
}

/// The taps of every new position along one side.
fn taps(from: usize, to: usize, how: Resampling) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let reach = how.support() * wide;
    let position = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        // Whole parts: what lies before the picture is cut off.
        let first = (center - reach + 0.5).max(0.0) as usize;
        let end = ((center + reach + 0.5) as usize).min(from).max(first);
        let weights: Vec<f64> = (first..end).map(|x| how.weight((x as f64 - center + 0.5) * (1.0 / wide))).collect();
        let sum: f64 = weights.iter().sum();
        let sum = if sum == 0.0 { 1.0 } else { sum };
        let rounded = |w: f64| (w / sum * f64::from(1 << BITS) + if w / sum < 0.0 { -0.5 } else { 0.5 }) as i64;
        Taps { first, weights: weights.into_iter().map(rounded).collect() }
    };
    (0..to).map(position).collect()
}

/// A sum of weighted bytes as a byte.
fn byte(sum: i64) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Pixels `[height, width, channels]` as a picture of another size, byte for byte as Pillow's `Image.resize` for grey and RGB: along rows first, then
/// along columns, weights in fixed point, bytes in between; a smaller picture is a mean over all of the larger one's pixels.
pub(crate) fn resample(
    pixels: &[u8],
    [height, width]: [usize; 2],
    channels: usize,
    size: [usize; 2],
    how: Resampling,
) -> Result<Vec<u8>> {
    const OP: &str = "resize";
    let [rows, columns] = size;
    let len = |height: usize| height.saturating_mul(columns).saturating_mul(channels);
    if len(height).max(len(rows)) > MAX_BYTES {
        let got = format!("{height} by {width} pixels, to become {rows} by {columns}");
        return Err(Error::argument(
            OP,
            "size",
            format!("of at most {MAX_BYTES} bytes"),
            got,
            "make one of them smaller",
        ));
    }
    let what = format!("a picture of shape {}", Shape::from([rows, columns, channels]));
    let room = |n: usize| memory::filled(OP, format_args!("{what}"), n, 0u8);
    if how == Resampling::Nearest {
        let [down, across] = [(height, rows), (width, columns)].map(|(from, to)| nearest(from, to));
        let mut out = room(len(rows))?;
        for (out, y) in out.chunks_exact_mut((columns * channels).max(1)).zip(down) {
            for (out, x) in out.chunks_exact_mut(channels).zip(&across) {
                out.copy_from_slice(&pixels[(y * width + x) * channels..][..channels]);
            }
        }
        return Ok(out);
    }
    let half = 1i64 << (BITS - 1);
    let mut wide = room(len(height))?;
    if width == columns {
        wide.copy_from_slice(pixels);
    } else {
        let taps = taps(width, columns, how);
        let each = wide.chunks_exact_mut(columns * channels).zip(pixels.chunks_exact(width * channels));
        for (out, row) in each {
            for (out, taps) in out.chunks_exact_mut(channels).zip(&taps) {
                for (c, out) in out.iter_mut().enumerate() {
                    let values = row[taps.first * channels + c..].iter().step_by(channels);
                    *out = byte(values.zip(&taps.weights).fold(half, |sum, (v, w)| sum + i64::from(*v) * w));
                }
            }
        }
    }
    if height == rows {
        return Ok(wide);
    }
    let (mut out, mut sums) = (room(len(rows))?, vec![0i64; columns * channels]);
    for (out, taps) in out.chunks_exact_mut(columns * channels).zip(taps(height, rows, how)) {
        sums.fill(half);
        let below = wide.chunks_exact(columns * channels).skip(taps.first);
        for (row, w) in below.zip(&taps.weights) {
            sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += i64::from(*v) * w);
        }
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = byte(*sum));
    }
    Ok(out)
}

/// The position that each new one is taken from: the middle of a new pixel, step by step.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let scale = from as f64 / to as f64;
    let mut at = 0.5 * scale;
    let next = |_| {
        let here = (at as usize).min(from.saturating_sub(1));
        at += scale;
        here
    };
    (0..to).map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Height, width and channels; the new height and width; the number, and the bytes.
    type Case = ([usize; 3], [usize; 2], usize, &'static [u8]);

    /// A picture without a pattern.
    fn picture(height: usize, width: usize, channels: usize) -> Vec<u8> {
        (0..height * width * channels).map(|i| (i * i * 31 + i * 17) as u8).collect()
    }

    #[test]
    fn bytes_of_pillow() {
        // Pillow 12.0.0: Image.fromarray(x).resize((width, height), resample=number)
        let small: [Case; 12] = [
            ([5, 7, 1], [3, 4], 0, &[0, 158, 52, 194, 170, 16, 110, 196, 204, 250, 32, 62]),
            ([5, 7, 1], [3, 4], 1, &[46, 130, 84, 112, 112, 44, 127, 160, 173, 160, 67, 57]),
            ([5, 7, 1], [3, 4], 2, &[54, 117, 88, 114, 111, 68, 113, 153, 168, 160, 72, 57]),
            ([5, 7, 1], [3, 4], 3, &[48, 123, 87, 115, 113, 55, 118, 160, 172, 161, 69, 55]),
            ([5, 7, 1], [3, 4], 4, &[56, 134, 75, 108, 116, 24, 110, 223, 156, 150, 60, 62]),
            ([5, 7, 1], [3, 4], 5, &[47, 125, 82, 122, 120, 52, 106, 177, 173, 178, 66, 54]),
            (
                [4, 3, 3],
                [2, 5],
                0,
                &[
                    104, 198, 98, 104, 198, 98, 60, 84, 170, 62, 16, 32, 62, 16, 32, 18, 204, 196, 18, 204, 196, 250,
                    110, 32, 16, 62, 170, 16, 62, 170,
                ],
            ),
            (
                [4, 3, 3],
                [2, 5],
                1,
                &[
                    64, 140, 129, 60, 110, 144, 74, 58, 141, 113, 54, 86, 135, 66, 49, 60, 243, 195, 138, 181, 153,
                    214, 68, 102, 114, 48, 124, 28, 70, 156,
                ],
            ),
            (
                [4, 3, 3],
                [2, 5],
                2,
                &[
                    60, 141, 138, 71, 109, 136, 87, 61, 134, 108, 62, 93, 122, 63, 66, 70, 223, 182, 123, 160, 150,
                    203, 67, 102, 113, 67, 126, 53, 67, 142,
                ],
            ),
            (
                [4, 3, 3],
                [2, 5],
                3,
                &[
                    61, 140, 134, 64, 109, 138, 77, 60, 137, 110, 59, 87, 131, 63, 53, 60, 237, 192, 128, 173, 154,
                    213, 67, 100, 112, 60, 127, 36, 67, 151,
                ],
            ),
            (
                [4, 3, 3],
                [2, 5],
                4,
                &[
                    52, 123, 128, 52, 123, 128, 67, 68, 131, 128, 59, 52, 128, 59, 52, 64, 227, 196, 64, 227, 196, 227,
                    64, 91, 52, 75, 160, 52, 75, 160,
                ],
            ),
            (
                [4, 3, 3],
                [2, 5],
                5,
                &[
                    54, 128, 131, 60, 111, 131, 72, 66, 132, 111, 62, 77, 126, 60, 56, 66, 226, 192, 109, 181, 165,
                    220, 65, 94, 99, 70, 138, 52, 73, 155,
                ],
            ),
        ];
        for ([height, width, channels], size, number, expected) in small {
            let how = Resampling::of_number(number).unwrap();
            let own = resample(&picture(height, width, channels), [height, width], channels, size, how).unwrap();
            assert_eq!(own, expected, "{how:?} {height} {width}");
        }
        // Of larger ones s ← 1000003·s + byte.
        let large: [([usize; 3], [usize; 2], [u64; 6]); 4] = [
            (
                [61, 83, 3],
                [24, 24],
                [
                    0x5a2ff675893d9970,
                    0x9ba633e8e036db2,
                    0x9cbebf7d88540eab,
                    0x3d236ac4a6e53e04,
                    0xbe78fe09f44847c3,
                    0x8bca760a5d12e4a,
                ],
            ),
            (
                [37, 20, 1],
                [50, 61],
                [
                    0xad35e351e9fbe4e0,
                    0xb1ce753602961a48,
                    0xa0b37c6c8938a940,
                    0xb927879460428882,
                    0xad35e351e9fbe4e0,
                    0xc10a4c774396e162,
                ],
            ),
            (
                [300, 200, 3],
                [224, 224],
                [
                    0x7418aa1a673cfa00,
                    0x7120a7544607f146,
                    0xb4b9f38c5558d7cb,
                    0x2b0b2f6611775961,
                    0x569767fb5da88b80,
                    0x8121598acd76e61c,
                ],
            ),
            (
                [9, 400, 3],
                [16, 16],
                [
                    0xe75c0aacd4c7ef00,
                    0x721fe558a9340b68,
                    0x42d940abd4c00f43,
                    0xe8dbb8fb6b4768f0,
                    0xa1fe0d83d10ca158,
                    0x7b9e1b51438970c,
                ],
            ),
        ];
        for ([height, width, channels], size, expected) in large {
            for (number, expected) in expected.into_iter().enumerate() {
                let how = Resampling::of_number(number).unwrap();
                let own = resample(&picture(height, width, channels), [height, width], channels, size, how).unwrap();
                let sum = own.iter().fold(0u64, |sum, v| sum.wrapping_mul(1_000_003).wrapping_add(u64::from(*v)));
                assert_eq!(sum, expected, "{how:?} {height} {width}");
            }
        }
    }

    #[test]
    fn sizes_that_stay_or_are_too_large() {
        let x = picture(3, 4, 3);
        for number in 0..6 {
            let how = Resampling::of_number(number).unwrap();
            assert_eq!(resample(&x, [3, 4], 3, [3, 4], how).unwrap(), x);
            assert!(resample(&x, [3, 4], 3, [1 << 15, 1 << 15], how).is_err());
            assert_eq!(resample(&[7; 12], [3, 4], 1, [5, 2], how).unwrap(), [7; 10]);
        }
        assert_eq!(Resampling::of_number(6), None);
    }
}
