//! All axes of a sample as one.

use crate::activations::Activation;
use crate::error::Result;
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// The values of a sample in a row, in row-major order.
///
/// - Input of any shape, output `[product of the sizes]`; a scalar becomes `[1]`. No parameters.
/// - Gradient: dx = dy in the shape of x.
///
/// Keras and PyTorch `Flatten`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([28, 28]).add(Flatten::new()).add(Dense::new(10)).build(0)?;
/// assert_eq!(model.weight("dense/kernel")?.len(), 784 * 10);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Flatten {}

impl Flatten {
    /// The layer.
    pub fn new() -> Self {
        Flatten {}
    }
}

impl<T: Float> Layer<T> for Flatten {
    fn class(&self) -> &'static str {
        "Flatten"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Layer::<T>::output_shape(self, input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(Shape::from([x.open_len("Flatten")?]))
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        y.as_mut_slice().copy_from_slice(x.as_slice());
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        // dx = dy
        if let Some(dx) = dx {
            dx.as_mut_slice().copy_from_slice(dy.as_slice());
        }
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Flatten(self.clone())
    }

    fn reach(&self, _: Activation) -> Reach {
        Reach::Training
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn any_shape() {
        for shape in [Shape::from([2, 3, 5]), Shape::from([7]), Shape::SCALAR] {
            gradcheck::check_layer(&Flatten::new(), shape).unwrap();
            let model = Sequential::new(shape).add(Flatten::new()).build(0).unwrap();
            assert_eq!(model.output_shape(), Shape::from([shape.len()]));
        }
        let model = Sequential::new([2, 2]).add(Flatten::new()).build_as(0).unwrap();
        let y = model.predict(&Tensor::from([[[1.0, 2.0], [3.0, 4.0]]])).unwrap();
        assert_eq!(y, Tensor::from([[1.0, 2.0, 3.0, 4.0]]));
    }
}
