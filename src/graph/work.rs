//! The buffers of passes through a net.

use super::plan::Plan;
use super::row_node::RowNode;
use super::segments::Handed;
use super::sizes::Sizes;
use crate::layer::{Common, Masks, Slot};
use crate::tensor::{Float, Tensor};

/// The buffers of one caller: values, gradients, and what nodes keep. They grow with the first pass and are used again after it.
#[derive(Debug, Default)]
pub struct Work<T = f32> {
    pub(super) values: Vec<Tensor<T>>,
    /// The net whose values these are, how many samples they have, and whether backward may follow.
    pub(super) net: u64,
    pub(super) samples: usize,
    pub(super) kept: bool,
    pub(super) sizes: Sizes,
    /// Those of a last step alone.
    pub(super) last_sizes: Sizes,
    pub(super) slots: Vec<Slot<T>>,
    /// The nodes that leave out their activation.
    pub(super) left_out: Vec<usize>,
    /// The nodes that are left to losses.
    pub(super) by_rows: Vec<RowNode>,
    pub(super) gradients: Vec<Tensor<T>>,
    /// The outputs whose gradients have been asked for, to be written, since the last pass.
    pub(super) given: Vec<bool>,
    /// Outputs, or their gradients, and the inputs' gradients of the operation that is computing.
    pub(super) out: Vec<Tensor<T>>,
    pub(super) back: Vec<Option<Tensor<T>>>,
    /// What is in the masks of the last forward pass.
    pub(super) masks: Masks,
    /// What layers share, whatever the pass.
    pub(super) common: Common<T>,
    /// Whether inner values of segments are computed again on the way back, and whose memory theirs is meanwhile.
    pub(crate) recomputes: bool,
    pub(super) handed: Handed<T>,
}

impl<T: Float> Work<T> {
    /// Buffers of passes in which inner values of segments are computed again on the way back, or are kept.
    pub(crate) fn recomputing(recomputes: bool) -> Self {
        Work { recomputes, ..Work::default() }
    }

    /// Buffers of the same kind of passes, with nothing in them.
    pub(crate) fn of_the_kind(&self) -> Self {
        let Work { left_out, by_rows, recomputes, .. } = self;
        Work { left_out: left_out.clone(), by_rows: by_rows.clone(), recomputes: *recomputes, ..Work::default() }
    }

    pub(super) fn reserve(&mut self, plan: &Plan) {
        if self.gradients.len() <= plan.sizes.len() {
            self.gradients.resize_with(plan.sizes.len() + 1, Tensor::default);
        }
    }
}

/// Two registers, which the plan keeps apart: one to read and one to write.
#[inline]
pub(super) fn two<T>(registers: &mut [Tensor<T>], a: u32, b: u32) -> [&mut Tensor<T>; 2] {
    registers.get_disjoint_mut([a as usize, b as usize]).unwrap_or_else(|_| unreachable!())
}
