//! A matrix in panels: made, filled, read by rows.

use std::fmt;
use std::str::FromStr;

use super::super::bounds::within;
use super::super::float::Float;
use super::super::parallel;
use super::super::quantised::{BlockKind, encode_blocks};
use super::formats::{Bf16Rows, F32Rows, Format, GROUP, PANEL, Q4Blocks, Q8Blocks};
use crate::aligned::Aligned;
use crate::error::{Error, Result};
use crate::memory;

/// How the large matrices of a model are kept in memory. Whatever it is, products are taken in the type of the model, from the exact values of what is stored.
///
/// | | bits a weight | values |
/// |---|---|---|
/// | `F32` | 32 | single precision, in the order in which products read them |
/// | `Bf16` | 16 | rounded to bfloat16, to nearest, ties to even |
/// | `Q8_0` | 8.5 | 32 together: a scale in half precision times whole numbers from −127 to 127 |
/// | `Q4_0` | 4.5 | 32 together: a scale in half precision times whole numbers from −8 to 7 |
///
/// The last two are blocks of [ggml](https://github.com/ggml-org/ggml), bit for bit; of weights that are taken from a GGUF file in the same blocks nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightStorage {
    /// Single precision.
    F32,
    /// bfloat16.
    Bf16,
    /// Eight bits in blocks.
    Q8_0,
    /// Four bits in blocks.
    Q4_0,
}

impl WeightStorage {
    /// All of them, the largest first.
    pub const ALL: [WeightStorage; 4] =
        [WeightStorage::F32, WeightStorage::Bf16, WeightStorage::Q8_0, WeightStorage::Q4_0];

    /// Its name, as GGUF has it: `"Q8_0"`.
    pub const fn name(self) -> &'static str {
        match self {
            WeightStorage::F32 => "F32",
            WeightStorage::Bf16 => "BF16",
            WeightStorage::Q8_0 => "Q8_0",
            WeightStorage::Q4_0 => "Q4_0",
        }
    }

    /// The blocks of a file that it has, if any.
    pub(crate) const fn blocks(self) -> Option<BlockKind> {
        match self {
            WeightStorage::F32 | WeightStorage::Bf16 => None,
            WeightStorage::Q8_0 => Some(BlockKind::Q8_0),
            WeightStorage::Q4_0 => Some(BlockKind::Q4_0),
        }
    }

    /// Bytes of a group of a panel.
    const fn group_bytes(self) -> usize {
        match self {
            WeightStorage::F32 => F32Rows::BYTES,
            WeightStorage::Bf16 => Bf16Rows::BYTES,
            WeightStorage::Q8_0 => Q8Blocks::BYTES,
            WeightStorage::Q4_0 => Q4Blocks::BYTES,
        }
    }
}

impl FromStr for WeightStorage {
    type Err = Error;

    /// One of the names, in capitals or not.
    fn from_str(text: &str) -> Result<Self> {
        let found = WeightStorage::ALL.into_iter().find(|storage| storage.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            let names = WeightStorage::ALL.map(WeightStorage::name).join(", ");
            Error::argument("WeightStorage", "name", format!("one of {names}"), format!("{text:?}"), "correct the name")
        })
    }
}

impl fmt::Display for WeightStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A matrix in panels.
#[derive(Clone)]
pub struct Packed {
    pub(super) storage: WeightStorage,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) bytes: Aligned<u8>,
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}, {}]", self.storage, self.inputs, self.outputs)
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        let about = |packed: &Packed| (packed.storage, packed.inputs, packed.outputs);
        about(self) == about(other) && self.bytes[..] == other.bytes[..]
    }
}

