//! One picture: read, resized, written.

use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, ImageBuffer, ImageReader, Limits, Luma};

use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::tensor::{Float, Shape, Tensor};

/// The most pixels along a side, and the most bytes that decoding may take: far beyond a camera's pictures, so that a file that
/// pretends to be huge is an error.
const MOST_SIDE: u32 = 1 << 15;
const MOST_BYTES: u64 = 1 << 30;

/// A reader of a file that exists, with its format found from its contents.
fn reader(path: &Path) -> Result<ImageReader<std::io::BufReader<std::fs::File>>> {
    let failed = |source| Error::Io { file: path.to_owned(), source };
    let (file, _) = crate::io::open_file(path)?;
    let mut reader = ImageReader::new(std::io::BufReader::new(file)).with_guessed_format().map_err(failed)?;
    if reader.format().is_none() {
        return Err(Error::file(
            path,
            "no PNG or JPEG picture",
            "convert it to one of these, or take it out of the folder",
        ));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn broken(path: &Path, error: &image::ImageError) -> Error {
    let hint = match error {
        image::ImageError::Limits(_) => format!("pictures have at most {MOST_SIDE} pixels a side; make it smaller"),
        image::ImageError::Unsupported(_) => "PNG and JPEG can be read; convert it to one of them".to_owned(),
        _ => "the file is damaged or cut short; get it again, or take it out".to_owned(),
    };
    Error::file(path, format!("the picture cannot be read: {error}"), hint)
}

/// Looks at a picture's header: an error for what is no picture, or too large.
pub(super) fn check(path: &Path) -> Result<()> {
    let (width, height) = reader(path)?.into_dimensions().map_err(|e| broken(path, &e))?;
    if width == 0 || height == 0 || width > MOST_SIDE || height > MOST_SIDE {
        let hint = format!("pictures have from 1 to {MOST_SIDE} pixels a side");
        return Err(Error::file(path, format!("a picture of {width} times {height} pixels"), hint));
    }
    Ok(())
}

pub(super) fn check_channels(op: &'static str, channels: usize) -> Result<()> {
    if matches!(channels, 1 | 3 | 4) {
        return Ok(());
    }
    Err(Error::argument(op, "channels", "1 (grey), 3 (RGB) or 4 (RGBA)", channels, "pass one of them"))
}

pub(super) fn decode(path: &Path) -> Result<DynamicImage> {
    reader(path)?.decode().map_err(|e| broken(path, &e))
}

/// The picture resized to `[height, width]` if need be, its values from 0 to 255 written to `out`.
pub(super) fn write_values<T: Float>(
    picture: DynamicImage,
    [height, width]: [usize; 2],
    channels: usize,
    out: &mut [T],
) {
    let (w, h) = (width as u32, height as u32);
    let picture = if (picture.width(), picture.height()) == (w, h) {
        picture
    } else {
        picture.resize_exact(w, h, FilterType::Triangle)
    };
    let bytes = match channels {
        1 => picture.into_luma8().into_raw(),
        3 => picture.into_rgb8().into_raw(),
        _ => picture.into_rgba8().into_raw(),
    };
    out.iter_mut().zip(bytes).for_each(|(to, byte)| *to = T::of(f64::from(byte)));
}

/// A PNG or JPEG file as `[height, width, channels]`, values from 0 to 255; 1 channel is grey, 3 are RGB, 4 RGBA, whatever the
/// file holds.
///
/// ```no_run
/// use gradus::prelude::*;
/// let x: Tensor = read_image("cat.jpg", 3)?;
/// let x = resize_image(&x, [32, 32])?.map(|v| v / 255.0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened; [`Error::File`] if it is no picture, damaged, or has more than 32,768 pixels a side;
/// [`Error::Argument`] for another number of channels.
pub fn read_image<T: Float>(path: impl AsRef<Path>, channels: usize) -> Result<Tensor<T>> {
    check_channels("read_image", channels)?;
    let picture = decode(path.as_ref())?;
    let size = [picture.height() as usize, picture.width() as usize];
    let mut x = Tensor::zeros([size[0], size[1], channels]);
    write_values(picture, size, channels, x.as_mut_slice());
    Ok(x)
}

/// An image `[height, width, channels]` in another size; each new value is a mean of those near it, weighted by their distance, so
/// that nothing is skipped where the image gets smaller.
///
/// ```
/// use gradus::prelude::*;
/// let x: Tensor = Tensor::full([8, 8, 3], 7.0);
/// assert_eq!(resize_image(&x, [4, 6])?.dims(), &[4, 6, 3]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if `x` does not have three axes, [`Error::Argument`] for a size of 0 or above 32,768, [`Error::NonFinite`].
pub fn resize_image<T: Float>(x: &Tensor<T>, size: [usize; 2]) -> Result<Tensor<T>> {
    const OP: &str = "resize_image";
    let &[height, width, channels] = x.dims() else {
        return Err(Error::shape(OP, "an image [height, width, channels]", x.shape(), "add the axis that is missing"));
    };
    check_side(OP, "size", size)?;
    check_side(OP, "x", [height, width])?;
    if let Some((row, column, value)) = x.first_non_finite() {
        return Err(Error::NonFinite { op: OP, what: "x", row, column, value: value.as_f64() });
    }
    // The library keeps single-precision pixels within 0 and 1.
    let (low, high) =
        x.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v.as_f64()), high.max(v.as_f64())));
    let span = if high > low { high - low } else { 1.0 };
    let shape = Shape::from([size[0], size[1], channels]);
    let mut out = vec![T::zero(); shape.checked_len(OP)?];
    for c in 0..channels {
        let values = x.iter().skip(c).step_by(channels).map(|v| ((v.as_f64() - low) / span) as f32).collect();
        let plane: Option<ImageBuffer<Luma<f32>, Vec<f32>>> =
            ImageBuffer::from_raw(width as u32, height as u32, values);
        let plane = plane.ok_or_else(|| Error::too_large(OP, x.shape()))?;
        let small = image::imageops::resize(&plane, size[1] as u32, size[0] as u32, FilterType::Triangle);
        let own = out.iter_mut().skip(c).step_by(channels);
        own.zip(small.into_raw()).for_each(|(to, v)| *to = T::of(low + span * f64::from(v)));
    }
    Tensor::new(shape, out)
}

