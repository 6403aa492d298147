//! Rows brought to mean 0 and variance 1.

use super::gamma_beta::{GammaBeta, check_epsilon, gamma_beta_builders};
use super::groups;
use crate::error::Result;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = γ·(x − μ)/√(σ² + ε) + β, μ and σ² the mean and variance along the last axis.
///
/// - Input and output of one shape, at least one axis.
/// - Parameters: `gamma` γ (ones), `beta` β (zeros), each as long as the last axis.
/// - Defaults: ε = 0.001, with γ and β.
/// - Gradient, with r = 1/√(σ² + ε), x̂ = (x − μ)·r and g = γ·dy: dx = r·(g − mean(g) − x̂·mean(g·x̂)), dγ = Σ rows dy·x̂,
///   dβ = Σ rows dy.
///
/// Keras `LayerNormalization`, PyTorch `LayerNorm` (ε = 10⁻⁵). Ba et al.: "Layer Normalization", 2016.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4]).add(LayerNorm::new()).build(0)?;
/// let y = model.predict(&Tensor::from([[1.0, 2.0, 3.0, 4.0]]))?;
/// assert!((y.iter().sum::<f32>()).abs() < 1e-6);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LayerNorm {
    epsilon: f64,
    #[cfg_attr(feature = "serde", serde(flatten))]
    affine: GammaBeta,
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

impl Default for LayerNorm {
    fn default() -> Self {
        LayerNorm { epsilon: 1e-3, affine: GammaBeta::default(), input: Shape::default() }
    }
}

impl LayerNorm {
    /// With Keras's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    gamma_beta_builders!();
}

impl<T: Float> Layer<T> for LayerNorm {
    fn class(&self) -> &'static str {
        "LayerNorm"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        input.need_features("LayerNorm")?;
        check_epsilon::<T>("LayerNorm", self.epsilon)?;
        self.affine.build(input.last(), b)?;
        self.input = input;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        // A row is a sample of one position and one group.
        groups::forward(&self.affine, self.epsilon, [1, x.shape().last(), 1], pass, slot, x, y);
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        groups::backward(&self.affine, [1, x.shape().last(), 1], pass, slot, x, dy, dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.input.with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        groups::space(x, x.sample().rows(), backward)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::LayerNorm(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        gradcheck::check_layer(&LayerNorm::new(), [7]).unwrap();
        gradcheck::check_layer(&LayerNorm::new().epsilon(1e-5).center(false), [3, 5]).unwrap();
        gradcheck::check_layer(&LayerNorm::new().scale(false), [3, 17]).unwrap();
    }

    #[test]
    fn a_row_far_from_zero() {
        let model = Sequential::new([64]).add(LayerNorm::new().epsilon(1e-9)).build(0).unwrap();
        let y = model.predict(&Tensor::from_fn([1, 64], |i| 10_000.0 + (i % 2) as f32)).unwrap();
        assert!(y.iter().enumerate().all(|(i, v)| (v - if i % 2 == 0 { -1.0 } else { 1.0 }).abs() < 1e-3));
    }

    #[test]
    fn impossible_settings() {
        assert!(Sequential::new([3]).add(LayerNorm::new().epsilon(f64::NAN)).build(0).is_err());
        assert!(Sequential::new(Shape::SCALAR).add(LayerNorm::new()).build(0).is_err());
    }
}
