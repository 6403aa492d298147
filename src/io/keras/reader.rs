//! The models of a file: what layers there are, and where their arrays lie.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;

use super::json::{Object, Problem, Raw, Settings, list, spelled};
use super::layers::{self, About};
use super::parts::{Kind, Level, Part, Place};
use super::settings::common;
use super::tensors::Structure;
use super::{names, operations};
use crate::error::Result as Read;
use crate::tensor::{FREE, Shape};

/// Reads the numbers of an array, at most so many.
pub(super) type Numbers<'r> = &'r dyn Fn(&str, usize) -> Read<Vec<f64>>;

/// Reads models, and keeps what cannot be had.
pub(super) struct Reader<'r> {
    pub numbers: Numbers<'r>,
    pub parts: Vec<Part>,
    /// What this crate has not, by name, and how much more there is of it.
    pub unsupported: Vec<String>,
    pub more: usize,
    /// Layers that stand in several places, by their numbers in the file.
    shared: HashMap<u64, usize>,
}

/// The most models inside one another.
const MAX_DEPTH: usize = 32;

/// The most layers of a file.
pub(super) const MAX_PARTS: usize = 1 << 16;

/// The longest name of a layer.
const MAX_NAME: usize = 256;

/// The most that is named of what cannot be had.
const MAX_NAMED: usize = 1 << 10;

impl<'r> Reader<'r> {
    pub fn new(numbers: Numbers<'r>) -> Self {
        Reader { numbers, parts: Vec::new(), unsupported: Vec::new(), more: 0, shared: HashMap::new() }
    }

    /// A model of Keras's own, sequential or functional; none for another object.
    pub fn model(&mut self, object: &Object, place: &Place) -> Result<Option<(Level, bool)>, Problem> {
        let kind = match &*object.class_name {
            "Sequential" if object.is_of(&["keras", "keras.models"], "keras.src.models.") => true,
            "Functional" if object.is_of(&["keras", "keras.models"], "keras.src.models.") => false,
            _ => return Ok(None),
        };
        let too_deep = || format!("{}: more than {MAX_DEPTH} models inside one another", shown(&place.path));
        if place.depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let here = |problem: Problem| {
            if place.path.is_empty() { problem } else { format!("{}: {problem}", shown(&place.path)) }
        };
        let mut s = Settings::read(object.config).map_err(here)?;
        let (_, trainable) = common(&mut s).map_err(here)?;
        let layers = s.take("layers").ok_or_else(|| here("a model without layers".to_owned()))?;
        let layers: Vec<Raw> =
            list(layers, MAX_PARTS).map_err(|e| here(format!("layers={} ({e})", spelled(layers))))?;
        let level = match kind {
            true => {
                let shape = s.take("build_input_shape");
                s.finish().map_err(here)?;
                self.sequential(&layers, shape, place)?
            }
            false => {
                let mut structure = |name: &str| {
                    let raw = s.take(name).ok_or_else(|| format!("a model without {name}"))?;
                    Structure::read(raw).map_err(|problem| format!("{name}: {problem}"))
                };
                let (inputs, outputs) =
                    (structure("input_layers").map_err(here)?, structure("output_layers").map_err(here)?);
                s.finish().map_err(here)?;
                self.functional(&layers, &inputs, &outputs, place)?
            }
        };
        // Models that stand elsewhere too may be deeper than they are here.
        let inside = level.entries.iter().map(|entry| match &self.parts[entry.part].kind {
            Kind::Model(inner) => inner.height,
            _ => 0,
        });
        let height = 1 + inside.max().unwrap_or(0);
        match place.depth + height <= MAX_DEPTH + 1 {
            true => Ok(Some((Level { height, ..level }, trainable))),
            false => Err(too_deep()),
        }
    }

    /// Notes what cannot be had.
    pub(super) fn note(&mut self, problem: Problem) {
        match self.unsupported.len() < MAX_NAMED {
            true => self.unsupported.push(problem),
            false => self.more += 1,
        }
    }

    /// A layer's place among all.
    pub(super) fn part(
        &mut self,
        object: &Object,
        name: &str,
        place: &Place,
        groups: &mut HashMap<String, usize>,
    ) -> Result<usize, Problem> {
        let class = object.class_name.to_string();
        let path = format!("{}{name}", place.path);
        if name.is_empty() || name.len() > MAX_NAME || name.contains(|c: char| c == '/' || c.is_control()) {
            let shown: String = name.chars().take(80).collect();
            return Err(format!(
                "{}{shown:?}: names of layers have 1 to {MAX_NAME} bytes, no slashes and no control characters",
                place.path
            ));
        }
        let operation = object.is_of(&[], operations::MODULE);
        // Arrays are named after the class, numbered; a layer that stands in several places has its arrays in the first.
        let group = names::folder(&class);
        let number = groups.entry(group.clone()).or_insert(0);
        let folder = if *number == 0 { group } else { format!("{group}_{number}") };
        let folder = format!("{}layers/{folder}", place.folder);
        *number += usize::from(!operation);
        let id = object.shared_object_id.filter(|_| !operation);
        if let Some(&known) = id.and_then(|id| self.shared.get(&id)) {
            if self.parts[known].class != class {
                return Err(format!("{path}: a {class} that is a {} elsewhere", self.parts[known].class));
            }
            return Ok(known);
        }
        let inside = Place { path: format!("{path}/"), folder: format!("{folder}/"), depth: place.depth + 1 };
        let kind = match self.model(object, &inside)? {
            Some((level, trainable)) => Ok((Kind::Model(Box::new(level)), trainable)),
            None if operation => {
                let settings = Settings::read(object.config).and_then(|mut s| {
                    s.skip(&["name"]);
                    s.finish()
                });
                Ok((Kind::Operation { for_masks: operations::for_masks(object), settings }, true))
            }
            None if object.is_of(&["keras.layers"], "keras.src.layers.") => self.layer(object, name, &folder),
            None => Err(object.foreign()),
        };
        let (kind, trainable) = kind.unwrap_or_else(|problem| {
            self.note(format!("{path} ({class:.80}): {problem}"));
            (Kind::Missing, true)
        });
        let part = self.push(Part { class, kind, trainable, folder, calls: 0 })?;
        if let Some(id) = id {
            self.shared.insert(id, part);
        }
        Ok(part)
    }

