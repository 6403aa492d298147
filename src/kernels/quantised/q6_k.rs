//! Q6_K: 256 values in sixteen groups of 16, each with a scale s of a byte with a sign; x = d·s·(q − 32) with d in half precision for all and q from 0 to 63.
//!
//! Of each 128 values, value l + 32·k (l below 32, k below 4) has the upper two bits of its q in bits 2·k and 2·k + 1 of byte l of 32; the lower four are in the
//! lower (k = 0, 1) or upper (k = 2, 3) half of byte l + 32·(k mod 2) of 64.

use super::super::half::widen;

/// Values of a block.
pub const VALUES: usize = 256;

/// Bytes of a block: lower four bits, upper two bits, scales, d.
pub const BYTES: usize = VALUES / 2 + VALUES / 4 + VALUES / 16 + 2;

/// Where upper bits, scales and d begin.
const UPPER: usize = VALUES / 2;
const SCALES: usize = UPPER + VALUES / 4;
const SCALE: usize = SCALES + VALUES / 16;

/// The values of a block.
#[inline(always)]
pub fn decode(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let d = widen(u16::from_le_bytes([block[SCALE], block[SCALE + 1]]));
    let scale = |group: usize| d * f32::from(block[SCALES + group] as i8);
    for (half, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        let lower = &block[64 * half..][..64];
        let upper = &block[UPPER + 32 * half..][..32];
        for (k, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let lower = &lower[32 * (k % 2)..][..32];
            let (by_four, by_two) = (4 * (k / 2), 2 * k);
            for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                let scale = scale(8 * half + 2 * k + group);
                let (lower, upper) = (&lower[16 * group..][..16], &upper[16 * group..][..16]);
                for ((out, lower), upper) in out.iter_mut().zip(lower).zip(upper) {
                    let q = lower >> by_four & 15 | (upper >> by_two & 3) << 4;
                    *out = scale * f32::from(q as i8 - 32);
                }
            }
        }
    }
}
