//! Branches side by side.

use super::{Chain, chain_builders};
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, LayerPart, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::config::{ContainerConfig, NamedConfig};
use crate::tensor::{Float, Shape, Tensor};

/// y = [f₁(x), …, fₙ(x)] along the last axis: branches that see the same input, their channels side by side.
///
/// - Input: what every branch takes; outputs agree in all axes but the last, and the result's last axis is the sum of theirs.
///   Parameters are those of the branches, under this layer's name.
/// - Gradient: dx = Σ ∂fᵢ/∂x·dyᵢ, dyᵢ the branch's own channels of dy.
///
/// Keras `Concatenate` of several layers' outputs. Szegedy et al.: "Going Deeper with Convolutions", 2015 (Inception).
///
/// ```
/// use gradus::prelude::*;
/// let inception = Concatenate::new()
///     .branch(Conv2d::new(4, 1))
///     .branch(Block::new().add(Conv2d::new(2, 1)).add(Conv2d::new(6, 3).padding(Padding::Same)))
///     .branch(Block::new().add(MaxPooling2d::new(3).strides(1).padding(Padding::Same)).add(Conv2d::new(3, 1)));
/// let model = Sequential::new([8, 8, 5]).add(inception).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([8, 8, 13]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Concatenate<T: Float = f32> {
    chain: Chain<T>,
}

impl<T: Float> Concatenate<T> {
    /// Without branches yet.
    pub fn new() -> Self {
        Concatenate { chain: Chain::default() }
    }

    chain_builders!(branch, branch_named, branch_boxed, "a branch");

    pub(crate) fn from_config(config: ContainerConfig) -> Result<Self> {
        Self::from_layers(config.without_activation("Concatenate")?)
    }
}

impl<T: Float> Layer<T> for Concatenate<T> {
    fn class(&self) -> &'static str {
        "Concatenate"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        let outputs = self.chain.build_each("Concatenate", input, b)?;
        let first = outputs[0];
        let mut width = 0usize;
        for (i, shape) in outputs.iter().enumerate() {
            if shape.rank() == 0 || shape.with_last(1) != first.with_last(1) {
                let expected = format!("outputs that agree with the first's, {first}, in all axes but the last");
                let hint = "let strides and padding of the branches agree";
                return Err(Error::shape("Concatenate", expected, format!("{shape} from branch {i}"), hint));
            }
            width = width.saturating_add(shape.last());
        }
        Ok(first.with_last(width))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        self.chain.forward_each(pass, slot, x);
        let outputs = &slot.tensors[..self.chain.entries().len()];
        let width = y.shape().last();
        parallel::rows(y.as_mut_slice(), width, width, |first, y| {
            for (row, mut y) in (first..).zip(y.chunks_exact_mut(width)) {
                for f in outputs {
                    let n = f.shape().last();
                    let own = y.split_off_mut(..n).unwrap_or_default();
                    own.copy_from_slice(&f.as_slice()[row * n..(row + 1) * n]);
                }
            }
        });
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
        let (dy, width) = (dy.as_slice(), dy.shape().last());
        self.chain.backward_each(pass, slot, x, dx, |i, outputs, dy_i| {
            let before: usize = outputs[..i].iter().map(|f| f.shape().last()).sum();
            let n = outputs[i].shape().last();
            parallel::rows(dy_i.as_mut_slice(), n, n, |first, dy_i| {
                for (own, dy) in dy_i.chunks_exact_mut(n).zip(dy[first * width..].chunks_exact(width)) {
                    own.copy_from_slice(&dy[before..before + n]);
                }
            });
        });
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        self.chain.space_each(samples, backward)
    }

    fn parts(&self) -> Vec<LayerPart> {
        self.chain.parts()
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Concatenate(ContainerConfig::new(self.chain.config()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activations::Activation;
    use crate::gradcheck;
    use crate::layers::{Dense, Identity};
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        let layer = Concatenate::new().branch(Dense::new(4).activation(Activation::Tanh)).branch(Identity::new());
        gradcheck::check_layer(&layer.branch(Dense::new(1)), [5]).unwrap();
        gradcheck::check_layer(&Concatenate::new().branch(Dense::new(2)).branch(Dense::new(3)), [2, 5]).unwrap();
    }

    #[test]
    fn shapes_must_agree() {
        let layer = Concatenate::new().branch(Identity::new()).branch(crate::layers::Flatten::new());
        let error = Sequential::new([3, 2]).add(layer).build(0).unwrap_err().to_string();
        assert!(error.contains("in all axes but the last, got [6] from branch 1"), "{error}");
    }
}
