//! Layers that bring values to a common scale.

mod unit_normalization;

pub use unit_normalization::UnitNormalization;
