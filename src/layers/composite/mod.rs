//! Layers made of layers.

mod add;
mod block;
mod chain;
mod concatenate;
mod multiply;
mod residual;
mod squeeze_excite;

pub use add::Add;
pub use block::Block;
#[cfg(test)]
pub(crate) use chain::space_of;
pub(crate) use chain::{Chain, Ending, chain_builders};
pub use concatenate::Concatenate;
pub use multiply::Multiply;
pub use residual::Residual;
pub use squeeze_excite::squeeze_excite;