    pub(super) fn push(&mut self, part: Part) -> Result<usize, Problem> {
        if self.parts.len() == MAX_PARTS {
            return Err(format!("more than {MAX_PARTS} layers"));
        }
        self.parts.push(part);
        Ok(self.parts.len() - 1)
    }

    fn layer(&self, object: &Object, name: &str, folder: &str) -> Result<(Kind, bool), Problem> {
        let mut s = Settings::read(object.config)?;
        if object.class_name == "InputLayer" {
            same_name(s.text("name")?, name)?;
            return input(&mut s).and_then(|kind| s.finish().map(|()| (kind, true)));
        }
        let (own, trainable) = common(&mut s)?;
        same_name(own, name)?;
        let numbers = self.numbers;
        let array = |below: &str, i: usize| numbers(&format!("{folder}{below}/vars/{i}"), layers::MAX_STATISTICS);
        let about = About { rank: object.build_config.and_then(rank), below: String::new(), array: &array };
        let made = layers::layer(&object.class_name, &mut s, &about)?.ok_or_else(|| "no such layer".to_owned())?;
        s.only("activity_regularizer", "null", layers::NO_PENALTY)?;
        s.finish()?;
        let trainable = trainable && !made.frozen;
        Ok((Kind::Layer(Box::new(made)), trainable))
    }
}

/// An error where a layer's own name is another than in the model.
fn same_name(own: Option<Cow<str>>, name: &str) -> Result<(), Problem> {
    match own.filter(|own| own != name) {
        Some(own) => Err(format!("name=\"{own:.80}\", another than in the model")),
        None => Ok(()),
    }
}

/// The axes of a layer's input, where it has one.
fn rank(build: Raw) -> Option<usize> {
    let shape = Settings::read(build).ok()?.take("input_shape")?;
    list::<Option<usize>>(shape, 16).ok().map(|shape| shape.len())
}

fn input(s: &mut Settings) -> Result<Kind, Problem> {
    let dense = "only dense inputs can be had: pass the values of all elements";
    s.only("sparse", "false", dense)?;
    s.only("ragged", "false", dense)?;
    s.only("optional", "false", "every input is needed here")?;
    let numeric = ["float", "bfloat", "int", "uint", "bool"];
    match s.text("dtype")? {
        Some(name) if !numeric.iter().any(|kind| name.starts_with(kind)) => {
            Err(format!("dtype=\"{name:.40}\": inputs are numbers here"))
        }
        _ => {
            // Batches have any size here.
            s.skip(&["batch_size"]);
            let given = SHAPES.into_iter().filter_map(|(name, batched)| s.take(name).map(|raw| (name, batched, raw)));
            match given.collect::<Vec<_>>()[..] {
                [] => Err("no batch_shape".to_owned()),
                [(name, batched, raw)] => {
                    shape_of(raw, batched).map(|shape| Kind::Input(Some(shape))).map_err(|e| format!("{name}={e}"))
                }
                [(first, ..), (second, ..), ..] => Err(format!("{first} and {second}, where one is expected")),
            }
        }
    }
}

/// How an input's shape may be called, and whether the batch axis is in it.
const SHAPES: [(&str, bool); 4] =
    [("batch_shape", true), ("batch_input_shape", true), ("shape", false), ("input_shape", false)];

/// The shape of a sample, with free sizes for None; else the value with what is wrong.
pub(super) fn shape_of(raw: Raw, batched: bool) -> Result<Shape, Problem> {
    let wrong = |what: &dyn Display| format!("{}: {what}", spelled(raw));
    let sizes: Vec<Option<usize>> = list(raw, 16).map_err(|_| wrong(&"sizes, or None, are expected"))?;
    let of_sample = match batched {
        true => sizes.split_first().ok_or_else(|| wrong(&"no batch axis"))?.1,
        false => &sizes[..],
    };
    // No number of a file may be taken for a free size.
    let too_large = of_sample.iter().flatten().find(|&&size| size >= FREE);
    if too_large.is_some() {
        return Err(wrong(&"no size is that large"));
    }
    let sizes: Vec<usize> = of_sample.iter().map(|size| size.unwrap_or(FREE)).collect();
    Shape::try_from(&sizes[..]).map_err(|e| wrong(&e))
}

/// A path in a message, without the slash at its end.
pub(super) fn shown(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
