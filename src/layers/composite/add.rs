//! The sum of branches.

use super::{Chain, chain_builders};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, LayerPart, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::config::{ContainerConfig, NamedConfig};
use crate::layers::epilogue::EpiloguePass;
use crate::layers::sum;
use crate::tensor::{Float, Shape, Tensor};

/// y = f(f₁(x) + … + fₙ(x)): branches that see the same input, their outputs of one shape added.
///
/// - Input: what every branch takes; output: what every branch gives. Parameters are those of the branches, under this layer's
///   name. A branch is a layer, often a [`Block`](super::Block) of several; the identity is a shortcut, for which
///   [`Residual`](super::Residual) is shorter.
/// - Default: no activation f.
/// - Gradient: dx = Σ ∂fᵢ/∂x·dz, dz dy times f' of the sum.
///
/// Keras `Add` of several layers' outputs. He et al.: "Deep Residual Learning for Image Recognition", 2016.
///
/// ```
/// use gradus::prelude::*;
/// // A residual block that halves the image: the shortcut is a convolution of one tap.
/// let f = Block::new()
///     .add(Conv2d::new(8, 3).strides(2).padding(Padding::Same).activation(Activation::Relu))
///     .add(Conv2d::new(8, 3).padding(Padding::Same));
/// let layer = Add::new().branch(f).branch(Conv2d::new(8, 1).strides(2));
/// let model = Sequential::new([6, 6, 4]).add(layer).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([3, 3, 8]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Add<T: Float = f32> {
    chain: Chain<T>,
    activation: Activation,
}

impl<T: Float> Add<T> {
    /// Without branches yet.
    pub fn new() -> Self {
        Add { chain: Chain::default(), activation: Activation::Linear }
    }

    /// The function applied to the sum; none by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    chain_builders!(branch, branch_named, branch_boxed, "a branch");

    pub(crate) fn from_config(config: ContainerConfig) -> Result<Self> {
        Ok(Self::from_layers(config.layers)?.activation(config.activation))
    }
}

impl<T: Float> Layer<T> for Add<T> {
    fn class(&self) -> &'static str {
        "Add"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        self.activation.check()?;
        let outputs = self.chain.build_each("Add", input, b)?;
        for (i, shape) in outputs.iter().enumerate() {
            if *shape != outputs[0] {
                let expected = format!("an output of {} from every branch, as from the first", outputs[0]);
                let hint = "let a Conv2d or Dense bring the branches to one shape, or use Concatenate";
                return Err(Error::shape("Add", expected, format!("{shape} from branch {i}"), hint));
            }
        }
        Ok(outputs[0])
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let epilogue = EpiloguePass::activation(pass, self.activation, y.shape().last());
        let n = self.chain.entries().len();
        pass.logits = false;
        self.chain.forward_each(pass, slot, x);
        // The sum stands behind the branches' outputs and the two that `backward_each` has for gradients.
        slot.scratch(n + 2, 0);
        let (outputs, z) = slot.tensors.split_at_mut(n + 2);
        sum::forward(epilogue, outputs[..n].iter(), y, &mut z[0]);
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let row = dy.shape().last().max(1);
        let epilogue = EpiloguePass::activation(pass, self.activation, y.shape().last());
        pass.logits = false;
        if epilogue.activation != Activation::Linear {
            let z = &slot.tensors[self.chain.entries().len() + 2];
            sum::backward(epilogue, z, y, dy, &mut Tensor::default());
        }
        let dy = dy.as_slice();
        // Every branch has a copy of dy, as it may use it up.
        self.chain.backward_each(pass, slot, x, dx, |_, _, dy_i| {
            parallel::rows(dy_i.as_mut_slice(), row, row, |first, own| {
                own.copy_from_slice(&dy[first * row..][..own.len()]);
            });
        });
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        // The sum, where backward needs it.
        let kept = backward && self.activation.needs_input();
        let sum = if kept { self.chain.output().len().saturating_mul(samples) } else { 0 };
        self.chain.space_each(samples, backward).saturating_add(sum)
    }

    fn parts(&self) -> Vec<LayerPart> {
        self.chain.parts()
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Add(ContainerConfig { layers: self.chain.config(), activation: self.activation })
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::layers::{Block, Dense, Identity};
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        let one = Block::new().add(Dense::new(4).activation(Activation::Tanh)).add(Dense::new(3));
        gradcheck::check_layer(&Add::new().branch(one).branch(Dense::new(3)), [5]).unwrap();
        gradcheck::check_layer(&Add::new().branch(Identity::new()).branch(Dense::new(5)), [2, 5]).unwrap();
        for activation in Activation::ALL {
            let sum = Add::new().branch(Dense::new(3)).branch(Identity::new()).activation(activation);
            gradcheck::check_layer(&sum, [2, 3]).unwrap();
        }
        let three = Add::new().branch(Dense::new(2)).trainable(false).branch(Dense::new(2)).branch(Dense::new(2));
        gradcheck::check_layer(&three, [3]).unwrap();
    }

    #[test]
    fn shapes_must_agree() {
        let layer = Add::new().branch(Dense::new(4)).branch(Dense::new(5));
        let error = Sequential::new([3]).add(layer).build(0).unwrap_err().to_string();
        assert!(
            error.contains("an output of [4] from every branch, as from the first, got [5] from branch 1"),
            "{error}"
        );
        let error = Sequential::new([3]).add(Add::new()).build(0).unwrap_err().to_string();
        assert!(error.contains("branches must be at least 1"), "{error}");
        let error = Sequential::new([3]).add(Add::new().branch(Dense::new(0))).build(0).unwrap_err().to_string();
        assert!(error.contains("layer 0 (add): layer 0 (dense)"), "{error}");
    }
}
