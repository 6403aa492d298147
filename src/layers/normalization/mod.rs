//! Layers that bring values to a common scale.

mod batch_norm;
mod gamma_beta;
mod group_norm;
mod groups;
mod layer_norm;
mod rms_norm;
mod unit_normalization;

pub use batch_norm::BatchNorm;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use rms_norm::RmsNorm;
pub use unit_normalization::UnitNormalization;
