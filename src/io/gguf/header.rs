//! The head of a GGUF file: metadata, and what tensors there are.
//!
//! Nothing is taken for granted: a count is held against the bytes that are left before anything is made of it.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use super::kind::GgufKind;
use super::tensor::{ALIGNMENT, GgufTensor, MAGIC, MAX_DIMS};
use super::value::{GgufArray, GgufValue};
use crate::error::{Error, Result};

/// The longest head: room for millions of tokens, and what it is parsed into is a few times as much.
const MAX_HEADER: u64 = 1 << 28;

/// How deep arrays lie in each other.
const MAX_DEPTH: usize = 4;

/// What the head says.
pub(super) struct Header {
    pub version: u32,
    pub metadata: Vec<(String, GgufValue)>,
    pub tensors: Vec<GgufTensor>,
}

/// Reads a file of `len` bytes from its first byte on.
pub(super) fn read(path: &Path, source: &mut dyn Read, len: u64) -> Result<Header> {
    let mut reader = Reader { path, source, at: 0, end: len.min(MAX_HEADER), whole: len <= MAX_HEADER };
    let version = reader.version()?;
    let (tensors, keys) = (reader.u64("the number of tensors")?, reader.u64("the number of keys")?);
    // A key of no letters and a value of one byte; a tensor without name and axes.
    let keys = reader.count("keys", keys, 8 + 4 + 1)?;
    let tensors = reader.count("tensors", tensors, 8 + 4 + 4 + 8)?;
    let mut metadata: Vec<(String, GgufValue)> = Vec::with_capacity(keys);
    for i in 0..keys {
        let key = reader.string(&|| format!("key {i}"))?;
        let code = reader.u32("the type of a value")?;
        let value = reader.value(&key, code)?;
        metadata.push((key, value));
    }
    once(metadata.iter().map(|(key, _)| key.as_str()))
        .map_err(|key| reader.damaged(format!("the key {key:?} is there twice")))?;
    let alignment = match metadata.iter().find(|(key, _)| key == ALIGNMENT).map(|(_, value)| value) {
        None => 32,
        Some(GgufValue::U32(n)) if n.is_power_of_two() => u64::from(*n),
        Some(other) => return Err(reader.damaged(format!("{ALIGNMENT} is {other}, expected a power of two"))),
    };
    let mut infos = Vec::with_capacity(tensors);
    for i in 0..tensors {
        infos.push(reader.tensor(i)?);
    }
    once(infos.iter().map(|tensor| tensor.name.as_str()))
        .map_err(|name| reader.damaged(format!("the tensor {name:?} is there twice")))?;
    let start = reader.at.next_multiple_of(alignment);
    place(&mut infos, start, alignment, len).map_err(|problem| reader.damaged(problem))?;
    Ok(Header { version, metadata, tensors: infos })
}

/// The first name that is there once more.
fn once<'n>(mut names: impl Iterator<Item = &'n str>) -> Result<(), &'n str> {
    let mut seen = BTreeSet::new();
    names.find(|name| !seen.insert(*name)).map_or(Ok(()), Err)
}

/// Makes places in the file of offsets behind the head, which have to lie in it beside each other.
fn place(tensors: &mut [GgufTensor], start: u64, alignment: u64, len: u64) -> Result<(), String> {
    for tensor in &mut *tensors {
        let offset = tensor.start;
        if !offset.is_multiple_of(alignment) {
            return Err(format!("{} begins at byte {offset} of the data, no multiple of {alignment}", tensor.name));
        }
        let begin = start.checked_add(offset);
        match begin.filter(|begin| begin.checked_add(tensor.bytes).is_some_and(|end| end <= len)) {
            Some(begin) => tensor.start = begin,
            // Behind the last byte there may be nothing, not even the padding before it.
            None if tensor.bytes == 0 => tensor.start = len,
            None => {
                let GgufTensor { name, bytes, .. } = tensor;
                let left = len.saturating_sub(start);
                return Err(format!("{name} has {bytes} bytes from {offset} on in data of {left}"));
            }
        }
    }
    let mut order: Vec<&GgufTensor> = tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
    order.sort_by_key(|tensor| tensor.start);
    match order.windows(2).find(|pair| pair[0].start + pair[0].bytes > pair[1].start) {
        Some(pair) => Err(format!("{} and {} overlap", pair[0].name, pair[1].name)),
        None => Ok(()),
    }
}

struct Reader<'r> {
    path: &'r Path,
    source: &'r mut dyn Read,
    at: u64,
    /// Where the file ends, or the longest head.
    end: u64,
    whole: bool,
}

