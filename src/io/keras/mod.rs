//! Keras's own files (`.keras`, Keras 3): a zip of the architecture as JSON and the weights as HDF5.

mod config;
mod settings;
mod vision;
mod weights;

use std::path::Path;

pub(crate) use self::config::Planned;
pub(crate) use self::weights::Weights;
use super::zipped::{Zipped, damaged};
use crate::error::{Error, Result};

/// The longest architecture: what it is parsed into takes a multiple of it.
const MAX_LEN: u64 = 1 << 19;

/// Opens a file: the architecture, and the weights to be read.
pub(crate) fn open(path: &Path) -> Result<(serde_json::Value, Weights)> {
    let mut zipped = Zipped::open(path)?;
    let json = |bytes: &[u8], name: &str| {
        serde_json::from_slice::<serde_json::Value>(bytes).map_err(|e| damaged(path, format!("{name}: {e}")))
    };
    let about = json(&zipped.read("metadata.json", MAX_LEN)?, "metadata.json")?;
    let version = about["keras_version"].as_str().unwrap_or("none");
    if !version.starts_with("3.") {
        let problem = format!("written by Keras {version}");
        return Err(Error::file(path, problem, "load it in Keras 3 and save it again as .keras"));
    }
    let config = json(&zipped.read("config.json", MAX_LEN)?, "config.json")?;
    Ok((config, Weights::open(zipped)?))
}

/// The layers of a model, from its architecture; every layer and setting that cannot be had is named in one error.
pub(crate) fn plan(path: &Path, config: &serde_json::Value, weights: &Weights) -> Result<Planned> {
    let numbers = |name: &str, most: usize| weights.numbers(name, most);
    config::Planner { numbers: &numbers, unsupported: Vec::new() }.plan(path, config)
}
