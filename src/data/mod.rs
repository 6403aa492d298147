//! Data from files.

mod idx;

pub use idx::{parse_idx, read_idx};
