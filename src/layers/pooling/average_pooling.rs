//! The mean value under a window.

use super::pool_builders;
use crate::error::{Error, Result};
use crate::kernels::patches::Window;
use crate::kernels::pooling;
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::convolutional::{Padding, Size, check_sizes, output, window};
use crate::layers::geometry::Geometry;
use crate::tensor::{Float, Shape, Tensor};

/// y[p, c] = the mean of x[q, c] over the positions q of the window at p that lie inside.
///
/// Used as [`AveragePooling1d`] over sequences and [`AveragePooling2d`] over images.
///
/// - Input `[length, channels]` or `[height, width, channels]`, output of as many channels; [`Padding`] says how large. No
///   parameters.
/// - Defaults: pools that do not overlap (strides of the pool size), `Padding::Valid`.
/// - Gradient: dy is shared out evenly to the positions inside.
///
/// Keras `AveragePooling1D`, `AveragePooling2D`; PyTorch `AvgPool1d`, `AvgPool2d` with `count_include_pad=False`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([3, 1]).add(AveragePooling1d::new(2).strides(1)).build(0)?;
/// let x = Tensor::new([1, 3, 1], vec![1.0, 3.0, 6.0])?;
/// assert_eq!(model.predict(&x)?.as_slice(), &[2.0, 4.5]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AveragePooling<const D: usize> {
    pool_size: Size<D>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    strides: Option<Size<D>>,
    padding: Padding,
    #[cfg_attr(feature = "serde", serde(skip))]
    window: Geometry<Window>,
}

/// An [`AveragePooling`] over sequences `[length, channels]`.
pub type AveragePooling1d = AveragePooling<1>;

/// An [`AveragePooling`] over images `[height, width, channels]`.
pub type AveragePooling2d = AveragePooling<2>;

impl<const D: usize> AveragePooling<D> {
    const NAME: &'static str = if D == 1 { "AveragePooling1d" } else { "AveragePooling2d" };

    /// Pools of this size; 2 is Keras's default.
    pub fn new(pool_size: impl Into<Size<D>>) -> Self {
        const { assert!(D == 1 || D == 2, "pools are over one or two axes") };
        let window = Geometry::default();
        AveragePooling { pool_size: pool_size.into(), strides: None, padding: Padding::Valid, window }
    }

    pool_builders!();
}

impl<T: Float, const D: usize> Layer<T> for AveragePooling<D>
where
    LayerConfig: From<AveragePooling<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        self.window = Geometry::new(input, |input| self.window(input))?;
        Layer::<T>::output_shape(self, input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        let window = self.window(x)?;
        Ok(output::<D>(&window, window.channels))
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        pooling::average(&self.window_over(x), x.as_slice(), y.as_mut_slice());
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
            pooling::average_backward(&self.window_over(dx), dy.as_slice(), dx.as_mut_slice());
        }
    }

    fn config(&self) -> LayerConfig {
        self.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        gradcheck::check_layer(&AveragePooling1d::new(2).padding(Padding::Same), [7, 3]).unwrap();
        gradcheck::check_layer(&AveragePooling2d::new([2, 3]), [5, 7, 2]).unwrap();
        gradcheck::check_layer(&AveragePooling2d::new(3).strides(2).padding(Padding::Same), [4, 5, 17]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: AveragePooling1d| Sequential::new([3, 1]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(AveragePooling1d::new(0)).contains("pool_size must be at least 1, got 0"));
        assert!(error(AveragePooling1d::new(4)).contains("a length of at least 4"));
    }
}
