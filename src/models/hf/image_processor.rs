//! `preprocessor_config.json`: what a folder's model is given of a picture.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::Config;
use crate::data::{Resampling, read_pictures, resample};
use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

const FILE: &str = "preprocessor_config.json";

/// Kinds of processors that are built.
const KINDS: [&str; 3] = ["ViTImageProcessor", "ViTImageProcessorFast", "ViTFeatureExtractor"];

/// Keys that change no number: sizes of steps that are off, and how Python hands tensors over.
const HARMLESS: [&str; 12] = [
    "_valid_processor_keys",
    "crop_size",
    "data_format",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "image_seq_length",
    "input_data_format",
    "pad_size",
    "processor_class",
    "return_tensors",
    "size_divisor",
];

/// Pictures as a model takes them: resized, brought from 0..255 to another scale, and normalised, as a folder's `preprocessor_config.json` says.
///
/// | key | what it does | where the file says nothing |
/// |---|---|---|
/// | `do_resize`, `size` | height and width, whatever the picture's were; a number is both | 224 |
/// | `resample` | how: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming | 2 |
/// | `do_rescale`, `rescale_factor` | x ← x · factor | 1/255 |
/// | `do_normalize`, `image_mean`, `image_std` | x ← (x − mean) / std for each channel | 0.5 and 0.5 |
///
/// Resized pictures have the bytes that Pillow (up to its version 12) gives them. Anything else that changes a number (crops, margins, sizes by the shorter side) is an error that
/// names the key, and so is a key that is not known. Python's `ViTImageProcessor`.
///
/// ```no_run
/// use gradus::models::hf::ImageProcessor;
/// let processor = ImageProcessor::open("models/vit-base-patch16-224")?;
/// let x: gradus::Tensor = processor.read("cat.jpg")?;
/// assert_eq!(x.dims(), &[224, 224, 3]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ImageProcessor {
    file: PathBuf,
    channels: usize,
    size: Option<[usize; 2]>,
    resampling: Resampling,
    factor: f64,
    /// Mean and standard deviation of each channel, or of all.
    normal: Vec<[f64; 2]>,
}

