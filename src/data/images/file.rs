//! One picture: read, resized, written.

use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Luma};

#[cfg(feature = "files")]
use super::resample::{Resampling, resample};
use super::scan::is_complete;
use super::whole::{ends_well, is_whole};
use crate::error::{Error, Result};
use crate::io::{kind, open_file};
use crate::kernels::parallel;
use crate::memory;
use crate::tensor::{Float, Shape, Tensor};

/// The most pixels along a side, and the most bytes of all pixels, decoded or with the channels that are asked for: as much as a
/// camera's pictures of 89 megapixels take, so that a small file that unpacks into a huge picture is an error.
const MAX_SIDE: u32 = 1 << 15;
const MAX_BYTES: u64 = 1 << 28;

/// A decoder of a PNG or JPEG file, found from its first bytes.
fn reader<R: BufRead + Seek>(path: &Path, mut source: R) -> Result<ImageReader<R>> {
    let failed = |source| Error::Io { file: path.to_owned(), source };
    let start = source.fill_buf().map_err(failed)?;
    let format = image::guess_format(start).ok().filter(|f| matches!(f, ImageFormat::Png | ImageFormat::Jpeg));
    let Some(format) = format else {
        const WANTED: &str = "a PNG or JPEG picture";
        let unknown =
            || ("no PNG or JPEG picture".into(), "convert it to one of these, or take it out of the folder".into());
        let (problem, hint) = kind::other_than(WANTED, start).unwrap_or_else(unknown);
        return Err(Error::file(path, problem, hint));
    };
    let mut reader = ImageReader::with_format(source, format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn broken(path: &Path, error: &image::ImageError) -> Error {
    let hint = match error {
        image::ImageError::Limits(_) => format!("pictures have at most {MAX_SIDE} pixels a side; make it smaller"),
        image::ImageError::Unsupported(_) => "PNG and JPEG can be read; convert it to one of them".to_owned(),
        _ => "the file is damaged or cut short; get it again, or take it out".to_owned(),
    };
    Error::file(path, format!("the picture cannot be read: {error}"), hint)
}

fn check_size<R: BufRead + Seek>(path: &Path, reader: ImageReader<R>) -> Result<()> {
    let (width, height) = reader.into_dimensions().map_err(|e| broken(path, &e))?;
    let sides = [width, height].iter().all(|side| (1..=MAX_SIDE).contains(side));
    if !sides {
        let hint = format!("pictures have from 1 to {MAX_SIDE} pixels a side");
        return Err(Error::file(path, format!("a picture of {width} times {height} pixels"), hint));
    }
    Ok(())
}

/// The whole file.
fn bytes(path: &Path) -> Result<Vec<u8>> {
    let (file, len) = open_file(path)?;
    if len > MAX_BYTES {
        let hint = format!("files of at most {MAX_BYTES} bytes are read");
        return Err(Error::file(path, format!("a picture of {len} bytes"), hint));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|source| Error::Io { file: path.to_owned(), source })?;
    Ok(bytes)
}

fn check_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    if is_whole(bytes) {
        return Ok(());
    }
    let hint = "the file is cut short; get it again, or take it out";
    Err(Error::file(path, "the picture cannot be read: its end is missing", hint))
}

/// Looks at a picture's header and end: an error for what is no picture, too large, or cut short.
pub(super) fn check(path: &Path) -> Result<()> {
    let failed = |source| Error::Io { file: path.to_owned(), source };
    let (mut file, len) = open_file(path)?;
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(len.saturating_sub(12))).map_err(failed)?;
    (&mut file).take(12).read_to_end(&mut tail).map_err(failed)?;
    file.rewind().map_err(failed)?;
    check_size(path, reader(path, BufReader::new(file))?)?;
    // Something may stand behind a whole picture.
    if ends_well(&tail) { Ok(()) } else { check_whole(path, &bytes(path)?) }
}

pub(super) fn check_channels(op: &'static str, channels: usize) -> Result<()> {
    if matches!(channels, 1 | 3 | 4) {
        return Ok(());
    }
    Err(Error::argument(op, "channels", "1 (grey), 3 (RGB) or 4 (RGBA)", channels, "pass one of them"))
}

