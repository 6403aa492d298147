//! Large matrices in few bytes.

use std::ops::Range;

use super::built::Model;
use crate::error::{Error, Result};
use crate::kernels::packed::WeightStorage;
use crate::params::ParamSpec;
use crate::tensor::Float;

impl<T: Float> Model<T> {
    /// Stores the large matrices in few bytes, in the order in which products read them: kernels of `Dense`, `GatedDense` and attention, and tables of
    /// `Embedding`. Everything else stays as it is. A token is then written in about the time of reading the bytes.
    ///
    /// Products are taken in the model's own type from the exact values that are stored, rows alone as in a batch. The matrices are frozen; beside them
    /// [adapters](Self::add_lora) are trained, and what else is thawed. What was compiled is forgotten.
    ///
    /// ```
    /// use gradus::{WeightStorage, prelude::*};
    /// let mut model = Sequential::new([64]).add(Dense::new(96)).add(Dense::new(32)).build(0)?;
    /// let x = Tensor::full([2, 64], 1.0);
    /// let before = model.predict(&x)?;
    /// model.store_weights(WeightStorage::Q8_0)?;
    /// assert!(model.predict(&x)?.iter().zip(&before).all(|(a, b)| (a - b).abs() < 0.05));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// PyTorch: weight-only quantisation; llama.cpp `quantize`.
    ///
    /// # Errors
    /// [`Error::Config`] for a matrix whose rows blocks do not divide, by name, or a model that has none to store or has them stored already;
    /// [`Error::Argument`] for values that are not finite. The model is unchanged then.
    #[inline(never)]
    pub fn store_weights(&mut self, storage: WeightStorage) -> Result<()> {
        const OP: &str = "store_weights";
        self.check_numbers(OP)?;
        self.params.store(OP, storage)?;
        if self.params.first_packed().is_none() {
            let problem =
                "the model has no kernel of a Dense, GatedDense or attention and no table of an Embedding".into();
            return Err(Error::Config { op: OP, problem, hint: "other weights are kept as they are".into() });
        }
        self.forget_compiled();
        Ok(())
    }

    /// How the large matrices are stored; none where they stand as numbers of the model's type.
    pub fn weight_storage(&self) -> Option<WeightStorage> {
        self.params.first_packed().map(|(_, packed)| packed.storage())
    }

    /// An error where any of some parameters cannot be thawed, as it is stored in panels.
    pub(super) fn check_thawed(&self, op: &'static str, params: Range<usize>) -> Result<()> {
        let stored = |spec: &ParamSpec| spec.packed.is_some();
        if self.params.specs().get(params).is_some_and(|specs| specs.iter().any(stored)) {
            self.check_numbers(op)
        } else {
            Ok(())
        }
    }

    /// An error where matrices are stored in panels.
    pub(crate) fn check_numbers(&self, op: &'static str) -> Result<()> {
        self.params.check_numbers(op)
    }
}
