//! Attention: what a step takes from other steps.

mod additive_attention;
mod dot_product_attention;
mod luong_attention;
mod multi_head_attention;
mod position_bias;
mod projection;
mod weighing;

pub use additive_attention::AdditiveAttention;
pub use dot_product_attention::DotProductAttention;
pub use luong_attention::Attention;
pub use multi_head_attention::MultiHeadAttention;
pub use position_bias::PositionBias;
