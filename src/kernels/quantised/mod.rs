//! Weights in blocks of few bits, as ggml lays them out: some values, the numbers that they are multiplied by beside them, so that a row is read front to
//! back. A file a kind; what a block holds stands at its top.
//!
//! Blocks lie in a row of values, never across its end, so a row's length is a multiple of the block's. Encoding to Q8_0 and Q4_0 gives the bytes of ggml's own
//! reference quantiser (`quantize_row_q8_0_ref` and `quantize_row_q4_0_ref` of its `ggml-quants.c`); to Q4_K and Q6_K it searches on its own, with other bytes and
//! as little loss. Decoding gives the bits of `dequantize_row_…` there without fused multiplications.

mod inverse;
mod q4_0;
mod q4_k;
mod q6_k;
mod q8_0;
mod search;

use super::parallel;
use super::simd::{self, Loop};
use crate::error::{Error, Result};

/// A kind of blocks in which weights of few bits are stored.
///
/// | kind | values a block | bytes a block | bits a value | relative error | with outliers |
/// |---|---|---|---|---|---|
/// | `Q8_0` | 32 | 34 | 8.5 | 0.53 % | 0.96 % |
/// | `Q6K` | 256 | 210 | 6.5625 | 1.7 % | 2.7 % |
/// | `Q4K` | 256 | 144 | 4.5 | 7.2 % | 9.1 % |
/// | `Q4_0` | 32 | 18 | 4.5 | 8.6 % | 15 % |
///
/// The relative error is that of weights drawn from a normal distribution: the root of the mean square of what is lost, over that of the weights. With outliers
/// every 97th weight is ten times as large.
///
/// ```
/// use gradus::io::BlockKind;
/// assert_eq!(BlockKind::Q4_0.row_bytes(64)?, 2 * 18);
/// assert!(BlockKind::Q4_0.row_bytes(65).is_err());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockKind {
    /// 32 whole numbers of eight bits and a scale.
    Q8_0,
    /// 32 whole numbers of four bits and a scale.
    Q4_0,
    /// 256 whole numbers of four bits; eight scales and minima of six bits.
    Q4K,
    /// 256 whole numbers of six bits; sixteen scales of eight bits.
    Q6K,
}

impl BlockKind {
    /// All kinds.
    pub const ALL: [BlockKind; 4] = [BlockKind::Q8_0, BlockKind::Q4_0, BlockKind::Q4K, BlockKind::Q6K];

    /// Values of a block.
    pub const fn block_len(self) -> usize {
        match self {
            BlockKind::Q8_0 => q8_0::VALUES,
            BlockKind::Q4_0 => q4_0::VALUES,
            BlockKind::Q4K => q4_k::VALUES,
            BlockKind::Q6K => q6_k::VALUES,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            BlockKind::Q8_0 => q8_0::BYTES,
            BlockKind::Q4_0 => q4_0::BYTES,
            BlockKind::Q4K => q4_k::BYTES,
            BlockKind::Q6K => q6_k::BYTES,
        }
    }

    /// ggml's name: `"Q4_K"`.
    pub const fn name(self) -> &'static str {
        match self {
            BlockKind::Q8_0 => "Q8_0",
            BlockKind::Q4_0 => "Q4_0",
            BlockKind::Q4K => "Q4_K",
            BlockKind::Q6K => "Q6_K",
        }
    }

    /// Bytes of a row of so many values.
    ///
    /// # Errors
    /// [`Error::Argument`] where the values are no whole number of blocks.
    pub fn row_bytes(self, width: usize) -> Result<usize> {
        let blocks = width / self.block_len();
        match blocks.checked_mul(self.block_bytes()).filter(|_| width.is_multiple_of(self.block_len())) {
            Some(bytes) => Ok(bytes),
            None => {
                let expected = format!("a multiple of {}, the values of a block of {}", self.block_len(), self.name());
                Err(Error::argument("row_bytes", "width", expected, width, "store these weights as F32, F16 or BF16"))
            }
        }
    }
}

