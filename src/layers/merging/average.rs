//! The mean of values.

use super::{Joined, joined_shape, wanted};
use crate::error::Result;
use crate::kernels::broadcast::each_block;
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = (x₀ + … + xₙ₋₁) / n, element by element.
///
/// - Inputs: one or more; output: the shape that all [broadcast](super) to. No parameters.
/// - Gradient: dxᵢ = dy / n, summed over the positions that a size of 1 counts for.
///
/// Keras `Average`.
///
/// ```
/// use gradus::layers::merging::Average;
/// use gradus::{Builder, Op, Shape};
/// let output = Average::new().build(&[Shape::from([5, 2]); 3], &mut Builder::<f32>::new(0))?;
/// assert_eq!(output, [Shape::from([5, 2])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Average {
    #[cfg_attr(feature = "serde", serde(skip))]
    joined: Joined,
}

impl Average {
    /// The mean of all operands.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Op<T> for Average {
    fn class(&self) -> &'static str {
        "Average"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        self.joined.build("Average", x)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        joined_shape("Average", x, y)
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let plan = self.joined.plan(slot, x);
        let n = T::of(x.len() as f64);
        each_block(y[0].as_mut_slice(), x.len() + 1, |start, y| {
            plan.fold(|i| x.get(i).as_slice(), start, y, |y, x| *y += x);
            y.iter_mut().for_each(|y| *y /= n);
        });
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        let plan = self.joined.plan(slot, x);
        let (dy, n) = (dy[0].as_slice(), T::of(x.len() as f64));
        for (i, dx) in wanted(dx) {
            plan.backward(i, dx, 1, |start, g| {
                g.iter_mut().zip(&dy[start..]).for_each(|(g, dy)| *g = *dy / n);
            });
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Any
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> OpConfig {
        OpConfig::Average(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::operands;
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients() {
        for x in operands() {
            check_op(Average::new(), &x).unwrap();
        }
    }
}
