//! Q4_K: 256 values in eight groups of 32, each with a scale s and a minimum m of six bits; x = d·s·q − e·m with d and e in half precision for all and q from
//! 0 to 15. Two groups share 32 bytes: the first has their lower halves, the second the upper ones.

use super::super::half::widen;

/// Values of a block.
pub const VALUES: usize = 256;

/// Bytes of a block: d, e, scales and minima, q.
pub const BYTES: usize = 2 + 2 + 12 + VALUES / 2;

/// The values of a block.
#[inline(always)]
pub fn decode(block: &[u8; BYTES], out: &mut [f32; VALUES]) {
    let [d, e] = [0, 2].map(|at| widen(u16::from_le_bytes([block[at], block[at + 1]])));
    let (scales, minima) = scales(&block[4..16]);
    let (packed, pairs) = (block[16..].as_chunks::<32>().0, out.as_chunks_mut::<64>().0);
    for (i, (q, out)) in packed.iter().zip(pairs).enumerate() {
        let [low, high] = [2 * i, 2 * i + 1].map(|group| (d * f32::from(scales[group]), e * f32::from(minima[group])));
        let (first, second) = out.split_at_mut(32);
        for ((first, second), q) in first.iter_mut().zip(second).zip(q) {
            *first = low.0 * f32::from(q & 15) - low.1;
            *second = high.0 * f32::from(q >> 4) - high.1;
        }
    }
}

/// The eight scales and minima of twelve bytes. The first four have six bits of bytes 0 to 3 and 4 to 7; those behind have their lower four in bytes 8 to 11 (the
/// scale's below the minimum's), and the two above at the top of the bytes of the first four.
#[inline(always)]
fn scales(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    for i in 0..4 {
        let (scale, minimum, lower) = (packed[i], packed[i + 4], packed[i + 8]);
        (scales[i], minima[i]) = (scale & 63, minimum & 63);
        scales[i + 4] = lower & 15 | scale >> 6 << 4;
        minima[i + 4] = lower >> 4 | minimum >> 6 << 4;
    }
    (scales, minima)
}
