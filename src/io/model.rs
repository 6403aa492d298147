//! What a model's file holds: the architecture as JSON, the weights by name.

use std::path::Path;

use super::{Archive, Array, check_header, write};
use crate::error::{Error, Result};
use crate::layers::composite::Chain;
use crate::layers::config::NamedConfig;
use crate::params::{ParamSpec, Params};
use crate::tensor::{Float, Shape};

/// The version of what is written; older ones stay readable.
const FORMAT: u32 = 1;

pub(crate) use crate::state::CHECKPOINT_PREFIX;

/// The longest architecture: what it is parsed into takes a multiple of it.
const MAX_LEN: usize = 1 << 19;

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
pub(crate) fn about<T: Float>(input: Shape, seed: u64, layers: &Chain<T>) -> Result<String> {
    let config = |problem: String, hint: &str| Error::Config { op: "save", problem, hint: hint.into() };
    let about = About { format: FORMAT, seed, input: input.dims().to_vec(), layers: layers.config() };
    let text = serde_json::to_string(&about).map_err(|e| config(e.to_string(), "check the layers' settings"))?;
    if text.len() > MAX_LEN {
        let problem = format!("the architecture takes {} bytes of at most {MAX_LEN}", text.len());
        return Err(config(problem, "save parts of the model as files of their own"));
    }
    Ok(text)
}

/// Checks that a model which has been built can be written and read again.
pub(crate) fn check<T: Float>(input: Shape, seed: u64, layers: &Chain<T>, params: &Params<T>) -> Result<()> {
    for (index, entry) in layers.entries().iter().enumerate() {
        // Compared as text: a layer that is built knows more than its settings.
        let written = serde_json::to_string(&entry.config());
        let again = |text: &String| serde_json::to_string(&serde_json::from_str::<NamedConfig>(text)?);
        let problem = match written.and_then(|text| Ok((again(&text)?, text))) {
            Ok((again, text)) if again == text => continue,
            Ok(_) => "a setting would come back from a file as another".to_owned(),
            Err(e) => format!("its settings could not be read back from a file ({e})"),
        };
        let hint = "numbers that are not finite cannot be written: correct the setting".into();
        let source = Box::new(Error::Config { op: "build", problem, hint });
        return Err(Error::Layer { index, name: entry.name.clone(), source });
    }
    let about = about(input, seed, layers)?;
    check_header(&about, &weights(params.specs(), params.values()))
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
    write(path, &about(input, seed, layers)?, weights(params.specs(), params.values()))
}

/// Reads the architecture of a file.
pub(crate) fn parse(archive: &Archive<'_>) -> Result<About> {
    let failed = |problem: String, hint: &str| Error::file(archive.path(), problem, hint);
    let Some(text) = archive.about() else {
        let hint = "build the model in code and read the weights with load_weights";
        return Err(failed("the file has weights but no architecture of gradus".into(), hint));
    };
    if text.len() > MAX_LEN {
        return Err(failed(
            format!("an architecture of {} bytes, at most {MAX_LEN} are read", text.len()),
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
