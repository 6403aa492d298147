//! `Sequential`: layers composed into a model that is built, compiled, trained and used as in Keras.

mod fit;
mod history;
mod input_gradient;
mod learning_rate_finder;
mod predictor;
mod progress;
mod sequential;
mod summary;
mod train;

pub use fit::{Fit, Verbose};
pub use history::{History, Scores};
pub(crate) use input_gradient::Differentiator;
pub use input_gradient::Target;
pub use learning_rate_finder::{LearningRateFinder, LearningRates};
pub use predictor::Predictor;
pub use sequential::Sequential;
pub use summary::Summary;
