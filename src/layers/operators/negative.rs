//! Values with the other sign.

use super::map;
use crate::error::Result;
use crate::layer::{Builder, Continuation, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = −x.
///
/// - Input and output of one shape, any number of axes; no parameters.
/// - Gradient: dx = −dy.
///
/// Keras `ops.negative` or `-x`, PyTorch `neg`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([3]).add(Negative::new()).build(0)?;
/// assert_eq!(model.predict(&Tensor::from([[-1.5, 0.5, 2.0]]))?.as_slice(), &[1.5, -0.5, -2.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Negative {}

impl Negative {
    /// The other sign.
    pub fn new() -> Self {
        Negative {}
    }
}

impl<T: Float> Layer<T> for Negative {
    fn class(&self) -> &'static str {
        "Negative"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Ok(input)
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        map(x, y, 1, T::neg);
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
        if let Some(dx) = dx {
            map(dy, dx, 1, T::neg);
        }
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Negative(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_layer;

    #[test]
    fn gradients() {
        check_layer(&Negative::new(), [3, 5]).unwrap();
        check_layer(&Negative::new(), Shape::SCALAR).unwrap();
    }
}
