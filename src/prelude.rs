//! What most programs need: `use gradus::prelude::*;`.

pub use crate::activations::Activation;
pub use crate::callbacks::*;
pub use crate::constraints::Constraint;
pub use crate::data::*;
pub use crate::error::Error;
#[cfg(feature = "tools")]
pub use crate::explain::{IntegratedGradients, PermutationImportance, Target, saliency};
pub use crate::graph::{
    Block, BlockNorm, Graph, Part, Residual, TransformerDecoderBlock, TransformerEncoderBlock, squeeze_excite,
};
pub use crate::initializers::Init;
pub use crate::layer::{Builder, Layer, Pass, Reach, Slot};
pub use crate::layers::merging::{Add, Concatenate, Dot, InfoNce, Maximum, Minimum, Multiply, Subtract};
pub use crate::layers::*;
pub use crate::losses::*;
pub use crate::metrics::*;
#[cfg(feature = "files")]
pub use crate::model::{Checkpoint, LoadWeights};
pub use crate::model::{Fit, Head, History, Model, Predictor, Scores, Sequential, TrainingLoop, Verbose};
pub use crate::optimizers::*;
pub use crate::params::ParamId;
#[cfg(feature = "plot")]
pub use crate::plot::*;
pub use crate::regularizers::Regularizer;
pub use crate::schedules::*;
#[cfg(feature = "tools")]
pub use crate::selection::{Grid, KFold, LearningRateFinder, RandomSearch, cross_validate};
pub use crate::tensor::{FREE, Float, Shape, Tensor};
