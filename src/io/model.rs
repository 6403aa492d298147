//! What a model's file holds: the architecture as JSON, the weights by name.

use std::path::Path;

use super::{Archive, Array, write};
use crate::error::{Error, Result};
use crate::layers::composite::Chain;
use crate::layers::config::NamedConfig;
use crate::params::{ParamSpec, Params};
use crate::tensor::{Float, Shape};

/// The version of what is written; older ones stay readable.
const FORMAT: u32 = 1;

/// The first letter of what a checkpoint holds beside weights; no layer's name may begin with it.
pub(crate) const APART: char = '@';

/// The longest architecture: what it is parsed into takes a multiple of it.
const LONGEST: usize = 1 << 19;

/// What the metadata says of a file.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct About {
    format: u32,
    pub seed: u64,
    pub input: Vec<usize>,
    pub layers: Vec<NamedConfig>,
}

/// Only the version, which every version has.
#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

/// The architecture of a model, as it stands in a file's metadata.
pub(crate) fn about<T: Float>(input: Shape, seed: u64, layers: &Chain<T>, params: &Params<T>) -> Result<String> {
    let config = |problem: String, hint: &str| Error::Config { op: "save", problem, hint: hint.into() };
    if let Some(spec) = params.specs().iter().find(|s| s.name.starts_with(APART)) {
        let problem = format!("the name {} begins with {APART}, which checkpoints need", spec.name);
        return Err(config(problem, "give the layer another name"));
    }
    let about = About { format: FORMAT, seed, input: input.dims().to_vec(), layers: layers.config() };
    let text = serde_json::to_string(&about).map_err(|e| config(e.to_string(), "check the layers' settings"))?;
    if text.len() > LONGEST {
        let problem = format!("the architecture takes {} bytes of at most {LONGEST}", text.len());
        return Err(config(problem, "save parts of the model as files of their own"));
    }
    Ok(text)
}

/// The weights as arrays of a file; `values` has the layout of the specs.
pub(crate) fn weights<'a, T: Float>(specs: &[ParamSpec], values: &'a [T]) -> Vec<Array<'a>> {
    let array = |s: &ParamSpec| Array {
        name: s.name.clone(),
        shape: s.shape.dims().to_vec(),
        values: T::values(&values[s.range.clone()]),
    };
    specs.iter().map(array).collect()
}

/// Writes a model.
pub(crate) fn save<T: Float>(
    path: &Path,
    input: Shape,
    seed: u64,
    layers: &Chain<T>,
    params: &Params<T>,
) -> Result<()> {
    write(path, &about(input, seed, layers, params)?, weights(params.specs(), params.values()))
}

/// Reads the architecture of a file.
pub(crate) fn parse(archive: &Archive<'_>) -> Result<About> {
    let failed = |problem: String, hint: &str| Error::file(archive.path(), problem, hint);
    let Some(text) = archive.about() else {
        let hint = "build the model in code and read the weights with load_weights";
        return Err(failed("the file has weights but no architecture of gradus".into(), hint));
    };
    if text.len() > LONGEST {
        return Err(failed(
            format!("an architecture of {} bytes, at most {LONGEST} are read", text.len()),
            "split the model",
        ));
    }
    let damaged = |e: serde_json::Error| failed(format!("bad architecture: {e}"), "save the model again");
    let version: Version = serde_json::from_str(text).map_err(damaged)?;
    if version.format > FORMAT {
        let problem = format!("written in format {}, this version of gradus reads up to {FORMAT}", version.format);
        return Err(failed(problem, "use a newer gradus"));
    }
    serde_json::from_str(text).map_err(damaged)
}