impl std::fmt::Display for BlockKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The values of whole blocks: `out` has as many as `blocks` holds.
pub fn decode_blocks(kind: BlockKind, blocks: &[u8], out: &mut [f32]) {
    debug_assert_eq!(blocks.len() % kind.block_bytes(), 0);
    debug_assert_eq!(blocks.len() / kind.block_bytes() * kind.block_len(), out.len());
    match kind {
        BlockKind::Q8_0 => each(blocks, out, q8_0::decode),
        BlockKind::Q4_0 => each(blocks, out, q4_0::decode),
        BlockKind::Q4K => each(blocks, out, q4_k::decode),
        BlockKind::Q6K => each(blocks, out, q6_k::decode),
    }
}

/// Puts the blocks of some values, rows of whole blocks, behind what `out` holds. No block depends on others.
///
/// # Errors
/// [`Error::Argument`] for values that are no whole number of blocks, NaN or infinite, or too large for a scale in half precision. `out` is then as it was.
pub fn encode_blocks(kind: BlockKind, values: &[f32], out: &mut Vec<u8>) -> Result<()> {
    let op = "encode_blocks";
    let bytes = kind.row_bytes(values.len())?;
    // The scale is the largest size over this at most, and has to stay below 65520.
    let most = match kind {
        BlockKind::Q8_0 => 127.0 * 65504.0,
        BlockKind::Q4_0 => 8.0 * 65504.0,
        // A minimum reaches 63 times its scale, and 15 steps as far on the other side.
        BlockKind::Q4K => 63.0 * 65504.0,
        BlockKind::Q6K => 127.0 * 31.0 * 65504.0,
    };
    if let Some(at) = values.iter().position(|v| v.is_nan() || v.abs() > most) {
        let (expected, got) = (format!("numbers of a size up to {most}"), format!("{} in place {at}", values[at]));
        return Err(Error::argument(op, "values", expected, got, "look for where training left the finite numbers"));
    }
    let start = out.len();
    out.resize(start + bytes, 0);
    let (out, each_values) = (&mut out[start..], kind.block_len());
    // What a value costs, in multiply-adds: the kinds of 256 values try dozens of scales.
    let work = match kind {
        BlockKind::Q8_0 | BlockKind::Q4_0 => 4,
        BlockKind::Q4K | BlockKind::Q6K => 100,
    };
    parallel::rows(out, kind.block_bytes(), work * each_values, |first, blocks| {
        let values = &values[first * each_values..];
        match kind {
            BlockKind::Q8_0 => each(values, blocks, q8_0::encode),
            BlockKind::Q4_0 => each(values, blocks, q4_0::encode),
            BlockKind::Q4K => each(values, blocks, q4_k::encode),
            BlockKind::Q6K => each(values, blocks, q6_k::encode),
        }
    });
    Ok(())
}

/// Goes through blocks and their values side by side, with the widest vector registers.
fn each<A, B, const N: usize, const M: usize>(from: &[A], to: &mut [B], f: impl Fn(&[A; N], &mut [B; M])) {
    simd::run(Each { from, to, f });
}

/// [`each`] as a loop.
struct Each<'a, A, B, F, const N: usize, const M: usize> {
    from: &'a [A],
    to: &'a mut [B],
    f: F,
}

