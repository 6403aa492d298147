//! How one output of a model is trained and measured.

use std::fmt::Debug;
use std::sync::Arc;

use crate::losses::Loss;
use crate::metrics::{Metric, MetricSet};
use crate::tensor::Float;

/// How one output is trained and measured: its loss with a weight, and its metrics. Outputs without a head, or with a head that has no
/// loss, take no part in training.
///
/// Keras: the entries of `loss={…}`, `loss_weights={…}`, `metrics={…}` and `weighted_metrics={…}`.
///
/// ```
/// use gradus::prelude::*;
/// let mut g = Graph::new();
/// let x = g.input("user", [6]);
/// let h = g.add(Dense::new(8).activation(Activation::Relu), x);
/// let click = g.add_named("click", Dense::new(1).activation(Activation::Sigmoid), h);
/// let stay = g.add_named("stay", Dense::new(1), h);
/// let mut model = g.build([click, stay], 1)?;
/// model.compile_heads(
///     Adam::default(),
///     [
///         Head::new("click").loss(BinaryCrossentropy::default()).metrics([BinaryAccuracy::default()]),
///         Head::new("stay").loss(MeanSquaredError::default()).loss_weight(0.5),
///     ],
/// )?;
/// let x = Tensor::zeros([4, 6]);
/// let (clicks, times) = (Tensor::zeros([4, 1]), Tensor::zeros([4, 1]));
/// let history = model.fit(&x, [("click", &clicks), ("stay", &times)], &Fit::default().verbose(Verbose::Silent))?;
/// assert_eq!(history.names().collect::<Vec<_>>(), ["loss", "click_loss", "click_binary_accuracy", "stay_loss"]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Head<T: Float = f32> {
    pub(crate) name: Option<String>,
    pub(crate) loss: Option<Arc<dyn Loss<T>>>,
    pub(crate) weight: f64,
    pub(crate) metrics: Vec<Box<dyn Metric<T>>>,
    pub(crate) weighted_metrics: Vec<Box<dyn Metric<T>>>,
}

impl<T: Float> Head<T> {
    /// For the output of this name, as [`Model::output_names`](crate::Model::output_names) has it.
    pub fn new(name: &str) -> Self {
        Head { name: Some(name.to_owned()), ..Head::only() }
    }

    /// For the only output of a model.
    pub fn only() -> Self {
        Head { name: None, loss: None, weight: 1.0, metrics: Vec::new(), weighted_metrics: Vec::new() }
    }

    /// What training makes small.
    pub fn loss(self, loss: impl Loss<T> + 'static) -> Self {
        self.boxed_loss(loss.boxed())
    }

    fn boxed_loss(mut self, loss: Box<dyn Loss<T>>) -> Self {
        self.loss = Some(loss.into());
        self
    }

    /// What the loss is multiplied by in the sum of all, finite and not negative; 1 by default.
    pub fn loss_weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Figures that take no weights of samples into account.
    pub fn metrics(mut self, metrics: impl MetricSet<T>) -> Self {
        self.metrics = metrics.boxed();
        self
    }

    /// Figures in which samples count by their weights.
    pub fn weighted_metrics(mut self, metrics: impl MetricSet<T>) -> Self {
        self.weighted_metrics = metrics.boxed();
        self
    }
}
