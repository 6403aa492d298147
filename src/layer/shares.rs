//! How a layer takes statistics over all shards of a batch.

use super::pass::Pass;
use super::slot::Slot;
use crate::params::Params;
use crate::tensor::{Float, Tensor};

/// What a layer says in numbers of each shard, and makes of those of all. Before `forward` and `backward` every shard has been
/// [collected](Self::collect); both find what was made of it in the pass. Numbers are f64 and are taken in the order of shards, so that
/// they do not depend on who has which.
pub trait Shares<T: Float> {
    /// How many numbers a shard has, on the way forward and back.
    fn numbers(&self) -> usize;

    /// Whether training needs them now: not where the layer is frozen.
    fn by_batch(&self, params: &Params<T>) -> bool;

    /// The numbers of a shard before its forward pass. Those of a shard without rows are zeros.
    fn collect(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, line: &mut [f64]);

    /// What the lines of all shards come to, in as many numbers.
    fn combine(&self, lines: &[f64], total: &mut [f64]);

    /// The numbers of a shard before its backward pass, which are added up; `backward` gets the dy that this leaves.
    fn collect_back(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        line: &mut [f64],
    );

    /// Writes new statistics from what all shards come to, once a step; `forward` leaves them.
    fn settle(&self, pass: &mut Pass<'_, T>);
}
