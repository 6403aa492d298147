//! Texts as samples: from files of several kinds, or in memory; as token ids or vectors; packed into rows, with
//! tokens hidden, in pairs of sequences. Feature `text`.

mod cells;
mod documents;
mod encoded;
mod folder;
#[cfg(feature = "files")]
mod json;
mod labels;
mod lines;
mod masked_tokens;
mod packed;
mod pieces;
mod record;
mod sequence_pairs;
mod stored;
mod table;
mod texts;
mod token_file;
mod vectorized;

pub use documents::{Documents, TokenIds};
pub use encoded::Encoded;
pub use folder::TextFolder;
#[cfg(feature = "files")]
pub use json::JsonLines;
pub use lines::TextLines;
pub use masked_tokens::MaskedTokens;
pub use packed::{Packed, Packing};
pub use sequence_pairs::SequencePairs;
pub use table::TextTable;
pub use texts::{TextSample, Texts};
pub use token_file::{TokenFile, TokenFileWriter};
pub use vectorized::Vectorized;
