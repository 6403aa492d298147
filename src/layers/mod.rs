//! Layers, grouped as Keras groups them; one layer, one file.

pub mod composite;
mod config;
pub mod core;

pub use composite::{Block, Residual};
pub use config::LayerConfig;
pub use core::Dense;
