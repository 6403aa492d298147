//! NumPy's `.npz`: several arrays by name.

use std::io::{self, Read, Seek};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::zipped::{Zipped, damaged};
use super::{atomic, npy};
use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// What compressed arrays may take beyond the file's own size unless more is allowed, in bytes.
const BEYOND: u64 = 16 << 20;

/// Reads the arrays that `numpy.savez` or `numpy.savez_compressed` wrote, in the order of the file; elements as
/// [`read_npy`](super::read_npy) reads them.
///
/// Compressed arrays may be larger than the file by 16 MiB in all, so that a small file cannot fill the memory;
/// [`read_npz_up_to`] allows more.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::File`] if it is no such file, damaged, or larger than allowed.
pub fn read_npz<T: Float>(path: impl AsRef<Path>) -> Result<Vec<(String, Tensor<T>)>> {
    read(path.as_ref(), None)
}

/// The same for arrays of at most so many bytes in all, as they are in the file once unpacked.
///
/// # Errors
/// As [`read_npz`].
pub fn read_npz_up_to<T: Float>(path: impl AsRef<Path>, bytes: u64) -> Result<Vec<(String, Tensor<T>)>> {
    read(path.as_ref(), Some(bytes))
}

fn read<T: Float>(path: &Path, most: Option<u64>) -> Result<Vec<(String, Tensor<T>)>> {
    let mut zipped = Zipped::open(path)?;
    let most = most.unwrap_or(zipped.len + BEYOND);
    let mut total = 0u64;
    let mut arrays = Vec::new();
    for i in 0..zipped.archive.len() {
        let part = zipped.archive.by_index(i).map_err(|e| damaged(path, e))?;
        let name = part.name().unwrap_or_default().into_owned();
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else {
            return Err(Error::file(path, format!("{name} is no .npy file"), "pass a file that numpy.savez wrote"));
        };
        let len = part.size();
        total = total.saturating_add(len);
        if total > most {
            let problem = format!("{total} bytes of arrays or more, while {most} are allowed");
            return Err(Error::file(path, problem, "allow more with read_npz_up_to if you trust the file"));
        }
        let inside = path.join(format!("{name}.npy"));
        let mut part = part.take(len);
        let array = npy::read(&mut part, len, &inside)?;
        // To the end, where the checksum is compared.
        io::copy(&mut part.into_inner().take(1), &mut io::sink()).map_err(|e| damaged(path, format!("{name}: {e}")))?;
        arrays.push((name, array));
    }
    Ok(arrays)
}

/// Writes arrays by name that `numpy.load` reads, uncompressed, whole or not at all.
///
/// # Errors
/// [`Error::Write`] if the file cannot be written; [`Error::Argument`] if a name is given twice or is empty.
pub fn write_npz<T: Float>(path: impl AsRef<Path>, arrays: &[(&str, &Tensor<T>)]) -> Result<()> {
    for (i, (name, _)) in arrays.iter().enumerate() {
        if name.is_empty() || arrays[..i].iter().any(|(other, _)| other == name) {
            return Err(Error::argument("write_npz", "name", "unique and not empty", name, "rename the array"));
        }
    }
    atomic::replace(path.as_ref(), |file| {
        // Without the time of writing, so that the same arrays give the same bytes.
        let options = SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Stored).large_file(true);
        let mut out = ZipWriter::new(&mut *file);
        for (name, array) in arrays {
            out.start_file(format!("{name}.npy"), options)?;
            npy::write(&mut out, array)?;
        }
        out.finish()?.rewind()
    })
}
