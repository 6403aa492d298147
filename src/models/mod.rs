//! Well-known networks: each a plain function that returns its layers as a [`Block`](crate::graph::Block).
//!
//! ```
//! use gradus::models;
//! use gradus::prelude::*;
//! let model = Sequential::new([28, 28, 1]).add(models::lenet5(10)).build(0)?;
//! assert_eq!(model.output_shape(), Shape::from([10]));
//! # Ok::<(), gradus::Error>(())
//! ```

mod lenet5;
mod mobile_net;
mod resnet;

pub use lenet5::lenet5;
pub use mobile_net::mobile_net;
pub use resnet::{resnet, resnet20};
