//! A model as one safetensors file: the weights by name, the architecture as JSON in the metadata.

use std::path::Path;

use super::built::Model;
use super::load_weights::LoadWeights;
#[allow(unused_imports)] // The documentation speaks of it.
use crate::error::Error;
use crate::error::Result;
use crate::io::Archive;
use crate::io::model::{About, CHECKPOINT_PREFIX, parse, save};
use crate::layer::Builder;
use crate::tensor::Float;

impl Model<f32> {
    /// Reads a model that [`save`](Self::save) or a checkpoint wrote; it predicts at once, to train it further `compile` it.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("gradus_doc_load_{}.safetensors", std::process::id()));
    /// use gradus::prelude::*;
    /// let model = Sequential::new([4]).add(Dense::new(2)).build(1)?;
    /// model.save(&path)?;
    /// let again = Model::load(&path)?;
    /// assert_eq!(again.weight("dense/kernel")?, model.weight("dense/kernel")?);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] if it is damaged, has no architecture, or is of a newer version;
    /// [`Error::Weights`] if weights and architecture do not go together; [`Error::Config`] for layers from outside this crate:
    /// build those in code and use [`load_weights`](Self::load_weights).
    #[inline(never)]
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Model::of_archive(&mut Archive::open(path)?)
    }

    /// The same from bytes that are in memory, such as those of `include_bytes!`, to carry a model inside a program.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[inline(never)]
    pub fn load_bytes(bytes: &[u8]) -> Result<Self> {
        Model::of_archive(&mut Archive::from_bytes(bytes)?)
    }
}

impl<T: Float> Model<T> {
    /// Reads a model as one of any element type, whatever type it was saved in.
    ///
    /// # Errors
    /// As [`load`](Model::load).
    #[inline(never)]
    pub fn of_archive(archive: &mut Archive<'_>) -> Result<Self> {
        let About { seed, graph } = parse(archive)?;
        let weights = archive
            .arrays()
            .iter()
            .filter(|s| !s.name.starts_with(CHECKPOINT_PREFIX) && archive.check_floats(s).is_ok());
        let room = weights.map(|s| s.len()).sum();
        let mut model = Model::assemble(graph, Builder::for_weights(room), seed)?;
        LoadWeights::default().read(archive, &mut model.params)?;
        Ok(model)
    }

    /// Writes the model into one file: weights by name, the architecture as JSON in the metadata.
    ///
    /// The format is [safetensors](https://github.com/huggingface/safetensors), which Python's package of that name opens. The
    /// file is written beside the old one and then takes its place, so there is always a whole one. Not in it: optimizer, loss
    /// and metrics; [`save_checkpoint`](Self::save_checkpoint) keeps what a run needs to go on.
    ///
    /// # Errors
    /// [`Error::Write`] if the file cannot be written; [`Error::Config`] for an architecture
    /// too large for the format.
    #[inline(never)]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(path.as_ref(), &self.graph, self.seed, &self.params)
    }
}
