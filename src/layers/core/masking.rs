//! Steps that do not count, told by their values.

use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x under a mask: a step counts unless all its features equal a value, and where it does not, y = 0.
///
/// - Input and output of one shape, at least one axis: `[steps, features]` as a rule. No parameters. The mask goes over all axes but the last,
///   in the place of one that the input may have.
/// - Gradient: dx = dy at steps that count, else 0.
///
/// Layers behind it pass the mask on or drop it as Keras's do, some go by it ([`GlobalAveragePooling1d`](super::super::GlobalAveragePooling1d),
/// [`BatchNorm`](super::super::BatchNorm)), and the loss and the metrics of an output that carries it count those steps alone.
///
/// Keras `Masking`.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([3, 2]).add(Masking::new(-1.0)).build(0)?;
/// let x = Tensor::new([1, 3, 2], vec![1.0, -1.0, -1.0, -1.0, 0.0, 0.0])?;
/// assert_eq!(model.predict(&x)?.as_slice(), &[1.0, -1.0, 0.0, 0.0, 0.0, 0.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Masking {
    mask_value: f64,
    /// The axes of a sample that the mask goes over; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    axes: usize,
}

impl Default for Masking {
    fn default() -> Self {
        Masking::new(0.0)
    }
}

impl Masking {
    /// The value of steps that do not count; it is compared as the model's type has it. Keras's default is 0.
    pub fn new(mask_value: f64) -> Self {
        Masking { mask_value, axes: 0 }
    }

    /// The value of steps that do not count.
    #[cfg(feature = "keras")]
    pub(crate) fn value(&self) -> f64 {
        self.mask_value
    }

    /// to = from at steps of x that count.
    fn apply<T: Float>(&self, x: &Tensor<T>, from: &Tensor<T>, to: &mut Tensor<T>) {
        let (value, n) = (T::of(self.mask_value), x.shape().last());
        parallel::rows(to.as_mut_slice(), n, 2 * n, |first, to| {
            let steps = x.as_slice()[first * n..].chunks_exact(n).zip(from.as_slice()[first * n..].chunks_exact(n));
            for (to, (x, from)) in to.chunks_exact_mut(n).zip(steps) {
                match counts(x, value) {
                    true => to.copy_from_slice(from),
                    false => to.fill(T::zero()),
                }
            }
        });
    }
}

/// Whether a step counts.
fn counts<T: Float>(x: &[T], value: T) -> bool {
    x.iter().any(|x| *x != value)
}

impl<T: Float> Layer<T> for Masking {
    fn class(&self) -> &'static str {
        "Masking"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        input.need_axis("Masking")?;
        if !T::of(self.mask_value).is_finite() {
            let expected = if self.mask_value.is_finite() { format!("finite as {}", T::NAME) } else { "finite".into() };
            let hint = "name the value of all features of steps that do not count, such as 0.0";
            return Err(Error::argument("Masking", "mask_value", expected, self.mask_value, hint));
        }
        self.axes = input.rank() - 1;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        self.apply(x, x, y);
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
            self.apply(x, dy, dx);
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Opens(self.axes)
    }

    fn open_mask(&self, x: &Tensor<T>, mask: &mut [bool]) {
        let (value, n) = (T::of(self.mask_value), x.shape().last());
        parallel::rows(mask, 1, n, |first, mask| {
            mask.iter_mut().zip(x.as_slice()[first * n..].chunks_exact(n)).for_each(|(m, x)| *m = counts(x, value));
        });
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Masking(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients_and_errors() {
        gradcheck::check_layer(&Masking::new(0.0), [4, 3]).unwrap();
        gradcheck::check_layer(&Masking::new(-1.0), [3]).unwrap();
        let error = |layer: Masking, input: Shape| Sequential::new(input).add(layer).build(0).unwrap_err().to_string();
        assert!(error(Masking::new(f64::NAN), [2, 3].into()).contains("mask_value must be finite"));
        assert!(error(Masking::new(1e39), [2, 3].into()).contains("mask_value must be finite as f32"));
        assert!(error(Masking::new(0.0), Shape::SCALAR).contains("Reshape([1])"));
    }
}
