//! Random numbers keyed by what they are for, never by call order.
//!
//! A [`Key`] is a 64-bit hash of (seed, purpose, parameter or layer, step, row …); its stream is SplitMix64 in counter
//! form, so any element can be drawn on any thread. Steele, Lea, Flood: "Fast Splittable Pseudorandom Number
//! Generators", OOPSLA 2014.

use std::convert::Infallible;

use rand::TryRng;

/// What random numbers are drawn for; part of every [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights.
    Init = 1,
    /// The order of samples in an epoch.
    Shuffle = 2,
    /// Noise that a layer draws in training (dropout, Gaussian noise).
    Layer = 3,
    /// Splitting data into parts.
    Split = 4,
    /// Test data and examples.
    Data = 5,
    /// Changing samples at random on their way to the model.
    Augment = 6,
    /// Exchanging features between samples, to see what a model makes of them.
    Permutation = 7,
    /// Choosing settings to try.
    Search = 8,
    /// Drawing the tokens of a text that is generated.
    Generation = 9,
    /// Rounding numbers that are stored in less precision than they are computed with.
    Rounding = 10,
}

/// Where a stream of random numbers starts.
///
/// ```
/// use gradus::random::{Key, Purpose};
/// let key = Key::new(7, Purpose::Data).with(3);
/// assert_eq!(key.unit(0), Key::new(7, Purpose::Data).with(3).unit(0));
/// assert_ne!(key.unit(0), key.unit(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64: every input bit reaches every output bit.
#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Key {
    /// The root of all draws of one seed for one purpose.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Key(mix(seed.wrapping_add(GOLDEN))).with(purpose as u64)
    }

    /// The key of a part: a parameter, a step, a row.
    #[inline(always)]
    #[must_use]
    pub fn with(self, part: u64) -> Self {
        Key(mix(self.0 ^ mix(part.wrapping_add(GOLDEN))))
    }

    /// The 64 random bits at position `i` of this key's stream.
    #[inline(always)]
    pub fn bits(self, i: u64) -> u64 {
        mix(self.0.wrapping_add(i.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// A number in [0, 1) at position `i`, on a grid of 2⁻⁵³.
    #[inline(always)]
    pub fn unit(self, i: u64) -> f64 {
        (self.bits(i) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A whole number below `n` at position `i` (0 if `n` is 0); bias below 2⁻⁶⁴·n.
    #[inline(always)]
    pub fn below(self, i: u64, n: usize) -> usize {
        ((u128::from(self.bits(i)) * n as u128) >> 64) as usize
    }

    /// The stream as a generator for `rand` and `rand_distr`.
    pub fn rng(self) -> KeyedRng {
        KeyedRng { key: self, next: 0 }
    }

    /// A permutation of `0..n` (Fisher and Yates), written into `order`.
    pub fn permutation(self, n: usize, order: &mut Vec<usize>) {
        order.clear();
        order.extend(0..n);
        for i in (1..n).rev() {
            order.swap(i, self.below(i as u64, i + 1));
        }
    }
}

/// A key's stream, drawn in order: a generator for `rand` and `rand_distr`.
#[derive(Clone, Debug)]
pub struct KeyedRng {
    key: Key,
    next: u64,
}

impl TryRng for KeyedRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let bits = self.key.bits(self.next);
        self.next += 1;
        Ok(bits)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_uniform_and_distinct() {
        let key = Key::new(1, Purpose::Data);
        let mean = (0..10_000).map(|i| key.unit(i)).sum::<f64>() / 1e4;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert_ne!(key.bits(0), Key::new(1, Purpose::Init).bits(0));
        assert_ne!(key.with(0).bits(0), key.with(1).bits(0));
        assert!((0..1000).all(|i| key.below(i, 7) < 7));
    }

    #[test]
    fn a_permutation_holds_every_position_once() {
        let mut order = Vec::new();
        Key::new(3, Purpose::Shuffle).permutation(101, &mut order);
        assert_ne!(order, (0..101).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..101).collect::<Vec<_>>());
    }
}
