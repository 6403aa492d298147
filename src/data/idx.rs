//! IDX, the format of MNIST and its relatives.

use std::io::{BufReader, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::io::{kind, open_file};
use crate::tensor::{Float, MAX_RANK, Shape, Tensor};

/// Deflate cannot shrink data by more than this factor.
const MAX_EXPANSION: u64 = 1032;

/// Bytes converted at a time; a multiple of every element's size.
const CHUNK: usize = 1 << 16;

/// Reads an IDX file: `train-images-idx3-ubyte` gives `[60000, 28, 28]` with values from 0 to 255. A gzipped file is
/// recognised by its first bytes (feature `gzip`).
///
/// All element types of the format are read (bytes, 16 and 32 bit integers, floats of 32 and 64 bits), each converted to
/// the nearest `T`.
///
/// Format: Yann LeCun, "The MNIST database of handwritten digits".
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::File`] for what is no file on a disk, [`Error::Data`] if it is not an
/// IDX file, is shorter or longer than its header says, or is gzipped without that feature.
pub fn read_idx<T: Float>(path: impl AsRef<Path>) -> Result<Tensor<T>> {
    let path = path.as_ref();
    let (file, size) = open_file(path)?;
    open(BufReader::new(file), size, path)
}

/// An IDX file that is in memory, plain or gzipped; as [`read_idx`].
///
/// ```
/// use gradus::data::parse_idx;
/// use gradus::Tensor;
/// let file = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 255];
/// assert_eq!(parse_idx::<f32>(&file)?, Tensor::from([[7.0, 255.0]]));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// As [`read_idx`].
#[inline(never)]
pub fn parse_idx<T: Float>(bytes: &[u8]) -> Result<Tensor<T>> {
    open(bytes, bytes.len() as u64, Path::new("IDX data"))
}

pub(super) fn data(file: &Path, problem: impl Into<String>, hint: &str) -> Error {
    Error::Data { file: file.to_owned(), line: None, column: None, problem: problem.into(), hint: hint.into() }
}

fn open<T: Float>(mut source: impl std::io::BufRead, size: u64, file: &Path) -> Result<Tensor<T>> {
    let start = source.fill_buf().map_err(|source| Error::Io { file: file.to_owned(), source })?;
    if start.starts_with(&[0x1f, 0x8b]) {
        #[cfg(feature = "gzip")]
        return read(flate2::bufread::GzDecoder::new(source), size.saturating_mul(MAX_EXPANSION), file);
        #[cfg(not(feature = "gzip"))]
        return Err(data(file, "the file is gzipped", "unpack it, or switch on the feature gzip"));
    }
    let _ = MAX_EXPANSION;
    check_kind(start, file)?;
    read(source, size, file)
}

/// An error that names the kind of a file that is another.
pub(super) fn check_kind(start: &[u8], file: &Path) -> Result<()> {
    match kind::other_than("an IDX file", start).filter(|_| !start.starts_with(&[0, 0])) {
        Some((problem, hint)) => Err(data(file, problem, &hint)),
        None => Ok(()),
    }
}

/// What the beginning of a file says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The code of the elements' type.
    kind: u8,
    /// Bytes of an element.
    pub width: usize,
    pub shape: Shape,
}

impl Header {
    /// Bytes of the header itself.
    pub fn len(&self) -> u64 {
        4 + 4 * self.shape.rank() as u64
    }

    /// Reads it; at most `most` bytes of values can come.
    pub fn read(source: &mut impl Read, most: u64, file: &Path) -> Result<Self> {
        let mut header = [0; 4];
        fill(source, &mut header, file)?;
        let [0, 0, kind, rank] = header else {
            return Err(data(file, "the file does not begin with two zero bytes", "pass an IDX file such as MNIST's"));
        };
        let width = match kind {
            0x08 | 0x09 => 1,
            0x0B => 2,
            0x0C | 0x0D => 4,
            0x0E => 8,
            other => {
                let problem = format!("element type 0x{other:02x} is unknown");
                return Err(data(file, problem, "pass an IDX file such as MNIST's"));
            }
        };
        let rank = usize::from(rank);
        if rank == 0 || rank > MAX_RANK {
            let problem = format!("the file says that it has {rank} axes");
            return Err(data(file, problem, "files of one to six axes can be read"));
        }
        let mut dims = [0; MAX_RANK];
        for dim in &mut dims[..rank] {
            let mut bytes = [0; 4];
            fill(source, &mut bytes, file)?;
            *dim = u32::from_be_bytes(bytes) as usize;
        }
        let shape = Shape::try_from(&dims[..rank])?;
        if shape.checked_len("read_idx")? as u64 * width as u64 > most {
            let problem = format!("the header promises shape {shape}, more than the file can hold");
            return Err(data(file, problem, "the file is cut off or not an IDX file; fetch it again"));
        }
        Ok(Header { kind, width, shape })
    }

    /// Reads values that fill `out`, as many as there are, through `buffer`.
    pub fn values<T: Float>(
        &self,
        source: &mut impl Read,
        out: &mut [T],
        buffer: &mut Vec<T>,
        file: &Path,
    ) -> Result<()> {
        let mut bytes = [0; 1 << 12];
        for part in out.chunks_mut(bytes.len() / self.width) {
            let bytes = &mut bytes[..part.len() * self.width];
            fill(source, bytes, file)?;
            buffer.clear();
            convert(self.kind, bytes, buffer);
            part.copy_from_slice(buffer);
        }
        Ok(())
    }
}

