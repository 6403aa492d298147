//! Wide & Deep.

use crate::activations::Activation;
use crate::graph::{Graph, Value};
use crate::layers::Dense;
use crate::layers::merging::Concatenate;

/// Adds a model of two sides, for tables: `wide` goes to the end as it is, which learns single features and crosses by heart; `deep` goes
/// through dense layers of `hidden` units with ReLU, which generalise. `head` joins both: y = act(W·[wide, a] + b), a the last hidden
/// layer.
///
/// - Values `[…, features]` of any widths; the output is the head's.
/// - The paper has hidden layers of 1024, 512 and 256 units, and `Dense::new(1)` with a sigmoid as the head.
/// - Weights are `dense/…`, `dense_1/…` and so on in their order, and `head/…`.
///
/// Cheng et al.: "Wide & Deep Learning for Recommender Systems", 2016. Keras `experimental.WideDeepModel` of version 2.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::models::wide_and_deep;
/// use gradus::prelude::{Activation, Dense};
///
/// let mut g = Graph::new();
/// let (wide, deep) = (g.input("crosses", [20]), g.input("features", [6]));
/// let y = wide_and_deep(&mut g, wide, deep, &[16, 8], Dense::new(1).activation(Activation::Sigmoid));
/// let (net, params) = g.build::<f32>(&[y], 0)?;
/// assert_eq!(net.output_shapes(), [[1].into()]);
/// assert_eq!(params.len(), (6 + 1) * 16 + (16 + 1) * 8 + (20 + 8 + 1));
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn wide_and_deep(g: &mut Graph, wide: Value, deep: Value, hidden: &[usize], head: Dense) -> Value {
    let dense = |units: usize| Dense::new(units).activation(Activation::Relu);
    let deep = hidden.iter().fold(deep, |x, &units| g.add(dense(units), x));
    let both = g.op(Concatenate::new(), &[wide, deep]);
    g.add_named("head", head, both)
}
