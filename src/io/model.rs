//! What a model's file holds: the architecture as JSON, the weights by name.

use std::path::Path;

use serde_json::value::RawValue;

use super::{Archive, Array, Beside, Compiled, Notes, check_header, write};
use crate::error::{Error, Result};
use crate::graph::{Graph, Written, WrittenItem};
use crate::layers::config::NamedConfig;
use crate::params::{ParamSpec, Params};
use crate::state::Value;
use crate::tensor::{Float, Shape};

/// The version of what is written; older ones stay readable.
const FORMAT: u32 = 2;

pub(crate) use crate::state::CHECKPOINT_PREFIX;

/// The longest architecture: what it is parsed into takes a multiple of it.
const MAX_LEN: usize = 1 << 19;

/// What the metadata says of a file.
#[derive(Debug)]
pub(crate) struct About {
    pub seed: u64,
    pub graph: Graph,
    pub beside: Beside,
    /// The settings of the text front.
    pub text: Option<String>,
}

/// Only the version, which every version has.
#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

/// Format 2: a graph.
#[derive(serde::Serialize, serde::Deserialize)]
struct Format2 {
    format: u32,
    seed: u64,
    graph: Written,
    /// How the model was compiled; parsed by who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compile: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notes: Option<Notes>,
    /// What turns texts into the input; its long parts are arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Box<RawValue>>,
}

/// Format 1: layers one after the other, with containers.
#[derive(serde::Deserialize)]
struct Format1 {
    seed: u64,
    input: Vec<usize>,
    layers: Vec<NamedConfig>,
}

/// The architecture of a model, as it stands in a file's metadata.
pub(crate) fn about(graph: &Graph, seed: u64, beside: &Beside) -> Result<String> {
    let config = |problem: String, hint: &str| Error::Config { op: "save", problem, hint: hint.into() };
    let unwritten = |e: serde_json::Error| config(e.to_string(), "check the layers' settings");
    let Beside { compile, notes, .. } = beside;
    let about = Format2 {
        format: FORMAT,
        seed,
        graph: graph.written(),
        compile: compile.clone().map(RawValue::from_string).transpose().map_err(unwritten)?,
        notes: Some(notes.clone()).filter(|notes| *notes != Notes::default()),
        text: beside.text()?.map(RawValue::from_string).transpose().map_err(unwritten)?,
    };
    let text = serde_json::to_string(&about).map_err(unwritten)?;
    if text.len() > MAX_LEN {
        let beside = compile.as_ref().map_or(0, String::len);
        let problem = format!(
            "the architecture takes {} bytes of at most {MAX_LEN}, with {beside} for optimizer, losses and metrics, and the notes",
            text.len()
        );
        return Err(config(problem, "save parts of the model as files of their own, and class names beside them"));
    }
    Ok(text)
}

/// Checks that a model which has been built can be written and read again.
pub(crate) fn check<T: Float>(graph: &Graph, seed: u64, params: &Params<T>) -> Result<()> {
    for (index, (name, item)) in graph.written_nodes().into_iter().enumerate() {
        let written = serde_json::to_string(&item);
        let again = |text: &String| serde_json::to_string(&serde_json::from_str::<WrittenItem>(text)?);
        let problem = match written.and_then(|text| Ok((again(&text)?, text))) {
            Ok((again, text)) if again == text => continue,
            Ok(_) => "a setting would come back from a file as another".to_owned(),
            Err(e) => format!("its settings could not be read back from a file ({e})"),
        };
        let hint = "numbers that are not finite cannot be written: correct the setting".into();
        let source = Box::new(Error::Config { op: "build", problem, hint });
        return Err(Error::Layer { index, name, source });
    }
    check_header(&about(graph, seed, &Beside::default())?, &weights(params.specs(), params.values()))
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

/// Arrays that stand beside the weights.
pub(crate) fn further(arrays: &[(String, Value)]) -> impl Iterator<Item = Array<'_>> {
    arrays.iter().map(|(name, value)| {
        let values = value.values();
        Array { name: name.clone(), shape: vec![values.len()], values }
    })
}

/// Writes a model.
pub(crate) fn save<T: Float>(path: &Path, graph: &Graph, seed: u64, beside: &Beside, params: &Params<T>) -> Result<()> {
    params.check_numbers("save")?;
    let (about, beside) = (about(graph, seed, beside)?, beside.arrays());
    write(path, &about, weights(params.specs(), params.values()).into_iter().chain(further(&beside)).collect())
}

/// How a model was compiled, from what its file says.
pub(crate) fn compiled(text: &str) -> Result<Compiled> {
    serde_json::from_str(text).map_err(|e| {
        let hint = "the file is of a newer version, or was changed by hand";
        Error::Config { op: "load", problem: format!("bad optimizer, loss or metric: {e}"), hint: hint.into() }
    })
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
    if version.format == 1 {
        let Format1 { seed, input, layers } = serde_json::from_str(text).map_err(damaged)?;
        let graph = Graph::line(Shape::try_from(&input[..])?, layers)?;
        return Ok(About { seed, graph, beside: Beside::default(), text: None });
    }
    let Format2 { seed, graph, compile, notes, text, .. } = serde_json::from_str(text).map_err(damaged)?;
    let wrong = |e: Error| failed(format!("bad architecture: {e}"), "save the model again");
    let [compile, text] = [compile, text].map(|raw| raw.map(|raw| raw.get().to_owned()));
    let beside = Beside {
        compile,
        notes: notes.unwrap_or_default(),
        #[cfg(feature = "text")]
        front: None,
    };
    Ok(About { seed, graph: Graph::read(graph).map_err(wrong)?, beside, text })
}