impl Packed {
    /// A matrix of zeros, to be filled.
    ///
    /// # Errors
    /// [`Error::Config`] where blocks do not fit the number of inputs, or there is no memory.
    pub fn zeros(op: &'static str, name: &str, storage: WeightStorage, [inputs, outputs]: [usize; 2]) -> Result<Self> {
        if storage.blocks().is_some() && !inputs.is_multiple_of(GROUP) {
            let problem = format!("{name} has {inputs} inputs, and {storage} takes {GROUP} together");
            let hint = "take WeightStorage::Bf16 for this model".into();
            return Err(Error::Config { op, problem, hint });
        }
        let panel = inputs.div_ceil(GROUP).checked_mul(storage.group_bytes());
        let len = panel.and_then(|panel| panel.checked_mul(outputs.div_ceil(PANEL))).unwrap_or(usize::MAX);
        let bytes = memory::zeros_aligned(op, format!("the weights of {name}"), len)?;
        Ok(Packed { storage, inputs, outputs, bytes })
    }

    /// How it is stored.
    pub fn storage(&self) -> WeightStorage {
        self.storage
    }

    /// Inputs and outputs.
    pub fn sizes(&self) -> [usize; 2] {
        [self.inputs, self.outputs]
    }

    /// Bytes that it takes.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of a panel.
    pub(super) fn panel_bytes(&self) -> usize {
        self.inputs.div_ceil(GROUP) * self.storage.group_bytes()
    }

    /// The bytes of a panel's group of inputs.
    pub(super) fn group(&self, panel: usize, group: usize) -> &[u8] {
        let size = self.storage.group_bytes();
        &self.bytes[panel * self.panel_bytes() + group * size..][..size]
    }

    /// Fills it from the rows of Wᵀ, which `row` writes by the number of the output, on all threads.
    ///
    /// # Errors
    /// The first that `row` gives; [`Error::Argument`] for values that are not finite, in blocks.
    pub fn fill(&mut self, row: impl Fn(usize, &mut [f32]) -> Result<()> + Sync) -> Result<()> {
        let (storage, inputs, outputs) = (self.storage, self.inputs, self.outputs);
        let pack = |first: usize, panel: &mut [u8], rows: &mut Vec<f32>| {
            let n = PANEL.min(outputs - first);
            rows.resize(n * inputs, 0.0);
            for (i, values) in rows.chunks_exact_mut(inputs.max(1)).enumerate() {
                row(first + i, values)?;
            }
            // Beyond what the storage holds they would be stored as infinities.
            let most = if storage == WeightStorage::Bf16 { f32::from_bits(0x7F7F_7FFF) } else { f32::MAX };
            if !within(rows, most)
                && let Some(v) = rows.iter().find(|v| !v.is_finite() || v.abs() > most)
            {
                let (expected, hint) =
                    (format!("weights that {storage} holds"), "train the model anew, or store it otherwise");
                return Err(Error::argument("store_weights", "values", expected, v, hint));
            }
            match storage {
                WeightStorage::F32 => F32Rows::pack(panel, rows, inputs),
                WeightStorage::Bf16 => Bf16Rows::pack(panel, rows, inputs),
                WeightStorage::Q8_0 | WeightStorage::Q4_0 => {
                    let mut blocks = Vec::new();
                    if let Some(kind) = storage.blocks() {
                        encode_blocks(kind, rows, &mut blocks)?;
                    }
                    interleave(storage, panel, &blocks, n);
                }
            }
            Ok(())
        };
        self.each_panel(pack)
    }

    /// Fills it from the rows of Wᵀ as blocks of a file of the same kind, which `row` writes by the number of the output; they are finite.
    ///
    /// # Errors
    /// The first that `row` gives.
    pub fn fill_blocks(&mut self, row: impl Fn(usize, &mut [u8]) -> Result<()> + Sync) -> Result<()> {
        let (storage, inputs, outputs) = (self.storage, self.inputs, self.outputs);
        let len = storage.blocks().map_or(0, |kind| inputs / kind.block_len() * kind.block_bytes());
        let pack = |first: usize, panel: &mut [u8], rows: &mut Vec<u8>| {
            let n = PANEL.min(outputs - first);
            rows.resize(n * len, 0);
            for (i, blocks) in rows.chunks_exact_mut(len.max(1)).enumerate() {
                row(first + i, blocks)?;
            }
            interleave(storage, panel, rows, n);
            Ok(())
        };
        self.each_panel(pack)
    }

