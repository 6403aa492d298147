//! Models from Keras's own files.

use std::path::Path;

use super::built::Model;
use crate::error::{Error, Mismatch, Result};
use crate::graph::Graph;
use crate::io::keras::{open, plan};
use crate::layer::Builder;
use crate::tensor::Float;

impl Model<f32> {
    /// Reads a Sequential model that Keras 3 saved as `.keras`; it predicts as Keras does, to train it further `compile` it.
    ///
    /// Read are Dense, Activation, ReLU, LeakyReLU, PReLU, ELU, Softmax; Conv, ConvTranspose, DepthwiseConv, SeparableConv, MaxPooling,
    /// AveragePooling, GlobalMaxPooling, GlobalAveragePooling, SpatialDropout, UpSampling, ZeroPadding and Cropping, each 1D and 2D;
    /// BatchNormalization, LayerNormalization, GroupNormalization and RMSNormalization along the last axis, UnitNormalization,
    /// Normalization, Rescaling; Dropout, GaussianDropout, AlphaDropout, GaussianNoise, ActivityRegularization; Flatten, Reshape,
    /// Permute, RepeatVector, Identity, and Sequential models inside. Names and weights come along; initialisers, penalties, bounds and what `compile` was given do
    /// not.
    ///
    /// ```no_run
    /// use gradus::prelude::*;
    /// let model = Model::load_keras("model.keras")?;
    /// println!("{}", model.summary());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] if it is damaged, no model of Keras 3, or has layers or settings
    /// that this library does not have, with all their names; [`Error::Layer`] for shapes that do not fit.
    #[inline(never)]
    pub fn load_keras(path: impl AsRef<Path>) -> Result<Self> {
        Model::of_keras(path)
    }
}

impl<T: Float> Model<T> {
    /// [`load_keras`](Model::load_keras) as a model of any element type.
    ///
    /// # Errors
    /// As [`load_keras`](Model::load_keras).
    #[inline(never)]
    pub fn of_keras(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (config, weights) = open(path)?;
        let planned = plan(path, &config, &weights)?;
        drop(config);
        let Some(input) = planned.input else {
            let hint = "give the model an Input, or call it once, before it is saved";
            return Err(Error::file(path, "the shape of its inputs is unknown", hint));
        };
        let graph = Graph::line(input, planned.layers)?;
        let mut model = Model::assemble(graph, Builder::for_weights(weights.most), 0)?;
        let missing = planned.weights.iter().filter(|w| weights.shape(&w.array).is_none());
        let mut mismatch = Mismatch { missing: missing.map(|w| w.name.clone()).collect(), ..Mismatch::default() };
        let known =
            |name: &str| planned.weights.iter().any(|w| w.name == name) || planned.given.iter().any(|g| g.0 == name);
        let unread = model.params.specs().iter().filter(|s| !known(&s.name));
        mismatch.missing.extend(unread.map(|s| s.name.clone()));
        if !mismatch.is_empty() {
            return Err(Error::Weights { file: path.to_owned(), mismatch });
        }
        for weight in &planned.weights {
            let id = model.find(&weight.name)?;
            let shape = model.params.specs()[id.0 as usize].shape;
            weights.read(&weight.array, &weight.name, shape, model.params.get_mut(id))?;
        }
        for (name, values) in &planned.given {
            let values: Vec<T> = values.iter().map(|&v| T::of(v)).collect();
            model.set_weight(name, &values)?;
        }
        Ok(model)
    }
}
