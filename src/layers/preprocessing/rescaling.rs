//! Values times a number plus a number.

use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = scale·x + offset.
///
/// - Input and output of one shape, any number of axes; no parameters.
/// - Default: offset 0.
/// - Gradient: dx = scale·dy.
///
/// Keras `Rescaling`.
///
/// ```
/// use gradus::prelude::*;
/// // Bytes to −1..1.
/// let model = Sequential::new([3]).add(Rescaling::new(1.0 / 127.5).offset(-1.0)).build_as(0)?;
/// assert_eq!(model.predict(&Tensor::from([[0.0f64, 127.5, 255.0]]))?.as_slice(), &[-1.0, 0.0, 1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rescaling {
    scale: f64,
    offset: f64,
}

impl Rescaling {
    /// The factor.
    pub fn new(scale: f64) -> Self {
        Rescaling { scale, offset: 0.0 }
    }

    /// What is added; 0 by default.
    pub fn offset(mut self, offset: f64) -> Self {
        self.offset = offset;
        self
    }
}

impl<T: Float> Layer<T> for Rescaling {
    fn class(&self) -> &'static str {
        "Rescaling"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        for (name, value) in [("scale", self.scale), ("offset", self.offset)] {
            if !T::of(value).is_finite() {
                let expected = if value.is_finite() { format!("finite as {}", T::NAME) } else { "finite".into() };
                return Err(Error::argument("Rescaling", name, expected, value, "1.0 / 255.0 brings bytes to 0..1"));
            }
        }
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (scale, offset) = (T::of(self.scale), T::of(self.offset));
        parallel::rows(y.as_mut_slice(), 1, 1, |first, y| {
            y.iter_mut().zip(&x.as_slice()[first..]).for_each(|(y, &x)| *y = x * scale + offset);
        });
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
        let Some(dx) = dx else { return };
        // dx = scale·dy
        let scale = T::of(self.scale);
        dx.as_mut_slice().iter_mut().zip(dy.as_slice()).for_each(|(dx, &dy)| *dx = dy * scale);
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Rescaling(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients_and_errors() {
        gradcheck::check_layer(&Rescaling::new(0.25).offset(3.0), [3, 5]).unwrap();
        gradcheck::check_layer(&Rescaling::new(-2.0), Shape::SCALAR).unwrap();
        for layer in [Rescaling::new(f64::NAN), Rescaling::new(1.0).offset(f64::INFINITY)] {
            assert!(Sequential::new([3]).add(layer).build(0).unwrap_err().to_string().contains("must be finite"));
        }
        let wide = || Rescaling::new(1e39);
        assert!(Sequential::new([3]).add(wide()).build(0).unwrap_err().to_string().contains("finite as f32"));
        assert!(Sequential::new([3]).add(wide()).build_as::<f64>(0).is_ok());
    }
}
