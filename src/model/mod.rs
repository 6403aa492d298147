//! `Sequential`: layers composed into a model that is built, compiled, trained and used as in Keras.

mod fit;
mod history;
#[cfg(feature = "files")]
mod load_weights;
mod predictor;
mod progress;
#[cfg(feature = "files")]
mod save;
mod sequential;
mod summary;
mod train;

pub use fit::{Fit, Verbose};
pub use history::{History, Scores};
#[cfg(feature = "files")]
pub use load_weights::LoadWeights;
pub use predictor::Predictor;
pub use sequential::Sequential;
pub use summary::Summary;
