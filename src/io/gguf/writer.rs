//! Writing GGUF files, whole or not at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::kind::GgufKind;
use super::tensor::{ALIGNMENT, MAGIC, MAX_DIMS};
use super::value::{GgufArray, GgufValue};
use crate::error::{Error, Result};
use crate::io::atomic::Replacement;

/// Values that are turned into bytes together, whole blocks of every kind.
const BLOCK: usize = 1 << 16;

/// A tensor that will be written.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub name: String,
    /// As values lie in memory: those of the last axis side by side.
    pub shape: Vec<usize>,
    pub kind: GgufKind,
}

impl Planned {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes in the file.
    fn bytes(&self) -> Result<u64> {
        let width = self.shape.last().copied().unwrap_or(1);
        let rows = self.len().checked_div(width).unwrap_or(0);
        self.kind.row_bytes(width).map(|bytes| (bytes * rows) as u64).map_err(|e| {
            Error::argument(
                "GgufWriter",
                "kind",
                format!("one that holds the rows of {}", self.name),
                e,
                "choose another",
            )
        })
    }
}

/// A GGUF file to be written: metadata, and tensors of any kind.
///
/// ```
/// use gradus::io::{BlockKind, Gguf, GgufKind, GgufWriter};
/// # let file = std::env::temp_dir().join(format!("gradus-gguf-doc-{}.gguf", std::process::id()));
/// let weights: Vec<f32> = (0..64).map(|i| (i as f32 * 0.7).sin()).collect();
/// GgufWriter::new()
///     .metadata("general.architecture", "mine")
///     .metadata("mine.rows", 2u32)
///     .tensor("weights", [2, 32], GgufKind::Blocks(BlockKind::Q8_0), &weights)
///     .write(&file)?;
/// let mut read = Gguf::open(&file)?;
/// let tensor = read.tensors()[0].clone();
/// let mut values = vec![0f32; tensor.len()];
/// read.read(&tensor, &mut values)?;
/// assert!(values.iter().zip(&weights).all(|(a, b)| (a - b).abs() < 0.005));
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GgufWriter<'a> {
    metadata: Vec<(String, GgufValue)>,
    tensors: Vec<(Planned, &'a [f32])>,
}

