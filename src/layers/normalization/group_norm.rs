//! Groups of channels brought to mean 0 and variance 1, each sample on its own.

use super::gamma_beta::{GammaBeta, check_epsilon, gamma_beta_builders};
use super::groups;
use crate::error::{Error, Result};
use crate::layer::{Builder, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = γ·(x − μ)/√(σ² + ε) + β, μ and σ² the mean and variance of a group of channels over all positions of a sample.
///
/// - Input and output of one shape, the last axis the channels.
/// - Parameters: `gamma` γ (ones), `beta` β (zeros), `[channels]`.
/// - Defaults: ε = 0.001, with γ and β. As many groups as channels is instance normalisation; one group normalises the whole
///   sample.
/// - Gradient, with r = 1/√(σ² + ε), x̂ = (x − μ)·r and g = γ·dy: dx = r·(g − mean(g) − x̂·mean(g·x̂)), means over the group,
///   dγ = Σ dy·x̂, dβ = Σ dy over samples and positions.
///
/// Keras `GroupNormalization`, PyTorch `GroupNorm` (ε = 10⁻⁵). Wu, He: "Group Normalization", 2018.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([8, 8, 6]).add(GroupNorm::new(3)).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 8, 8, 6]))?.dims(), &[2, 8, 8, 6]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupNorm {
    groups: usize,
    epsilon: f64,
    #[cfg_attr(feature = "serde", serde(flatten))]
    affine: GammaBeta,
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

impl GroupNorm {
    /// So many groups; they divide the channels. Keras's default is 32.
    pub fn new(groups: usize) -> Self {
        GroupNorm { groups, epsilon: 1e-3, affine: GammaBeta::default(), input: Shape::default() }
    }

    gamma_beta_builders!();

    fn sizes(&self, sample: Shape) -> [usize; 3] {
        [sample.rows(), sample.last(), self.groups]
    }
}

impl<T: Float> Layer<T> for GroupNorm {
    fn class(&self) -> &'static str {
        "GroupNorm"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        input.need_features("GroupNorm")?;
        if self.groups == 0 || !input.last().is_multiple_of(self.groups) {
            let expected = format!("a divisor of the {} channels", input.last());
            let hint = "1 normalises the whole sample, as many as channels each channel on its own";
            return Err(Error::argument("GroupNorm", "groups", expected, self.groups, hint));
        }
        check_epsilon::<T>("GroupNorm", self.epsilon)?;
        self.affine.build(input.last(), b)?;
        self.input = input;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        groups::forward(&self.affine, self.epsilon, self.sizes(x.shape().sample()), pass, slot, x, y);
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
        groups::backward(&self.affine, self.sizes(x.shape().sample()), pass, slot, x, dy, dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.input.with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        groups::space(x, self.groups, backward)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::GroupNorm(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        gradcheck::check_layer(&GroupNorm::new(2), [3, 2, 6]).unwrap();
        gradcheck::check_layer(&GroupNorm::new(1).center(false), [3, 5]).unwrap();
        gradcheck::check_layer(&GroupNorm::new(5).scale(false).epsilon(1e-5), [4, 5]).unwrap();
        gradcheck::check_layer(&GroupNorm::new(2), [6]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: GroupNorm| Sequential::new([2, 6]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(GroupNorm::new(4)).contains("groups must be a divisor of the 6 channels, got 4"));
        assert!(error(GroupNorm::new(0)).contains("got 0"));
        assert!(error(GroupNorm::new(2).epsilon(-1.0)).contains("epsilon"));
    }
}
