//! Pictures in folders that are named after their classes.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::file::{check, check_channels, check_side, read_all};
use crate::data::Table;
use crate::data::samples::check_range;
use crate::data::source::Source;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// The pictures of a folder whose sub-folders are the classes: `photos/cat/1.jpg`, `photos/dog/7.png` …
///
/// A [`Source`] of images `[height, width, channels]`, values from 0 to 255, and class numbers in the alphabetical order of the
/// folders' names. PNG and JPEG files are read when they are asked for, and brought to one size; other files and names that begin
/// with a dot are passed over. Every picture's header is looked at when the folder is opened.
///
/// Keras `image_dataset_from_directory`, PyTorch `ImageFolder`.
///
/// ```no_run
/// use gradus::prelude::*;
/// let photos = ImageFolder::open("photos", [96, 96], 3)?;
/// println!("{:?}", photos.class_names());
/// let data = photos.augment(Augment::new().flip_horizontal(), 1).shuffle(1).batch(32).prefetch(1)?;
/// # let _ = data;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder<T = f32> {
    files: Vec<(PathBuf, usize)>,
    class_names: Vec<String>,
    size: [usize; 2],
    channels: usize,
    element: PhantomData<T>,
}

/// What a folder's entry is called, if it can be told.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io { file: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.retain(|p| p.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    path.is_file() && ["png", "jpg", "jpeg"].contains(&ending.as_str())
}

impl ImageFolder {
    /// Finds the pictures, to be brought to `size` (`[height, width]`) and 1, 3 or 4 channels.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder or file cannot be opened; [`Error::File`] if there are no classes, a class has no pictures, or a file
    /// is no picture or too large; [`Error::Argument`] for an impossible size or number of channels.
    pub fn open(folder: impl AsRef<Path>, size: [usize; 2], channels: usize) -> Result<Self> {
        Self::of(folder, size, channels)
    }
}

impl<T: Float> ImageFolder<T> {
    /// [`open`](ImageFolder::open) with values of another element type: `ImageFolder::<f64>::of(…)`.
    ///
    /// # Errors
    /// As [`open`](ImageFolder::open).
    pub fn of(folder: impl AsRef<Path>, size: [usize; 2], channels: usize) -> Result<Self> {
        let folder = folder.as_ref();
        check_channels("ImageFolder", channels)?;
        check_side("ImageFolder", "size", size)?;
        let classes: Vec<PathBuf> = entries(folder)?.into_iter().filter(|p| p.is_dir()).collect();
        if classes.is_empty() {
            let hint = "put the pictures of each class into a folder of its own, named after the class";
            return Err(Error::file(folder, "a folder without classes", hint));
        }
        let (mut files, mut class_names) = (Vec::new(), Vec::new());
        for (class, path) in classes.iter().enumerate() {
            let before = files.len();
            files.extend(entries(path)?.into_iter().filter(|p| is_picture(p)).map(|p| (p, class)));
            if files.len() == before {
                let hint = "add some (.png, .jpg, .jpeg), or take the folder away";
                return Err(Error::file(path, "a class without pictures", hint));
            }
            class_names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        files.iter().try_for_each(|(path, _)| check(path))?;
        Ok(ImageFolder { files, class_names, size, channels, element: PhantomData })
    }

    /// The names of the classes, in the order of their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The files, in the order of the samples, with their class numbers.
    pub fn files(&self) -> &[(PathBuf, usize)] {
        &self.files
    }

    /// All pictures in memory: x `[n, height, width, channels]`, y class numbers `[n]`.
    ///
    /// # Errors
    /// As reading a single one: [`Error::File`] for a damaged picture.
    pub fn load(&self) -> Result<Table<T>> {
        let n = self.files.len();
        let shape = Shape::from([n, self.size[0], self.size[1], self.channels]);
        let (mut x, mut y) =
            (Tensor::new(shape, vec![T::zero(); shape.checked_len("ImageFolder")?])?, Tensor::zeros([n]));
        self.read(0, 0, x.as_mut_slice(), y.as_mut_slice())?;
        Ok(Table { x, y, feature_names: Vec::new(), class_names: self.class_names.clone() })
    }
}

impl<T: Float> Source<T> for ImageFolder<T> {
    fn shapes(&self) -> (Shape, Shape) {
        (Shape::from([self.size[0], self.size[1], self.channels]), Shape::SCALAR)
    }

    fn samples(&self) -> Option<usize> {
        Some(self.files.len())
    }

    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let n = x.len() / (self.size[0] * self.size[1] * self.channels);
        check_range("ImageFolder", first, n, Some(self.files.len()))?;
        let files = &self.files[first..first + n];
        y.iter_mut().zip(files).for_each(|(y, (_, class))| *y = T::of(*class as f64));
        read_all(|i| files[i].0.as_path(), self.size, self.channels, x)
    }
}
