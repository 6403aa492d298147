//! The configuration of any loss, as a value that serde writes and reads.

use super::{
    BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    CategoricalHinge, CosineSimilarity, HalfSquaredError, Hinge, Huber, KlDivergence, LogCosh, Loss, MeanAbsoluteError,
    MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson, SparseCategoricalCrossentropy,
    SquaredHinge,
};
use crate::config::config_enum;

config_enum! {
    /// What a loss is made from; [`into_loss`](Self::into_loss) makes it again.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let config = Loss::<f32>::config(&Huber::default().delta(2.0));
    /// let loss = config.into_loss::<f64>()?;
    /// assert_eq!(loss.value(&[0.0], &[3.0]), 4.0);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    LossConfig: "loss" {
        BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy
        CategoricalHinge CosineSimilarity HalfSquaredError Hinge Huber KlDivergence LogCosh MeanAbsoluteError
        MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
        SparseCategoricalCrossentropy SquaredHinge
    }
    /// Makes the loss.
    pub fn into_loss<T>() -> Box<dyn Loss<T>> { |loss| loss.boxed() }
}
