//! A file's arrays into the weights of the model built from it.

use std::collections::HashSet;
use std::path::Path;

use super::Weights;
use super::plan::{Source, Weight};
use crate::error::{Error, Mismatch, Result};
use crate::params::{ParamId, Params};
use crate::tensor::{Float, Shape};

/// Reads all weights. The model must have no others, and the file no arrays besides those in `spare` and the optimizer's. Gives the arrays
/// that were read, and whose they are.
pub(crate) fn fill<T: Float>(
    path: &Path,
    planned: &[Weight],
    spare: &[String],
    weights: &Weights,
    params: &mut Params<T>,
) -> Result<Vec<(String, ParamId)>> {
    let found: Vec<Option<ParamId>> = planned.iter().map(|weight| find(params, weight)).collect();
    let known: HashSet<u32> = found.iter().flatten().map(|id| id.0).collect();
    let mut mismatch = Mismatch::default();
    let specs = params.specs().iter().enumerate();
    mismatch.missing =
        specs.filter(|(i, _)| !known.contains(&(*i as u32))).map(|(_, spec)| spec.name.clone()).collect();
    for (weight, id) in planned.iter().zip(&found) {
        let there = match &weight.source {
            Source::Array(array) => weights.shape(array).is_some(),
            Source::Given(_) => true,
        };
        if id.is_none() || !there {
            mismatch.missing.push(format!("{}/{}", weight.layer, weight.name));
        }
    }
    if !mismatch.is_empty() {
        return Err(Error::Weights { file: path.to_owned(), mismatch });
    }
    unread(path, planned, spare, weights)?;
    let mut read = Vec::new();
    for (weight, id) in planned.iter().zip(found) {
        let Some(id) = id else { continue };
        let name = format!("{}/{}", weight.layer, weight.name);
        match &weight.source {
            Source::Array(array) => {
                let shape = in_file(params.specs()[id.0 as usize].shape, weight.heads)?;
                weights.read(array, &name, shape, params.get_mut(id))?;
                read.push((array.clone(), id));
            }
            Source::Given(values) => params.set(id, &values.iter().map(|&v| T::of(v)).collect::<Vec<_>>())?,
        }
    }
    Ok(read)
}

/// The shape of an array whose weight has heads side by side.
fn in_file(shape: Shape, heads: Option<(usize, usize)>) -> Result<Shape> {
    let Some((axis, heads)) = heads else { return Ok(shape) };
    let mut sizes = shape.dims().to_vec();
    sizes[axis] /= heads.max(1);
    sizes.insert(axis, heads);
    Shape::try_from(&sizes[..])
}

/// A weight by the path of its layer.
fn find<T: Float>(params: &Params<T>, weight: &Weight) -> Option<ParamId> {
    let Weight { layer, name, .. } = weight;
    let own = params.find(&format!("{layer}/{name}"));
    if own.is_some() || !weight.shared {
        return own;
    }
    // Below the name that is shared stands the one of the layer within.
    let inside = |path: &str| {
        path.strip_prefix(layer.as_str())?.strip_prefix('/')?.strip_suffix(name)?.strip_suffix('/').map(str::to_owned)
    };
    let at = params.specs().iter().position(|spec| inside(&spec.name).is_some_and(|class| !class.contains('/')));
    at.map(|at| ParamId(at as u32))
}

/// An error for arrays that nothing reads.
fn unread(path: &Path, planned: &[Weight], spare: &[String], weights: &Weights) -> Result<()> {
    let mut known: HashSet<&str> = spare.iter().map(String::as_str).collect();
    known.extend(planned.iter().filter_map(|weight| match &weight.source {
        Source::Array(array) => Some(array.as_str()),
        Source::Given(_) => None,
    }));
    let arrays = weights.arrays()?;
    let unread: Vec<&str> = arrays
        .iter()
        .map(String::as_str)
        // The optimizer's state belongs to the training that ended there, that of random numbers is Keras's own.
        .filter(|name| !known.contains(name) && !name.starts_with("optimizer/") && !name.contains("/seed_generator/"))
        .collect();
    if unread.is_empty() {
        return Ok(());
    }
    const SHOWN: usize = 8;
    let more = if unread.len() > SHOWN { format!(" and {} more", unread.len() - SHOWN) } else { String::new() };
    let shown = unread[..unread.len().min(SHOWN)].join(", ");
    let hint = "the architecture and the weights do not belong together, or a layer keeps more than its class does";
    Err(Error::file(path, format!("its weights have arrays that nothing reads: {shown}{more}"), hint))
}
