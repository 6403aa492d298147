//! A model as one safetensors file: the weights by name, the architecture as JSON in the metadata, and how the model was compiled.

use std::path::Path;

use super::built::Model;
use super::load_weights::LoadWeights;
use super::registry::Registry;
use crate::error::{Error, Result};
use crate::io::Archive;
use crate::io::model::{About, CHECKPOINT_PREFIX, compiled, parse, save};
use crate::layer::Builder;
use crate::tensor::Float;

impl Model<f32> {
    /// Reads a model that [`save`](Self::save) or a checkpoint wrote. It predicts at once, and a model that was compiled is compiled again: `fit`
    /// trains it on, with an optimizer that begins anew; where a checkpoint left off, [`resume`](Self::resume) goes on.
    ///
    /// Training takes memory of its own, a few times that of the weights, from when it begins. To predict alone take
    /// [`load_uncompiled`](Self::load_uncompiled); for layers, losses, metrics and optimizers of your own
    /// [`load_with`](Self::load_with).
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("gradus_doc_load_{}.safetensors", std::process::id()));
    /// use gradus::prelude::*;
    /// let (x, y) = (Tensor::from([[0.1, 0.2, 0.3, 0.4]]), Tensor::from([1.0]));
    /// let mut model = Sequential::new([4]).add(Dense::new(2).activation(Activation::Softmax)).build(1)?;
    /// model.compile(Adam::default(), SparseCategoricalCrossentropy::default(), [Accuracy::default()])?;
    /// model.save(&path)?;
    /// let mut again = Model::load(&path)?;
    /// assert_eq!(again.weight("dense/kernel")?, model.weight("dense/kernel")?);
    /// again.fit(&x, &y, &Fit::default().verbose(Verbose::Silent))?;
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] if it is damaged, has no architecture, is of a newer version, or was compiled
    /// with what this program does not know; [`Error::Weights`] if weights and architecture do not go together; [`Error::Layer`] for layers
    /// from outside this crate.
    #[inline(never)]
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Model::of_archive(&mut Archive::open(path)?)
    }

    /// [`load`](Self::load) without what the model was compiled with. Keras `load_model(path, compile=False)`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    #[inline(never)]
    pub fn load_uncompiled(path: impl AsRef<Path>) -> Result<Self> {
        Model::load_with(path, &Registry::builtin().compile(false))
    }

    /// [`load`](Self::load) of a model with classes of your own; see [`Registry`]. Keras `load_model(path, custom_objects)`.
    ///
    /// # Errors
    /// As [`load`](Self::load), with the name of a class that the registry does not know, or whose settings do not fit it.
    #[inline(never)]
    pub fn load_with(path: impl AsRef<Path>, registry: &Registry) -> Result<Self> {
        Model::of_archive_with(&mut Archive::open(path)?, registry)
    }

    /// [`load`](Self::load) from bytes that are in memory, such as those of `include_bytes!`, to carry a model inside a program.
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
        Model::of_archive_with(archive, &Registry::builtin())
    }

    /// [`of_archive`](Self::of_archive) with classes of your own.
    ///
    /// # Errors
    /// As [`load_with`](Model::load_with).
    #[inline(never)]
    pub fn of_archive_with(archive: &mut Archive<'_>, registry: &Registry<T>) -> Result<Self> {
        registry.check()?;
        let About { seed, mut graph, beside, text } = parse(archive)?;
        graph.make_own(&|step| registry.step(step))?;
        let weights = archive
            .arrays()
            .iter()
            .filter(|s| !s.name.starts_with(CHECKPOINT_PREFIX) && archive.check_floats(s).is_ok());
        let room = weights.map(|s| s.len()).sum();
        let mut model = Model::assemble(graph, Builder::for_weights(room), seed)?;
        LoadWeights::default().read(archive, &mut model.params)?;
        model.beside.notes = beside.notes;
        let wrong = |e: Error| Error::file(archive.path(), format!("bad notes: {e}"), "save the model again");
        model.check_notes("load").map_err(wrong)?;
        if let Some(settings) = text {
            #[cfg(feature = "text")]
            model.read_text_front(archive, &settings)?;
            #[cfg(not(feature = "text"))]
            {
                let problem = format!(
                    "the model takes texts ({settings:.40}…), for which gradus was compiled without its feature \"text\""
                );
                return Err(Error::file(
                    archive.path(),
                    problem,
                    "write features = [\"text\"] in Cargo.toml, in the line of gradus",
                ));
            }
        }
        if let (Some(text), true) = (&beside.compile, registry.compiles()) {
            compiled(text).and_then(|compiled| model.recompile(compiled, registry)).map_err(|e| {
                let problem = format!("the model cannot be compiled as it was: {e}");
                Error::file(archive.path(), problem, "or take Model::load_uncompiled, and compile it in code")
            })?;
        }
        Ok(model)
    }

    /// Writes the model into one file: weights by name, the architecture as JSON in the metadata; if it is compiled, optimizer, losses and
    /// metrics with their settings; class names, scaler, note and text front if it carries any. [`load`](Model::load) reads it.
    ///
    /// The format is [safetensors](https://github.com/huggingface/safetensors), which Python's package of that name opens. The
    /// file is written beside the old one and then takes its place, so there is always a whole one. Not in it: the optimizer's moments;
    /// [`save_checkpoint`](Self::save_checkpoint) keeps all that a run needs to go on.
    ///
    /// # Errors
    /// [`Error::Write`] if the file cannot be written; [`Error::Config`] for an architecture
    /// too large for the format.
    #[inline(never)]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.check_numbers("save")?;
        save(path.as_ref(), &self.graph, self.seed, &self.beside, &self.params)
    }
}