pub(super) fn check_side(op: &'static str, name: &'static str, size: [usize; 2]) -> Result<()> {
    match size.into_iter().find(|n| !(1..=MOST_SIDE as usize).contains(n)) {
        None => Ok(()),
        Some(n) => {
            let expected = format!("from 1 to {MOST_SIDE} along each side");
            Err(Error::argument(op, name, expected, n, "pass [height, width] in pixels"))
        }
    }
}

/// Writes an image `[height, width, channels]` of 1, 3 or 4 channels, values from 0 to 255 (what lies outside is cut off), as PNG or
/// JPEG after the file's ending.
///
/// # Errors
/// [`Error::Shape`] for another shape; [`Error::Argument`] for another ending; [`Error::Write`] if it cannot be written.
pub fn save_image<T: Float>(x: &Tensor<T>, path: impl AsRef<Path>) -> Result<()> {
    const OP: &str = "save_image";
    let path = path.as_ref();
    let &[height, width, channels] = x.dims() else {
        return Err(Error::shape(OP, "an image [height, width, channels]", x.shape(), "add the axis that is missing"));
    };
    check_channels(OP, channels)?;
    check_side(OP, "x", [height, width])?;
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let (format, color) = match (ending.as_str(), channels) {
        ("png", 1) => (image::ImageFormat::Png, image::ExtendedColorType::L8),
        ("png", 3) => (image::ImageFormat::Png, image::ExtendedColorType::Rgb8),
        ("png", _) => (image::ImageFormat::Png, image::ExtendedColorType::Rgba8),
        ("jpg" | "jpeg", 1) => (image::ImageFormat::Jpeg, image::ExtendedColorType::L8),
        ("jpg" | "jpeg", 3) => (image::ImageFormat::Jpeg, image::ExtendedColorType::Rgb8),
        ("jpg" | "jpeg", _) => {
            return Err(Error::shape(OP, "1 or 3 channels for JPEG", x.shape(), "write it as PNG"));
        }
        _ => {
            return Err(Error::argument(
                OP,
                "path",
                "a name that ends in .png, .jpg or .jpeg",
                path.display(),
                "change it",
            ));
        }
    };
    let bytes: Vec<u8> = x.iter().map(|v| v.as_f64().round() as u8).collect();
    let mut encoded = std::io::Cursor::new(Vec::new());
    let (w, h) = (width as u32, height as u32);
    image::write_buffer_with_format(&mut encoded, &bytes, w, h, color, format)
        .map_err(|e| Error::file(path, format!("the picture cannot be written: {e}"), "choose another format"))?;
    crate::io::atomic::replace(path, |file| std::io::Write::write_all(file, encoded.get_ref()))
}

/// Reads many pictures of one size into `x`, on several threads; the first error in their order.
pub(super) fn read_all<'a, T: Float>(
    paths: impl Fn(usize) -> &'a Path + Sync,
    size: [usize; 2],
    channels: usize,
    x: &mut [T],
) -> Result<()> {
    let sample = size[0] * size[1] * channels;
    let failed = std::sync::Mutex::new(None::<(usize, Error)>);
    // Decoding a picture costs far more than the least work worth a thread.
    parallel::rows(x, sample, sample.max(parallel::WORTH_A_THREAD), |first, x| {
        for (i, x) in (first..).zip(x.chunks_exact_mut(sample)) {
            match decode(paths(i)) {
                Ok(picture) => write_values(picture, size, channels, x),
                Err(error) => {
                    let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    if failed.as_ref().is_none_or(|(at, _)| i < *at) {
                        *failed = Some((i, error));
                    }
                }
            }
        }
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
