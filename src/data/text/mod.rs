//! Texts as samples: from files of several kinds, or in memory; as token ids or vectors; packed into rows. Feature `text`.

mod cells;
mod documents;
mod encoded;
mod folder;
#[cfg(feature = "files")]
mod json;
mod labels;
mod lines;
mod packed;
mod pieces;
mod record;
mod stored;
mod table;
mod texts;
mod vectorized;

pub use documents::{Documents, TokenIds};
pub use encoded::Encoded;
pub use folder::TextFolder;
#[cfg(feature = "files")]
pub use json::JsonLines;
pub use lines::TextLines;
pub use packed::{Packed, Packing};
pub use table::TextTable;
pub use texts::{TextSample, Texts};
pub use vectorized::Vectorized;
