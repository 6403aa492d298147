//! Rows of length 1.

use crate::error::Result;
use crate::kernels::{parallel, rows};
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x / max(‖x‖₂, 10⁻⁶) along the last axis.
///
/// - Input and output of one shape, at least one axis; no parameters.
/// - Gradient, with r = 1 / ‖x‖: dx = r·(dy − y·Σ dy·y); where the length is at its floor, dx = 10⁶·dy.
///
/// Keras `UnitNormalization` (which keeps Σ x² at 10⁻¹² or more), PyTorch `functional.normalize`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2]).add(UnitNormalization::new()).build(0)?;
/// assert_eq!(model.predict(&Tensor::from([[3.0, 4.0]]))?.as_slice(), &[0.6, 0.8]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct UnitNormalization {}

/// The least Σ x².
const FLOOR: f64 = 1e-12;

impl UnitNormalization {
    /// Along the last axis.
    pub fn new() -> Self {
        UnitNormalization {}
    }
}

/// 1 / ‖x‖, and whether the length is above its floor.
fn inverse_length<T: Float>(x: &[T]) -> (T, bool) {
    let (square, floor) = (rows::dot(x, x), T::of(FLOOR));
    // NaN counts as above, so that it shows.
    if square < floor { (T::one() / floor.sqrt(), false) } else { (T::one() / square.sqrt(), true) }
}

impl<T: Float> Layer<T> for UnitNormalization {
    fn class(&self) -> &'static str {
        "UnitNormalization"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        input.need_axis("UnitNormalization")?;
        Ok(input)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let width = x.shape().last().max(1);
        parallel::rows(y.as_mut_slice(), width, 2 * width, |first, y| {
            for (y, x) in y.chunks_exact_mut(width).zip(x.as_slice()[first * width..].chunks_exact(width)) {
                let (r, _) = inverse_length(x);
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * r);
            }
        });
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        let width = x.shape().last().max(1);
        parallel::rows(dx.as_mut_slice(), width, 4 * width, |first, dx| {
            let part = first * width..first * width + dx.len();
            let each =
                x.as_slice()[part.clone()].chunks_exact(width).zip(y.as_slice()[part.clone()].chunks_exact(width));
            let each = each.zip(dy.as_slice()[part].chunks_exact(width));
            for (dx, ((x, y), dy)) in dx.chunks_exact_mut(width).zip(each) {
                // dx = r·(dy − y·Σ dy·y)
                let (r, above) = inverse_length(x);
                let dot = if above { rows::dot(dy, y) } else { T::zero() };
                dx.iter_mut().zip(y).zip(dy).for_each(|((dx, &y), &dy)| *dx = r * (dy - y * dot));
            }
        });
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::UnitNormalization(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn short_rows_stay_finite() {
        let model = Sequential::of([2]).add(UnitNormalization::new()).build(0).unwrap();
        let y = model.predict(&Tensor::from([[0.0f64, 0.0], [3e-7, 4e-7], [-3e6, 4e6]])).unwrap();
        for (y, expected) in y.iter().zip([0.0, 0.0, 0.3, 0.4, -0.6, 0.8]) {
            assert!((y - expected).abs() < 1e-15, "{y} for {expected}");
        }
    }

    #[test]
    fn gradients() {
        gradcheck::check_layer(&UnitNormalization::new(), [11]).unwrap();
        gradcheck::check_layer(&UnitNormalization::new(), [3, 5]).unwrap();
        // Below the floor the layer is a multiplication.
        let (x, params) = (Tensor::from([[1e-8f64, 2e-8]]), crate::Params::new());
        let (mut y, mut dx) = (Tensor::zeros([1, 2]), Tensor::zeros([1, 2]));
        let (pass, slot) = (&mut Pass::inference(&params), &mut Slot::new());
        UnitNormalization::new().forward(pass, slot, &x, &mut y);
        UnitNormalization::new().backward(pass, slot, &x, &y, &mut Tensor::from([[1.0, -2.0]]), Some(&mut dx));
        assert!((dx.as_slice()[0] - 1e6).abs() < 1e-6 && (dx.as_slice()[1] + 2e6).abs() < 1e-6);
        assert!(Sequential::new(Shape::SCALAR).add(UnitNormalization::new()).build(0).is_err());
    }
}
