//! Keras's own files (`.keras`, Keras 3): a zip of the architecture as JSON and the weights as HDF5.
//!
//! A file is read in three steps: `reader` finds out what layers there are and who reads what, and names all that cannot be had; `wiring` adds
//! them to a [`Graph`](crate::graph::Graph); `weights` reads the arrays.

mod attention;
mod calls;
mod compile;
mod convolutions;
mod fill;
mod functional;
mod json;
mod layers;
mod made;
mod masks;
mod merging;
mod names;
mod net;
mod normalizations;
mod operations;
mod order;
mod parts;
mod plan;
mod pools;
mod reader;
mod sequential;
mod settings;
mod tensors;
mod weights;
mod wiring;

use std::path::Path;

pub use self::compile::{CompileConfig, Given};
pub(crate) use self::fill::fill;
pub use self::net::{KerasNet, read_keras};
pub(crate) use self::plan::{Planned, of_open_sizes, plan};
pub(crate) use self::weights::Weights;
use super::zipped::{Zipped, damaged};
use crate::error::{Error, Result};

/// The longest architecture.
const MAX_LEN: u64 = 8 << 20;

/// The longest description of the file itself.
const MAX_ABOUT: u64 = 1 << 16;

/// Opens a file: the architecture, and the weights to be read.
pub(crate) fn open(path: &Path) -> Result<(String, Weights)> {
    let mut zipped = Zipped::open(path)?;
    let about = zipped.read("metadata.json", MAX_ABOUT)?;
    let about: serde_json::Value =
        serde_json::from_slice(&about).map_err(|e| damaged(path, format!("metadata.json: {e}")))?;
    let version = about["keras_version"].as_str().unwrap_or("none");
    if !version.starts_with("3.") {
        let problem = format!("written by Keras {version}");
        return Err(Error::file(path, problem, "load it in Keras 3 and save it again as .keras"));
    }
    let config = zipped.read("config.json", MAX_LEN)?;
    let config = String::from_utf8(config).map_err(|e| damaged(path, format!("config.json: {e}")))?;
    Ok((config, Weights::open(zipped)?))
}
