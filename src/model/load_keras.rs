//! Models from Keras's own files.

use std::path::Path;

use super::built::Model;
use super::registry::Registry;
#[allow(unused_imports)] // The documentation speaks of it.
use crate::error::Error;
use crate::error::Result;
use crate::io::keras::{Planned, fill, of_open_sizes, open, plan};
use crate::layer::Builder;
use crate::tensor::Float;

impl Model<f32> {
    /// Reads a Sequential or functional model that Keras 3 saved as `.keras`; it predicts as Keras does.
    ///
    /// Read are Dense, Activation, ReLU, LeakyReLU, PReLU, ELU, Softmax; Conv, ConvTranspose, DepthwiseConv, SeparableConv, MaxPooling,
    /// AveragePooling, GlobalMaxPooling, GlobalAveragePooling, SpatialDropout, UpSampling, ZeroPadding and Cropping, each 1D and 2D;
    /// BatchNormalization, LayerNormalization, GroupNormalization and RMSNormalization along the last axis, UnitNormalization,
    /// Normalization, Rescaling; Dropout, GaussianDropout, AlphaDropout, GaussianNoise, ActivityRegularization; Flatten, Reshape,
    /// Permute, RepeatVector, Identity, Embedding, Masking, TimeDistributed; Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot;
    /// operators between tensors and numbers, and models inside. Names and weights come along, and initialisers, penalties, bounds and what is
    /// not trained. Sizes of `None` are [`FREE`](crate::FREE).
    ///
    /// What `compile` was given in Keras comes along where all of it is known here (optimizers but Muon, with their schedules; losses;
    /// metrics): then the model is compiled, and `fit` trains it on, with an optimizer that begins anew. Where something is not, the model is
    /// not compiled; [`compile_problem`](Self::compile_problem) says why, and so does the error of `fit`.
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
        let Planned { graph, weights: planned, spare, open: free, compile } = plan(path, &config, &weights)?;
        drop(config);
        let built = Model::assemble(graph, Builder::for_weights(weights.most), 0);
        let mut model = built.map_err(|error| of_open_sizes(path, &free, error))?;
        fill(path, &planned, &spare, &weights, &mut model.params)?;
        if let Some(config) = compile {
            let compiled = config.and_then(|config| config.compiled(&model.output_names()));
            let done = compiled.and_then(|compiled| {
                model.recompile(compiled, &Registry::builtin()).map_err(|error| error.to_string())
            });
            model.compile_problem =
                done.err().map(|problem| format!("Keras compiled it with what cannot be had here: {problem:.400}"));
        }
        Ok(model)
    }
}
