//! Samples straight from IDX files.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use super::files::Files;
use super::idx::{Header, check_kind, data};
use super::range::check_range;
use super::source::{Source, Stretch};
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

/// The samples of two IDX files such as MNIST's, one of inputs and one of targets, read when they are asked for.
///
/// Values are as in the files: pixels from 0 to 255 and class numbers. The files must not be gzipped.
/// [`read_idx`](super::read_idx) reads a whole file.
///
/// ```no_run
/// use gradus::prelude::*;
/// let source = IdxSource::open("train-images-idx3-ubyte", "train-labels-idx1-ubyte")?;
/// let data = source.map(|x: &mut [f32], _| x.iter_mut().for_each(|v| *v /= 255.0)).shuffle(1).batch(64).prefetch(1)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct IdxSource {
    x: (Files, Header),
    y: (Files, Header),
}

impl IdxSource {
    /// Opens a file of inputs `[n, …]` and one of targets `[n]` or `[n, …]`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Data`] if it is not an IDX file, or shorter or longer than its header
    /// says; [`Error::Shape`] if there is not one target for each input; [`Error::Empty`] if there are none.
    pub fn open(x: impl AsRef<Path>, y: impl AsRef<Path>) -> Result<Self> {
        let source = IdxSource { x: open(x.as_ref())?, y: open(y.as_ref())? };
        let (x, y) = (source.x.1.shape, source.y.1.shape);
        if x.is_empty() {
            return Err(Error::Empty { op: "IdxSource", what: "the file of inputs" });
        }
        if x.first() != y.first() {
            let expected = format!("{} targets, one for each input", x.first());
            return Err(Error::shape("IdxSource", expected, y.first(), "pass files that belong together"));
        }
        Ok(source)
    }
}

fn open(path: &Path) -> Result<(Files, Header)> {
    let (files, len) = Files::open(path)?;
    let header = files.with(|file| {
        let mut source = BufReader::new(file);
        check_kind(source.fill_buf().map_err(|source| files.failed(source))?, path)?;
        Header::read(&mut source, len, path)
    })?;
    let expected = header.len() + header.shape.len() as u64 * header.width as u64;
    if len != expected {
        let problem = format!("{len} bytes where the header promises {expected}");
        return Err(data(path, problem, "the file is damaged, or gzipped: unpack it"));
    }
    Ok((files, header))
}

fn read<T: Float>((files, header): &(Files, Header), first: usize, width: usize, out: &mut [T]) -> Result<()> {
    let start = header.len() + (first * width * header.width) as u64;
    files.with(|file| {
        file.seek(SeekFrom::Start(start)).map_err(|source| files.failed(source))?;
        header.values(file, out, &mut Vec::new(), files.path())
    })
}

impl<T: Float> Source<T> for IdxSource {
    fn shapes(&self) -> (Shape, Shape) {
        (self.x.1.shape.sample(), self.y.1.shape.sample())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.x.1.shape.first())
    }

    #[inline(never)]
    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let Stretch { n, width, target } = Stretch::new(Source::<T>::shapes(self), x.len(), y.len());
        check_range("IdxSource", first, n, Source::<T>::samples(self))?;
        read(&self.x, first, width, x)?;
        read(&self.y, first, target, y)
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        let target = Source::<T>::shapes(self).1.len();
        check_range("IdxSource", first, y.len().div_ceil(target.max(1)), Source::<T>::samples(self))?;
        read(&self.y, first, target, y)
    }
}
