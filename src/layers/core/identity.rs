//! The layer that changes nothing.

use crate::activations::Activation;
use crate::error::Result;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x, dx = dy; any shape, no parameters. A place to put another layer later.
///
/// Keras and PyTorch `Identity`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2]).add(Identity::new()).build(0)?;
/// assert_eq!(model.predict(&Tensor::from([[1.0, -2.0]]))?.as_slice(), &[1.0, -2.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Identity {}

impl Identity {
    /// The identity.
    pub fn new() -> Self {
        Identity {}
    }
}

impl<T: Float> Layer<T> for Identity {
    fn class(&self) -> &'static str {
        "Identity"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
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

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Identity(self.clone())
    }

    fn reach(&self, _: Activation) -> Reach {
        Reach::Training
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn any_shape() {
        gradcheck::check_layer(&Identity::new(), [3, 5]).unwrap();
        gradcheck::check_layer(&Identity::new(), Shape::SCALAR).unwrap();
    }
}
