//! Masks: which steps of a sequence count.

/// What becomes of the masks of a layer's or an operation's inputs.
///
/// A mask belongs to a value and says for each step of each sample whether it counts. It goes over the first axes of a sample, all but the
/// last at most: over `[steps]` where samples are `[steps, features]`. Whether a value has one is fixed at build, what is in it comes with
/// each batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaskRule {
    /// The outputs have none.
    #[default]
    Drops,
    /// The outputs have that of the first input, unless its axes are not among their first.
    Passes,
    /// The outputs have that of this input, counted from 0, unless its axes are not among their first.
    PassesOf(usize),
    /// A step counts where it counts in any input; none where an input has none, or where they go over different axes.
    Any,
    /// Inputs one after the other along this axis of a sample, counted from 0, and their masks likewise; along the last axis, which no mask
    /// has, a step counts where it counts in any input. An input without a mask counts as a whole; none where no input has one.
    Joins(usize),
    /// The outputs have that of the first input, behind so many steps more along its first axis, which count; none where it has none.
    Leads(usize),
    /// The outputs have one over so many axes of their samples, which the layer's or operation's `open_mask` writes.
    Opens(usize),
}

/// The masks of a pass, and whose turn it is. Empty, and without memory, where no value has a mask.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    /// By the number of the mask.
    pub all: Vec<Vec<bool>>,
    /// The masks of the inputs of the node that computes.
    pub inputs: Vec<Option<u32>>,
}

impl Masks {
    /// The mask of one of the inputs.
    #[inline]
    pub fn of(&self, input: usize) -> Option<&[bool]> {
        let mask = self.inputs.get(input).copied().flatten()?;
        self.all.get(mask as usize).map(Vec::as_slice)
    }
}
