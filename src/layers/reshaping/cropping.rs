//! The middle of sequences and images.

use super::margins::{Frame, Margins};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Layer, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::convolutional::check_rank;
use crate::layers::geometry::Geometry;
use crate::tensor::{Float, Shape, Tensor, unless_free};

/// y = x without its margins.
///
/// Used as [`Cropping1d`] over sequences and [`Cropping2d`] over images.
///
/// - Input `[length, channels]` or `[height, width, channels]`, output shorter by the margins. No parameters.
/// - Gradient: dx = dy with zeros around it.
///
/// Keras `Cropping1D`, `Cropping2D`; PyTorch `ZeroPad1d`, `ZeroPad2d` with negative sizes.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([5, 9, 3]).add(Cropping2d::new([[1, 0], [2, 2]])).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([4, 5, 3]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Cropping<const D: usize> {
    margins: Margins<D>,
    #[cfg_attr(feature = "serde", serde(skip))]
    frame: Geometry<Frame>,
}

/// A [`Cropping`] over sequences `[length, channels]`.
pub type Cropping1d = Cropping<1>;

/// A [`Cropping`] over images `[height, width, channels]`.
pub type Cropping2d = Cropping<2>;

impl<const D: usize> Cropping<D> {
    const NAME: &'static str = if D == 1 { "Cropping1d" } else { "Cropping2d" };

    /// Takes away as many rows and columns as the margins say; 1 is Keras's default for images.
    pub fn new(margins: impl Into<Margins<D>>) -> Self {
        const { assert!(D == 1 || D == 2, "margins are of one or two axes") };
        Cropping { margins: margins.into(), frame: Geometry::default() }
    }

    /// The shape of an output sample, whose frame is that of the input.
    fn output(&self, input: Shape) -> Result<Shape> {
        let [height, width, channels] = check_rank::<D>(Self::NAME, input)?;
        let [down, across] = self.margins.plane();
        let shorter = |size: usize, [before, after]: [usize; 2]| {
            let rest = size.checked_sub(before.saturating_add(after)).filter(|rest| *rest > 0);
            rest.ok_or_else(|| {
                let expected = format!("a size of more than {}, which is cut away", before.saturating_add(after));
                Error::shape(Self::NAME, expected, size, "cut away less")
            })
        };
        let tall = unless_free(height, |height| shorter(height, down))?;
        let wide = unless_free(width, |width| shorter(width, across))?;
        Ok(if D == 1 { Shape::from([wide, channels]) } else { Shape::from([tall, wide, channels]) })
    }

    fn frame(&self, input: Shape) -> Result<Frame> {
        Ok(self.margins.frame(self.output(input)?, input))
    }
}

impl<T: Float, const D: usize> Layer<T> for Cropping<D>
where
    LayerConfig: From<Cropping<D>>,
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
        self.frame.of(x, |sample| self.frame(sample)).take(x, y);
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
            self.frame.of(dx, |sample| self.frame(sample)).put(dy, dx);
        }
    }

    fn config(&self) -> LayerConfig {
        self.clone().into()
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
    fn gradients() {
        gradcheck::check_layer(&Cropping1d::new([[1, 2]]), [5, 3]).unwrap();
        gradcheck::check_layer(&Cropping1d::new(0), [5, 3]).unwrap();
        gradcheck::check_layer(&Cropping2d::new([1, 2]), [4, 5, 2]).unwrap();
        gradcheck::check_layer(&Cropping2d::new([[1, 0], [0, 3]]), [2, 4, 3]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: Cropping2d| Sequential::new([4, 2, 1]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(Cropping2d::new(1)).contains("a size of more than 2, which is cut away, got 2; cut away less"));
        assert!(error(Cropping2d::new(usize::MAX)).contains("cut away less"));
    }
}