impl<'a> GgufWriter<'a> {
    /// A file with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value under a key. `general.alignment`, a power of two (`u32`), is what tensors begin at multiples of; 32 where there is none.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<GgufValue>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// A tensor of a shape whose values lie row by row, the last axis side by side.
    pub fn tensor(
        mut self,
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        kind: GgufKind,
        values: &'a [f32],
    ) -> Self {
        self.tensors.push((Planned { name: name.into(), shape: shape.into(), kind }, values));
        self
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Argument`] for names that are there twice, shapes that are not those of the values or of more than four axes, rows that are no whole blocks,
    /// and values that a kind does not hold (NaN, infinities); [`Error::Write`] where it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        for (Planned { name, shape, .. }, values) in &self.tensors {
            let len = shape.iter().try_fold(1usize, |len, dim| len.checked_mul(*dim));
            if len != Some(values.len()) {
                let (expected, got) = (format!("as many values as {shape:?} has for {name}"), values.len());
                return Err(Error::argument("GgufWriter", "values", expected, got, "pass the shape of the values"));
            }
        }
        let planned: Vec<Planned> = self.tensors.iter().map(|(planned, _)| planned.clone()).collect();
        write(path.as_ref(), &self.metadata, &planned, |i, values| {
            values.extend_from_slice(self.tensors[i].1);
            Ok(())
        })
    }
}

/// Writes a file whose tensors' values are asked for one after the other, to be put into an empty vector.
pub(crate) fn write(
    path: &Path,
    metadata: &[(String, GgufValue)],
    tensors: &[Planned],
    mut values: impl FnMut(usize, &mut Vec<f32>) -> Result<()>,
) -> Result<()> {
    let alignment = check(metadata, tensors)?;
    let mut head = Vec::from(MAGIC);
    head.extend(3u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        text(key, &mut head);
        head.extend(value.code().to_le_bytes());
        put(value, &mut head);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        text(&tensor.name, &mut head);
        head.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|dim| head.extend((*dim as u64).to_le_bytes()));
        head.extend(tensor.kind.code().to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += tensor.bytes()?.next_multiple_of(alignment);
    }
    head.resize(head.len().next_multiple_of(alignment as usize), 0);
    let failed = |source| Error::Write { file: path.to_owned(), source };
    let mut new = Replacement::begin(path)?;
    new.file.write_all(&head).map_err(failed)?;
    let (mut all, mut bytes) = (Vec::new(), Vec::new());
    for (i, tensor) in tensors.iter().enumerate() {
        all.clear();
        values(i, &mut all)?;
        debug_assert_eq!(all.len(), tensor.len());
        for part in all.chunks(BLOCK) {
            bytes.clear();
            tensor.kind.encode(part, &mut bytes).map_err(|e| {
                let expected = format!("values that {} holds for {}", tensor.kind, tensor.name);
                Error::argument(
                    "GgufWriter",
                    "values",
                    expected,
                    e,
                    "store the tensor as F32, or look where training went wrong",
                )
            })?;
            new.file.write_all(&bytes).map_err(failed)?;
        }
        pad(&mut new.file, tensor.bytes()?, alignment).map_err(failed)?;
    }
    new.finish()
}

/// Zeros up to where the next tensor begins.
fn pad(file: &mut File, len: u64, alignment: u64) -> io::Result<()> {
    let mut left = len.next_multiple_of(alignment) - len;
    let zeros = [0; 256];
    while left > 0 {
        let some = left.min(zeros.len() as u64);
        file.write_all(&zeros[..some as usize])?;
        left -= some;
    }
    Ok(())
}

/// The alignment, where all can be written.
fn check(metadata: &[(String, GgufValue)], tensors: &[Planned]) -> Result<u64> {
    let twice = |name: &str, what| {
        Err(Error::argument(
            "GgufWriter",
            what,
            "names of their own",
            format!("{name:?} twice"),
            "leave one of them out",
        ))
    };
    let mut seen = BTreeSet::new();
    if let Some((key, _)) = metadata.iter().find(|(key, _)| !seen.insert(key)) {
        return twice(key, "metadata");
    }
    let mut seen = BTreeSet::new();
    if let Some(tensor) = tensors.iter().find(|tensor| !seen.insert(&tensor.name)) {
        return twice(&tensor.name, "tensors");
    }
    if let Some(tensor) = tensors.iter().find(|tensor| tensor.shape.len() > MAX_DIMS) {
        let (expected, got) = (format!("at most {MAX_DIMS} axes"), format!("{:?} for {}", tensor.shape, tensor.name));
        return Err(Error::argument("GgufWriter", "shape", expected, got, "join axes"));
    }
    match metadata.iter().find(|(key, _)| key == ALIGNMENT).map(|(_, value)| value) {
        None => Ok(32),
        Some(GgufValue::U32(n)) if n.is_power_of_two() && *n <= 1 << 20 => Ok(u64::from(*n)),
        Some(other) => {
            Err(Error::argument("GgufWriter", ALIGNMENT, "a power of two of 32 bits, up to 2²⁰", other, "leave it out"))
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put(value: &GgufValue, out: &mut Vec<u8>) {
    match value {
        GgufValue::U8(v) => out.extend(v.to_le_bytes()),
        GgufValue::I8(v) => out.extend(v.to_le_bytes()),
        GgufValue::U16(v) => out.extend(v.to_le_bytes()),
        GgufValue::I16(v) => out.extend(v.to_le_bytes()),
        GgufValue::U32(v) => out.extend(v.to_le_bytes()),
        GgufValue::I32(v) => out.extend(v.to_le_bytes()),
        GgufValue::F32(v) => out.extend(v.to_le_bytes()),
        GgufValue::Bool(v) => out.push(u8::from(*v)),
        GgufValue::String(v) => text(v, out),
        GgufValue::Array(v) => put_array(v, out),
        GgufValue::U64(v) => out.extend(v.to_le_bytes()),
        GgufValue::I64(v) => out.extend(v.to_le_bytes()),
        GgufValue::F64(v) => out.extend(v.to_le_bytes()),
    }
}

fn put_array(array: &GgufArray, out: &mut Vec<u8>) {
    out.extend(array.code().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        GgufArray::U8(v) => out.extend(v),
        GgufArray::I8(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        GgufArray::U16(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        GgufArray::I16(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        GgufArray::U32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        GgufArray::I32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        GgufArray::F32(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        GgufArray::Bool(v) => out.extend(v.iter().map(|v| u8::from(*v))),
        GgufArray::String(v) => v.iter().for_each(|v| text(v, out)),
        GgufArray::Array(v) => v.iter().for_each(|v| put_array(v, out)),
        GgufArray::U64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        GgufArray::I64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
        GgufArray::F64(v) => v.iter().for_each(|v| out.extend(v.to_le_bytes())),
    }
}
