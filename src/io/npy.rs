//! NumPy's `.npy`: one array, with a header that is a Python dictionary.

use std::io::{BufReader, Read};
use std::path::Path;

use super::atomic;
use crate::error::{Error, Result};
use crate::kernels::half;
use crate::tensor::{Float, MAX_RANK, Shape, Tensor};

/// The longest header that is read; NumPy itself writes some 120 bytes.
const MAX_HEADER: usize = 1 << 16;

/// Bytes converted together; a multiple of every element's size.
const CHUNK: usize = 1 << 16;

/// Reads an array that `numpy.save` wrote: versions 1 to 3, C and Fortran order, either byte order.
///
/// Elements are floats of 16, 32 or 64 bits, integers of 8 to 64 bits or booleans, each converted to the nearest `T`.
///
/// Format: NumPy, "NEP 1: A Simple File Format for NumPy Arrays".
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::File`] if it is no such file, is cut off, has more than six axes, or
/// elements of another type.
pub fn read_npy<T: Float>(path: impl AsRef<Path>) -> Result<Tensor<T>> {
    let path = path.as_ref();
    let (file, len) = super::open_file(path)?;
    read(BufReader::new(file), len, path)
}

/// An array in the bytes of a `.npy` file; as [`read_npy`].
///
/// # Errors
/// As [`read_npy`].
pub fn parse_npy<T: Float>(bytes: &[u8]) -> Result<Tensor<T>> {
    read(bytes, bytes.len() as u64, Path::new("npy data"))
}

/// Writes an array that `numpy.load` reads, whole or not at all.
///
/// # Errors
/// [`Error::Write`] if the file cannot be written.
pub fn write_npy<T: Float>(path: impl AsRef<Path>, x: &Tensor<T>) -> Result<()> {
    atomic::replace(path.as_ref(), |file| write(file, x))
}

/// The bytes of a `.npy` file.
pub(super) fn write<T: Float>(out: &mut impl std::io::Write, x: &Tensor<T>) -> std::io::Result<()> {
    let size = T::NAME.trim_start_matches('f').parse().unwrap_or(64) / 8;
    let shape: String = x.dims().iter().map(|d| format!("{d}, ")).collect();
    let mut header = format!("{{'descr': '<f{size}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The values begin at a multiple of 64 bytes.
    let end = (10 + header.len() + 1).next_multiple_of(64);
    header += &" ".repeat(end - 11 - header.len());
    header.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&(header.len() as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    super::bytes(T::values(x.as_slice()), out)
}

/// Reads an array from `len` bytes.
pub(super) fn read<T: Float>(mut source: impl Read, len: u64, path: &Path) -> Result<Tensor<T>> {
    let failed = |problem: String, hint: &str| Error::File { file: path.to_owned(), problem, hint: hint.to_owned() };
    let damaged =
        |problem: String| failed(problem, "the file is cut off or no .npy file: write it again with numpy.save");
    let io = |source| Error::Io { file: path.to_owned(), source };
    let mut start = Vec::new();
    source.by_ref().take(8).read_to_end(&mut start).map_err(io)?;
    if !start.starts_with(&b"\x93NUMPY"[..start.len().min(6)]) {
        source.by_ref().take(504).read_to_end(&mut start).map_err(io)?;
        return Err(match super::kind::other_than("a NumPy array (.npy)", &start) {
            Some((problem, hint)) => failed(problem, &hint),
            None => damaged("the file does not begin as .npy files do".into()),
        });
    }
    if start.len() < 8 {
        return Err(damaged("the file ends too early".into()));
    }
    let mut fill = |bytes: &mut [u8]| {
        source.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => damaged("the file ends too early".into()),
            _ => Error::Io { file: path.to_owned(), source: error },
        })
    };
    let (size, head) = match start[6] {
        1 => {
            let mut bytes = [0; 2];
            fill(&mut bytes)?;
            (usize::from(u16::from_le_bytes(bytes)), 10)
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            fill(&mut bytes)?;
            (u32::from_le_bytes(bytes) as usize, 12)
        }
        other => return Err(damaged(format!("version {other} of the format is unknown"))),
    };
    if size > MAX_HEADER {
        return Err(damaged(format!("a header of {size} bytes, more than the {MAX_HEADER} that are read")));
    }
    let mut header = vec![0; size];
    fill(&mut header)?;
    let text = String::from_utf8_lossy(&header);
    let header =
        Header::parse(&text).ok_or_else(|| damaged(format!("the header cannot be read: {:.120}", text.trim())))?;
    let Some((kind, width)) = header.element() else {
        let hint = "save floats, integers or booleans: numpy.save(file, x.astype(\"float32\"))";
        return Err(failed(format!("elements of type {:?}", header.descr), hint));
    };
    if header.shape.len() > MAX_RANK {
        return Err(failed(format!("{} axes", header.shape.len()), "save at most six axes: reshape it first"));
    }
    let shape = Shape::try_from(&header.shape[..])?;
    let values = shape.checked_len("read_npy")?;
    let bytes = values as u64 * width as u64;
    if len != (head + size) as u64 + bytes {
        return Err(damaged(format!("{len} bytes where the header promises {}", (head + size) as u64 + bytes)));
    }
    let mut data: Vec<T> = Vec::with_capacity(values);
    let mut chunk = vec![0; CHUNK.min(bytes as usize)];
    let mut left = bytes as usize;
    while left > 0 {
        let part = &mut chunk[..CHUNK.min(left)];
        fill(part)?;
        convert((kind, width), header.descr.starts_with('>'), part, &mut data);
        left -= part.len();
    }
    if header.fortran {
        data = from_fortran(&data, shape);
    }
    Tensor::new(shape, data)
}

/// What the header's dictionary says.
#[derive(Debug, PartialEq)]
struct Header<'a> {
    descr: &'a str,
    fortran: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// Three keys in any order; nothing else is allowed.
    fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            rest = match key {
                "descr" => {
                    let (text, rest) = quoted(value)?;
                    descr = Some(text);
                    rest
                }
                "fortran_order" => {
                    let (flag, rest) = match value.strip_prefix("True") {
                        Some(rest) => (true, rest),
                        None => (false, value.strip_prefix("False")?),
                    };
                    fortran = Some(flag);
                    rest
                }
                "shape" => {
                    let (inside, rest) = value.strip_prefix('(')?.split_once(')')?;
                    let sizes = inside.split(',').map(str::trim).filter(|s| !s.is_empty());
                    shape = Some(sizes.map(|s| s.trim_end_matches('L').parse().ok()).collect::<Option<Vec<usize>>>()?);
                    rest
                }
                _ => return None,
            }
            .trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Some(Header { descr: descr?, fortran: fortran?, shape: shape? })
    }

    /// The letter of the elements' kind and their size, if they are numbers.
    fn element(&self) -> Option<(u8, usize)> {
        let code = self.descr.trim_start_matches(['<', '>', '|', '=']).as_bytes();
        match code {
            [b'f', b'2' | b'4' | b'8'] | [b'i' | b'u', b'1' | b'2' | b'4' | b'8'] => {
                Some((code[0], usize::from(code[1] - b'0')))
            }
            b"b1" => Some((b'u', 1)),
            _ => None,
        }
    }
}

/// A text in quotes at the beginning, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// Appends the values of elements of this letter and width.
fn convert<T: Float>((kind, width): (u8, usize), big: bool, bytes: &[u8], values: &mut Vec<T>) {
    fn each<T: Float, const N: usize>(big: bool, bytes: &[u8], values: &mut Vec<T>, f: impl Fn([u8; N]) -> f64) {
        values.extend(bytes.as_chunks::<N>().0.iter().map(|word| {
            let mut word = *word;
            if big {
                word.reverse();
            }
            T::of(f(word))
        }));
    }
    match (kind, width) {
        (b'f', 2) => each(big, bytes, values, |b| f64::from(half::widen(u16::from_le_bytes(b)))),
        (b'f', 4) => each(big, bytes, values, |b| f64::from(f32::from_le_bytes(b))),
        (b'f', _) => each(big, bytes, values, f64::from_le_bytes),
        (b'i', 1) => each(big, bytes, values, |b| f64::from(i8::from_le_bytes(b))),
        (b'i', 2) => each(big, bytes, values, |b| f64::from(i16::from_le_bytes(b))),
        (b'i', 4) => each(big, bytes, values, |b| f64::from(i32::from_le_bytes(b))),
        (b'i', _) => each(big, bytes, values, |b| i64::from_le_bytes(b) as f64),
        (_, 1) => each(big, bytes, values, |[b]| f64::from(b)),
        (_, 2) => each(big, bytes, values, |b| f64::from(u16::from_le_bytes(b))),
        (_, 4) => each(big, bytes, values, |b| f64::from(u32::from_le_bytes(b))),
        _ => each(big, bytes, values, |b| u64::from_le_bytes(b) as f64),
    }
}

/// Values in the order in which the first axis runs fastest, in that in which the last one does.
fn from_fortran<T: Float>(values: &[T], shape: Shape) -> Vec<T> {
    let dims = shape.dims();
    let mut strides = vec![1; dims.len()];
    for axis in 1..dims.len() {
        strides[axis] = strides[axis - 1] * dims[axis - 1];
    }
    let mut position = vec![0; dims.len()];
    (0..values.len())
        .map(|_| {
            let from: usize = position.iter().zip(&strides).map(|(p, s)| p * s).sum();
            for axis in (0..dims.len()).rev() {
                position[axis] += 1;
                if position[axis] < dims[axis] {
                    break;
                }
                position[axis] = 0;
            }
            values[from]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn header(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
    }

    #[test]
    fn there_and_back() {
        let x = Tensor::from_fn([2, 3, 4], |i| i as f64 / 3.0);
        let mut bytes = Vec::new();
        write(&mut bytes, &x).unwrap();
        assert_eq!(bytes.len() % 64, 24 * 8 % 64);
        assert_eq!(parse_npy::<f64>(&bytes).unwrap(), x);
        let one = Tensor::new(Shape::SCALAR, vec![2.5f32]).unwrap();
        bytes.clear();
        write(&mut bytes, &one).unwrap();
        assert_eq!(parse_npy::<f32>(&bytes).unwrap(), one);
    }

    #[test]
    fn kinds_and_orders() {
        let read = |descr: &str, data: &[u8]| {
            let shape = "(1,)";
            parse_npy::<f64>(&file(&header(descr, "False", shape), data)).unwrap().as_slice()[0]
        };
        assert_eq!(read("<f2", &[0, 0x3C]), 1.0);
        assert_eq!(read(">f4", &1.5f32.to_be_bytes()), 1.5);
        assert_eq!(read("<f8", &(-2.25f64).to_le_bytes()), -2.25);
        assert_eq!((read("|i1", &[255]), read("|u1", &[255]), read("|b1", &[1])), (-1.0, 255.0, 1.0));
        assert_eq!((read(">i2", &[255, 254]), read("<u2", &[1, 2])), (-2.0, 513.0));
        assert_eq!((read("<i4", &(-7i32).to_le_bytes()), read(">u4", &9u32.to_be_bytes())), (-7.0, 9.0));
        assert_eq!((read("<i8", &(-7i64).to_le_bytes()), read(">u8", &9u64.to_be_bytes())), (-7.0, 9.0));
        // Columns first.
        let bytes = file(&header("|u1", "True", "(2, 3)"), &[1, 4, 2, 5, 3, 6]);
        assert_eq!(parse_npy::<f32>(&bytes).unwrap(), Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]));
    }

    #[test]
    fn what_is_wrong() {
        let good = file(&header("|u1", "False", "(2, 3)"), &[0; 6]);
        assert!(parse_npy::<f32>(&good).is_ok());
        for len in 0..good.len() {
            assert!(parse_npy::<f32>(&good[..len]).is_err());
        }
        let other = |bytes: &[u8]| parse_npy::<f32>(bytes).unwrap_err().to_string();
        assert!(other(b"PK\x03\x04").contains("a zip archive, not a NumPy array"), "{}", other(b"PK\x03\x04"));
        assert!(other(b"\x89HDF\r\n\x1a\n....").contains("an HDF5 file (.h5), not a NumPy array"));
        assert!(other(b"a,b\n1,2\n").contains("does not begin as .npy files do"));
        let error = |header: &str| parse_npy::<f32>(&file(header, &[0; 6])).unwrap_err().to_string();
        assert!(error(&header("<U5", "False", "(2, 3)")).contains("elements of type \"<U5\"; save floats"));
        assert!(error(&header("|u1", "False", "(1,1,1,1,1,1,6)")).contains("7 axes"));
        assert!(error(&header("|u1", "False", "(2, 4)")).contains("bytes where the header promises"));
        for bad in [
            "(18446744073709551615, 8)",
            "(-1,)",
            "(nan,)",
            "(99999999999999999999999,)",
            "6",
            "(6",
            "(4294967296, 4294967296)",
        ] {
            error(&header("|u1", "False", bad));
        }
        for bad in [
            "",
            "{",
            "{}",
            "{'descr': '|u1'}",
            "{'a': 1}",
            "\u{e9}",
            "{'descr': \u{e9}}",
            "{'descr': '|u1', 'fortran_order': Maybe, 'shape': (6,)}",
        ] {
            error(bad);
        }
    }
}
