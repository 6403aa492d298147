//! Weights from a file into a model that is built: all of them, or a part under other names.

use std::path::Path;

use super::built::Model;
use crate::error::{Error, Mismatch, Result};
use crate::io::model::CHECKPOINT_PREFIX;
use crate::io::{Archive, Stored};
use crate::params::{ParamId, Params};
use crate::tensor::Float;

/// How weights are taken from a file.
///
/// Defaults: strict, that is every weight of the model is in the file and every array of the file is one of its weights; no
/// renaming. What a checkpoint holds beside weights is passed over.
///
/// Keras `load_weights(skip_mismatch=…)`, PyTorch `load_state_dict(strict=…)`.
///
/// ```
/// use gradus::prelude::*;
/// // The file's "encoder/…" fills the model's "body/…"; the new head keeps its fresh weights.
/// let how = LoadWeights::default().partial(true).rename("encoder/", "body/");
/// # let _ = how;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadWeights {
    partial: bool,
    renames: Vec<(String, String)>,
}

impl LoadWeights {
    /// Whether what does not fit is left as it is instead of being an error; no by default. One array at least must fit.
    pub fn partial(mut self, partial: bool) -> Self {
        self.partial = partial;
        self
    }

    /// Arrays of the file whose names begin with `from` are taken for weights that begin with `to` instead. May be called again;
    /// the first that matches counts.
    pub fn rename(mut self, from: &str, to: &str) -> Self {
        self.renames.push((from.to_owned(), to.to_owned()));
        self
    }

    fn name(&self, stored: &str) -> String {
        let renamed = |(from, to): &(String, String)| Some(format!("{to}{}", stored.strip_prefix(from.as_str())?));
        self.renames.iter().find_map(renamed).unwrap_or_else(|| stored.to_owned())
    }

    /// The array, by position, that each weight takes, of `source`; and what does not fit.
    pub(super) fn fit<T: Float>(
        &self,
        source: &Path,
        arrays: &[(&str, &[usize])],
        params: &Params<T>,
    ) -> Result<(Vec<Option<usize>>, Mismatch)> {
        let mut mismatch = Mismatch::default();
        let mut fitting: Vec<Option<usize>> = vec![None; params.specs().len()];
        for (i, &(stored, shape)) in arrays.iter().enumerate() {
            let name = self.name(stored);
            match params.find(&name) {
                None => mismatch.unexpected.push(stored.to_owned()),
                Some(id) if fitting[id.0 as usize].is_some() => {
                    let problem = format!("{stored} and another array both stand for {name}");
                    return Err(Error::file(source, problem, "rename only one of them so"));
                }
                Some(id) => {
                    let spec = &params.specs()[id.0 as usize];
                    if shape == spec.shape.dims() {
                        fitting[id.0 as usize] = Some(i);
                    } else {
                        mismatch.shapes.push((name, shape.to_vec(), spec.shape.dims().to_vec()));
                    }
                }
            }
        }
        let misshapen = |name: &String| mismatch.shapes.iter().any(|(n, ..)| n == name);
        let missing = params.specs().iter().zip(&fitting).filter(|(s, f)| f.is_none() && !misshapen(&s.name));
        mismatch.missing = missing.map(|(spec, _)| spec.name.clone()).collect();
        let nothing = fitting.iter().all(Option::is_none) && !fitting.is_empty();
        if (!self.partial && !mismatch.is_empty()) || nothing {
            return Err(Error::Weights { file: source.to_owned(), mismatch });
        }
        Ok((fitting, mismatch))
    }

    /// Overwrites the weights; before that, everything but the disk has been found good.
    pub(crate) fn read<T: Float>(&self, archive: &mut Archive<'_>, params: &mut Params<T>) -> Result<Mismatch> {
        let stored: Vec<Stored> =
            archive.arrays().iter().filter(|s| !s.name.starts_with(CHECKPOINT_PREFIX)).cloned().collect();
        let arrays: Vec<_> = stored.iter().map(|s| (s.name.as_str(), s.shape.as_slice())).collect();
        let (fitting, mismatch) = self.fit(archive.path(), &arrays, params)?;
        fitting.iter().flatten().try_for_each(|&i| archive.check_floats(&stored[i]).map(|_| ()))?;
        for (i, from) in fitting.iter().enumerate() {
            if let Some(from) = from {
                archive.read(&stored[*from], params.get_mut(ParamId(i as u32)))?;
            }
        }
        Ok(mismatch)
    }
}

impl<T: Float> Model<T> {
    /// Overwrites all weights with those of a safetensors file, by name; the file need not be this library's.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] for a file that cannot be read or is damaged;
    /// [`Error::Weights`] with every missing, unexpected and misshapen name. The model is unchanged then.
    #[inline(never)]
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.load_weights_with(path, &LoadWeights::default()).map(|_| ())
    }

    /// Overwrites weights with those of a safetensors file, as `how` says; returns what did not fit and was left, which can be
    /// anything in [partial](LoadWeights::partial) mode only.
    ///
    /// # Errors
    /// As [`load_weights`](Self::load_weights).
    pub fn load_weights_with(&mut self, path: impl AsRef<Path>, how: &LoadWeights) -> Result<Mismatch> {
        self.check_numbers("load_weights")?;
        how.read(&mut Archive::open(path)?, &mut self.params)
    }
}
