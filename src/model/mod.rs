//! `Model`: a graph or a line of layers, built, compiled, trained and used as in Keras; `Sequential` describes the line.

#[cfg(feature = "tools")]
mod activations;
mod blocks;
mod built;
#[cfg(feature = "files")]
mod checkpoint;
mod checks;
mod classes;
#[cfg(feature = "files")]
mod compile_text;
#[cfg(feature = "files")]
mod copy_weights;
mod data_adapter;
mod decoder;
mod differentiate;
mod digest;
mod evaluate;
mod finite;
mod fit;
mod fit_options;
mod head;
mod history;
#[cfg(feature = "tools")]
mod input_gradient;
#[cfg(feature = "files")]
mod join;
mod lanes;
#[cfg(feature = "tools")]
mod learning_rate_finder;
#[cfg(feature = "keras")]
mod load_keras;
#[cfg(feature = "files")]
mod load_weights;
mod lora;
mod masked;
mod matching;
mod not_compiled;
mod notes;
mod part;
mod predictor;
mod prefix;
mod progress;
// Without files nothing is saved.
#[cfg(any(feature = "files", feature = "keras"))]
mod recompile;
#[cfg(any(feature = "files", feature = "keras"))]
mod registry;
#[cfg(feature = "files")]
mod run_settings;
#[cfg_attr(not(feature = "files"), allow(dead_code))]
mod run_state;
mod sample_weights;
#[cfg(feature = "files")]
mod save;
#[cfg(feature = "files")]
mod saver;
mod sequential;
#[cfg(feature = "files")]
mod settings;
mod shards;
mod shared_state;
mod storage;
mod summary;
mod tensors;
#[cfg(feature = "text")]
mod texts;
mod train;
mod trained_head;
mod training_loop;
mod travel;

pub use built::Model;
#[cfg(feature = "files")]
pub use checkpoint::Checkpoint;
pub use decoder::ModelDecoder;
pub use fit_options::{Fit, Verbose};
pub use head::Head;
pub use history::{History, RunStart, Scores};
#[cfg(feature = "tools")]
pub(crate) use input_gradient::Differentiator;
#[cfg(feature = "tools")]
pub use input_gradient::Target;
#[cfg(feature = "tools")]
pub use learning_rate_finder::{LearningRateFinder, LearningRates, SearchEnd};
#[cfg(feature = "files")]
pub use load_weights::LoadWeights;
pub use lora::Lora;
#[cfg(feature = "files")]
pub(crate) use matching::glob;
pub use part::{Edit, Names};
pub use predictor::Predictor;
pub use prefix::Prefix;
#[cfg(feature = "files")]
pub use registry::Registry;
pub use sequential::Sequential;
pub use summary::Summary;
#[cfg(feature = "plot")]
pub(crate) use summary::thousands;
pub use tensors::{Tensors, Weights};
pub use training_loop::TrainingLoop;
