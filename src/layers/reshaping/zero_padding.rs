//! Zeros around sequences and images.

use super::margins::{Frame, Margins};
use crate::error::{Error, Result};
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::convolutional::check_rank;
use crate::layers::geometry::Geometry;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = x with zeros around it.
///
/// Used as [`ZeroPadding1d`] over sequences and [`ZeroPadding2d`] over images.
///
/// - Input `[length, channels]` or `[height, width, channels]`, output longer by the margins. No parameters.
/// - Gradient: dx = dy without the margins.
///
/// Keras `ZeroPadding1D`, `ZeroPadding2D`; PyTorch `ZeroPad1d`, `ZeroPad2d`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4, 5, 3]).add(ZeroPadding2d::new([[1, 0], [2, 2]])).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([5, 9, 3]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ZeroPadding<const D: usize> {
    margins: Margins<D>,
    #[cfg_attr(feature = "serde", serde(skip))]
    frame: Geometry<Frame>,
}

/// A [`ZeroPadding`] over sequences `[length, channels]`.
pub type ZeroPadding1d = ZeroPadding<1>;

/// A [`ZeroPadding`] over images `[height, width, channels]`.
pub type ZeroPadding2d = ZeroPadding<2>;

impl<const D: usize> ZeroPadding<D> {
    const NAME: &'static str = if D == 1 { "ZeroPadding1d" } else { "ZeroPadding2d" };

    /// As many rows and columns of zeros as the margins say; 1 is Keras's default for images.
    pub fn new(margins: impl Into<Margins<D>>) -> Self {
        const { assert!(D == 1 || D == 2, "margins are of one or two axes") };
        ZeroPadding { margins: margins.into(), frame: Geometry::default() }
    }

    /// The shape of an output sample, which is the frame of the input.
    fn output(&self, input: Shape) -> Result<Shape> {
        let [height, width, channels] = check_rank::<D>(Self::NAME, input)?;
        let [down, across] = self.margins.plane();
        let longer = |size: usize, [before, after]: [usize; 2]| {
            if size == FREE { FREE } else { size.saturating_add(before).saturating_add(after) }
        };
        let (tall, wide) = (longer(height, down), longer(width, across));
        let output = if D == 1 { Shape::from([wide, channels]) } else { Shape::from([tall, wide, channels]) };
        output.open_len(Self::NAME)?;
        if input.is_empty() {
            return Err(Error::shape(Self::NAME, "at least one value", input, "give every size at least 1"));
        }
        Ok(output)
    }

    fn frame(&self, input: Shape) -> Result<Frame> {
        Ok(self.margins.frame(input, self.output(input)?))
    }
}

impl<T: Float, const D: usize> Layer<T> for ZeroPadding<D>
where
    LayerConfig: From<ZeroPadding<D>>,
{
    fn class(&self) -> &'static str {
        Self::NAME
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        self.frame = Geometry::new(input, |input| self.frame(input))?;
        self.output(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        self.output(x)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        self.frame.of(x, |sample| self.frame(sample)).put(x, y);
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
            self.frame.of(dx, |sample| self.frame(sample)).take(dy, dx);
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
        gradcheck::check_layer(&ZeroPadding1d::new([[1, 2]]), [5, 3]).unwrap();
        gradcheck::check_layer(&ZeroPadding1d::new(0), [5, 3]).unwrap();
        gradcheck::check_layer(&ZeroPadding2d::new([1, 2]), [4, 5, 2]).unwrap();
        gradcheck::check_layer(&ZeroPadding2d::new([[1, 0], [0, 3]]), [2, 4, 3]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let huge = ZeroPadding2d::new(usize::MAX);
        assert!(Sequential::new([2, 2, 1]).add(huge).build(0).unwrap_err().to_string().contains("fits in memory"));
        assert!(Sequential::new([2, 2]).add(ZeroPadding2d::new(1)).build(0).is_err());
    }
}
