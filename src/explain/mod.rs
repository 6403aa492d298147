//! Why a model answers as it does: which inputs its answers depend on.
//!
//! | question | answer | cost |
//! |---|---|---|
//! | what would change this score most, here? | [`saliency`], [`Model::input_gradient`](crate::Model::input_gradient) | one backward pass |
//! | how much of this score is due to each input? | [`IntegratedGradients`] | some 50 backward passes |
//! | which features does the model need at all? | [`PermutationImportance`] | evaluations: features × repeats |
//!
//! ```
//! use gradus::prelude::*;
//! let iris = iris();
//! let mut model = Sequential::new([4])
//!     .add(Normalization::new().adapt(&iris.x)?)
//!     .add(Dense::new(3).activation(Activation::Softmax))
//!     .build(0)?;
//! model.compile(Adam::default().learning_rate(0.05), CategoricalCrossentropy::default(), [Accuracy::default()])?;
//! model.fit(&iris.x, &iris.y, &Fit::default().epochs(20).verbose(Verbose::Silent))?;
//!
//! // What the score of class 2 would do if a feature grew by a centimetre.
//! let slopes = model.input_gradient(&iris.x, Target::class(2))?;
//! assert!(slopes.row(149)[3] > 0.0);
//! // What each feature gives to the score, compared with the mean flower.
//! let mean = Tensor::from([5.84, 3.06, 3.76, 1.2]);
//! let parts = IntegratedGradients::default().baseline(&mean).attribute(&model, &iris.x, Target::class(2))?;
//! assert!(parts.relative_gaps().iter().all(|&gap| gap < 0.01));
//! // What accuracy loses without a feature.
//! let importances = PermutationImportance::default().of_model(&model, &iris.x, &iris.y, "accuracy")?;
//! assert!(importances.mean(2) > importances.mean(0));
//! # Ok::<(), gradus::Error>(())
//! ```

mod integrated_gradients;
mod path;
mod permutation_importance;
mod saliency;

pub use integrated_gradients::{Attributions, IntegratedGradients};
pub use permutation_importance::{Importances, PermutationImportance};
pub use saliency::saliency;

pub use crate::model::Target;
