//! The weights of a `.keras` file: HDF5 inside a zip, read where it stands.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hdf5_reader::storage::{Storage, StorageBuffer};
use hdf5_reader::{Hdf5File, OpenOptions};
use zip::CompressionMethod;

use crate::error::{Error, Result};
use crate::io::zipped::{Zipped, damaged};
use crate::tensor::{Float, Shape};

/// The file inside.
const NAME: &str = "model.weights.h5";

/// The most arrays and groups.
const MAX_OBJECTS: usize = 1 << 18;

/// A stretch of a file.
struct Part {
    file: Mutex<File>,
    start: u64,
    len: u64,
}

impl Storage for Part {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(hdf5_reader::error::Error::OffsetOutOfBounds(offset));
        }
        let mut bytes = vec![0; len];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.start + offset))?;
        file.read_exact(&mut bytes)?;
        Ok(StorageBuffer::from_vec(bytes))
    }
}

/// The weights of a file by their paths.
pub(crate) struct Weights {
    path: PathBuf,
    file: Hdf5File,
    /// How many values there can be at most, by the bytes of the file.
    pub most: usize,
}

impl Weights {
    pub(super) fn open(mut zipped: Zipped) -> Result<Self> {
        let path = zipped.path.clone();
        let part = zipped.archive.by_name(NAME).map_err(|e| damaged(&path, format!("{NAME}: {e}")))?;
        let (len, sum, compression) = (part.size(), part.crc32(), part.compression());
        let start = part.data_start();
        drop(part);
        if compression != CompressionMethod::Stored {
            let hint = "Keras packs without compression: unpack the file and zip it with -0";
            return Err(Error::file(&path, "the weights are compressed", hint));
        }
        let Some(start) = start.filter(|start| start.checked_add(len).is_some_and(|end| end <= zipped.len)) else {
            return Err(damaged(&path, "the weights go on behind the file's end"));
        };
        let (mut file, _) = super::super::open_file(&path)?;
        check_sum(&path, &mut file, start, len, sum)?;
        let part = Part { file: Mutex::new(file), start, len };
        let most = usize::try_from(len).unwrap_or(usize::MAX);
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(1 << 20)
            .with_max_chunk_bytes(most.min(4 << 20))
            .with_max_read_bytes(most)
            .with_max_object_header_bytes(1 << 20);
        let opened = guarded(&path, || Hdf5File::from_storage_with_options(Arc::new(part), options))?;
        Ok(Weights { path, file: opened, most: most / 4 })
    }

    /// The shape of an array; none if there is no such array.
    pub fn shape(&self, name: &str) -> Option<Vec<u64>> {
        guarded(&self.path, || Ok(self.file.dataset(name)?.shape().to_vec())).ok()
    }

    /// The values of an array into `out`, which has this shape.
    pub fn read<T: Float>(&self, name: &str, weight: &str, shape: Shape, out: &mut [T]) -> Result<()> {
        let failed = |problem: String, hint: &str| Err(Error::file(&self.path, problem, hint));
        let array = guarded(&self.path, || self.file.dataset(name))?;
        let found = array.shape();
        if found.len() != shape.rank() || found.iter().zip(shape.dims()).any(|(&a, &b)| a != b as u64) {
            let hint = "the architecture and the weights do not belong together";
            return failed(format!("{weight} is {found:?} in the file ({name}), {shape} by its architecture"), hint);
        }
        let size = guarded(&self.path, || array.raw_element_size())?;
        match size {
            4 => self.values::<f32, T>(&array, out, |v| T::of(f64::from(v))),
            8 => self.values::<f64, T>(&array, out, T::of),
            _ => failed(
                format!("{weight} has elements of {size} bytes"),
                "save the model with weights of float32 or float64",
            ),
        }
    }

    /// The paths of all arrays.
    pub fn arrays(&self) -> Result<Vec<String>> {
        let (mut arrays, mut seen) = (Vec::new(), HashSet::new());
        let mut open = vec![(String::new(), guarded(&self.path, || self.file.root_group())?)];
        while let Some((path, group)) = open.pop() {
            if !seen.insert(group.address()) {
                return Err(damaged(&self.path, format!("{NAME}: {path} stands in two places")));
            }
            let (groups, datasets) = guarded(&self.path, || group.member_names())?;
            arrays.extend(datasets.into_iter().map(|name| format!("{path}{name}")));
            for name in groups {
                let inside = guarded(&self.path, || group.group(&name))?;
                open.push((format!("{path}{name}/"), inside));
            }
            if arrays.len() + open.len() + seen.len() > MAX_OBJECTS {
                return Err(damaged(&self.path, format!("{NAME}: more than {MAX_OBJECTS} arrays and groups")));
            }
        }
        arrays.sort();
        Ok(arrays)
    }

    /// The only value, or the values, of an array as `f64`; at most `most` of them.
    pub fn numbers(&self, name: &str, most: usize) -> Result<Vec<f64>> {
        let shape = self.shape(name).unwrap_or_default();
        let n = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|&n| n <= most.min(self.most) as u64);
        let Some(n) = n else { return Err(damaged(&self.path, format!("{name} is {shape:?}"))) };
        let mut values = vec![0.0; n as usize];
        let dims: Vec<usize> = shape.iter().map(|&d| d as usize).collect();
        self.read(name, name, Shape::try_from(&dims[..])?, &mut values)?;
        Ok(values)
    }

    fn values<E, T>(&self, array: &hdf5_reader::Dataset, out: &mut [T], f: impl Fn(E) -> T) -> Result<()>
    where
        E: hdf5_reader::H5Type + Copy + Default,
        T: Float,
    {
        let mut values = vec![E::default(); out.len()];
        guarded(&self.path, || array.read_into(&mut values))?;
        out.iter_mut().zip(values).for_each(|(out, v)| *out = f(v));
        Ok(())
    }
}

/// The checksum that the zip keeps, over the bytes where they stand.
fn check_sum(path: &Path, file: &mut File, start: u64, len: u64, sum: u32) -> Result<()> {
    let failed = |source| Error::Io { file: path.to_owned(), source };
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let (mut hash, mut left, mut buffer) = (crc32fast::Hasher::new(), len, vec![0; 1 << 17]);
    while left > 0 {
        let part = &mut buffer[..left.min(1 << 17) as usize];
        file.read_exact(part).map_err(failed)?;
        hash.update(part);
        left -= part.len() as u64;
    }
    if hash.finalize() == sum {
        return Ok(());
    }
    Err(damaged(path, "the checksum of the weights does not match"))
}

/// What the HDF5 reader says of a file; a panic of it, which nobody has seen, would be an error too.
fn guarded<R>(path: &Path, f: impl FnOnce() -> hdf5_reader::error::Result<R>) -> Result<R> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    match caught {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(damaged(path, format!("{NAME}: {error}"))),
        Err(_) => Err(damaged(path, format!("{NAME}: it cannot be read"))),
    }
}
