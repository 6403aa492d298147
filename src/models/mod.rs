//! Well-known networks: plain functions that return their layers as a [`Block`](crate::graph::Block); those that are no chain are added
//! to a [`Graph`](crate::graph::Graph). Folders of published transformers are opened by `hf` (feature `files`).
//!
//! ```
//! use gradus::models;
//! use gradus::prelude::*;
//! let model = Sequential::new([28, 28, 1]).add(models::lenet5(10)).build(0)?;
//! assert_eq!(model.output_shape(), Shape::from([10]));
//! # Ok::<(), gradus::Error>(())
//! ```

mod bert;
mod decoder;
mod gpt2;
mod gpt_neox;
#[cfg(feature = "files")]
pub mod hf;
mod lenet5;
mod llama;
mod mobile_net;
mod resnet;
mod siamese;
mod transformer;
mod unet;
mod vision_transformer;
mod wide_and_deep;

pub use bert::Bert;
pub use gpt_neox::GptNeoX;
pub use gpt2::Gpt2;
pub use lenet5::lenet5;
pub use llama::Llama;
pub use mobile_net::mobile_net;
pub use resnet::{resnet, resnet20};
pub use siamese::{siamese, siamese_distance};
pub use transformer::{Transformer, TransformerPositions};
pub use unet::UNet;
pub use vision_transformer::VisionTransformer;
pub use wide_and_deep::wide_and_deep;