impl Reader<'_> {
    fn damaged(&self, problem: String) -> Error {
        Error::file(self.path, problem, "the file is damaged or no GGUF file: fetch or write it again")
    }

    /// An error for what does not fit into what is left.
    fn cut_off(&self, what: &str) -> Error {
        match self.whole {
            true => self.damaged(format!("it is cut off at byte {}: {what} would end behind {}", self.at, self.end)),
            false => {
                let problem =
                    format!("metadata and list of tensors take more than the {MAX_HEADER} bytes that are read");
                Error::file(self.path, problem, "take a file with less metadata")
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8], what: &str) -> Result<()> {
        if bytes.len() as u64 > self.end - self.at {
            return Err(self.cut_off(what));
        }
        self.source.read_exact(bytes).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.cut_off(what),
            _ => Error::Io { file: self.path.to_owned(), source },
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn word<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut word = [0; N];
        self.fill(&mut word, what)?;
        Ok(word)
    }

    fn u32(&mut self, what: &str) -> Result<u32> {
        self.word(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64> {
        self.word(what).map(u64::from_le_bytes)
    }

    /// A count of things that take so many bytes each at least.
    fn count(&self, what: &str, count: u64, each: u64) -> Result<usize> {
        match count.checked_mul(each).filter(|bytes| *bytes <= self.end - self.at) {
            Some(_) => Ok(count as usize),
            None => Err(self.cut_off(&format!("{count} {what}"))),
        }
    }

    fn version(&mut self) -> Result<u32> {
        let mut magic = [0; 4];
        let (path, wrong) = (self.path, "pass a *.gguf file of llama.cpp's");
        if self.end < 8 {
            return Err(Error::file(path, format!("no GGUF file: {} bytes", self.end), wrong));
        }
        self.fill(&mut magic, "the first word")?;
        if &magic != MAGIC {
            return Err(Error::file(path, format!("no GGUF file: it begins with {}", magic.escape_ascii()), wrong));
        }
        match self.u32("the version")? {
            version @ 2..=3 => Ok(version),
            1 => {
                let hint = "convert the model anew with llama.cpp's convert_hf_to_gguf.py";
                Err(Error::file(path, "a GGUF file of version 1, where 2 and 3 are read", hint))
            }
            version if (1..=0xFFFF).contains(&version.swap_bytes()) => {
                let problem = format!("a GGUF file of version {} in big-endian order", version.swap_bytes());
                Err(Error::file(path, problem, "write it in little-endian order (gguf_convert_endian.py)"))
            }
            version => {
                let problem = format!("a GGUF file of version {version}, where 2 and 3 are read");
                Err(Error::file(path, problem, "write it as version 3"))
            }
        }
    }

    fn string(&mut self, what: &dyn Fn() -> String) -> Result<String> {
        let len = self.u64("the length of a text")?;
        if len > self.end - self.at {
            return Err(self.cut_off(&format!("{}, a text of {len} bytes,", what())));
        }
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes, "a text")?;
        String::from_utf8(bytes).map_err(|_| self.damaged(format!("{} is not UTF-8", what())))
    }

    fn value(&mut self, key: &str, code: u32) -> Result<GgufValue> {
        Ok(match code {
            0 => GgufValue::U8(u8::from_le_bytes(self.word(key)?)),
            1 => GgufValue::I8(i8::from_le_bytes(self.word(key)?)),
            2 => GgufValue::U16(u16::from_le_bytes(self.word(key)?)),
            3 => GgufValue::I16(i16::from_le_bytes(self.word(key)?)),
            4 => GgufValue::U32(self.u32(key)?),
            5 => GgufValue::I32(i32::from_le_bytes(self.word(key)?)),
            6 => GgufValue::F32(f32::from_le_bytes(self.word(key)?)),
            7 => GgufValue::Bool(self.bool(key)?),
            8 => GgufValue::String(self.string(&|| key.to_owned())?),
            9 => GgufValue::Array(self.array(key, MAX_DEPTH)?),
            10 => GgufValue::U64(self.u64(key)?),
            11 => GgufValue::I64(i64::from_le_bytes(self.word(key)?)),
            12 => GgufValue::F64(f64::from_le_bytes(self.word(key)?)),
            other => return Err(self.damaged(format!("{key} is of type {other}, where 0 to 12 are known"))),
        })
    }

    fn bool(&mut self, key: &str) -> Result<bool> {
        match self.word(key)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.damaged(format!("{key} is {other}, where 0 or 1 is true or false"))),
        }
    }

    fn array(&mut self, key: &str, depth: usize) -> Result<GgufArray> {
        let (code, count) = (self.u32(key)?, self.u64(key)?);
        Ok(match code {
            0 => GgufArray::U8(self.words(key, count, u8::from_le_bytes)?),
            1 => GgufArray::I8(self.words(key, count, i8::from_le_bytes)?),
            2 => GgufArray::U16(self.words(key, count, u16::from_le_bytes)?),
            3 => GgufArray::I16(self.words(key, count, i16::from_le_bytes)?),
            4 => GgufArray::U32(self.words(key, count, u32::from_le_bytes)?),
            5 => GgufArray::I32(self.words(key, count, i32::from_le_bytes)?),
            6 => GgufArray::F32(self.words(key, count, f32::from_le_bytes)?),
            7 => {
                let count = self.count(key, count, 1)?;
                GgufArray::Bool((0..count).map(|_| self.bool(key)).collect::<Result<_>>()?)
            }
            8 => {
                let count = self.count(key, count, 8)?;
                let mut texts = Vec::with_capacity(count);
                for i in 0..count {
                    texts.push(self.string(&|| format!("text {i} of {key}"))?);
                }
                GgufArray::String(texts)
            }
            9 if depth == 0 => {
                return Err(self.damaged(format!("{key} has arrays in arrays, more than {MAX_DEPTH} deep")));
            }
            9 => {
                let count = self.count(key, count, 4 + 8)?;
                let mut arrays = Vec::with_capacity(count);
                for _ in 0..count {
                    arrays.push(self.array(key, depth - 1)?);
                }
                GgufArray::Array(arrays)
            }
            10 => GgufArray::U64(self.words(key, count, u64::from_le_bytes)?),
            11 => GgufArray::I64(self.words(key, count, i64::from_le_bytes)?),
            12 => GgufArray::F64(self.words(key, count, f64::from_le_bytes)?),
            other => return Err(self.damaged(format!("{key} has values of type {other}, where 0 to 12 are known"))),
        })
    }

    fn words<V, const N: usize>(&mut self, key: &str, count: u64, of: impl Fn([u8; N]) -> V) -> Result<Vec<V>> {
        let count = self.count(key, count, N as u64)?;
        let mut bytes = vec![0; count * N];
        self.fill(&mut bytes, key)?;
        Ok(bytes.as_chunks().0.iter().map(|word| of(*word)).collect())
    }

    /// What is said of a tensor; `start` is where it begins behind the head.
    fn tensor(&mut self, i: usize) -> Result<GgufTensor> {
        let name = self.string(&|| format!("the name of tensor {i}"))?;
        let axes = self.u32(&name)? as usize;
        if axes > MAX_DIMS {
            return Err(self.damaged(format!("{name} has {axes} axes, at most {MAX_DIMS} are known")));
        }
        // In the file the axis whose values lie side by side comes first.
        let mut dims = vec![0; axes];
        for dim in dims.iter_mut().rev() {
            *dim = self.u64(&name)?;
        }
        let kind = GgufKind::of(self.u32(&name)?).map_err(|kind| {
            let problem = format!("the tensor {name} is stored as {kind}, which is not read");
            let known: Vec<&str> = GgufKind::ALL.iter().map(|kind| kind.name()).collect();
            Error::file(self.path, problem, format!("take a file of these types alone: {}", known.join(", ")))
        })?;
        let start = self.u64(&name)?;
        let (values, bytes) = kind.block();
        let width = dims.last().copied().unwrap_or(1);
        if !width.is_multiple_of(values as u64) {
            let problem = format!("{name} has rows of {width} values, and blocks of {kind} have {values}");
            return Err(self.damaged(problem));
        }
        let product = |dims: &[u64]| dims.iter().try_fold(1, |product: u64, dim| product.checked_mul(*dim));
        // Without zeros, so that none of them hides what overflows.
        let filled: Vec<u64> = dims.iter().map(|dim| (*dim).max(1)).collect();
        let fits = product(&filled).filter(|n| *n < 1 << 60 && usize::try_from(*n).is_ok());
        let Some(count) = fits.and(product(&dims)) else {
            return Err(self.damaged(format!("{name} has the shape {dims:?}, more values than there can be")));
        };
        let bytes = count / values as u64 * bytes as u64;
        let shape = dims.into_iter().map(|dim| dim as usize).collect();
        Ok(GgufTensor { name, shape, kind, part: 0, start, bytes })
    }
}
