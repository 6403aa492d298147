//! `Sequential`: layers composed into a model that is built, compiled, trained and used as in Keras.

mod fit;
mod history;
mod predictor;
mod progress;
mod sequential;
mod summary;
mod train;

pub use fit::{Fit, Verbose};
pub use history::{History, Scores};
pub use predictor::Predictor;
pub use sequential::Sequential;
pub use summary::Summary;
