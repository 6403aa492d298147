//! How passes go on from passes before.

/// What a step of the output follows from, so that steps can be computed as they come: one by one, or piece by piece.
///
/// A model [writes](crate::Model::decoder) token by token where every layer on the way says how it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuation {
    /// From steps that nothing keeps: all have to be there at once.
    #[default]
    Whole,
    /// From the same step of the inputs alone, and its position ([`Pass::position_of`](crate::Pass::position_of)).
    Steps,
    /// From keys and values of other steps, which a cache keeps.
    Attention(AttentionSteps),
}

/// What attention has a cache keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionSteps {
    /// Values of a step's keys and of its values, all heads together.
    pub(crate) widths: [usize; 2],
    /// Whether a step sees none behind it.
    pub(crate) causal: bool,
    /// How many steps a step sees at most.
    pub(crate) window: Option<usize>,
    /// Whether a step that sees nothing gives the mean of all values, those behind it included.
    pub(crate) even: bool,
}
