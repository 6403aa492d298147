//! How the values of a tensor are stored.

use std::fmt;

use crate::bf16::Bf16;
use crate::error::{Error, Result};
use crate::kernels::quantised::{BlockKind, decode_blocks, encode_blocks};
use crate::kernels::{half, simd};

/// How the values of a tensor are stored in a GGUF file.
///
/// ```
/// use gradus::io::{BlockKind, GgufKind};
/// assert_eq!(GgufKind::Blocks(BlockKind::Q4_0).row_bytes(4096)?, 2304);
/// assert_eq!(GgufKind::Bf16.to_string(), "BF16");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GgufKind {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Double precision.
    F64,
    /// Blocks of few bits.
    Blocks(BlockKind),
}

/// The types of ggml's list by their numbers, for what is said of those that are not read.
const NAMES: [&str; 42] = [
    "F32",
    "F16",
    "Q4_0",
    "Q4_1",
    "Q4_2",
    "Q4_3",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q8_1",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "Q8_K",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ3_XXS",
    "IQ1_S",
    "IQ4_NL",
    "IQ3_S",
    "IQ2_S",
    "IQ4_XS",
    "I8",
    "I16",
    "I32",
    "I64",
    "F64",
    "IQ1_M",
    "BF16",
    "Q4_0_4_4",
    "Q4_0_4_8",
    "Q4_0_8_8",
    "TQ1_0",
    "TQ2_0",
    "IQ4_NL_4_4",
    "IQ4_NL_4_8",
    "IQ4_NL_8_8",
    "MXFP4",
    "NVFP4",
    "Q1_0",
];

impl GgufKind {
    /// All kinds.
    pub const ALL: [GgufKind; 8] = [
        GgufKind::F32,
        GgufKind::F16,
        GgufKind::Bf16,
        GgufKind::F64,
        GgufKind::Blocks(BlockKind::Q8_0),
        GgufKind::Blocks(BlockKind::Q4_0),
        GgufKind::Blocks(BlockKind::Q4K),
        GgufKind::Blocks(BlockKind::Q6K),
    ];

    /// The number by which files name it.
    pub(super) const fn code(self) -> u32 {
        match self {
            GgufKind::F32 => 0,
            GgufKind::F16 => 1,
            GgufKind::Blocks(BlockKind::Q4_0) => 2,
            GgufKind::Blocks(BlockKind::Q8_0) => 8,
            GgufKind::Blocks(BlockKind::Q4K) => 12,
            GgufKind::Blocks(BlockKind::Q6K) => 14,
            GgufKind::F64 => 28,
            GgufKind::Bf16 => 30,
        }
    }

    /// The kind of a number; for one that is not read its name.
    pub(super) fn of(code: u32) -> Result<Self, String> {
        let name = || match NAMES.get(code as usize) {
            Some(name) => (*name).to_owned(),
            None => format!("of number {code}"),
        };
        GgufKind::ALL.into_iter().find(|kind| kind.code() == code).ok_or_else(name)
    }

