//! Weights in blocks of few bits, as ggml lays them out: some values, the numbers that they are multiplied by beside them, so that a row is read front to
//! back. A file a kind; what a block holds stands at its top.
//!
//! Blocks lie in a row of values, never across its end, so a row's length is a multiple of the block's. Encoding gives the bytes of ggml's own reference
//! quantiser (`quantize_row_q8_0_ref` and `quantize_row_q4_0_ref` of its `ggml-quants.c`), decoding the bits of `dequantize_row_…` there without fused
//! multiplications.

mod inverse;
mod q4_0;
mod q4_k;
mod q6_k;
mod q8_0;

use super::simd::{self, Loop};
use crate::error::{Error, Result};

/// A kind of blocks in which weights of few bits are stored.
///
/// | kind | values a block | bytes a block | bits a value | relative error | written |
/// |---|---|---|---|---|---|
/// | `Q8_0` | 32 | 34 | 8.5 | 0.53 % | yes |
/// | `Q6K` | 256 | 210 | 6.5625 | | no |
/// | `Q4K` | 256 | 144 | 4.5 | | no |
/// | `Q4_0` | 32 | 18 | 4.5 | 8.6 % | yes |
///
/// The relative error is that of weights drawn from a normal distribution: the root of the mean square of what is lost, over that of the weights.
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

/// Puts the blocks of some values, rows of whole blocks, behind what `out` holds.
///
/// # Errors
/// [`Error::Argument`] for values that are no whole number of blocks, NaN or infinite, or too large for a scale in half precision; and for kinds that are only
/// read. `out` is then as it was.
pub fn encode_blocks(kind: BlockKind, values: &[f32], out: &mut Vec<u8>) -> Result<()> {
    let op = "encode_blocks";
    let bytes = kind.row_bytes(values.len())?;
    // The scale is the largest size over this, and has to stay below 65520.
    let most = match kind {
        BlockKind::Q8_0 => 127.0 * 65504.0,
        BlockKind::Q4_0 => 8.0 * 65504.0,
        BlockKind::Q4K | BlockKind::Q6K => {
            let expected = "Q8_0 or Q4_0, which are written";
            return Err(Error::argument(op, "kind", expected, kind, "have llama.cpp's llama-quantize write it"));
        }
    };
    if let Some(at) = values.iter().position(|v| v.is_nan() || v.abs() > most) {
        let (expected, got) = (format!("numbers of a size up to {most}"), format!("{} in place {at}", values[at]));
        return Err(Error::argument(op, "values", expected, got, "look for where training left the finite numbers"));
    }
    let start = out.len();
    out.resize(start + bytes, 0);
    match kind {
        BlockKind::Q8_0 => each(values, &mut out[start..], q8_0::encode),
        _ => each(values, &mut out[start..], q4_0::encode),
    }
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

    /// Of no value depends what stands around its block.
    #[test]
    fn a_block_alone() {
        let values = values();
        for kind in [BlockKind::Q8_0, BlockKind::Q4_0] {
            let (mut all, mut one_by_one) = (Vec::new(), Vec::new());
            encode_blocks(kind, &values, &mut all).unwrap();
            values.chunks(32).for_each(|block| encode_blocks(kind, block, &mut one_by_one).unwrap());
            assert_eq!(all, one_by_one);
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
        ] {
            let mut values = [0.5; 64];
            values[33] = value;
            let message = encode_blocks(kind, &values, &mut out).unwrap_err().to_string();
            assert!(message.contains("place 33"), "{message}");
        }
        for (values, kind) in
            [(&[0.0; 33][..], BlockKind::Q8_0), (&[0.0; 256], BlockKind::Q4K), (&[0.0; 256], BlockKind::Q6K)]
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
