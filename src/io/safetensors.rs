//! The safetensors format: a header in JSON that names arrays, then their bytes.
//!
//! Files that this library writes carry a checksum, so that no flipped bit goes unnoticed; files of others are read without.

use std::cmp::Reverse;
use std::fmt::Debug;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::gguf::GgufKind;
use super::{CHUNK, Positional, atomic, bytes, open_file};
use crate::bf16::Bf16;
use crate::error::{Error, Result};
use crate::kernels::half;
use crate::memory;
use crate::state::{Value, Values};
use crate::tensor::Float;

/// The longest header: room for tens of thousands of names, and little enough that what it is parsed into stays small.
const MAX_HEADER: u64 = 1 << 20;

/// How a file with a checksum goes on after the header's length.
const START: &[u8] = br#"{"__metadata__":{"crc32":""#;

/// Where the checksum's eight hexadecimal digits stand.
const DIGITS: Range<usize> = 8 + START.len()..8 + START.len() + 8;

/// The key of the metadata that says what the arrays are.
const ABOUT: &str = "gradus";

/// An array to be written.
#[derive(Debug)]
pub(crate) struct Array<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Values<'a>,
}

/// Writes arrays and what they are, whole or not at all.
pub(crate) fn write(path: &Path, about: &str, mut arrays: Vec<Array<'_>>) -> Result<()> {
    let header = checked_header(path, about, &mut arrays)?;
    atomic::replace(path, |file| fill(file, &header, &arrays))
}

/// The bytes of a file of arrays and what they are, to be read by [`Archive::from_bytes`].
pub(crate) fn to_bytes(about: &str, mut arrays: Vec<Array<'_>>) -> Result<Vec<u8>> {
    let header = checked_header(Path::new("a model in memory"), about, &mut arrays)?;
    let len = arrays.iter().map(|array| array.values.len().saturating_mul(array.values.size()));
    let len = len.fold(8 + header.len(), usize::saturating_add);
    let mut out = memory::filled("to_bytes", "a model as bytes", len, 0u8)?;
    let mut cursor = Cursor::new(&mut out[..]);
    fill(&mut cursor, &header, &arrays).map_err(|source| Error::Write { file: "a model in memory".into(), source })?;
    Ok(out)
}