/// Reads a picture that will have so many channels, in its own size or in another, `[height, width]`.
pub(super) fn decode(path: &Path, channels: usize, size: Option<[usize; 2]>) -> Result<DynamicImage> {
    let bytes = bytes(path)?;
    let reader = || reader(path, Cursor::new(&bytes));
    reader()?;
    check_whole(path, &bytes)?;
    if bytes.starts_with(&[0xFF, 0xD8]) && !is_complete(&bytes) {
        let hint = "the file was cut short or damaged before its end was put there; get it again, or take it out";
        return Err(Error::file(path, "the picture cannot be read: its data end before its last rows", hint));
    }
    check_size(path, reader()?)?;
    let decoder = reader()?.into_decoder().map_err(|e| broken(path, &e))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    // Resizing goes through rows of the new number in the old width, 16 bytes a pixel, and may take four times as much.
    let resized = size.filter(|[h, w]| (*h as u64, *w as u64) != (u64::from(height), u64::from(width)));
    let between = resized.map_or(0, |[rows, _]| u64::from(width).saturating_mul(rows as u64).saturating_mul(16 / 4));
    let most = decoder.total_bytes().max(pixels.saturating_mul(channels as u64)).max(between);
    if most > MAX_BYTES {
        let problem = format!("a picture of {width} times {height} pixels, whose values would take {most} bytes");
        let hint = format!("pictures of at most {MAX_BYTES} bytes are read; make it smaller");
        return Err(Error::file(path, problem, hint));
    }
    DynamicImage::from_decoder(decoder).map_err(|e| broken(path, &e))
}

/// The brightness of a colour, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), to the bit as Pillow's `convert("L")` has it.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

/// Pixels of 8 bits a channel, in so many channels: of 16 bits the upper 8 count, transparency is dropped.
fn pixels(picture: DynamicImage, channels: usize) -> Vec<u8> {
    let upper = |values: Vec<u16>| values.into_iter().map(|v| (v >> 8) as u8).collect();
    let (own, values): (usize, Vec<u8>) = match picture {
        DynamicImage::ImageLuma8(p) => (1, p.into_raw()),
        DynamicImage::ImageLumaA8(p) => (2, p.into_raw()),
        DynamicImage::ImageRgb8(p) => (3, p.into_raw()),
        DynamicImage::ImageLuma16(p) => (1, upper(p.into_raw())),
        DynamicImage::ImageLumaA16(p) => (2, upper(p.into_raw())),
        DynamicImage::ImageRgb16(p) => (3, upper(p.into_raw())),
        DynamicImage::ImageRgba16(p) => (4, upper(p.into_raw())),
        other => (4, other.into_rgba8().into_raw()),
    };
    if own == channels {
        return values;
    }
    let mut out = Vec::with_capacity(values.len() / own * channels);
    for pixel in values.chunks_exact(own) {
        let rgba = match *pixel {
            [v] => [v, v, v, u8::MAX],
            [v, a] => [v, v, v, a],
            [r, g, b] => [r, g, b, u8::MAX],
            [r, g, b, a, ..] => [r, g, b, a],
            [] => continue,
        };
        match (channels, own) {
            (1, 1 | 2) => out.push(rgba[0]),
            (1, _) => out.push(luma([rgba[0], rgba[1], rgba[2]])),
            _ => out.extend_from_slice(&rgba[..channels]),
        }
    }
    out
}

/// The picture resized to `[height, width]` if need be, its values from 0 to 255 written to `out`.
pub(super) fn write_values<T: Float>(
    picture: DynamicImage,
    [height, width]: [usize; 2],
    channels: usize,
    out: &mut [T],
) {
    let (w, h) = (picture.width(), picture.height());
    let mut bytes = pixels(picture, channels);
    if (w as usize, h as usize) != (width, height) {
        // As many bytes as the picture has.
        let picture = match channels {
            1 => ImageBuffer::from_raw(w, h, bytes).map(DynamicImage::ImageLuma8),
            3 => ImageBuffer::from_raw(w, h, bytes).map(DynamicImage::ImageRgb8),
            _ => ImageBuffer::from_raw(w, h, bytes).map(DynamicImage::ImageRgba8),
        };
        let small = picture.map(|p| p.resize_exact(width as u32, height as u32, FilterType::Triangle));
        bytes = small.map_or(Vec::new(), DynamicImage::into_bytes);
    }
    out.iter_mut().zip(bytes).for_each(|(to, byte)| *to = T::of(f64::from(byte)));
}

