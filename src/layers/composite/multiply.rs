//! The product of branches.

use super::{Chain, chain_builders};
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Layer, LayerPart, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::config::{ContainerConfig, NamedConfig};
use crate::tensor::{Float, Shape, Tensor};

/// y = f₁(x)·…·fₙ(x) element by element: branches that see the same input, often one of them a gate.
///
/// - Input: what every branch takes. Outputs have one rank, and along each axis one size or size 1, which counts for all
///   positions. Parameters are those of the branches, under this layer's name.
/// - Gradient: dyᵢ = dy times the product of the other branches, summed over the positions that a size of 1 counts for, and
///   dx = Σ ∂fᵢ/∂x·dyᵢ.
///
/// Keras `Multiply` of several layers' outputs. [`squeeze_excite`](super::squeeze_excite) is made of it.
///
/// ```
/// use gradus::prelude::*;
/// let gated = Multiply::new().branch(Dense::new(4)).branch(Dense::new(4).activation(Activation::Sigmoid));
/// let model = Sequential::new([3]).add(gated).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([4]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Multiply<T: Float = f32> {
    chain: Chain<T>,
}

impl<T: Float> Multiply<T> {
    /// Without branches yet.
    pub fn new() -> Self {
        Multiply { chain: Chain::default() }
    }

    chain_builders!(branch, branch_named, branch_boxed, "a branch");

    pub(crate) fn from_config(config: ContainerConfig) -> Result<Self> {
        Self::from_layers(config.without_activation("Multiply")?)
    }
}

/// Where, in outputs of shape `own` (with the batch), the row stands that counts for a row of samples of the whole shape.
fn start_of(own: Shape, sample: Shape, row: usize) -> usize {
    let mut rest = row;
    let (mut at, mut stride) = (0, own.last());
    for axis in (0..own.rank() - 1).rev() {
        let size = own.dims()[axis];
        let all = if axis == 0 { usize::MAX } else { sample.dims()[axis - 1] };
        at += if size == 1 { 0 } else { rest % all * stride };
        rest /= all;
        stride *= size;
    }
    at
}

/// That row: as long as the others, or one value for all.
fn row_of<T: Float>(f: &Tensor<T>, sample: Shape, row: usize) -> &[T] {
    let at = start_of(f.shape(), sample, row);
    &f.as_slice()[at..at + f.shape().last()]
}

fn times<T: Float>(y: &mut [T], f: &[T]) {
    match *f {
        [f] => y.iter_mut().for_each(|y| *y *= f),
        _ => y.iter_mut().zip(f).for_each(|(y, f)| *y *= *f),
    }
}

impl<T: Float> Layer<T> for Multiply<T> {
    fn class(&self) -> &'static str {
        "Multiply"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        let outputs = self.chain.build_each("Multiply", input, b)?;
        let mut largest = outputs[0];
        for (i, shape) in outputs.iter().enumerate() {
            let both = shape.dims().iter().zip(largest.dims());
            if shape.rank() != largest.rank() || both.clone().any(|(a, b)| a != b && *a != 1 && *b != 1) {
                let expected = format!("outputs that agree with {largest} in every axis, or have size 1 there");
                let hint = "keepdims(true) keeps the axes of a global pool";
                return Err(Error::shape("Multiply", expected, format!("{shape} from branch {i}"), hint));
            }
            let sizes: Vec<usize> = both.map(|(a, b)| *a.max(b)).collect();
            largest = Shape::try_from(sizes.as_slice())?;
        }
        Ok(largest)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        self.chain.forward_each(pass, slot, x);
        let outputs = &slot.tensors[..self.chain.entries().len()];
        let (sample, width) = (y.shape().sample(), y.shape().last().max(1));
        parallel::rows(y.as_mut_slice(), width, width * outputs.len(), |first, y| {
            for (row, y) in (first..).zip(y.chunks_exact_mut(width)) {
                y.fill(T::one());
                for f in outputs {
                    times(y, row_of(f, sample, row));
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
        let (dy, shape) = (dy.as_slice(), dy.shape());
        let (sample, width) = (shape.sample(), shape.last().max(1));
        // A row of dy times the other branches.
        let mut product = slot.tensors.pop().unwrap_or_default();
        product.resize(Shape::from([width]));
        self.chain.backward_each(pass, slot, x, dx, |i, outputs, dy_i| {
            dy_i.as_mut_slice().fill(T::zero());
            let own = dy_i.shape();
            for (row, dy) in dy.chunks_exact(width).enumerate() {
                let product = product.as_mut_slice();
                product.copy_from_slice(dy);
                for (_, f) in outputs.iter().enumerate().filter(|(j, _)| *j != i) {
                    times(product, row_of(f, sample, row));
                }
                let at = start_of(own, sample, row);
                match &mut dy_i.as_mut_slice()[at..at + own.last()] {
                    [sum] => *sum += product.iter().copied().sum(),
                    each => each.iter_mut().zip(&*product).for_each(|(s, p)| *s += *p),
                }
            }
        });
        slot.tensors.push(product);
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        // And a row of dy times the other branches.
        let row = self.chain.entries().iter().map(|e| e.output.last()).max().unwrap_or(0);
        self.chain.space_each(samples, backward).saturating_add(if backward { row } else { 0 })
    }

    fn parts(&self) -> Vec<LayerPart> {
        self.chain.parts()
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Multiply(ContainerConfig::new(self.chain.config()))
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
        let gate = || Dense::new(5).activation(Activation::Sigmoid);
        gradcheck::check_layer(&Multiply::new().branch(Dense::new(5)).branch(gate()), [3]).unwrap();
        gradcheck::check_layer(&Multiply::new().branch(Identity::new()).branch(Dense::new(1)).branch(gate()), [2, 5])
            .unwrap();
        let pool = crate::layers::GlobalAveragePooling2d::new().keepdims(true);
        let pool = crate::layers::Block::new().add(pool).add(gate());
        gradcheck::check_layer(&Multiply::new().branch(pool).branch(Identity::new()), [2, 3, 5]).unwrap();
    }

    #[test]
    fn shapes_must_agree() {
        let layer = Multiply::new().branch(Dense::new(4)).branch(Dense::new(3));
        let error = Sequential::new([3]).add(layer).build(0).unwrap_err().to_string();
        assert!(error.contains("agree with [4] in every axis, or have size 1 there, got [3] from branch 1"), "{error}");
    }
}