/// The header of arrays, which are brought into the order in which they are written.
fn checked_header(path: &Path, about: &str, arrays: &mut [Array<'_>]) -> Result<String> {
    // Large elements first, so that all lie at multiples of their size.
    arrays.sort_by_key(|array| Reverse(array.values.size()));
    let header = header(about, arrays);
    if header.len() as u64 > MAX_HEADER {
        let problem = format!("the names and the architecture take {} bytes of at most {MAX_HEADER}", header.len());
        return Err(Error::file(path, problem, "shorten the layers' names or split the model"));
    }
    Ok(header)
}

/// Writes header and arrays, with their checksum in the header.
fn fill(file: &mut (impl Write + Seek), header: &str, arrays: &[Array<'_>]) -> io::Result<()> {
    let mut out = Summed { file: &mut *file, hash: crc32fast::Hasher::new() };
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    arrays.iter().try_for_each(|array| bytes(array.values, &mut out))?;
    let sum = out.hash.finalize();
    file.seek(SeekFrom::Start(DIGITS.start as u64))?;
    file.write_all(format!("{sum:08x}").as_bytes())
}

/// Writes arrays by name, with their shapes.
pub(crate) fn write_arrays<T: Float>(path: &Path, about: &str, arrays: &[(String, Vec<usize>, Vec<T>)]) -> Result<()> {
    let arrays = arrays.iter().map(|(name, shape, values)| Array {
        name: name.clone(),
        shape: shape.clone(),
        values: T::values(values),
    });
    write(path, about, arrays.collect())
}

/// What the names of a checkpoint's further arrays may take.
const FURTHER: u64 = 1 << 16;

/// Checks that a file of these arrays, and a checkpoint of them, has a header that can be read.
pub(crate) fn check_header(about: &str, arrays: &[Array<'_>]) -> Result<()> {
    let (len, most) = (header(about, arrays).len() as u64, MAX_HEADER - FURTHER);
    if len <= most {
        return Ok(());
    }
    let problem = format!("the names and the architecture would take {len} bytes of at most {most} in a file");
    Err(Error::Config { op: "build", problem, hint: "shorten the layers' names or split the model".into() })
}

/// The header, with zeros for the checksum, padded to a multiple of eight bytes.
fn header(about: &str, arrays: &[Array<'_>]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut header = String::from_utf8_lossy(START).into_owned();
    header += &format!("00000000\",\"{ABOUT}\":{}}}", quoted(about));
    let mut start = 0;
    for Array { name, shape, values } in arrays {
        let dtype = match values {
            Values::F32(_) => "F32",
            Values::F64(_) => "F64",
            Values::Bf16(_) => "BF16",
            Values::U64(_) => "U64",
            Values::U8(_) => "U8",
        };
        let end = start + values.size() * values.len();
        let name = quoted(name);
        header += &format!(",{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}");
        start = end;
    }
    header.push('}');
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    header
}

/// A file and the checksum of what went into it.
struct Summed<'a, W> {
    file: &'a mut W,
    hash: crc32fast::Hasher,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The arrays of a safetensors file.
///
/// Everything about the file has been checked: its checksum where it has one, that names, shapes and offsets make sense. The
/// arrays are read from it when they are asked for.
///
/// ```no_run
/// let archive = gradus::io::Archive::open("model.safetensors")?;
/// for stored in archive.arrays() {
///     println!("{} {:?} {}", stored.name, stored.shape, stored.kind());
/// }
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Archive<'a> {
    file: PathBuf,
    source: Box<dyn Source + 'a>,
    /// The same file for several readers at a time.
    positional: Option<Positional>,
    about: Option<String>,
    arrays: Vec<Stored>,
}

/// What bytes can be read from, at any position.
pub(super) trait Source: Read + Seek + Debug + Send + Sync {}

impl<S: Read + Seek + Debug + Send + Sync> Source for S {}

/// What is known of one array of an [`Archive`].
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    dtype: Dtype,
    /// Where its bytes begin.
    start: u64,
}

impl Stored {
    /// The kind of number, as the format writes it: `"F32"`, `"BF16"` …
    pub fn kind(&self) -> String {
        format!("{:?}", self.dtype)
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind of floating-point number, if it is one that weights have.
    pub(crate) fn floats(&self) -> Option<GgufKind> {
        match self.dtype {
            Dtype::F64 => Some(GgufKind::F64),
            Dtype::F32 => Some(GgufKind::F32),
            Dtype::F16 => Some(GgufKind::F16),
            Dtype::BF16 => Some(GgufKind::Bf16),
            _ => None,
        }
    }
}

impl Archive<'static> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::File`] if it is no safetensors file or damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, len) = open_file(path)?;
        let positional = file.try_clone().ok().map(Positional::new);
        Ok(Archive { positional, ..Archive::parse(path, Box::new(file), len)? })
    }
}

impl<'a> Archive<'a> {
    /// The same for bytes that are in memory, such as those of `include_bytes!`.
    ///
    /// # Errors
    /// [`Error::File`] if they are no safetensors file or damaged.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        Archive::parse(Path::new("<bytes>"), Box::new(Cursor::new(bytes)), bytes.len() as u64)
    }

    fn parse(path: &Path, mut source: Box<dyn Source + 'a>, len: u64) -> Result<Self> {
        let failed = |source| Error::Io { file: path.to_owned(), source };
        let damaged = |problem: String| {
            let hint = "the file is damaged or no safetensors file: write it again, or take an older copy";
            Error::file(path, problem, hint)
        };
        let mut start = Vec::new();
        (&mut source).take(512).read_to_end(&mut start).map_err(failed)?;
        source.rewind().map_err(failed)?;
        let other = super::kind::other_than("a safetensors file", &start).filter(|_| start.get(8) != Some(&b'{'));
        if let Some((problem, hint)) = other {
            return Err(Error::file(path, problem, hint));
        }
        let mut word = [0; 8];
        if len < 8 {
            return Err(damaged(format!("only {len} bytes")));
        }
        source.read_exact(&mut word).map_err(failed)?;
        let size = u64::from_le_bytes(word);
        if size > len - 8 {
            return Err(damaged(format!("a header of {size} bytes in a file of {len}")));
        }
        if size > MAX_HEADER {
            let problem = format!("a header of {size} bytes, more than the {MAX_HEADER} that are read");
            return Err(Error::file(path, problem, "split the model into files of fewer arrays"));
        }
        let mut header = vec![0; size as usize];
        source.read_exact(&mut header).map_err(failed)?;
        let summed = header.starts_with(START) && header.len() >= DIGITS.end - 8;
        if summed {
            check_sum(path, word, &header, &mut source)?;
        }
        let text = std::str::from_utf8(&header).map_err(|e| damaged(format!("bad header: {e}")))?;
        let metadata: Metadata = serde_json::from_str(text).map_err(|e| damaged(format!("bad header: {e}")))?;
        if metadata.data_len() as u64 != len - 8 - size {
            let problem =
                format!("{} bytes of arrays where the header speaks of {}", len - 8 - size, metadata.data_len());
            return Err(damaged(problem));
        }
        let extra = metadata.metadata().as_ref();
        let about = extra.and_then(|m| m.get(ABOUT)).cloned();
        // Our files begin with their checksum; one that does not has lost it.
        if !summed && extra.is_some_and(|m| m.contains_key(ABOUT) || m.contains_key("crc32")) {
            return Err(damaged("the checksum is missing".into()));
        }
        let stored = |(name, info): (String, &TensorInfo)| Stored {
            name,
            shape: info.shape.clone(),
            dtype: info.dtype,
            start: 8 + size + info.data_offsets.0 as u64,
        };
        let mut arrays: Vec<Stored> = metadata.tensors().into_iter().map(stored).collect();
        arrays.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
        Ok(Archive { file: path.to_owned(), source, positional: None, about, arrays })
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// The arrays, in the order of the file.
    pub fn arrays(&self) -> &[Stored] {
        &self.arrays
    }

    /// The JSON in which this library says what the arrays are; none in files of others.
    pub fn about(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// Whether an array holds floating-point numbers.
    ///
    /// # Errors
    /// [`Error::File`] if not.
    pub(crate) fn check_floats(&self, stored: &Stored) -> Result<()> {
        if matches!(stored.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Ok(());
        }
        let problem = format!("{} holds {}", stored.name, stored.kind());
        Err(Error::file(&self.file, problem, "weights are F64, F32, F16 or BF16"))
    }

    /// The values of an array into `out`, converted where they are of another precision.
    ///
    /// # Errors
    /// [`Error::File`] if their number is not `out`'s, or they are no floating-point numbers; [`Error::Io`] if they cannot be
    /// read.
    pub fn read<T: Float>(&mut self, stored: &Stored, out: &mut [T]) -> Result<()> {
        self.check_floats(stored)?;
        if stored.len() != out.len() {
            let problem = format!("{} has {} values where {} are wanted", stored.name, stored.len(), out.len());
            return Err(Error::file(&self.file, problem, "load it into a model of the same shapes"));
        }
        self.read_part(stored, 0, out)
    }

    /// Some values of an array of floating-point numbers, from the one in place `first` on.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_part<T: Float>(&mut self, stored: &Stored, first: usize, out: &mut [T]) -> Result<()> {
        self.check_floats(stored)?;
        let count = out.len();
        if first.checked_add(count).is_none_or(|end| end > stored.len()) {
            let problem = format!("{} has {} values, asked for {count} from {first} on", stored.name, stored.len());
            return Err(Error::file(&self.file, problem, "load it into a model of the same shapes"));
        }
        let mut out = out.iter_mut();
        let mut next = |value: f64| {
            if let Some(v) = out.next() {
                *v = T::of(value);
            }
        };
        let part = first..first + count;
        // Through f64, which holds all of them, so that nothing but a NaN's payload can be lost.
        match stored.dtype {
            Dtype::F64 => self.words(stored, part, |b| next(f64::from_le_bytes(b))),
            Dtype::F32 => self.words(stored, part, |b| next(f64::from(f32::from_le_bytes(b)))),
            Dtype::BF16 => {
                self.words(stored, part, |b| next(f64::from(Bf16::from_bits(u16::from_le_bytes(b)).to_f32())))
            }
            _ => self.words(stored, part, |b| next(f64::from(half::widen(u16::from_le_bytes(b))))),
        }
    }

    /// Bytes of an array from byte `at` on, read by any thread. For archives that are files.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be read.
    pub(crate) fn bytes_at(&self, stored: &Stored, at: usize, bytes: &mut [u8]) -> Result<()> {
        read_at(&self.file, self.positional.as_ref(), stored.start + at as u64, bytes)
    }

    /// The values of an array of one of the kinds that a [`State`](crate::State) holds.
    pub(crate) fn value(&mut self, stored: &Stored) -> Result<Value> {
        macro_rules! collect {
            ($kind:ident, $from:expr) => {{
                let mut values = Vec::with_capacity(stored.len());
                self.words(stored, 0..stored.len(), |b| values.push($from(b)))?;
                Value::$kind(values)
            }};
        }
        Ok(match stored.dtype {
            Dtype::F32 => collect!(F32, f32::from_le_bytes),
            Dtype::F64 => collect!(F64, f64::from_le_bytes),
            Dtype::BF16 => collect!(Bf16, |b| Bf16::from_bits(u16::from_le_bytes(b))),
            Dtype::U64 => collect!(U64, u64::from_le_bytes),
            Dtype::U8 => collect!(U8, u8::from_le_bytes),
            _ => {
                let problem = format!("{} holds {}", stored.name, stored.kind());
                return Err(Error::file(&self.file, problem, "write the checkpoint again"));
            }
        })
    }

    /// Hands the words of an array that stand in these places to `each`.
    fn words<const N: usize>(
        &mut self,
        stored: &Stored,
        places: Range<usize>,
        mut each: impl FnMut([u8; N]),
    ) -> Result<()> {
        let failed = |source| Error::Io { file: self.file.clone(), source };
        self.source.seek(SeekFrom::Start(stored.start + (N * places.start) as u64)).map_err(failed)?;
        let mut left = places.len();
        let mut buffer = vec![0; N * left.min(CHUNK)];
        while left > 0 {
            let part = &mut buffer[..N * left.min(CHUNK)];
            self.source.read_exact(part).map_err(failed)?;
            part.as_chunks().0.iter().for_each(|word| each(*word));
            left -= part.len() / N;
        }
        Ok(())
    }
}

/// Bytes of a file, read by position.
pub(crate) fn read_at(path: &Path, file: Option<&Positional>, at: u64, bytes: &mut [u8]) -> Result<()> {
    let none = || io::Error::new(io::ErrorKind::Unsupported, "it is not open for several readers");
    file.ok_or_else(none)
        .and_then(|file| file.read(bytes, at))
        .map_err(|source| Error::Io { file: path.to_owned(), source })
}

/// Compares the checksum with all bytes; `source` stands behind the header.
fn check_sum(path: &Path, word: [u8; 8], header: &[u8], source: &mut dyn Source) -> Result<()> {
    let (digits, rest) = (&header[START.len()..DIGITS.end - 8], &header[DIGITS.end - 8..]);
    let mut hash = crc32fast::Hasher::new();
    [&word[..], START, b"00000000", rest].iter().for_each(|part| hash.update(part));
    let mut buffer = vec![0; 8 * CHUNK];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Io { file: path.to_owned(), source }),
        }
    }
    if format!("{:08x}", hash.finalize()).as_bytes() == digits {
        return Ok(());
    }
    let problem = "the checksum does not match, so some bytes have changed since it was written";
    Err(Error::file(path, problem, "take an older copy, or write it again"))
}
