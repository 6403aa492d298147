//! Attention: what a step takes from other steps.

mod dot_product_attention;
mod multi_head_attention;
mod position_bias;
mod projection;

pub use dot_product_attention::DotProductAttention;
pub use multi_head_attention::MultiHeadAttention;
pub use position_bias::PositionBias;
