//! The largest value under a window.

use super::pool_builders;
use crate::error::{Error, Result};
use crate::kernels::patches::Window;
use crate::kernels::pooling;
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::convolutional::{Padding, Size, check_sizes, output, window};
use crate::layers::geometry::Geometry;
use crate::tensor::{Float, Shape, Tensor};

/// y[p, c] = the largest x[q, c] over the window at p.
///
/// Used as [`MaxPooling1d`] over sequences and [`MaxPooling2d`] over images.
///
/// - Input `[length, channels]` or `[height, width, channels]`, output of as many channels; [`Padding`] says how large. No
///   parameters.
/// - Defaults: pools that do not overlap (strides of the pool size), `Padding::Valid`.
/// - Gradient: dy goes to the value that was largest, the first of equals.
///
/// Keras `MaxPooling1D`, `MaxPooling2D`; PyTorch `MaxPool1d`, `MaxPool2d`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4, 1]).add(MaxPooling1d::new(2)).build(0)?;
/// let x = Tensor::new([1, 4, 1], vec![1.0, 3.0, -5.0, -2.0])?;
/// assert_eq!(model.predict(&x)?.as_slice(), &[3.0, -2.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MaxPooling<const D: usize> {
    pool_size: Size<D>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    strides: Option<Size<D>>,
    padding: Padding,
    #[cfg_attr(feature = "serde", serde(skip))]
    window: Geometry<Window>,
}

/// A [`MaxPooling`] over sequences `[length, channels]`.
pub type MaxPooling1d = MaxPooling<1>;

/// A [`MaxPooling`] over images `[height, width, channels]`.
pub type MaxPooling2d = MaxPooling<2>;

impl<const D: usize> MaxPooling<D> {
    const NAME: &'static str = if D == 1 { "MaxPooling1d" } else { "MaxPooling2d" };

    /// Pools of this size; 2 is Keras's default.
    pub fn new(pool_size: impl Into<Size<D>>) -> Self {
        const { assert!(D == 1 || D == 2, "pools are over one or two axes") };
        let window = Geometry::default();
        MaxPooling { pool_size: pool_size.into(), strides: None, padding: Padding::Valid, window }
    }

    pool_builders!();
}

impl<T: Float, const D: usize> Layer<T> for MaxPooling<D>
where
    LayerConfig: From<MaxPooling<D>>,
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

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        if pass.needs_backward() {
            slot.indices.resize(y.len(), 0);
        }
        let winners = if pass.needs_backward() { slot.indices.as_mut_slice() } else { &mut [] };
        pooling::max(&self.window_over(x), x.as_slice(), y.as_mut_slice(), winners);
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        if let Some(dx) = dx {
            pooling::max_backward(&self.window_over(dx), &slot.indices, dy.as_slice(), dx.as_mut_slice());
        }
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.window.input().with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, backward: bool) -> usize {
        let window = self.window.of_sample(x.sample(), |sample| self.window(sample));
        // The winner of each output.
        if backward { (window.pixels() * window.channels).saturating_mul(x.first()) } else { 0 }
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
        gradcheck::check_layer(&MaxPooling1d::new(2), [7, 3]).unwrap();
        gradcheck::check_layer(&MaxPooling2d::new([2, 3]), [5, 7, 2]).unwrap();
        gradcheck::check_layer(&MaxPooling2d::new(3).strides(2).padding(Padding::Same), [4, 5, 33]).unwrap();
        gradcheck::check_layer(&MaxPooling2d::new(1).strides(2), [3, 3, 1]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: MaxPooling2d| Sequential::new([3, 3, 1]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(MaxPooling2d::new(0)).contains("pool_size must be at least 1, got 0"));
        assert!(error(MaxPooling2d::new(4)).contains("a height of at least 4"));
        assert!(error(MaxPooling2d::new(2).strides(0)).contains("strides must be at least 1"));
        assert!(error(MaxPooling2d::new(2).padding(Padding::Causal)).contains("Valid or Same"));
        assert!(Sequential::new([3, 3]).add(MaxPooling2d::new(2)).build(0).is_err());
    }
}
