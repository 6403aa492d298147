//! Pictures in folders that are named after their classes.

use std::io::Read;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::file::{check, check_bytes, check_channels, check_side, read_all};
use crate::data::names::twins;
use crate::data::pipeline::subset::parts;
use crate::data::range::check_range;
use crate::data::source::Source;
use crate::data::{Split, Table};
use crate::error::{Error, Result};
use crate::io::open_file;
use crate::tensor::{Float, Shape, Tensor};

/// The pictures of a folder whose sub-folders are the classes: `photos/cat/1.jpg`, `photos/dog/7.png` …
///
/// A [`Source`] of images `[height, width, channels]`, values from 0 to 255, and class numbers in the alphabetical order of the
/// folders' names. PNG and JPEG files are read when they are asked for, and brought to one size; folders inside a class belong to
/// it. Names that begin with a dot are passed over, and so are files that are no pictures; a picture of another format, under
/// another ending or outside the classes is an error. Every picture's header and end are looked at when the folder is opened.
///
/// Keras `image_dataset_from_directory`, PyTorch `ImageFolder`.
///
/// ```no_run
/// use gradus::prelude::*;
/// let photos = ImageFolder::open("photos", [96, 96], 3)?;
/// println!("{:?}", photos.class_names());
/// let (train, validation) = photos.split_stratified(0.2, 1)?;
/// let validation = validation.batch(32);
/// let data = train.augment(Augment::new().flip_horizontal(), 1).shuffle(1).batch(32).prefetch(1)?;
/// # let _ = (data, validation);
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

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn is_picture(path: &Path) -> bool {
    ["png", "jpg", "jpeg"].contains(&ending(path).as_str())
}

/// An error for a picture that would be passed over.
fn check_passed_over(path: &Path) -> Result<()> {
    const OTHERS: [&str; 12] =
        ["gif", "bmp", "webp", "tif", "tiff", "heic", "heif", "avif", "jp2", "ppm", "pgm", "svg"];
    if OTHERS.contains(&ending(path).as_str()) {
        return Err(Error::file(path, "a picture of a format that is not read", "convert it to PNG, or take it out"));
    }
    let mut start = Vec::new();
    // What is no file on a disk holds no picture.
    if let Ok((file, _)) = open_file(path) {
        file.take(8).read_to_end(&mut start).map_err(|source| Error::Io { file: path.to_owned(), source })?;
    }
    if start.starts_with(b"\x89PNG\r\n\x1a\n") || start.starts_with(b"\xff\xd8\xff") {
        let hint = "let its name end in .png, .jpg or .jpeg, or take it out";
        return Err(Error::file(path, "a picture under the name of another file", hint));
    }
    Ok(())
}

/// The pictures of a class, in folders inside it too.
fn pictures(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    const MAX_DEPTH: usize = 16;
    if depth > MAX_DEPTH {
        let hint = "pictures stand up to 16 folders deep; a link may lead back";
        return Err(Error::file(folder, "folders inside one another without end", hint));
    }
    for path in entries(folder)? {
        if path.is_dir() {
            pictures(&path, depth + 1, found)?;
        } else if is_picture(&path) {
            found.push(path);
        } else {
            check_passed_over(&path)?;
        }
    }
    Ok(())
}

impl ImageFolder {
    /// Finds the pictures, to be brought to `size` (`[height, width]`) and 1, 3 or 4 channels.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder or file cannot be opened; [`Error::File`] if there are no classes, a class has no pictures, two are called alike
    /// but for white space, or a file is no picture, cut short, too large, or a picture that would be passed over; [`Error::Argument`] for an impossible size or number of channels.
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
        check_bytes("ImageFolder", size, channels)?;
        let (classes, others): (Vec<PathBuf>, Vec<PathBuf>) = entries(folder)?.into_iter().partition(|p| p.is_dir());
        if classes.is_empty() {
            let hint = "put the pictures of each class into a folder of its own, named after the class";
            return Err(Error::file(folder, "a folder without classes", hint));
        }
        for path in others {
            if is_picture(&path) {
                return Err(Error::file(
                    &path,
                    "a picture of no class",
                    "put it into the folder of its class, or take it out",
                ));
            }
            check_passed_over(&path)?;
        }
        let (mut files, mut class_names) = (Vec::new(), Vec::new());
        for (class, path) in classes.iter().enumerate() {
            let mut found = Vec::new();
            pictures(path, 0, &mut found)?;
            if found.is_empty() {
                let hint = "add some (.png, .jpg, .jpeg), or take the folder away";
                return Err(Error::file(path, "a class without pictures", hint));
            }
            files.extend(found.into_iter().map(|p| (p, class)));
            class_names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        if let Some((a, b)) = twins(&class_names) {
            let problem = format!("the classes {a:?} and {b:?} differ in white space alone");
            return Err(Error::file(folder, problem, "rename one of the folders, or put their pictures together"));
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

    /// The folder as two: pictures to train on and pictures that are held out, the same for any epoch; of n pictures
    /// ⌈n·`part`⌉ drawn at random are held out.
    ///
    /// # Errors
    /// As [`Source::split`].
    pub fn split(self, part: f64, seed: u64) -> Result<(Self, Self)> {
        self.parted("split", &Split::default().test_size(part).seed(seed))
    }

    /// [`split`](Self::split) in which each class has the same share of both parts, to within one picture.
    ///
    /// # Errors
    /// As [`Source::split_stratified`].
    pub fn split_stratified(self, part: f64, seed: u64) -> Result<(Self, Self)> {
        self.parted("split_stratified", &Split::default().test_size(part).seed(seed).stratify(true))
    }

    fn parted(self, op: &'static str, how: &Split) -> Result<(Self, Self)> {
        let [train, held] = parts(op, &self, how)?.map(|positions| ImageFolder {
            files: positions.into_iter().map(|i| self.files[i].clone()).collect(),
            ..self.clone()
        });
        Ok((train, held))
    }

    /// All pictures in memory: x `[n, height, width, channels]`, y class numbers `[n]`.
    ///
    /// # Errors
    /// As reading a single one: [`Error::File`] for a damaged picture.
    pub fn load(&self) -> Result<Table<T>> {
        let n = self.files.len();
        let shape = Shape::from([n, self.size[0], self.size[1], self.channels]);
        let (mut x, mut y) = (Tensor::try_full(shape, T::zero())?, Tensor::zeros([n]));
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

    #[inline(never)]
    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let n = x.len() / (self.size[0] * self.size[1] * self.channels);
        check_range("ImageFolder", first, n, Some(self.files.len()))?;
        let files = &self.files[first..first + n];
        y.iter_mut().zip(files).for_each(|(y, (_, class))| *y = T::of(*class as f64));
        read_all(|i| files[i].0.as_path(), self.size, self.channels, x)
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        check_range("ImageFolder", first, y.len(), Some(self.files.len()))?;
        y.iter_mut().zip(&self.files[first..]).for_each(|(y, (_, class))| *y = T::of(*class as f64));
        Ok(())
    }
}
