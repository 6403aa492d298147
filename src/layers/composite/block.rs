//! Layers one after the other as one layer.

use super::{Chain, chain_builders};
use crate::activations::Activation;
use crate::error::Result;
use crate::layer::{Builder, Layer, LayerPart, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::config::{ContainerConfig, NamedConfig};
use crate::tensor::{Float, Shape, Tensor};

/// y = fₙ(…f₁(x)): layers one after the other as one layer, to be repeated, nested and named.
///
/// - Input: what the first layer takes; output: what the last one gives. Parameters are those of the layers, under the
///   block's name. An empty block is the identity.
///
/// Keras: a `Sequential` inside a `Sequential`; PyTorch `nn.Sequential`.
///
/// ```
/// use gradus::prelude::*;
/// let block = Block::new().add(Dense::new(8).activation(Activation::Relu)).add(Dense::new(4));
/// let model = Sequential::new([3]).add(block).build(0)?;
/// assert_eq!(model.params().specs()[2].name, "block/dense_1/kernel");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Block<T: Float = f32> {
    chain: Chain<T>,
}

impl<T: Float> Block<T> {
    /// A block without layers.
    pub fn new() -> Self {
        Block { chain: Chain::default() }
    }

    chain_builders!(add, add_named, add_boxed, "a layer");

    pub(crate) fn from_config(config: ContainerConfig) -> Result<Self> {
        Self::from_layers(config.without_activation("Block")?)
    }
}

impl<T: Float> Layer<T> for Block<T> {
    fn class(&self) -> &'static str {
        "Block"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        self.chain.build(input, b)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        self.chain.forward(pass, slot, x, y);
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
        self.chain.backward(pass, slot, x, y, dy, dx);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        self.chain.space(samples, backward)
    }

    fn parts(&self) -> Vec<LayerPart> {
        self.chain.parts()
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Block(ContainerConfig::new(self.chain.config()))
    }

    fn output_activation(&self) -> Option<Activation> {
        self.chain.ending().map(|ending| ending.activation)
    }

    fn output_reach(&self) -> Reach {
        self.chain.ending().map_or(Reach::Nowhere, |ending| ending.reach)
    }

    fn reach(&self, activation: Activation) -> Reach {
        self.chain.reach(activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::layers::Dense;

    #[test]
    fn nested() {
        let inner = Block::new().add(Dense::new(3).activation(Activation::Tanh)).add(Activation::Sigmoid);
        gradcheck::check_layer(&Block::new().add(Dense::new(4)).add(inner).add(Dense::new(2)), [5]).unwrap();
        gradcheck::check_layer(&Block::new(), [5]).unwrap();
        let settings = Block::new().add(Dense::new(4)).trainable(false).add(Dense::new(2)).learning_rate_factor(0.1);
        gradcheck::check_layer(&settings, [5]).unwrap();
    }
}