    /// ggml's name: `"BF16"`, `"Q4_K"`.
    pub const fn name(self) -> &'static str {
        match self {
            GgufKind::F32 => "F32",
            GgufKind::F16 => "F16",
            GgufKind::Bf16 => "BF16",
            GgufKind::F64 => "F64",
            GgufKind::Blocks(kind) => kind.name(),
        }
    }

    /// Values that are stored together, and the bytes that they take.
    pub(crate) const fn block(self) -> (usize, usize) {
        match self {
            GgufKind::F32 => (1, 4),
            GgufKind::F16 | GgufKind::Bf16 => (1, 2),
            GgufKind::F64 => (1, 8),
            GgufKind::Blocks(kind) => (kind.block_len(), kind.block_bytes()),
        }
    }

    /// Bytes of a row of so many values.
    ///
    /// # Errors
    /// [`Error::Argument`] where the values are no whole number of blocks.
    pub fn row_bytes(self, width: usize) -> Result<usize> {
        match self {
            GgufKind::Blocks(kind) => kind.row_bytes(width),
            _ => width.checked_mul(self.block().1).ok_or_else(|| Error::too_large("row_bytes", width)),
        }
    }

    /// The values of whole blocks; not of [`F64`](GgufKind::F64), whose values single precision does not hold.
    pub(crate) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            GgufKind::Blocks(kind) => decode_blocks(kind, bytes, out),
            GgufKind::F32 => {
                let words = bytes.as_chunks().0.iter();
                out.iter_mut().zip(words).for_each(|(out, word)| *out = f32::from_le_bytes(*word));
            }
            GgufKind::F16 => simd::vectorised(|| {
                let words = bytes.as_chunks().0.iter();
                out.iter_mut().zip(words).for_each(|(out, word)| *out = half::widen(u16::from_le_bytes(*word)));
            }),
            GgufKind::Bf16 => simd::vectorised(|| {
                let words = bytes.as_chunks().0.iter();
                let widen = |word| Bf16::from_bits(u16::from_le_bytes(word)).to_f32();
                out.iter_mut().zip(words).for_each(|(out, word)| *out = widen(*word));
            }),
            GgufKind::F64 => debug_assert!(false, "read word by word"),
        }
    }

    /// Puts some values, whole blocks, behind what `out` holds.
    ///
    /// # Errors
    /// [`Error::Argument`] for what the kind does not hold, with its place.
    pub(super) fn encode(self, values: &[f32], out: &mut Vec<u8>) -> Result<()> {
        let narrow = |most: f32| match values.iter().position(|v| v.is_nan() || v.abs() > most) {
            None => Ok(()),
            Some(at) => {
                let (expected, got) =
                    (format!("numbers of a size up to {most}"), format!("{} in place {at}", values[at]));
                Err(Error::argument("write", "values", expected, got, "store these weights as F32"))
            }
        };
        match self {
            GgufKind::F32 => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            GgufKind::F64 => out.extend(values.iter().flat_map(|v| f64::from(*v).to_le_bytes())),
            GgufKind::F16 => {
                narrow(65504.0)?;
                out.extend(values.iter().flat_map(|v| half::narrow(*v).to_le_bytes()));
            }
            GgufKind::Bf16 => {
                // What is larger would become infinite.
                narrow(Bf16::from_bits(0x7F7F).to_f32())?;
                out.extend(values.iter().flat_map(|v| Bf16::nearest(*v).to_bits().to_le_bytes()));
            }
            GgufKind::Blocks(kind) => encode_blocks(kind, values, out)?,
        }
        Ok(())
    }
}

impl fmt::Display for GgufKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_their_numbers() {
        for kind in GgufKind::ALL {
            assert_eq!((GgufKind::of(kind.code()), NAMES[kind.code() as usize]), (Ok(kind), kind.name()));
        }
        assert_eq!(GgufKind::of(13), Err("Q5_K".to_owned()));
        assert_eq!(GgufKind::of(99), Err("of number 99".to_owned()));
    }

    #[test]
    fn words_there_and_back() {
        let values = [0.0, -0.0, 1.0, -2.5, 65504.0, 2f32.powi(-24), 1365.0 / 4096.0];
        for kind in [GgufKind::F32, GgufKind::F16] {
            let (mut bytes, mut out) = (Vec::new(), [1.0; 7]);
            kind.encode(&values, &mut bytes).unwrap();
            kind.decode(&bytes, &mut out);
            assert_eq!(out.map(f32::to_bits), values.map(f32::to_bits));
        }
        let (mut bytes, mut out) = (Vec::new(), [1.0; 3]);
        GgufKind::Bf16.encode(&[1.0, 257.0 / 256.0, 259.0 / 256.0], &mut bytes).unwrap();
        GgufKind::Bf16.decode(&bytes, &mut out);
        assert_eq!(out, [1.0, 1.0, 260.0 / 256.0]);
        for kind in [GgufKind::F16, GgufKind::Bf16, GgufKind::Blocks(BlockKind::Q8_0)] {
            let message = kind.encode(&[0.0, f32::NAN].repeat(16), &mut bytes).unwrap_err().to_string();
            assert!(message.contains("NaN in place 1"), "{message}");
        }
        GgufKind::F16.encode(&[65505.0], &mut bytes).unwrap_err();
        GgufKind::Bf16.encode(&[f32::MAX], &mut bytes).unwrap_err();
    }
}
