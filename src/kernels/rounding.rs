//! Loops between numbers that are computed with and numbers that are stored in bf16.
//!
//! Rounding is stochastic: plain rounding to 8 digits would lose a change of a thousandth, which is what a mean with a decay of 0.999 makes in
//! a step, every time. Gupta et al.: "Deep Learning with Limited Numerical Precision", 2015.

use super::float::Float;
use super::random::Key;
use super::simd::{self, Loop};
use crate::bf16::Bf16;

/// The numbers that are stored, to compute with.
pub fn widen<T: Float>(from: &[Bf16], to: &mut [T]) {
    simd::vectorised(|| {
        for (to, from) in to.iter_mut().zip(from) {
            *to = T::of(f64::from(from.to_f32()));
        }
    });
}

/// Stores up to two numbers for each of some places, rounded stochastically; `first` is the first place, and the second slices may be empty.
///
/// What is drawn for a place depends on it and the key alone. Both numbers of a place take a half of the same 32 bits.
pub fn round<T: Float>(from: [&[T]; 2], to: [&mut [Bf16]; 2], key: Key, first: usize) {
    // Past 2³² places there is another key.
    let draw = Draw::new(key.with(first as u64 >> 32));
    simd::run(Round { from, to, draw, first: first as u32 });
}

/// [`round`] as a loop.
struct Round<'a, T> {
    from: [&'a [T]; 2],
    to: [&'a mut [Bf16]; 2],
    draw: Draw,
    first: u32,
}

impl<T: Float> Loop for Round<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Round { from: [a, b], to: [x, y], draw, first } = self;
        if y.is_empty() {
            for (i, (x, a)) in x.iter_mut().zip(a).enumerate() {
                *x = Bf16::stochastic(a.as_f64() as f32, draw.at(first.wrapping_add(i as u32)) as u16);
            }
            return;
        }
        for (i, (((x, a), y), b)) in x.iter_mut().zip(a).zip(y).zip(b).enumerate() {
            let bits = draw.at(first.wrapping_add(i as u32));
            *x = Bf16::stochastic(a.as_f64() as f32, bits as u16);
            *y = Bf16::stochastic(b.as_f64() as f32, (bits >> 16) as u16);
        }
    }
}

/// 32 random bits for each of 2³² places, in 32-bit steps that vector registers have: MurmurHash3's last mixing (Appleby, 2011) of the place,
/// with a word of the key before it and one within.
#[derive(Clone, Copy)]
struct Draw([u32; 2]);

impl Draw {
    fn new(key: Key) -> Self {
        let bits = key.bits(0);
        Draw([bits as u32, (bits >> 32) as u32])
    }

    #[inline(always)]
    fn at(self, place: u32) -> u32 {
        let mut x = place ^ self.0[0];
        x = (x ^ x >> 16).wrapping_mul(0x85EB_CA6B) ^ self.0[1];
        x = (x ^ x >> 13).wrapping_mul(0xC2B2_AE35);
        x ^ x >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;

    fn key(step: u64) -> Key {
        Key::new(7, Purpose::Rounding).with(step)
    }

    #[test]
    fn stored_numbers_come_back() {
        let stored: Vec<Bf16> = (0..1001).map(|i| Bf16::from_bits(0x3F00 + i)).collect();
        let mut wide = vec![0.0f32; 1001];
        widen(&stored, &mut wide);
        assert!(wide.iter().zip(&stored).all(|(w, s)| *w == s.to_f32()));
        let mut again = vec![Bf16::default(); 1001];
        round([&wide, &[]], [&mut again, &mut []], key(0), 5);
        assert_eq!(again, stored);
    }

    /// The mean over places, and over keys at one place, is the number; both halves of the bits are as good, and know nothing of each other.
    #[test]
    fn without_bias() {
        // A tenth and a third of the way from 1 to its neighbour 1 + 2⁻⁷.
        let (n, ulp) = (100_000, 2f64.powi(-7));
        let (one, other) = (1.0 + 0.1 * ulp, -1.0 - ulp / 3.0);
        let check = |x: &[Bf16], y: &[Bf16], what: &str| {
            let ups = |stored: &[Bf16]| -> Vec<f64> {
                stored.iter().map(|v| (f64::from(v.to_f32().abs()) - 1.0) / ulp).collect()
            };
            let (x, y) = (ups(x), ups(y));
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let both: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x * y).collect();
            // Five standard deviations of a mean of so many draws.
            for (got, p) in [(mean(&x), 0.1), (mean(&y), 1.0 / 3.0), (mean(&both), 0.1 / 3.0)] {
                let bound = 5.0 * (p * (1.0 - p) / x.len() as f64).sqrt();
                assert!((got - p).abs() < bound, "{what}: {got}, expected {p}");
            }
        };
        let [mut x, mut y] = [(); 2].map(|()| vec![Bf16::default(); n]);
        let (a, b) = (vec![one as f32; n], vec![other as f32; n]);
        for first in [0, 12345, (1 << 32) - 50_000, 1 << 40] {
            round([&a, &b], [&mut x, &mut y], key(1), first);
            check(&x, &y, &format!("places from {first}"));
        }
        for (i, (x, y)) in x.iter_mut().zip(&mut y).enumerate() {
            let to = [std::slice::from_mut(x), std::slice::from_mut(y)];
            round([&a[..1], &b[..1]], to, key(i as u64), 77);
        }
        check(&x, &y, "keys");
    }

    /// Wherever a slice begins and whether there is a second number: a place has its own bits.
    #[test]
    fn a_place_decides() {
        let n = 700;
        let values: Vec<f32> = (0..n).map(|i| (1.0 + i as f32).ln()).collect();
        let mut whole = vec![Bf16::default(); n];
        let mut second = whole.clone();
        round([&values, &values], [&mut whole, &mut second], key(3), 1000);
        for cut in [1, 255, 256, 333] {
            let mut parts = vec![Bf16::default(); n];
            let (head, tail) = parts.split_at_mut(cut);
            round([&values[..cut], &[]], [head, &mut []], key(3), 1000);
            round([&values[cut..], &[]], [tail, &mut []], key(3), 1000 + cut);
            assert_eq!(parts, whole);
        }
        let mut other = vec![Bf16::default(); n];
        round([&values, &[]], [&mut other, &mut []], key(4), 1000);
        assert!(other != whole && second != whole);
    }
}
