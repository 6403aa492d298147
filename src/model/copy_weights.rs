//! Weights from another model in memory.

use std::path::Path;

use super::built::Model;
use super::load_weights::LoadWeights;
use crate::error::{Mismatch, Result};
use crate::params::ParamId;
use crate::tensor::Float;

impl<T: Float> Model<T> {
    /// Overwrites weights with those of another model by name, as `how` says; returns what did not fit and was left, which can be anything
    /// in [partial](LoadWeights::partial) mode only. What is frozen, and the state of training, stay.
    ///
    /// It goes as [`load_weights_with`](Self::load_weights_with) does, without the file.
    ///
    /// Keras: `set_weights(other.get_weights())`; PyTorch: `load_state_dict(other.state_dict(), strict=False)`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let trained = Sequential::new([4]).add_named("body", Dense::new(8)).add(Dense::new(3)).build(1)?;
    /// let mut model = Sequential::new([4]).add_named("features", Dense::new(8)).add(Dense::new(5)).build(2)?;
    /// let left = model.copy_weights(&trained, &LoadWeights::default().partial(true).rename("body/", "features/"))?;
    /// assert_eq!(model.weight("features/kernel")?, trained.weight("body/kernel")?);
    /// assert_eq!(left.shapes[0], ("dense/kernel".into(), vec![8, 3], vec![8, 5]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Weights`](crate::Error::Weights) with every missing, unexpected and misshapen name. The model is unchanged then.
    #[inline(never)]
    pub fn copy_weights(&mut self, other: &Model<T>, how: &LoadWeights) -> Result<Mismatch> {
        self.check_numbers("copy_weights")?;
        other.check_numbers("copy_weights")?;
        let specs = other.params.specs();
        let arrays: Vec<_> = specs.iter().map(|spec| (spec.name.as_str(), spec.shape.dims())).collect();
        let (found, mismatch) = how.fit(Path::new("the other model"), &arrays, &self.params)?;
        for (i, from) in found.into_iter().enumerate() {
            if let Some(from) = from {
                self.params.get_mut(ParamId(i as u32)).copy_from_slice(other.params.get(ParamId(from as u32)));
            }
        }
        Ok(mismatch)
    }
}
