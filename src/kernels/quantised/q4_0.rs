//! Q4_0: 32 values as a scale d in half precision and 32 whole numbers q from 0 to 15; x = d·(q − 8). Byte i holds q of value i in its lower half,
//! and q of value i + 16 in its upper half.

use super::super::half::{narrow, widen};
use super::inverse::inverse;

/// Values of a block.
pub const VALUES: usize = 32;

/// Bytes of a block.
pub const BYTES: usize = 2 + VALUES / 2;

/// The values of a block.
#[inline(always)]
pub fn decode(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let d = widen(u16::from_le_bytes([block[0], block[1]]));
    let (low, high) = out.split_at_mut(VALUES / 2);
    for ((low, high), q) in low.iter_mut().zip(high).zip(&block[2..]) {
        *low = f32::from((q & 15) as i8 - 8) * d;
        *high = f32::from((q >> 4) as i8 - 8) * d;
    }
}

/// The block of some finite values: the first one of the largest size becomes −8·d, and q is x/d + 8, by the d that has not yet been rounded, rounded to the
/// nearest and at most 15.
#[inline(always)]
pub fn encode(values: &[f32; VALUES], block: &mut [u8; BYTES]) {
    let most = values.iter().fold(0f32, |most, v| if v.abs() > most.abs() { *v } else { most });
    let d = most / -8.0;
    let inverse = inverse(d);
    let [low, high] = narrow(d).to_le_bytes();
    (block[0], block[1]) = (low, high);
    let q = |v: &f32| ((v * inverse + 8.5) as u8).min(15);
    let (first, second) = values.split_at(VALUES / 2);
    for ((out, low), high) in block[2..].iter_mut().zip(first).zip(second) {
        *out = q(low) | q(high) << 4;
    }
}
