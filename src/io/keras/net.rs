//! A file as a net.

use std::path::Path;

use super::{CompileConfig, Planned, fill, of_open_sizes, open, plan};
use crate::error::Result;
use crate::graph::Net;
use crate::layer::Builder;
use crate::params::{ParamId, Params};
use crate::tensor::Float;

/// A model of Keras as a net with its weights.
#[derive(Debug)]
pub struct KerasNet<T: Float = f32> {
    /// What it computes.
    pub net: Net<T>,
    /// Its weights.
    pub params: Params<T>,
    /// The arrays of the file, and whose they are.
    pub arrays: Vec<(String, ParamId)>,
    /// The outputs' names: their keys in a dictionary, else those of the layers.
    pub output_names: Vec<String>,
    /// What it was compiled with; an error where that cannot be understood.
    pub compile: Option<std::result::Result<CompileConfig, String>>,
}

/// Reads a Sequential or Functional model that Keras 3 saved as `.keras`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file cannot be read; [`Error::File`](crate::Error::File) if it is damaged, no model of Keras 3, or has
/// layers or settings that this library does not have, with all their names; [`Error::Layer`](crate::Error::Layer) for shapes that do not fit;
/// [`Error::Weights`](crate::Error::Weights) for weights that the file does not have.
#[inline(never)]
pub fn read_keras<T: Float>(path: impl AsRef<Path>) -> Result<KerasNet<T>> {
    let path = path.as_ref();
    let (config, weights) = open(path)?;
    let Planned { graph, weights: planned, spare, open: free, compile } = plan(path, &config, &weights)?;
    drop(config);
    let mut b = Builder::for_weights(weights.most);
    let net = graph.assemble(&mut b).map_err(|error| of_open_sizes(path, &free, error))?;
    let (mut params, output_names) = (b.into_params(), net.output_names());
    let arrays = fill(path, &planned, &spare, &weights, &mut params)?;
    Ok(KerasNet { net, params, arrays, output_names, compile })
}
