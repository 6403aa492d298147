//! Q8_0: 32 values as a scale d in half precision and 32 whole numbers q of a byte with a sign; x = d·q.

use super::super::half::{narrow, widen};
use super::inverse::inverse;

/// Values of a block.
pub const VALUES: usize = 32;

/// Bytes of a block.
pub const BYTES: usize = 2 + VALUES;

/// The values of a block.
#[inline(always)]
pub fn decode(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let d = widen(u16::from_le_bytes([block[0], block[1]]));
    for (out, q) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(*q as i8) * d;
    }
}

/// The block of some finite values: d is the largest size over 127, and q is x/d by the d that has not yet been rounded, halves away from zero.
#[inline(always)]
pub fn encode(values: &[f32; VALUES], block: &mut [u8; BYTES]) {
    let most = values.iter().fold(0f32, |most, v| most.max(v.abs()));
    let d = most / 127.0;
    let inverse = inverse(d);
    let [low, high] = narrow(d).to_le_bytes();
    (block[0], block[1]) = (low, high);
    for (q, v) in block[2..].iter_mut().zip(values) {
        *q = (v * inverse).round() as i8 as u8;
    }
}
