//! Deep learning in Rust: a Keras-style [`Sequential`] over layers whose gradients are written by hand, trained on the CPU.
//!
//! # Overview
//!
//! A model is a list of layers. `build` fixes the shapes and draws the weights, `compile` chooses optimizer, loss and
//! metrics, `fit` trains, `evaluate` measures, `predict` computes:
//!
//! ```
//! use gradus::prelude::*;
//!
//! let (x, y) = (Tensor::from([[0.0f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), Tensor::from([0.0, 1.0, 1.0, 0.0]));
//! let mut model = Sequential::new([2])
//!     .add(Dense::new(8).activation(Activation::Tanh))
//!     .add(Dense::new(2).activation(Activation::Softmax))
//!     .build(7)?;
//! model.compile(Adam::default().learning_rate(0.05), CategoricalCrossentropy::default(), [Accuracy::default()])?;
//! let history = model.fit(&x, &y, &Fit::default().epochs(100).batch_size(4).verbose(Verbose::Silent))?;
//! assert_eq!(history.last("accuracy"), Some(1.0));
//! assert_eq!(model.predict_classes(&x)?, [0, 1, 1, 0]);
//! # Ok::<(), gradus::Error>(())
//! ```
//!
//! # What holds everywhere
//!
//! - Shapes are `[samples, …]`; kernels are `[in, out]`, images `[height, width, channels]`, sequences `[time, features]`.
//! - The same seed gives the same bits for any number of threads, and a row predicted alone equals that row in a batch. So it does
//!   on every processor with AVX2 and FMA, or AVX-512; others agree to rounding.
//! - What data, files or arguments can get wrong is an [`Error`] that says what was expected, what came and what to do.
//! - Numbers are `f32` unless a type says otherwise; everything works in `f64` too ([`Sequential::build_as`]).
//!
//! # Your own parts
//!
//! [`Layer`], [`Loss`], [`Metric`], [`Optimizer`], [`Schedule`] and [`Initializer`](initializers::Initializer) are traits
//! for you to implement; [`gradcheck`] compares hand-written gradients with finite differences. With `model::Registry` they load from
//! files.

#![deny(missing_docs)]
// docs.rs shows beside every item which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod activations;
mod aligned;
mod bf16;
pub mod callbacks;
mod check;
mod config;
pub mod constraints;
pub mod data;
pub mod distributed;
mod error;
#[cfg(feature = "tools")]
pub mod explain;
pub mod generation;
pub mod gradcheck;
pub mod graph;
pub mod initializers;
#[cfg(not(test))]
#[doc(hidden)]
pub mod instances;
pub mod io;
#[doc(hidden)]
pub mod kernels;
mod layer;
pub mod layers;
pub mod losses;
mod memory;
pub mod metrics;
pub mod model;
pub mod models;
pub mod optimizers;
mod params;
#[cfg(feature = "tools")]
pub mod plot;
pub mod prelude;
pub mod regularizers;
pub mod schedules;
#[cfg(feature = "tools")]
pub mod selection;
#[cfg(feature = "serve")]
pub mod serve;
mod state;
mod tensor;
#[cfg(feature = "text")]
pub mod text;
mod written;

/// Random numbers keyed by what they are for.
pub mod random {
    pub use crate::kernels::random::{Key, KeyedRng, Purpose};
}

pub use activations::Activation;
pub use bf16::Bf16;
pub use callbacks::Callback;
pub use error::{Error, Mismatch, Result};
pub use kernels::packed::WeightStorage;
pub use kernels::parallel::set_threads;
pub use layer::{
    AttentionSteps, Builder, Cache, Continuation, Inputs, Layer, MaskRule, Op, Pass, Reach, Slot, Statistics,
};
pub use losses::Loss;
pub use metrics::Metric;
pub use model::{Model, Sequential};
pub use optimizers::Optimizer;
pub use params::{ParamId, ParamSpec, Params};
pub use schedules::Schedule;
pub use state::{Element, State, Value};
pub use tensor::{FREE, Float, MAX_RANK, Shape, Tensor};

/// The README's programs are compiled, and the first is run, with the documentation's examples.
#[cfg(all(doctest, feature = "csv", feature = "files", feature = "tools"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(doctest, feature = "text", feature = "files"))]
#[doc = include_str!("../docs/text.md")]
struct TextGuide;

#[cfg(all(doctest, feature = "files"))]
#[doc = include_str!("../docs/distributed.md")]
struct DistributedGuide;

#[cfg(all(doctest, feature = "files"))]
#[doc = include_str!("../docs/hugging-face.md")]
struct HuggingFaceGuide;

#[cfg(all(doctest, feature = "text", feature = "files"))]
#[doc = include_str!("../docs/chat.md")]
struct ChatGuide;

#[cfg(doctest)]
#[doc = include_str!("../docs/transformers.md")]
struct TransformersGuide;
