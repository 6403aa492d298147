//! Choosing a model: cross-validation, searches over settings, and a learning rate to begin with.
//!
//! ```
//! use gradus::prelude::*;
//! let iris = iris();
//! // Three settings of the learning rate, each judged by three folds.
//! let folds = KFold::new(3).stratify(true).split(&iris.y)?;
//! let found = RandomSearch::new(3).log_uniform("rate", 1e-3, 1e-1).search(|trial| {
//!     let rate: f64 = trial.get("rate")?;
//!     let result = cross_validate(&folds, &iris.x, &iris.y, |parts, _| {
//!         let model = Sequential::new([4]).add(Normalization::new().adapt(&parts.x_train)?);
//!         let mut model = model.add(Dense::new(3).activation(Activation::Softmax)).build(0)?;
//!         model.compile(Adam::default().learning_rate(rate), CategoricalCrossentropy::default(), [Accuracy::default()])?;
//!         model.fit(&parts.x_train, &parts.y_train, &Fit::default().epochs(5).verbose(Verbose::Silent))?;
//!         model.evaluate(&parts.x_test, &parts.y_test)
//!     })?;
//!     Ok(result.mean("accuracy"))
//! })?;
//! println!("{found}");
//! let best: f64 = found.best().get("rate")?;
//! assert!((1e-3..1e-1).contains(&best));
//! # Ok::<(), gradus::Error>(())
//! ```

mod cross_validation;
mod grid;
mod kfold;
mod random_search;
mod trial;

pub use cross_validation::{CrossValidation, Figures, cross_validate};
pub use grid::Grid;
pub use kfold::{Fold, KFold};
pub use random_search::RandomSearch;
pub use trial::{FromValue, Search, Trial, Tried, Value};

pub use crate::model::{LearningRateFinder, LearningRates};
