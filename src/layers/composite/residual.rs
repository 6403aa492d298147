//! A shortcut around layers.

use super::{Chain, chain_builders};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Layer, LayerPart, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::config::{ContainerConfig, NamedConfig};
use crate::layers::epilogue::EpiloguePass;
use crate::layers::sum;
use crate::tensor::{Float, Shape, Tensor};

/// y = f(x + F(x)), F the layers inside, whose output must have the input's shape.
///
/// - Input and output of one shape; parameters are those of the layers.
/// - Default: no activation f.
/// - Gradient: dx = dz + ∂F/∂x·dz, dz = dy·f'(x + F(x)).
///
/// He et al.: "Deep Residual Learning for Image Recognition", 2016. Keras: `Add` of two branches.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4])
///     .add(Residual::new().add(Dense::new(16).activation(Activation::Relu)).add(Dense::new(4)))
///     .build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 4]))?.dims(), &[2, 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Residual<T: Float = f32> {
    chain: Chain<T>,
    activation: Activation,
}

impl<T: Float> Residual<T> {
    /// A shortcut around nothing yet.
    pub fn new() -> Self {
        Residual { chain: Chain::default(), activation: Activation::Linear }
    }

    /// The function applied to the sum; none by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    chain_builders!(add, add_named, add_boxed, "a layer to F");

    pub(crate) fn from_config(config: ContainerConfig) -> Result<Self> {
        Ok(Self::from_layers(config.layers)?.activation(config.activation))
    }
}

impl<T: Float> Layer<T> for Residual<T> {
    fn class(&self) -> &'static str {
        "Residual"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        self.activation.check()?;
        let output = self.chain.build(input, b)?;
        if output != input {
            let hint = format!("end the layers inside with one that gives {input}");
            return Err(Error::shape("Residual", format!("an inner output of {input}, as the input"), output, hint));
        }
        Ok(output)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        // F's own output is kept for its backward pass; y = f(x + F(x)) follows.
        let epilogue = EpiloguePass::activation(pass, self.activation, x.shape().last());
        let ([f, _, z], inside) = slot.buffers_and_child();
        f.resize(x.shape());
        let logits = std::mem::take(&mut pass.logits);
        pass.lending(inside, |pass, slot| self.chain.forward(pass, slot, x, f));
        pass.logits = logits;
        sum::forward(epilogue, [x, &*f].into_iter(), y, z);
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
        let ([f, inner, z], inside) = slot.buffers_and_child();
        let epilogue = EpiloguePass::activation(pass, self.activation, x.shape().last());
        pass.logits = false;
        // dz in place of dy, and a copy of it where F may use it up before it is added.
        inner.resize(if dx.is_some() { x.shape() } else { Shape::from([0]) });
        sum::backward(epilogue, z, y, dy, inner);
        let Some(dx) = dx else {
            return self.chain.backward(pass, inside, x, f, dy, None);
        };
        self.chain.backward(pass, inside, x, f, dy, Some(dx));
        sum::add(dx, inner);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        // F(x), and where backward follows a copy of dz, and the sum if the activation needs it.
        let tensors = 1 + usize::from(backward) + usize::from(backward && self.activation.needs_input());
        let each = self.chain.input().len().saturating_mul(samples);
        self.chain.space(samples, backward).saturating_add(each.saturating_mul(tensors))
    }

    fn parts(&self) -> Vec<LayerPart> {
        self.chain.parts()
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Residual(ContainerConfig { layers: self.chain.config(), activation: self.activation })
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::layers::Dense;

    #[test]
    fn with_and_without_layers() {
        let block = Residual::new().add(Dense::new(3).activation(Activation::Gelu)).add(Dense::new(5));
        gradcheck::check_layer(&block, [5]).unwrap();
        gradcheck::check_layer(&Residual::new(), [2, 3]).unwrap();
        for activation in Activation::ALL {
            let block = Residual::new().add(Dense::new(5)).activation(activation);
            gradcheck::check_layer(&block, [3, 5]).unwrap();
        }
    }

    #[test]
    fn another_shape_is_an_error() {
        let error = crate::Sequential::new([5]).add(Residual::new().add(Dense::new(4))).build(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "layer 0 (residual): Residual: expected an inner output of [5], as the input, got [4]; end the layers inside \
             with one that gives [5]"
        );
    }
}
