//! Attention: what a step takes from other steps.

mod dot_product_attention;
mod position_bias;

pub use dot_product_attention::DotProductAttention;
pub use position_bias::PositionBias;
