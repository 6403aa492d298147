//! Rows of length 1.

use crate::error::Result;
use crate::kernels::{parallel, rows};
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x / ‖x‖₂ along the last axis; a row of zeros stays one.
///
/// - Input and output of one shape, at least one axis; no parameters.
/// - Gradient, with r = 1 / ‖x‖: dx = r·(dy − y·Σ dy·y); 0 for a row of zeros, where there is none.
/// - Every finite row but that of zeros gets length 1, however small or large; an infinite value gives NaN.
///
/// Keras `UnitNormalization` (which keeps Σ x² at 10⁻¹² or more, so that rows shorter than 10⁻⁶ stay short), PyTorch
/// `functional.normalize` (from 10⁻¹² on).
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

impl UnitNormalization {
    /// Along the last axis.
    pub fn new() -> Self {
        UnitNormalization {}
    }
}

/// v / ‖x‖ of each value, `v(i)`, into `out`; zeros where the length is 0.
fn divide<T: Float>(x: &[T], out: &mut [T], v: impl Fn(usize) -> T) {
    let [top, length] = rows::scaled_norm(rows::dot(x, x), x);
    if length == T::zero() {
        return out.fill(T::zero());
    }
    if top == T::one() {
        let r = T::one() / length;
        return out.iter_mut().enumerate().for_each(|(i, out)| *out = v(i) * r);
    }
    out.iter_mut().enumerate().for_each(|(i, out)| *out = v(i) / top / length);
}

impl<T: Float> Layer<T> for UnitNormalization {
    fn class(&self) -> &'static str {
        "UnitNormalization"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        input.need_axis("UnitNormalization")?;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let width = x.shape().last().max(1);
        parallel::rows(y.as_mut_slice(), width, 2 * width, |first, y| {
            for (y, x) in y.chunks_exact_mut(width).zip(x.as_slice()[first * width..].chunks_exact(width)) {
                divide(x, y, |i| x[i]);
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
                let dot = rows::dot(dy, y);
                divide(x, dx, |i| dy[i] - y[i] * dot);
            }
        });
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
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
    fn rows_of_any_length_but_zero() {
        fn check<T: Float>(scales: &[f64], accuracy: f64) {
            for &scale in scales {
                let tensor = |row: [f64; 4]| Tensor::from_fn([2, 2], |i| T::of(row[i]));
                let x = tensor([3.0 * scale, -4.0 * scale, 0.0, 0.0]);
                let (mut y, mut dx) = (Tensor::zeros([2, 2]), Tensor::zeros([2, 2]));
                let params = crate::Params::new();
                let (pass, slot) = (&mut Pass::inference(&params), &mut Slot::new());
                UnitNormalization::new().forward(pass, slot, &x, &mut y);
                for (y, expected) in y.iter().zip([0.6, -0.8, 0.0, 0.0]) {
                    assert!((y.as_f64() - expected).abs() < accuracy, "{y} for {expected} at {scale}");
                }
                // dy − y·Σ dy·y = (1, 2) − (0.6, −0.8)·(−1) = (1.6, 1.2), over the length of 5·scale
                let mut dy = tensor([1.0, 2.0, 1.0, 2.0]);
                UnitNormalization::new().backward(pass, slot, &x, &y, &mut dy, Some(&mut dx));
                for (dx, expected) in dx.iter().zip([0.32 / scale, 0.24 / scale, 0.0, 0.0]) {
                    let expected = T::of(expected).as_f64();
                    assert!(
                        dx.as_f64() == expected || (dx.as_f64() - expected).abs() <= 10.0 * accuracy * expected,
                        "{dx} for {expected} at {scale}"
                    );
                }
            }
        }
        check::<f64>(&[1e-300, 1e-200, 1e-30, 1e-8, 1.0, 1e30, 1e200, 4e307], 1e-15);
        check::<f32>(&[1e-37, 1e-30, 1e-8, 1.0, 1e8, 1e30, 8e37], 1e-6);
    }

    #[test]
    fn gradients() {
        gradcheck::check_layer(&UnitNormalization::new(), [11]).unwrap();
        gradcheck::check_layer(&UnitNormalization::new(), [3, 5]).unwrap();
        assert!(Sequential::new(Shape::SCALAR).add(UnitNormalization::new()).build(0).is_err());
    }
}