impl<A, B, F: Fn(&[A; N], &mut [B; M]), const N: usize, const M: usize> Loop for Each<'_, A, B, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (from, to) in self.from.as_chunks().0.iter().zip(self.to.as_chunks_mut().0) {
            (self.f)(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::{Key, Purpose};
    use super::*;
    use rand::Rng;

    /// Normal values of many sizes, and the ends: zeros, ties, one value alone, what a scale in half precision loses.
    fn values() -> Vec<f32> {
        let mut rng = Key::new(3, Purpose::Init).rng();
        let mut uniform = || f64::from(rng.next_u32()) / 4294967296.0;
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let mut out: Vec<f32> = (0..256 * 40).map(|i| (normal() * 10f64.powi(i / 256 % 12 - 8)) as f32).collect();
        out[..256].fill(0.0);
        for (i, v) in out[256..512].iter_mut().enumerate() {
            *v = (i as f32 - 127.0) / 2.0;
        }
        out[512..768].fill(-0.0);
        out[600] = -3.5;
        out[768..1024].fill(1e-42);
        out
    }

    #[test]
    fn rows_are_whole_blocks() {
        for kind in BlockKind::ALL {
            let (values, bytes) = (kind.block_len(), kind.block_bytes());
            assert_eq!(kind.row_bytes(3 * values).unwrap(), 3 * bytes);
            for width in [1, values - 1, values + 1, usize::MAX] {
                let message = kind.row_bytes(width).unwrap_err().to_string();
                assert!(message.contains(kind.name()) && message.contains(&values.to_string()), "{message}");
            }
        }
        assert_eq!(BlockKind::Q4K.row_bytes(0).unwrap(), 0);
    }

    /// What is lost is at most half a step of each block; what was decoded once is encoded to the same values.
    #[test]
    fn round_trip() {
        let values = values();
        for (kind, steps) in [(BlockKind::Q8_0, 127.0), (BlockKind::Q4_0, 8.0)] {
            let mut blocks = vec![7];
            encode_blocks(kind, &values, &mut blocks).unwrap();
            assert_eq!((blocks.remove(0), blocks.len()), (7, kind.row_bytes(values.len()).unwrap()));
            let mut out = vec![f32::NAN; values.len()];
            decode_blocks(kind, &blocks, &mut out);
            for (i, (out, values)) in out.chunks(32).zip(values.chunks(32)).enumerate() {
                let most = values.iter().fold(0f32, |most, v| most.max(v.abs()));
                // Q4_0's largest value is one step further on one side than on the other; a scale is off by 2⁻¹¹, or 2⁻²⁵.
                let step = most / steps * if kind == BlockKind::Q4_0 { 1.0 } else { 0.5 };
                let bound = step + most / 2048.0 + steps * 2f32.powi(-25) + f32::EPSILON * most;
                for (out, v) in out.iter().zip(values) {
                    assert!((out - v).abs() <= bound, "{kind}, block {i}: {v:e} became {out:e}");
                }
            }
            let (mut again, mut twice) = (Vec::new(), vec![0.0; out.len()]);
            encode_blocks(kind, &out, &mut again).unwrap();
            decode_blocks(kind, &again, &mut twice);
            if kind == BlockKind::Q4_0 {
                assert!(twice.iter().zip(&out).all(|(a, b)| (a - b).abs() <= b.abs() * 1e-3));
            }
        }
    }

    /// Of no value depends what stands around its block, nor on how many threads or with which registers it is encoded.
    #[test]
    fn a_block_alone() {
        // Enough for several threads.
        let values = values().repeat(8);
        for kind in BlockKind::ALL {
            let (mut all, mut one_by_one) = (Vec::new(), Vec::new());
            encode_blocks(kind, &values, &mut all).unwrap();
            values.chunks(kind.block_len()).for_each(|block| encode_blocks(kind, block, &mut one_by_one).unwrap());
            assert!(all == one_by_one, "{kind}");
            let mut baseline = vec![0; all.len()];
            match kind {
                BlockKind::Q8_0 => Each { from: &values, to: &mut baseline, f: q8_0::encode }.run(),
                BlockKind::Q4_0 => Each { from: &values, to: &mut baseline, f: q4_0::encode }.run(),
                BlockKind::Q4K => Each { from: &values, to: &mut baseline, f: q4_k::encode }.run(),
                BlockKind::Q6K => Each { from: &values, to: &mut baseline, f: q6_k::encode }.run(),
            }
            assert!(all == baseline, "{kind}");
        }
    }

    fn decoded(kind: BlockKind, blocks: &[u8]) -> Vec<f32> {
        let mut out = vec![f32::NAN; blocks.len() / kind.block_bytes() * kind.block_len()];
        decode_blocks(kind, blocks, &mut out);
        out
    }

    fn encoded(kind: BlockKind, values: &[f32]) -> Vec<u8> {
        let mut blocks = Vec::new();
        encode_blocks(kind, values, &mut blocks).unwrap();
        blocks
    }

    /// The root of the mean square of what is lost, over that of the values.
    fn lost(kind: BlockKind, values: &[f32]) -> f64 {
        let out = decoded(kind, &encoded(kind, values));
        let apart = out.iter().zip(values).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>();
        (apart / values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>()).sqrt()
    }

    /// Weights of four kinds: Q4_K loses less than Q4_0 in as many bytes, and Q6_K lies between Q4_K and Q8_0.
    #[test]
    fn blocks_of_256_lose_less() {
        let mut rng = Key::new(11, Purpose::Init).rng();
        let mut uniform = || f64::from(rng.next_u32()) / 4294967296.0;
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
        let normal: Vec<f32> = (0..256 * 128).map(|_| normal() as f32 * 0.02).collect();
        let some = |every: usize, f: &dyn Fn(f32) -> f32| -> Vec<f32> {
            normal.iter().enumerate().map(|(i, v)| if i.is_multiple_of(every) { f(*v) } else { *v }).collect()
        };
        for (name, values, q4_k, q6_k) in [
            ("normal", normal.clone(), 0.074, 0.0178),
            ("outliers", some(97, &|v| 10.0 * v), 0.095, 0.029),
            ("third powers", some(1, &|v| (v * 50.0).powi(3) * 0.02), 0.092, 0.0255),
            ("shifted", some(1, &|v| v + 0.03), 0.042, 0.0152),
        ] {
            let [eight, six, four, four_0] =
                [BlockKind::Q8_0, BlockKind::Q6K, BlockKind::Q4K, BlockKind::Q4_0].map(|kind| lost(kind, &values));
            println!("{name}: Q8_0 {eight:.5}, Q6_K {six:.5}, Q4_K {four:.5}, Q4_0 {four_0:.5}");
            assert!(four < q4_k && four < 0.85 * four_0, "{name}: {four}, {four_0}");
            assert!(six < q6_k && eight < six && six < four / 2.5, "{name}: {eight}, {six}, {four}");
        }
        // Weights so small that half precision has few digits for their scales.
        let small = some(1, &|v| v.powi(3));
        let [six, four] = [BlockKind::Q6K, BlockKind::Q4K].map(|kind| lost(kind, &small));
        assert!(six < 0.026 && four < 0.092, "{six}, {four}");
    }

    /// No value is further off than half a step of its block's longest group, whatever size it has.
    #[test]
    fn blocks_of_256_of_any_size() {
        let values = values();
        for (kind, part) in [(BlockKind::Q4K, 1.0 / 14.0), (BlockKind::Q6K, 1.0 / 56.0)] {
            let out = decoded(kind, &encoded(kind, &values));
            for (i, (out, values)) in out.chunks(256).zip(values.chunks(256)).enumerate() {
                let most = values.iter().fold(0f32, |most, v| most.max(v.abs()));
                // Scales of which half precision has few digits, 63 or 128 of them.
                let bound = 2.0 * most * part + 15.0 * 63.0 * 2f32.powi(-25);
                for (out, v) in out.iter().zip(values) {
                    assert!((out - v).abs() <= bound, "{kind}, block {i}: {v:e} became {out:e} of {most:e}");
                }
            }
            assert!(decoded(kind, &encoded(kind, &[0.0, -0.0].repeat(128))).iter().all(|v| *v == 0.0), "{kind}");
            assert!(decoded(kind, &encoded(kind, &[1e-42; 256])).iter().all(|v| *v == 0.0), "{kind}");
        }
    }

    /// Values that a block holds come back to the bit, where its groups use their first and last numbers.
    #[test]
    fn what_blocks_of_256_hold() {
        let mut rng = Key::new(13, Purpose::Init).rng();
        let mut below = |n: u32| rng.next_u32() % n;
        for round in 0..50 {
            let d = super::super::half::widen(0x1000 + below(0x2800) as u16);
            let (mut four, mut six) = (Vec::new(), Vec::new());
            for group in 0..8 {
                let (s, m) = if group == 3 { (63, 63) } else { (1 + below(63), below(64)) };
                for i in 0..32 {
                    let q = [0, 15].get(i).copied().unwrap_or_else(|| below(16));
                    // No value lies above zero with a minimum below, nor the other way round, so that the line's end is known.
                    four.push(d * s as f32 * q as f32 - d * 0.25 * m as f32);
                }
            }
            for group in 0..16 {
                let s = if group == 5 { [-128.0, 127.0][round % 2] } else { below(255) as f32 - 127.0 };
                for i in 0..16 {
                    let q = if i == 4 { [-32.0, 31.0][group % 2] } else { below(63) as f32 - 31.0 };
                    six.push(d * s * q);
                }
            }
            for (kind, values) in [(BlockKind::Q4K, four), (BlockKind::Q6K, six)] {
                let out = decoded(kind, &encoded(kind, &values));
                let wrong = out.iter().zip(&values).position(|(a, b)| a != b);
                assert_eq!(wrong, None, "{kind}, round {round}");
            }
        }
        // The largest.
        for (kind, value) in [(BlockKind::Q4K, -63.0 * 65504.0), (BlockKind::Q6K, 31.0 * 127.0 * 65504.0)] {
            for value in [value, -value] {
                let out = decoded(kind, &encoded(kind, &[value; 256]));
                assert!(out.iter().all(|v| (v / value - 1.0).abs() < 1e-3), "{kind}: {value:e} became {:e}", out[0]);
            }
        }
    }

    #[test]
    fn what_no_block_holds() {
        let mut out = vec![1, 2, 3];
        for (value, kind) in [
            (f32::NAN, BlockKind::Q8_0),
            (f32::INFINITY, BlockKind::Q4_0),
            (f32::NEG_INFINITY, BlockKind::Q8_0),
            (1e7, BlockKind::Q8_0),
            (-1e6, BlockKind::Q4_0),
            (f32::NAN, BlockKind::Q4K),
            (f32::NEG_INFINITY, BlockKind::Q4K),
            (4.2e6, BlockKind::Q4K),
            (f32::NAN, BlockKind::Q6K),
            (f32::INFINITY, BlockKind::Q6K),
            (-2.6e8, BlockKind::Q6K),
        ] {
            let mut values = [0.5; 256];
            values[33] = value;
            let message = encode_blocks(kind, &values, &mut out).unwrap_err().to_string();
            assert!(message.contains("place 33"), "{message}");
        }
        for (values, kind) in
            [(&[0.0; 33][..], BlockKind::Q8_0), (&[0.0; 128], BlockKind::Q4K), (&[0.0; 257], BlockKind::Q6K)]
        {
            encode_blocks(kind, values, &mut out).unwrap_err();
        }
        assert_eq!(out, [1, 2, 3]);
        let mut largest = Vec::new();
        encode_blocks(BlockKind::Q4_0, &[8.0 * 65504.0; 32], &mut largest).unwrap();
        let mut decoded = [0.0; 32];
        decode_blocks(BlockKind::Q4_0, &largest, &mut decoded);
        assert_eq!(decoded, [8.0 * 65504.0; 32]);
    }

    /// Every bit of a block, by the sentence that says where each number stands.
    #[test]
    fn layouts_of_256() {
        let mut rng = Key::new(5, Purpose::Init).rng();
        for _ in 0..20 {
            let mut byte = || rng.next_u32() as u8;
            let mut block: Vec<u8> = (0..144).map(|_| byte()).collect();
            (block[1], block[3]) = (0x2A, 0x1F);
            let mut out = vec![0.0; 256];
            decode_blocks(BlockKind::Q4K, &block, &mut out);
            let half = |at: usize| super::super::half::widen(u16::from_le_bytes([block[at], block[at + 1]]));
            let p = &block[4..16];
            for (i, out) in out.iter().enumerate() {
                let group = i / 32;
                let (scale, minimum) = match group {
                    0..4 => (p[group] & 63, p[group + 4] & 63),
                    _ => (p[group + 4] & 15 | p[group - 4] >> 6 << 4, p[group + 4] >> 4 | p[group] >> 6 << 4),
                };
                let q = block[16 + i / 64 * 32 + i % 32] >> (4 * (group % 2)) & 15;
                assert_eq!(*out, half(0) * f32::from(scale) * f32::from(q) - half(2) * f32::from(minimum));
            }
            let mut block: Vec<u8> = (0..210).map(|_| byte()).collect();
            block[209] = 0xA3;
            decode_blocks(BlockKind::Q6K, &block, &mut out);
            let d = super::super::half::widen(u16::from_le_bytes([block[208], block[209]]));
            for (i, out) in out.iter().enumerate() {
                let (half, k, l) = (i / 128, i % 128 / 32, i % 32);
                let lower = block[64 * half + 32 * (k % 2) + l] >> (4 * (k / 2)) & 15;
                let upper = block[128 + 32 * half + l] >> (2 * k) & 3;
                let scale = f32::from(block[192 + i / 16] as i8);
                assert_eq!(*out, d * scale * (f32::from(lower | upper << 4) - 32.0));
            }
        }
    }
}
