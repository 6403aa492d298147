//! Pictures: PNG and JPEG files to tensors and back, and folders of them. Feature `image`.

mod file;
mod folder;
mod scan;
mod whole;

pub use file::{read_image, resize_image, save_image};
pub use folder::ImageFolder;
