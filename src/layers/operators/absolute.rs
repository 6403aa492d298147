//! Values without their sign.

use super::{map, map_two};
use crate::error::Result;
use crate::kernels::float::sign;
use crate::layer::{Builder, Continuation, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = |x|.
///
/// - Input and output of one shape, any number of axes; no parameters.
/// - Gradient: dx = sign(x)·dy, 0 where x is 0.
///
/// Keras `ops.absolute` or `abs(x)`, PyTorch `abs`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([3]).add(Absolute::new()).build(0)?;
/// assert_eq!(model.predict(&Tensor::from([[-1.5, 0.0, 2.0]]))?.as_slice(), &[1.5, 0.0, 2.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Absolute {}

impl Absolute {
    /// The absolute value.
    pub fn new() -> Self {
        Absolute {}
    }
}

impl<T: Float> Layer<T> for Absolute {
    fn class(&self) -> &'static str {
        "Absolute"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        Ok(input)
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        map(x, y, 1, T::abs);
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        if let Some(dx) = dx {
            map_two(x, dy, dx, 1, |x, dy| sign(x) * dy);
        }
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Absolute(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_layer;

    #[test]
    fn gradients() {
        check_layer(&Absolute::new(), [3, 5]).unwrap();
        check_layer(&Absolute::new(), Shape::SCALAR).unwrap();
    }

    #[test]
    fn none_at_zero() {
        let x = Tensor::from([[-0.0, 0.0, -2.0, f64::NAN]]);
        let params = crate::Params::new();
        let (mut pass, mut slot) = (Pass::differentiable(&params), Slot::new());
        let (mut y, mut dx) = (x.clone(), x.clone());
        Absolute::new().forward(&mut pass, &mut slot, &x, &mut y);
        Absolute::new().backward(&mut pass, &mut slot, &x, &y, &mut Tensor::full([1, 4], 3.0), Some(&mut dx));
        assert_eq!(y.as_slice()[..3], [0.0, 0.0, 2.0]);
        assert!(y.as_slice()[0].is_sign_positive() && y.as_slice()[3].is_nan());
        assert_eq!(dx.as_slice()[..3], [0.0, 0.0, -3.0]);
    }
}
