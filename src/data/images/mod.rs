//! Pictures: PNG and JPEG files to tensors and back, and folders of them. Feature `image`.

mod file;
mod folder;
#[cfg(feature = "files")]
mod resample;
mod scan;
mod whole;

#[cfg(feature = "files")]
pub(crate) use file::read_pictures;
pub use file::{read_image, resize_image, save_image};
pub use folder::ImageFolder;
#[cfg(feature = "files")]
pub(crate) use resample::{Resampling, resample};
