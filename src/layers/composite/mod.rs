//! Layers made of layers.

mod block;
mod chain;
mod residual;

pub use block::Block;
pub(crate) use chain::Chain;
pub use residual::Residual;
