//! Numbers in half precision (IEEE 754's binary16) from and to single precision, without branches, so that loops over them are vectorised.

/// The number of these bits, exactly; NaN stays NaN.
#[inline(always)]
pub fn widen(bits: u16) -> f32 {
    let size = u32::from(bits & 0x7FFF);
    // Below 2⁻¹⁴ the bits count units of 2⁻²⁴, which is what they do behind 1/2 in single precision.
    let small = (f32::from_bits(0x3F00_0000 | size) - 0.5).to_bits();
    let large = (size << 13) + if size < 0x7C00 { 112 << 23 } else { 224 << 23 };
    f32::from_bits(if size < 0x400 { small } else { large } | u32::from(bits & 0x8000) << 16)
}

/// The nearest number in half precision, the one with an even last digit of two as near; from 65520 on an infinity. NaN stays NaN.
#[inline(always)]
pub fn narrow(value: f32) -> u16 {
    const INFINITE: u32 = 0x7F80_0000;
    let (bits, sign) = (value.to_bits() & 0x7FFF_FFFF, (value.to_bits() >> 16) as u16 & 0x8000);
    // Adding 1/2 rounds to units of 2⁻²⁴.
    let small = (f32::from_bits(bits) + 0.5).to_bits().wrapping_sub(0x3F00_0000);
    let rounded = bits.wrapping_add(0xFFF + (bits >> 13 & 1));
    let large = (rounded.wrapping_sub(112 << 23) >> 13).min(0x7C00);
    let finite = if bits < 0x3880_0000 { small } else { large };
    sign | if bits > INFINITE { 0x7E00 } else { finite as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number as its parts say it.
    fn number(bits: u16) -> f64 {
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        let size = match exponent {
            0 => fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            e => (1.0 + fraction / 1024.0) * 2f64.powi(e - 15),
        };
        if bits >> 15 == 1 { -size } else { size }
    }

    #[test]
    fn every_number() {
        for bits in 0..=u16::MAX {
            let (got, expected) = (widen(bits), number(bits));
            if expected.is_nan() {
                assert!(got.is_nan() && widen(narrow(got)).is_nan(), "{bits:x}");
            } else {
                assert_eq!(f64::from(got).to_bits(), expected.to_bits(), "{bits:x}");
                assert_eq!(narrow(got), bits);
            }
        }
    }

    /// Between two neighbours, the middle goes to the even one, and what lies beside it to the nearer one.
    #[test]
    fn rounding() {
        for bits in 0..0x7C00 {
            let (low, high) = (number(bits), if bits == 0x7BFF { 65536.0 } else { number(bits + 1) });
            let middle = ((low + high) / 2.0) as f32;
            assert_eq!(f64::from(middle), (low + high) / 2.0);
            let even = bits + bits % 2;
            for (value, expected) in [(middle.next_down(), bits), (middle, even), (middle.next_up(), bits + 1)] {
                assert_eq!((narrow(value), narrow(-value)), (expected, expected | 0x8000), "{value:e}");
            }
        }
        assert_eq!([65519.996, 65520.0, 1e10, f32::INFINITY].map(narrow), [0x7BFF, 0x7C00, 0x7C00, 0x7C00]);
        assert_eq!([0.0, -0.0, 1e-40, -f32::MIN_POSITIVE].map(narrow), [0, 0x8000, 0, 0x8000]);
    }
}
