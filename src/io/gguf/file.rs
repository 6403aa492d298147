//! An open file.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::super::safetensors::{Source, read_at};
use super::super::{CHUNK, Positional, open_file};
use super::header;
use super::kind::GgufKind;
use super::parts::{PartOf, check_tensors};
use super::tensor::{GgufTensor, MAGIC};
use super::value::GgufValue;
use crate::error::{Error, Result};
use crate::tensor::Float;

/// The metadata and tensors of a GGUF file.
///
/// Everything about the file has been checked: that counts, lengths and offsets lie in it, no key or tensor is there twice, and no two tensors overlap.
/// Tensors are read from it when they are asked for.
///
/// ```no_run
/// let mut file = gradus::io::Gguf::open("model.gguf")?;
/// println!("{:?}", file.get("general.architecture"));
/// for tensor in file.tensors() {
///     println!("{} {:?} {}", tensor.name, tensor.shape, tensor.kind);
/// }
/// let tensor = file.tensor("token_embd.weight").cloned().unwrap();
/// let mut values = vec![0f32; tensor.len()];
/// file.read(&tensor, &mut values)?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Gguf<'a> {
    first: Bytes<'a>,
    /// The further files of a model in several; of their metadata nothing is kept.
    others: Vec<Bytes<'a>>,
    version: u32,
    metadata: Vec<(String, GgufValue)>,
    tensors: Vec<GgufTensor>,
}

/// Where the bytes of tensors are read from.
#[derive(Debug)]
struct Bytes<'a> {
    file: PathBuf,
    source: Box<dyn Source + 'a>,
    /// The same file for several readers at a time.
    positional: Option<Positional>,
}

impl Gguf<'static> {
    /// Opens a file. Of a model in several files, `model-00001-of-00003.gguf` and so on, any may be named: all are opened, the metadata are the first one's, and
    /// tensors come in the order of the files.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::File`] if it is no GGUF file of version 2 or 3, is damaged, or has a tensor of a type that is not read, by
    /// name; or if others of a model's files are not beside it under their names, or do not belong together.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let mut file = Gguf::open_alone(path.as_ref())?;
        let Some(mut part) = file.part_of() else { return Ok(file) };
        if let Some((path, expected)) = part.first(file.path())? {
            file = Gguf::open_alone(&path)?;
            expected.check(&path, file.part_of())?;
            part = expected;
        }
        for (number, (path, expected)) in (1..).zip(part.others(file.path())?) {
            let other = Gguf::open_alone(&path)?;
            expected.check(&path, other.part_of())?;
            file.tensors.extend(other.tensors.into_iter().map(|tensor| GgufTensor { part: number, ..tensor }));
            file.others.push(other.first);
        }
        check_tensors(file.path(), |tensor| file.file_of(tensor), file.number("split.tensors.count"), &file.tensors)?;
        Ok(file)
    }

    /// Opens a file, whatever it is a part of.
    fn open_alone(path: &Path) -> Result<Self> {
        let (file, len) = open_file(path)?;
        let positional = file.try_clone().ok().map(Positional::new);
        let mut opened = Gguf::parse(path, Box::<File>::new(file), len)?;
        opened.first.positional = positional;
        Ok(opened)
    }
}