impl ImageProcessor {
    /// Reads the file of a folder, or one of its own.
    ///
    /// # Errors
    /// [`Error::File`] without such a file, or with a key whose value is not built or that is not known; [`Error::Io`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let file = if folder.is_dir() { folder.join(FILE) } else { folder.to_owned() };
        if !file.exists() {
            let hint = format!("put {FILE} of the model into it");
            return Err(Error::file(folder, format!("the folder has no {FILE}"), hint));
        }
        let mut c = Config::of_file(file.clone())?;
        for key in ["image_processor_type", "feature_extractor_type"] {
            if !KINDS.contains(&&*c.word_or(key, KINDS[0])?) {
                return Err(c.refuse(key, KINDS.join(", ")));
            }
        }
        for (key, only) in [("do_center_crop", false), ("do_pad", false), ("default_to_square", true)] {
            c.only(key, only)?;
        }
        for key in HARMLESS {
            c.value(key);
        }
        let size = size(&mut c)?;
        let number = c.size_or("resample", 2)?;
        let Some(resampling) = Resampling::of_number(number) else {
            return Err(c.refuse("resample", "0 to 5, see ImageProcessor"));
        };
        let factor = c.number_or("rescale_factor", 1.0 / 255.0)?;
        let factor = if c.flag_or("do_rescale", true)? { factor } else { 1.0 };
        let normalizes = c.flag_or("do_normalize", true)?;
        let [mean, std] = [numbers(&mut c, "image_mean")?, numbers(&mut c, "image_std")?];
        let unknown = c.unknown(&[]);
        if !unknown.is_empty() {
            let problem = format!("it is not known whether these change what a model is given: {}", unknown.join(", "));
            return Err(c.wrong(problem, "take them out of the file if they do not"));
        }
        let most = mean.len().max(std.len());
        if mean.len() != std.len() && mean.len() != 1 && std.len() != 1 {
            return Err(c.wrong(
                format!("image_mean has {} numbers, and image_std {}", mean.len(), std.len()),
                "correct the file",
            ));
        }
        if let Some(std) = std.iter().find(|std| **std <= 0.0) {
            return Err(c.wrong(format!("image_std has {std}, by which nothing can be divided"), "correct the file"));
        }
        let of = |all: &[f64], i: usize| all[i.min(all.len() - 1)];
        let normal = if normalizes { (0..most).map(|i| [of(&mean, i), of(&std, i)]).collect() } else { Vec::new() };
        let channels = if most > 1 { most } else { 3 };
        let processor = ImageProcessor { file, channels, size, resampling, factor, normal };
        processor.channels(channels)
    }

    /// The same for pictures of so many channels: 1 is grey, 3 are RGB.
    pub(super) fn channels(mut self, channels: usize) -> Result<Self> {
        let problem = match channels {
            1 | 3 if self.normal.len() < 2 || self.normal.len() == channels => {
                self.channels = channels;
                return Ok(self);
            }
            1 | 3 => {
                format!("image_mean and image_std are of {} channels, and pictures have {channels}", self.normal.len())
            }
            _ => format!("pictures of {channels} channels are not built: 1 is grey, 3 are RGB"),
        };
        Err(Error::file(&self.file, problem, "let files of one model stand in the folder"))
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// The height and width that pictures are brought to; none if they keep their own.
    pub fn size(&self) -> Option<[usize; 2]> {
        self.size
    }

    /// A picture of a PNG or JPEG file, `[height, width, channels]`.
    ///
    /// # Errors
    /// As [`read_image`](crate::data::read_image).
    pub fn read<T: Float>(&self, file: impl AsRef<Path>) -> Result<Tensor<T>> {
        let x: Tensor<T> = crate::data::read_image(file, self.channels)?;
        self.apply(&x)
    }

    /// A picture from memory, `[height, width, channels]`, values from 0 to 255, which are rounded to whole ones and cut off there.
    ///
    /// # Errors
    /// [`Error::Shape`] for another shape, or other channels than the folder's mean and deviation have; [`Error::NonFinite`].
    #[inline(never)]
    pub fn apply<T: Float>(&self, picture: &Tensor<T>) -> Result<Tensor<T>> {
        const OP: &str = "ImageProcessor::apply";
        let &[height, width, channels] = picture.dims() else {
            let hint = "add the axis that is missing, or take one picture of several";
            return Err(Error::shape(OP, "a picture [height, width, channels]", picture.shape(), hint));
        };
        if !matches!(channels, 1 | 3) || self.normal.len() > 1 && self.normal.len() != channels {
            let expected = if self.normal.len() > 1 { self.normal.len().to_string() } else { "1 or 3".to_owned() };
            let hint = "the channels of the folder's image_mean";
            return Err(Error::shape(OP, format!("{expected} channels"), picture.shape(), hint));
        }
        if let Some((row, column, value)) = picture.first_non_finite() {
            return Err(Error::NonFinite { op: OP, what: "picture", row, column, value: value.as_f64() });
        }
        let pixels: Vec<u8> = picture.iter().map(|v| v.as_f64().round().clamp(0.0, 255.0) as u8).collect();
        let size = self.size.unwrap_or([height, width]);
        let pixels = resample(&pixels, [height, width], channels, size, self.resampling)?;
        let mut x = Tensor::try_full([size[0], size[1], channels], T::zero())?;
        self.scale(&pixels, channels, x.as_mut_slice());
        Ok(x)
    }

    /// Files as `[pictures, height, width, channels]`, on all threads.
    pub(super) fn read_all<T: Float, P: AsRef<Path> + Sync>(&self, files: &[P], size: [usize; 2]) -> Result<Tensor<T>> {
        let mut x = Tensor::try_full([files.len(), size[0], size[1], self.channels], T::zero())?;
        let path = |i: usize| files[i].as_ref();
        let how = self.size.map(|_| self.resampling);
        let write = |pixels: &[u8], x: &mut [T]| self.scale(pixels, self.channels, x);
        read_pictures(path, size, self.channels, how, x.as_mut_slice(), write)?;
        Ok(x)
    }

    /// (pixel · factor − mean) / std
    fn scale<T: Float>(&self, pixels: &[u8], channels: usize, x: &mut [T]) {
        let normal = |c: usize| self.normal.get(c).or(self.normal.first()).copied().unwrap_or([0.0, 1.0]);
        for (c, [mean, std]) in (0..channels).map(|c| (c, normal(c))) {
            let table: Vec<T> = (0..256).map(|v| T::of((f64::from(v) * self.factor - mean) / std)).collect();
            let each = x.iter_mut().zip(pixels).skip(c).step_by(channels);
            each.for_each(|(x, pixel)| *x = table[usize::from(*pixel)]);
        }
    }
}

/// Height and width, unless pictures keep their own.
fn size(c: &mut Config) -> Result<Option<[usize; 2]>> {
    const KNOWN: &str = "{\"height\": …, \"width\": …} in pixels from 1 to 32768, or one number for both";
    let resizes = c.flag_or("do_resize", true)?;
    let size = match c.value("size") {
        None | Some(Value::Null) => Some([224; 2]),
        Some(Value::Object(sides)) if sides.len() == 2 => {
            let [height, width] = ["height", "width"].map(|side| sides.get(side).and_then(Value::as_u64));
            height.zip(width).map(|(height, width)| [height, width])
        }
        Some(side) => side.as_u64().map(|side| [side; 2]),
    };
    let Some(size) = size.filter(|size| size.iter().all(|side| (1..=1 << 15).contains(side))) else {
        return Err(c.refuse("size", KNOWN));
    };
    Ok(resizes.then(|| size.map(|side| side as usize)))
}

/// One number, or a list of a few, finite; 0.5 where the file says nothing.
fn numbers(c: &mut Config, key: &str) -> Result<Vec<f64>> {
    let numbers = match c.value(key) {
        None | Some(Value::Null) => Some(vec![0.5]),
        Some(Value::Array(all)) => all.iter().map(Value::as_f64).collect(),
        Some(one) => one.as_f64().map(|one| vec![one]),
    };
    match numbers.filter(|numbers| (1..=4).contains(&numbers.len()) && numbers.iter().all(|n| n.is_finite())) {
        Some(numbers) => Ok(numbers),
        None => Err(c.refuse(key, "a number, or one for each channel")),
    }
}
