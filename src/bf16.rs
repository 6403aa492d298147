//! Numbers in bfloat16: the upper half of single precision.

use std::fmt;

/// A number in bfloat16 (bf16): sign and exponent of an `f32`, hence its range, and 8 binary digits, so that neighbours lie between 1/256 and
/// 1/128 of their size apart. Stored in two bytes; computed with as `f32`.
///
/// ```
/// use gradus::Bf16;
/// assert_eq!(Bf16::from_bits(0x3FC0).to_f32(), 1.5);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// The number of these bits.
    #[inline(always)]
    pub const fn from_bits(bits: u16) -> Self {
        Bf16(bits)
    }

    /// Its bits.
    #[inline(always)]
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// The same number in single precision.
    #[inline(always)]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }

    /// The nearest number, the one with an even last digit of two as near; beyond the largest an infinity. NaN stays NaN.
    #[inline(always)]
    pub(crate) fn nearest(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
        Bf16(if value.is_nan() { (bits >> 16) as u16 | 1 << 6 } else { rounded as u16 })
    }

    /// One of its two neighbours in bf16, the one away from zero for a part of all 2¹⁶ values of `random` that is as large as its distance from
    /// the other: with `random` drawn evenly, the mean over many draws is `value` itself (stochastic rounding).
    ///
    /// What bf16 holds stays as it is. Finite values stay finite: beyond the largest one there is that one alone. Infinities stay, NaN stays NaN.
    #[inline(always)]
    pub(crate) fn stochastic(value: f32, random: u16) -> Self {
        const INFINITE: u32 = 0x7F80_0000;
        let bits = value.to_bits();
        let (sign, size) = (bits & 0x8000_0000, bits & 0x7FFF_FFFF);
        let rounded = ((size + random as u32) >> 16).min((INFINITE >> 16) - 1);
        // A NaN whose digits all lie in the lower half would be an infinity without one in the upper half.
        let special = size >> 16 | if size > INFINITE { 1 << 6 } else { 0 };
        Bf16((sign >> 16 | if size < INFINITE { rounded } else { special }) as u16)
    }
}

impl From<Bf16> for f32 {
    fn from(value: Bf16) -> f32 {
        value.to_f32()
    }
}

impl fmt::Debug for Bf16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_f32().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bf16_holds_stays() {
        for bits in 0..=u16::MAX {
            let value = Bf16::from_bits(bits).to_f32();
            for random in [0, 1, 0x7FFF, u16::MAX] {
                let again = Bf16::stochastic(value, random);
                match value.is_nan() {
                    true => assert!(again.to_f32().is_nan()),
                    false => assert_eq!(again.to_bits(), bits),
                }
            }
        }
    }

    /// Over all values of `random`, exactly: the mean is the value, and each draw gives a neighbour.
    #[test]
    fn without_bias() {
        let values = [1.0f32 / 3.0, -0.7, 1.0039062, 1e-30, 3.1e38, 1e-41, -f32::MIN_POSITIVE * 0.3, f32::EPSILON];
        for value in values {
            let (mut sum, mut least, mut most) = (0.0f64, f32::INFINITY, f32::NEG_INFINITY);
            for random in 0..=u16::MAX {
                let rounded = Bf16::stochastic(value, random).to_f32();
                sum += f64::from(rounded);
                (least, most) = (least.min(rounded), most.max(rounded));
            }
            let mean = sum / 65536.0;
            assert!((mean / f64::from(value) - 1.0).abs() < 1e-12, "{value:e}: {mean:e}");
            let apart = Bf16::stochastic(least, 0).to_bits().abs_diff(Bf16::stochastic(most, 0).to_bits());
            assert!(least <= value && value <= most && apart <= 1, "{value:e}: {least:e} to {most:e}");
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let largest = Bf16::from_bits(0x7F7F).to_f32();
        for random in [0, 1, 0x8000, u16::MAX] {
            let of = |value| Bf16::stochastic(value, random).to_f32();
            assert_eq!((of(f32::MAX), of(f32::MIN)), (largest, -largest));
            assert_eq!((of(f32::INFINITY), of(f32::NEG_INFINITY)), (f32::INFINITY, f32::NEG_INFINITY));
            assert_eq!((of(0.0).to_bits(), of(-0.0).to_bits()), (0, 1 << 31));
            for nan in [0x7F80_0001, 0x7FFF_FFFF, 0xFF80_0001, 0xFFFF_FFFF, 0x7FC0_0000] {
                assert!(of(f32::from_bits(nan)).is_nan(), "{nan:x}");
            }
        }
    }
}