/// Reads header and values; at most `most` bytes can come.
fn read<T: Float>(mut source: impl Read, most: u64, file: &Path) -> Result<Tensor<T>> {
    let Header { kind, width, shape } = Header::read(&mut source, most, file)?;
    let bytes = shape.len() as u64 * width as u64;
    let mut values = Vec::new();
    let mut chunk = vec![0; CHUNK.min(bytes as usize)];
    let mut left = bytes as usize;
    while left > 0 {
        let part = &mut chunk[..CHUNK.min(left)];
        fill(&mut source, part, file)?;
        if values.is_empty() {
            // What is left is asked for at once only now that the file goes on after its header.
            values.reserve_exact(if bytes <= most / MAX_EXPANSION { shape.len() } else { shape.len().min(CHUNK) });
        }
        convert(kind, part, &mut values);
        left -= part.len();
    }
    if source.read(&mut [0]).map_err(|source| Error::Io { file: file.to_owned(), source })? != 0 {
        let problem = format!("the file goes on after its {} values", shape.len());
        return Err(data(file, problem, "the file is damaged or not an IDX file; fetch it again"));
    }
    Tensor::new(shape, values)
}

fn fill(source: &mut impl Read, bytes: &mut [u8], file: &Path) -> Result<()> {
    source.read_exact(bytes).map_err(|source| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            data(file, "the file ends before all values are there", "it is cut off; fetch it again")
        }
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
            data(file, source.to_string(), "the gzipped data are damaged; fetch the file again")
        }
        _ => Error::Io { file: file.to_owned(), source },
    })
}

/// Appends big-endian values; unknown kinds have been refused.
#[inline(never)]
fn convert<T: Float>(kind: u8, bytes: &[u8], values: &mut Vec<T>) {
    fn each<T: Float, const N: usize>(bytes: &[u8], values: &mut Vec<T>, f: impl Fn([u8; N]) -> f64) {
        values.extend(bytes.as_chunks::<N>().0.iter().map(|b| T::of(f(*b))));
    }
    match kind {
        0x08 => each(bytes, values, |[b]| f64::from(b)),
        0x09 => each(bytes, values, |b| f64::from(i8::from_be_bytes(b))),
        0x0B => each(bytes, values, |b| f64::from(i16::from_be_bytes(b))),
        0x0C => each(bytes, values, |b| f64::from(i32::from_be_bytes(b))),
        0x0D => each(bytes, values, |b| f64::from(f32::from_be_bytes(b))),
        _ => each(bytes, values, f64::from_be_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(kind: u8, dims: &[u32], payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, kind, dims.len() as u8];
        dims.iter().for_each(|d| file.extend(d.to_be_bytes()));
        file.extend(payload);
        file
    }

    #[test]
    fn every_element_type() {
        let of = |kind, bytes: &[u8]| parse_idx::<f64>(&idx(kind, &[2], bytes)).unwrap().into_vec();
        assert_eq!(of(0x08, &[1, 255]), [1.0, 255.0]);
        assert_eq!(of(0x09, &[1, 255]), [1.0, -1.0]);
        assert_eq!(of(0x0B, &[1, 0, 255, 255]), [256.0, -1.0]);
        assert_eq!(of(0x0C, &[0, 1, 0, 0, 255, 255, 255, 255]), [65536.0, -1.0]);
        let floats: Vec<u8> = [0.5f32, -2.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        assert_eq!(of(0x0D, &floats), [0.5, -2.0]);
        let doubles: Vec<u8> = [0.1f64, -2.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        assert_eq!(of(0x0E, &doubles), [0.1, -2.0]);
        let many = vec![3; 2 * CHUNK + 10];
        let x = parse_idx::<f32>(&idx(0x08, &[CHUNK as u32 + 5, 2], &many)).unwrap();
        assert_eq!(x.dims(), &[CHUNK + 5, 2]);
        assert!(x.iter().all(|&v| v == 3.0));
    }

    #[test]
    fn damaged_files_are_errors() {
        let error = |bytes: &[u8]| parse_idx::<f32>(bytes).unwrap_err().to_string();
        let good = idx(0x08, &[2, 3], &[0; 6]);
        for cut in 0..good.len() {
            assert!(error(&good[..cut]).contains("fetch it again"), "{cut}");
        }
        assert!(error(b"PK\x03\x04").contains("the file is a zip archive, not an IDX file; unpack it first"));
        assert!(error(b"\x93NUMPY\x01\0").contains("a NumPy array (.npy), not an IDX file; read it with"));
        assert!(error(b"1,2,3\n").contains("two zero bytes"));
        assert!(error(&idx(0x07, &[1], &[0])).contains("0x07"));
        assert!(error(&idx(0x08, &[1; 7], &[0])).contains("7 axes"));
        assert!(error(&idx(0x08, &[], &[])).contains("0 axes"));
        assert!(error(&idx(0x08, &[u32::MAX; 6], &[0])).contains("fits in memory"));
        assert!(error(&idx(0x0E, &[u32::MAX, 100], &[0])).contains("more than the file can hold"));
        assert!(error(&idx(0x08, &[1], &[0, 0])).contains("goes on"));
        assert!(matches!(read_idx::<f32>("no/such/file"), Err(Error::Io { .. })));
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn gzipped() {
        use std::io::Write;
        let pack = |bytes: &[u8]| {
            let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            e.write_all(bytes).unwrap();
            e.finish().unwrap()
        };
        let plain = idx(0x08, &[3, 2], &[1, 2, 3, 4, 5, 6]);
        let packed = pack(&plain);
        assert_eq!(parse_idx::<f32>(&packed).unwrap(), parse_idx(&plain).unwrap());
        for cut in 0..packed.len() {
            assert!(parse_idx::<f32>(&packed[..cut]).is_err());
        }
        // A header that promises far more than follows costs no memory.
        assert!(parse_idx::<f32>(&pack(&idx(0x08, &[1 << 16], &[0; 10]))).is_err());
    }
}