/// A PNG or JPEG file as `[height, width, channels]`, values from 0 to 255; 1 channel is grey, 3 are RGB, 4 RGBA, whatever the
/// file holds: colours become grey as in Pillow (0.299 R + 0.587 G + 0.114 B), transparency is dropped for 1 and 3 channels, and of
/// 16 bits the upper 8 are kept, as TensorFlow does.
///
/// ```no_run
/// use gradus::prelude::*;
/// let x: Tensor = read_image("cat.jpg", 3)?;
/// let x = resize_image(&x, [32, 32])?.map(|v| v / 255.0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened; [`Error::File`] if it is no picture, damaged, cut short, has more than 32,768 pixels a side,
/// or takes more than 2²⁸ bytes;
/// [`Error::Argument`] for another number of channels.
pub fn read_image<T: Float>(path: impl AsRef<Path>, channels: usize) -> Result<Tensor<T>> {
    check_channels("read_image", channels)?;
    let picture = decode(path.as_ref(), channels, None)?;
    let size = [picture.height() as usize, picture.width() as usize];
    let mut x = Tensor::try_full([size[0], size[1], channels], T::zero())?;
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
#[inline(never)]
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
    let mut out = memory::filled(OP, format_args!("an image of shape {shape}"), shape.checked_len(OP)?, T::zero())?;
    // The library goes through rows of the new number in the old width, four numbers each.
    memory::check_room::<f32>(OP, format_args!("an image of shape {shape}"), size[0].max(height) * width * 5)?;
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
    match size.into_iter().find(|n| !(1..=MAX_SIDE as usize).contains(n)) {
        None => Ok(()),
        Some(n) => {
            let expected = format!("from 1 to {MAX_SIDE} along each side");
            Err(Error::argument(op, name, expected, n, "pass [height, width] in pixels"))
        }
    }
}

/// Checks that an image of this size has no more values than a picture that can be read.
pub(super) fn check_bytes(op: &'static str, size: [usize; 2], channels: usize) -> Result<()> {
    if (size[0] * size[1] * channels) as u64 <= MAX_BYTES {
        return Ok(());
    }
    let (expected, got) = (format!("of at most {MAX_BYTES} values"), format!("{size:?} with {channels} channels"));
    Err(Error::argument(op, "size", expected, got, "make it smaller"))
}

/// Writes an image `[height, width, channels]` of 1, 3 or 4 channels, values from 0 to 255 (what lies outside is cut off), as PNG or
/// JPEG after the file's ending.
///
/// # Errors
/// [`Error::Shape`] for another shape; [`Error::NonFinite`] for NaN or an infinity; [`Error::Argument`] for another ending; [`Error::Write`] if it cannot be written.
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
    if let Some((row, column, value)) = x.first_non_finite() {
        return Err(Error::NonFinite { op: OP, what: "x", row, column, value: value.as_f64() });
    }
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
    each_sample(x, size[0] * size[1] * channels, |i, x| {
        write_values(decode(paths(i), channels, Some(size))?, size, channels, x);
        Ok(())
    })
}

/// The same for what comes of the bytes of each picture: resized as Pillow does, where there is a way for it, else all have that size.
#[cfg(feature = "files")]
pub(crate) fn read_pictures<'a, T: Float>(
    paths: impl Fn(usize) -> &'a Path + Sync,
    size: [usize; 2],
    channels: usize,
    how: Option<Resampling>,
    x: &mut [T],
    write: impl Fn(&[u8], &mut [T]) + Sync,
) -> Result<()> {
    each_sample(x, size[0] * size[1] * channels, |i, x| {
        let path = paths(i);
        let picture = decode(path, channels, None)?;
        let own = [picture.height(), picture.width()].map(|side| side as usize);
        let bytes = pixels(picture, channels);
        match how {
            _ if own == size => write(&bytes, x),
            Some(how) => {
                let resized = resample(&bytes, own, channels, size, how);
                write(&resized.map_err(|e| Error::file(path, e, "make it smaller"))?, x);
            }
            None => {
                let problem = format!("a picture of {own:?} pixels, and {size:?} are taken");
                return Err(Error::file(path, problem, "resize it, or have it resized when it is read"));
            }
        }
        Ok(())
    })
}

/// Fills the samples of `x` on several threads; the first error in their order.
fn each_sample<T: Send>(x: &mut [T], sample: usize, read: impl Fn(usize, &mut [T]) -> Result<()> + Sync) -> Result<()> {
    let failed = std::sync::Mutex::new(None::<(usize, Error)>);
    // Decoding a picture costs far more than the least work worth a thread.
    parallel::rows(x, sample, sample.max(parallel::WORTH_A_THREAD), |first, x| {
        for (i, x) in (first..).zip(x.chunks_exact_mut(sample.max(1))) {
            if let Err(error) = read(i, x) {
                let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(at, _)| i < *at) {
                    *failed = Some((i, error));
                }
            }
        }
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_as_pillow_has_it() {
        // Pillow 13: Image.new("RGB", (1, 1), color).convert("L")
        for (color, grey) in [
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([1, 2, 3], 2),
            ([200, 100, 50], 124),
            ([10, 250, 30], 153),
            ([254, 1, 128], 91),
            ([255, 255, 255], 255),
        ] {
            assert_eq!(luma(color), grey, "{color:?}");
        }
    }
}