impl<'a> Gguf<'a> {
    /// The same for bytes that are in memory, such as those of `include_bytes!`.
    ///
    /// # Errors
    /// [`Error::File`] as for [`open`](Gguf::open), and for a model in several files.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        let file = Gguf::parse(Path::new("<bytes>"), Box::new(Cursor::new(bytes)), bytes.len() as u64)?;
        // Of several files the others are not there.
        file.part_of().map_or(Ok(()), |part| part.others(file.path()).map(drop))?;
        Ok(file)
    }

    fn parse(path: &Path, mut source: Box<dyn Source + 'a>, len: u64) -> Result<Self> {
        let failed = |source| Error::Io { file: path.to_owned(), source };
        let mut start = Vec::new();
        (&mut source).take(512).read_to_end(&mut start).map_err(failed)?;
        source.rewind().map_err(failed)?;
        if let Some((problem, hint)) =
            super::super::kind::other_than("a GGUF file", &start).filter(|_| !start.starts_with(MAGIC))
        {
            return Err(Error::file(path, problem, hint));
        }
        let header::Header { version, metadata, tensors } = header::read(path, &mut BufReader::new(&mut source), len)?;
        let first = Bytes { file: path.to_owned(), source, positional: None };
        Ok(Gguf { first, others: Vec::new(), version, metadata, tensors })
    }

    /// The file that was opened; of a model in several, the first.
    pub fn path(&self) -> &Path {
        &self.first.file
    }

    /// The file that a tensor lies in, of a model in several.
    pub(crate) fn file_of(&self, tensor: &GgufTensor) -> &Path {
        &self.others.get(tensor.part.wrapping_sub(1)).unwrap_or(&self.first).file
    }

    /// The version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// All keys and their values, in the order of the file.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &GgufValue)> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// A whole number under a key.
    fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(GgufValue::as_u64)
    }

    /// What it is a part of.
    fn part_of(&self) -> Option<PartOf> {
        PartOf::new(|key| self.number(key))
    }

    /// The kind of model: `"llama"`, `"gpt2"` … (`general.architecture`).
    pub fn architecture(&self) -> Option<&str> {
        self.get("general.architecture").and_then(GgufValue::as_str)
    }

    /// How messages become a prompt, in the language of Jinja (`tokenizer.chat_template`).
    pub fn chat_template(&self) -> Option<&str> {
        self.get("tokenizer.chat_template").and_then(GgufValue::as_str)
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[GgufTensor] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// The values of a tensor into `out`, row by row.
    ///
    /// # Errors
    /// [`Error::File`] if their number is not `out`'s; [`Error::Io`] if they cannot be read.
    pub fn read<T: Float>(&mut self, tensor: &GgufTensor, out: &mut [T]) -> Result<()> {
        if tensor.len() != out.len() {
            let problem = format!("{} has {} values where {} are wanted", tensor.name, tensor.len(), out.len());
            return Err(Error::file(self.file_of(tensor), problem, "load it into a model of the same shapes"));
        }
        self.read_part(tensor, 0, out)
    }

    /// Bytes of a tensor from byte `at` on, read by any thread. For what was opened as a file.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be read.
    pub(crate) fn bytes_at(&self, tensor: &GgufTensor, at: usize, bytes: &mut [u8]) -> Result<()> {
        let file = self.others.get(tensor.part.wrapping_sub(1)).unwrap_or(&self.first);
        read_at(&file.file, file.positional.as_ref(), tensor.start + at as u64, bytes)
    }

    /// Some values of a tensor, from the one in place `first` on.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_part<T: Float>(&mut self, tensor: &GgufTensor, first: usize, out: &mut [T]) -> Result<()> {
        let count = out.len();
        if first.checked_add(count).is_none_or(|end| end > tensor.len()) {
            let problem = format!("{} has {} values, asked for {count} from {first} on", tensor.name, tensor.len());
            return Err(Error::file(self.file_of(tensor), problem, "load it into a model of the same shapes"));
        }
        let (each, bytes) = tensor.kind.block();
        let together = CHUNK.next_multiple_of(each);
        let (mut block, mut values) = (Vec::new(), Vec::new());
        let (mut at, end) = (first, first + count);
        let mut rest = out;
        while at < end {
            // Whole blocks around what is asked for.
            let blocks = at / each..end.min(at + together).div_ceil(each);
            block.resize(blocks.len() * bytes, 0);
            self.bytes(tensor, blocks.start * bytes, &mut block)?;
            let part = at - blocks.start * each..(end - blocks.start * each).min(blocks.len() * each);
            let (out, behind) = std::mem::take(&mut rest).split_at_mut(part.len());
            at += part.len();
            if tensor.kind == GgufKind::F64 {
                let words = block.as_chunks().0.iter();
                out.iter_mut().zip(words).for_each(|(out, word)| *out = T::of(f64::from_le_bytes(*word)));
            } else {
                values.resize(blocks.len() * each, 0f32);
                tensor.kind.decode(&block, &mut values);
                out.iter_mut().zip(&values[part]).for_each(|(out, v)| *out = T::of(f64::from(*v)));
            }
            rest = behind;
        }
        Ok(())
    }

    /// Some bytes of a tensor as they are stored (rows of whole blocks, from the byte in place `first` on).
    ///
    /// # Errors
    /// [`Error::File`] for more bytes than there are, [`Error::Io`] if they cannot be read.
    pub fn read_bytes(&mut self, tensor: &GgufTensor, bytes: Range<usize>) -> Result<Vec<u8>> {
        if bytes.start > bytes.end || bytes.end > tensor.byte_len() {
            let problem = format!("{} has {} bytes, asked for {bytes:?}", tensor.name, tensor.bytes);
            return Err(Error::file(self.file_of(tensor), problem, "ask for what is there"));
        }
        let mut out = vec![0; bytes.len()];
        self.bytes(tensor, bytes.start, &mut out)?;
        Ok(out)
    }

    /// Fills `out` from the byte in place `first` on.
    fn bytes(&mut self, tensor: &GgufTensor, first: usize, out: &mut [u8]) -> Result<()> {
        let Bytes { file, source, .. } = self.others.get_mut(tensor.part.wrapping_sub(1)).unwrap_or(&mut self.first);
        let failed = |source| Error::Io { file: file.clone(), source };
        source.seek(SeekFrom::Start(tensor.start + first as u64)).map_err(failed)?;
        source.read_exact(out).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::writer::GgufWriter;
    use super::*;
    use crate::kernels::quantised::BlockKind;

    /// A part that begins and ends within blocks is that part of all.
    #[test]
    fn parts() {
        let path = std::env::temp_dir().join(format!("gradus-gguf-parts-{}.gguf", std::process::id()));
        let values: Vec<f32> = (0..40 * 1024).map(|i| (i as f32 * 0.37).sin()).collect();
        for kind in [GgufKind::F32, GgufKind::F16, GgufKind::F64, GgufKind::Blocks(BlockKind::Q4_0)] {
            GgufWriter::new().tensor("w", [40, 1024], kind, &values).write(&path).unwrap();
            let mut file = Gguf::open(&path).unwrap();
            let tensor = file.tensors()[0].clone();
            let mut all = vec![0f64; values.len()];
            file.read(&tensor, &mut all).unwrap();
            for (first, count) in
                [(0, 1), (31, 2), (32, 32), (33, 16_384), (5, 40_000), (40_959, 1), (7, 0), (40_960, 0)]
            {
                let mut part = vec![0f64; count];
                file.read_part(&tensor, first, &mut part).unwrap();
                assert_eq!(part, all[first..first + count], "{kind} {first} {count}");
            }
            file.read_part(&tensor, 40_960, &mut [0f64]).unwrap_err();
            file.read_part(&tensor, usize::MAX, &mut [0f64; 2]).unwrap_err();
            let range = std::ops::Range { start: 9, end: 5 };
            file.read_bytes(&tensor, range).unwrap_err();
            file.read_bytes(&tensor, 0..tensor.byte_len() + 1).unwrap_err();
            assert_eq!(file.read_bytes(&tensor, 3..10).unwrap().len(), 7);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
