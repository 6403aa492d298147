//! What all shards of a batch come to, for a node that takes statistics over them.

/// The sums of all shards at a node, the same on every rank. They stand from the node's forward pass to the end of the step.
#[derive(Debug, Default)]
pub(crate) struct Total {
    pub node: usize,
    /// What the layer [combines](super::Shares::combine).
    pub forward: Vec<f64>,
    /// The sums of what shards have found on the way back, once they are there.
    pub back: Vec<f64>,
    pub came_back: bool,
}