    /// Fills it from the rows of Wᵀ as words of bfloat16, which `rows` writes for some outputs next to each other, from a number on.
    ///
    /// # Errors
    /// The first that `rows` gives.
    pub fn fill_words(&mut self, rows: impl Fn(usize, &mut [u8]) -> Result<()> + Sync) -> Result<()> {
        let (outputs, len) = (self.outputs, 2 * self.inputs);
        self.each_panel(|first, panel, words: &mut Vec<u8>| {
            let n = PANEL.min(outputs - first);
            words.resize(n * len, 0);
            rows(first, words)?;
            Bf16Rows::pack_words(panel, &std::array::from_fn(|i| &words[i.min(n - 1) * len..][..len]), n);
            Ok(())
        })
    }

    /// Calls `pack` with the first output of each panel, its bytes, and room that panels share one after the other, on all threads; the first error.
    fn each_panel<R: Default>(&mut self, pack: impl Fn(usize, &mut [u8], &mut R) -> Result<()> + Sync) -> Result<()> {
        let (width, failed) = (self.panel_bytes(), std::sync::Mutex::new(None));
        parallel::rows(&mut self.bytes, width, width, |first, panels| {
            let mut room = R::default();
            for (i, panel) in panels.chunks_exact_mut(width).enumerate() {
                if let Err(error) = pack((first + i) * PANEL, panel, &mut room) {
                    let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    failed.get_or_insert(error);
                    return;
                }
            }
        });
        failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// The weights of all inputs of one output: a row of Wᵀ.
    pub fn row(&self, output: usize, values: &mut [f32]) {
        self.row_as(output, values);
    }

    /// [`row`](Self::row) in the type of a model.
    pub fn row_as<T: Float>(&self, output: usize, values: &mut [T]) {
        let (panel, lane) = (output / PANEL, output % PANEL);
        let mut block = [[0f32; PANEL]; GROUP];
        for (group, values) in values[..self.inputs].chunks_mut(GROUP).enumerate() {
            self.widen(panel, group, &mut block);
            values.iter_mut().zip(&block).for_each(|(v, lanes)| *v = T::of(f64::from(lanes[lane])));
        }
    }

    /// The rows of Wᵀ as blocks of a file.
    pub fn blocks(&self, output: usize, blocks: &mut [u8]) {
        let (panel, lane) = (output / PANEL, output % PANEL);
        let Some(kind) = self.storage.blocks() else { return };
        for (group, block) in blocks.chunks_exact_mut(kind.block_bytes()).enumerate() {
            let bytes = self.group(panel, group);
            match self.storage {
                WeightStorage::Q8_0 => Q8Blocks::apart(bytes, lane, block),
                _ => Q4Blocks::apart(bytes, lane, block),
            }
        }
    }

    /// The weights of a panel's group: those of each input.
    #[inline(always)]
    pub(super) fn widen(&self, panel: usize, group: usize, to: &mut [[f32; PANEL]; GROUP]) {
        let bytes = self.group(panel, group);
        match self.storage {
            WeightStorage::F32 => F32Rows::widen(bytes, to),
            WeightStorage::Bf16 => Bf16Rows::widen(bytes, to),
            WeightStorage::Q8_0 => Q8Blocks::widen(bytes, to),
            WeightStorage::Q4_0 => Q4Blocks::widen(bytes, to),
        }
    }
}

/// Rows of blocks, as a file has them, into a panel.
fn interleave(storage: WeightStorage, panel: &mut [u8], rows: &[u8], n: usize) {
    let Some(kind) = storage.blocks() else { return };
    let len = rows.len() / n.max(1);
    for (group, to) in panel.chunks_exact_mut(storage.group_bytes()).enumerate() {
        for lane in 0..n {
            let block = &rows[lane * len + group * kind.block_bytes()..][..kind.block_bytes()];
            match storage {
                WeightStorage::Q8_0 => Q8Blocks::together(block, lane, to),
                _ => Q4Blocks::together(block, lane, to),
            }
        }
    }
}
