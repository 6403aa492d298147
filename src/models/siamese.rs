//! Siamese networks.

use std::fmt::Debug;

use crate::activations::Activation;
use crate::graph::{Graph, Part, Value};
use crate::layers::Dense;
use crate::layers::merging::Dot;

/// Adds a network that tells whether two inputs show the same: both go through one tower, and p = σ(w·|h₀ − h₁| + b).
///
/// - `tower` gives `[features]`; the output is `[1]`, for [`BinaryCrossentropy`](crate::losses::BinaryCrossentropy) with 1 for the same.
/// - Both inputs have one set of weights, `tower/…`; those of the end are `head/…`.
///
/// Koch et al.: "Siamese Neural Networks for One-shot Image Recognition", 2015.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::models::siamese;
/// use gradus::prelude::{Activation, Dense};
///
/// let mut g = Graph::new();
/// let pair = [g.input("left", [10]), g.input("right", [10])];
/// let same = siamese(&mut g, Dense::new(4).activation(Activation::Tanh), pair);
/// let (net, params) = g.build::<f32>(&[same], 0)?;
/// assert_eq!(net.output_shapes(), [[1].into()]);
/// assert_eq!(params.len(), 10 * 4 + 4 + 4 + 1);
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn siamese(g: &mut Graph, tower: impl Part + Clone + Debug + Send + Sync + 'static, pair: [Value; 2]) -> Value {
    let [a, b] = towers(g, tower, pair);
    let apart = g.compute((a - b).abs());
    g.add_named("head", Dense::new(1).activation(Activation::Sigmoid), apart)
}

/// Adds a network that measures how far apart two inputs are: both go through one tower, and d = √(Σ(h₀ − h₁)² + 10⁻⁷), whose gradient
/// is finite for equal inputs too.
///
/// - `tower` gives `[features]`; the output is `[1]`, for a contrastive loss: small distances for the same, large ones for others.
/// - Both inputs have one set of weights, `tower/…`.
///
/// Hadsell et al.: "Dimensionality Reduction by Learning an Invariant Mapping", 2006.
///
/// ```
/// use gradus::graph::Graph;
/// use gradus::models::siamese_distance;
/// use gradus::prelude::Dense;
///
/// let mut g = Graph::new();
/// let pair = [g.input("left", [10]), g.input("right", [10])];
/// let distance = siamese_distance(&mut g, Dense::new(4), pair);
/// let (net, params) = g.build::<f32>(&[distance], 0)?;
/// assert_eq!(net.output_shapes(), [[1].into()]);
/// assert_eq!(params.len(), 10 * 4 + 4);
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn siamese_distance(
    g: &mut Graph,
    tower: impl Part + Clone + Debug + Send + Sync + 'static,
    pair: [Value; 2],
) -> Value {
    let [a, b] = towers(g, tower, pair);
    let difference = g.compute(a - b);
    let square = g.op(Dot::new([-1, -1]), &[difference, difference]);
    g.compute((square + 1e-7).pow(0.5))
}

fn towers(g: &mut Graph, tower: impl Part + Clone + Debug + Send + Sync + 'static, pair: [Value; 2]) -> [Value; 2] {
    let tower = g.shared("tower", tower);
    pair.map(|x| g.apply(&tower, x))
}
