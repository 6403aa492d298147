//! What an architecture is here: a graph, and where its weights are.

use std::path::Path;

use serde_json::value::RawValue;

use super::Weights;
use super::compile::CompileConfig;
use super::json::Object;
use super::parts::{Kind, Level, Part, Place};
use super::reader::Reader;
use super::wiring::Wiring;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::io::zipped::damaged;
use crate::tensor::{FREE, Shape};

/// A file's model.
#[derive(Debug)]
pub(crate) struct Planned {
    /// With its outputs, which have Keras's names.
    pub graph: Graph,
    pub weights: Vec<Weight>,
    /// Arrays that are known and not read as they are.
    pub spare: Vec<String>,
    /// The inputs that leave sizes open, as Python writes them.
    pub open: Vec<String>,
    /// What the model was compiled with; what is wrong with that matters to those who use it alone.
    pub compile: Option<std::result::Result<CompileConfig, String>>,
}

/// A weight of ours.
#[derive(Debug)]
pub(crate) struct Weight {
    /// The path of its layer.
    pub layer: String,
    /// Whether the layer is called several times, so that the scope that it shares lies around it.
    pub shared: bool,
    pub name: &'static str,
    pub source: Source,
    /// The axis that is two in the file, and how many heads the first of them counts.
    pub heads: Option<(usize, usize)>,
}

/// Where a weight's values are.
#[derive(Debug)]
pub(crate) enum Source {
    Array(String),
    Given(Vec<f64>),
}

/// The model of an architecture; every layer and setting that cannot be had is named in one error.
pub(crate) fn plan(path: &Path, config: &str, weights: &Weights) -> Result<Planned> {
    let numbers = |name: &str, most: usize| weights.numbers(name, most);
    let wrong = |problem: String| {
        Error::file(path, problem, "the architecture is damaged or was changed by hand: save the model in Keras again")
    };
    let raw: &RawValue = serde_json::from_str(config).map_err(|e| damaged(path, format!("config.json: {e}")))?;
    let object = Object::read(raw).map_err(wrong)?;
    let mut reader = Reader::new(&numbers);
    let Some((level, trainable)) = reader.model(&object, &Place::default()).map_err(wrong)? else {
        let problem = format!(
            "a model of class {:.80} (module {:.80}), which is not Keras's Sequential or Functional",
            object.class_name,
            object.module.as_deref().unwrap_or("__main__")
        );
        let hint = "build it of keras.Sequential or keras.Model(inputs, outputs), or build it in code and read the weights from safetensors";
        return Err(Error::file(path, problem, hint));
    };
    let Reader { parts, mut unsupported, more, .. } = reader;
    if more > 0 {
        unsupported.push(format!("and {more} more"));
    }
    if !unsupported.is_empty() {
        let problem = format!("it has what this library has not: {}", unsupported.join("; "));
        return Err(Error::file(path, problem, "replace these layers in Keras, or build the model in code"));
    }
    let mut graph = Graph::new();
    let shapes = inputs(path, &level, &parts)?;
    let x: Vec<Value> = shapes.iter().map(|(name, shape)| graph.input(name, *shape)).collect();
    let mut wiring = Wiring::new(&parts);
    let outputs = wiring.level(&mut graph, &level, &x, "", trainable).map_err(wrong)?;
    let paths = wiring.paths;
    let (weights, spare) = of_parts(&parts, paths);
    let names = level.outputs.iter().map(|read| level.entries[read.tensor.entry].name.clone()).collect();
    graph.finish(&outputs)?;
    // Their keys in a dictionary, else those of the layers.
    graph.name_outputs(level.output_keys.unwrap_or(names));
    Ok(Planned {
        graph,
        weights,
        spare,
        open: shapes.iter().filter(|(_, shape)| shape.is_free()).map(|(name, shape)| python(name, *shape)).collect(),
        compile: object.compile_config.map(CompileConfig::read).and_then(|read| read.transpose()),
    })
}

/// The names of the inputs and their shapes.
fn inputs(path: &Path, level: &Level, parts: &[Part]) -> Result<Vec<(String, Shape)>> {
    let mut keys = level.input_keys.clone();
    keys.iter_mut().for_each(|keys| keys.sort());
    let mut out = Vec::new();
    for (i, &e) in level.inputs.iter().enumerate() {
        let entry = &level.entries[e];
        let Kind::Input(shape) = &parts[entry.part].kind else { continue };
        let name = keys.as_ref().map_or(&entry.name, |keys| &keys[i]);
        let Some(shape) = *shape else {
            let hint = "give the model an Input, or call it once, before it is saved";
            return Err(Error::file(path, "the shape of its inputs is unknown", hint));
        };
        out.push((if name.is_empty() { "input" } else { name }.to_owned(), shape));
    }
    Ok(out)
}

/// An input as Python writes it.
fn python(name: &str, shape: Shape) -> String {
    let sizes: Vec<_> = shape.dims().iter().map(|&n| if n == FREE { "None".into() } else { n.to_string() }).collect();
    let comma = if sizes.len() == 1 { "," } else { "" };
    format!("keras.Input(({}{comma}), name=\"{name}\")", sizes.join(", "))
}

/// An error of a layer as one of the file, where its inputs leave sizes open: with what to write in Python.
pub(crate) fn of_open_sizes(path: &Path, open: &[String], error: Error) -> Error {
    let Error::Layer { name, .. } = &error else { return error };
    if open.is_empty() {
        return error;
    }
    let anew = match error.root() {
        Error::Shape { op: "Reshape", .. } => {
            "write -1 in keras.layers.Reshape for the size that follows from the others, or "
        }
        Error::Shape { op: "Dense", .. } => {
            "write keras.layers.GlobalAveragePooling1D() or 2D() in the place of Flatten(), or "
        }
        _ => "",
    };
    let hint = format!(
        "in Python: {anew}build the model with fixed sizes in the place of None in {}, and give it the same weights: \
         new.set_weights(model.get_weights())",
        open.join(", ")
    );
    Error::file(path, format!("{name}: {}", error.root()), hint)
}

/// The weights of all layers, and the arrays that are known and not read as they are.
fn of_parts(parts: &[Part], paths: Vec<Option<String>>) -> (Vec<Weight>, Vec<String>) {
    let (mut weights, mut spare) = (Vec::new(), Vec::new());
    for (part, path) in parts.iter().zip(paths) {
        let (Kind::Layer(made), Some(layer)) = (&part.kind, path) else { continue };
        let array = |i: usize| format!("{}{}/vars/{i}", part.folder, made.below);
        let mut weight = |name, source, heads| {
            weights.push(Weight { layer: layer.clone(), shared: part.calls > 1, name, source, heads });
        };
        for (i, &name) in made.weights.iter().enumerate() {
            weight(name, Source::Array(array(i)), None);
        }
        for inner in &made.inner {
            let array = format!("{}{}/{}/vars/{}", part.folder, made.below, inner.folder, inner.array);
            weight(inner.name, Source::Array(array), inner.heads);
        }
        for (name, values) in &made.given {
            weight(name, Source::Given(values.clone()), None);
        }
        spare.extend((0..made.spare).map(array));
    }
    (weights, spare)
}
