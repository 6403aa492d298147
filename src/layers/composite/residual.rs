//! A shortcut around layers.

use super::{Chain, chain_builders};
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, LayerPart, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::config::NamedConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x + F(x), F the layers inside, whose output must have the input's shape.
///
/// - Input and output of one shape; parameters are those of the layers.
/// - Gradient: dx = dy + ∂F/∂x·dy.
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
}

impl<T: Float> Residual<T> {
    /// A shortcut around nothing yet.
    pub fn new() -> Self {
        Residual { chain: Chain::default() }
    }

    chain_builders!(add, add_named, add_boxed, "a layer to F");
}

impl<T: Float> Layer<T> for Residual<T> {
    fn class(&self) -> &'static str {
        "Residual"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        let output = self.chain.build(input, b)?;
        if output != input {
            let hint = format!("end the layers inside with one that gives {input}");
            return Err(Error::shape("Residual", format!("an inner output of {input}, as the input"), output, hint));
        }
        Ok(output)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        // F's own output is kept for its backward pass; y = x + F(x) follows.
        let Slot { tensors, children, .. } = slot;
        if children.is_empty() {
            children.push(Slot::new());
            tensors.resize_with(2, Tensor::default);
        }
        let f = &mut tensors[0];
        f.resize(x.shape());
        self.chain.forward(pass, &mut children[0], x, f);
        let (row, x, f) = (x.shape().last().max(1), x.as_slice(), f.as_slice());
        parallel::rows(y.as_mut_slice(), row, row, |first, y| {
            let part = first * row..first * row + y.len();
            y.iter_mut().zip(&x[part.clone()]).zip(&f[part]).for_each(|((y, x), f)| *y = *x + *f);
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
        let Slot { tensors, children, .. } = slot;
        let [f, inner] = tensors.as_mut_slice() else { return };
        let Some(dx) = dx else {
            return self.chain.backward(pass, &mut children[0], x, f, dy, None);
        };
        // dx = dy + ∂F/∂x·dy, where dy is kept as F may use it up
        let row = x.shape().last().max(1);
        inner.resize(x.shape());
        parallel::rows(inner.as_mut_slice(), row, row, |first, kept| {
            kept.copy_from_slice(&dy.as_slice()[first * row..][..kept.len()]);
        });
        self.chain.backward(pass, &mut children[0], x, f, dy, Some(dx));
        let kept = inner.as_slice();
        parallel::rows(dx.as_mut_slice(), row, row, |first, dx| {
            dx.iter_mut().zip(&kept[first * row..]).for_each(|(d, k)| *d += *k);
        });
    }

    fn parts(&self) -> Vec<LayerPart> {
        self.chain.parts()
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Residual { layers: self.chain.config() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activations::Activation;
    use crate::gradcheck;
    use crate::layers::Dense;

    #[test]
    fn with_and_without_layers() {
        let block = Residual::new().add(Dense::new(3).activation(Activation::Gelu)).add(Dense::new(5));
        gradcheck::check_layer(&block, [5]).unwrap();
        gradcheck::check_layer(&Residual::new(), [2, 3]).unwrap();
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
