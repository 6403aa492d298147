//! Files: models and checkpoints (safetensors), GGUF, NumPy's arrays, Keras's models; and how a file is written without ever leaving
//! half of one.

pub(crate) mod atomic;
mod beside;
#[cfg(any(feature = "files", feature = "keras"))]
mod compiled;
pub(crate) mod kind;
#[cfg(not(feature = "npz"))]
mod no_npz;
mod npy;
#[cfg(feature = "npz")]
mod npz;
#[cfg(any(feature = "text", feature = "files"))]
mod positional;
#[cfg(any(feature = "npz", feature = "keras"))]
mod zipped;

#[cfg(feature = "keras")]
pub(crate) mod keras;

#[cfg(feature = "files")]
mod gguf;
#[cfg(feature = "files")]
pub(crate) mod model;
#[cfg(feature = "files")]
mod safetensors;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

pub(crate) use self::beside::Beside;
#[cfg(feature = "files")]
pub(crate) use self::beside::{Notes, TEXT_PREFIX};
#[cfg(any(feature = "files", feature = "keras"))]
pub(crate) use self::compiled::{Compiled, CompiledHead};
#[cfg(feature = "files")]
pub use self::gguf::{Gguf, GgufArray, GgufKind, GgufTensor, GgufValue, GgufWriter};
#[cfg(feature = "files")]
#[allow(unused_imports)]
pub(crate) use self::gguf::{Planned, write as write_gguf};
#[cfg(feature = "keras")]
#[doc(hidden)]
pub use self::keras::{CompileConfig, Given, KerasNet, read_keras};
#[cfg(not(feature = "npz"))]
pub use self::no_npz::{read_npz, read_npz_up_to, write_npz};
pub use self::npy::{parse_npy, read_npy, write_npy};
#[cfg(feature = "npz")]
pub use self::npz::{read_npz, read_npz_up_to, write_npz};
#[cfg(any(feature = "text", feature = "files"))]
pub(crate) use self::positional::Positional;
#[cfg(feature = "files")]
pub use self::safetensors::{Archive, Stored};
#[cfg(feature = "files")]
pub(crate) use self::safetensors::{Array, check_header, to_bytes, write, write_arrays};

use crate::error::{Error, Result};
pub use crate::kernels::quantised::BlockKind;
use crate::state::Values;

/// Values that are turned into bytes together.
const CHUNK: usize = 1 << 14;

/// Opens a regular file for reading; also gives its length. Opening a pipe would wait for someone to write into it.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64)> {
    open_regular(path).map_err(|e| refused(path, e))
}

/// Opens a regular file for writing, or makes it; emptied first unless what it holds is to be kept. Also gives its length.
pub(crate) fn open_to_write(path: &Path, keep: bool) -> Result<(File, u64)> {
    let opened = open(path, OpenOptions::new().create(true).write(true).truncate(false));
    let (file, len) = opened.map_err(|e| refused(path, e))?;
    if keep || len == 0 {
        return Ok((file, len));
    }
    file.set_len(0).map_err(|source| Error::Io { file: path.to_owned(), source })?;
    Ok((file, 0))
}

/// An error where something else stands than a file on a disk; nothing may stand there.
#[cfg(feature = "files")]
pub(crate) fn check_regular(path: &Path) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) { Err(no_regular_file(path)) } else { Ok(()) }
}

/// [`open_file`] with the system's error.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    open(path, OpenOptions::new().read(true))
}

/// Opens what is a regular file, before and after opening, and waits for nobody in between.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<(File, u64)> {
    let irregular = || io::Error::new(ErrorKind::Unsupported, IRREGULAR);
    match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => return Err(irregular()),
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, NONBLOCK);
    let file = options.open(path)?;
    let there = file.metadata()?;
    if there.is_file() { Ok((file, there.len())) } else { Err(irregular()) }
}

/// `O_NONBLOCK`, which regular files know nothing of; 0 where its value is not known here.
#[cfg(unix)]
const NONBLOCK: i32 = if cfg!(any(target_arch = "mips", target_arch = "mips64", target_arch = "sparc64")) {
    0
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    0o4000
} else if cfg!(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
)) {
    4
} else {
    0
};

const IRREGULAR: &str = "no regular file";

/// The error of a path at which something else stands than a file on a disk.
fn no_regular_file(path: &Path) -> Error {
    let (problem, hint) = kind::folder(path);
    Error::file(path, problem, hint)
}

fn refused(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::Unsupported if error.get_ref().is_some_and(|e| e.to_string() == IRREGULAR) => no_regular_file(path),
        _ => Error::Io { file: path.to_owned(), source: error },
    }
}

/// The values in little-endian order.
pub(crate) fn bytes(values: Values<'_>, out: &mut impl Write) -> io::Result<()> {
    fn words<E: Copy, const N: usize>(values: &[E], to: impl Fn(E) -> [u8; N], out: &mut impl Write) -> io::Result<()> {
        let mut buffer = vec![[0; N]; CHUNK.min(values.len())];
        values.chunks(CHUNK).try_for_each(|part| {
            let words = &mut buffer[..part.len()];
            words.iter_mut().zip(part).for_each(|(word, &v)| *word = to(v));
            out.write_all(words.as_flattened())
        })
    }
    match values {
        Values::F32(v) => words(v, f32::to_le_bytes, out),
        Values::F64(v) => words(v, f64::to_le_bytes, out),
        Values::Bf16(v) => words(v, |v| v.to_bits().to_le_bytes(), out),
        Values::U64(v) => words(v, u64::to_le_bytes, out),
        Values::U8(v) => out.write_all(v),
    }
}
