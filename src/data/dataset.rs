//! PLACEHOLDER
use crate::error::Result;
use crate::tensor::{Float, Shape, Tensor};
use std::fmt::Debug;
/// One batch: inputs, targets, and a weight a sample (empty where all are 1).
#[derive(Clone, Debug, Default)]
pub struct Batch<T = f32> {
    /// x
    pub x: Tensor<T>,
    /// y
    pub y: Tensor<T>,
    /// w
    pub weights: Vec<T>,
}
/// Batches
pub trait Dataset<T: Float = f32>: Send + Sync + Debug {
    /// Shapes of one input sample and of one target.
    fn shapes(&self) -> (Shape, Shape);
    /// Batches in an epoch; None for an endless stream.
    fn batches(&self) -> Option<usize>;
    /// Fills
    ///
    /// # Errors
    /// x
    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<()>;
}
