//! The quotient of two values.

use crate::error::Result;
use crate::layer::{Builder, Continuation, Inputs, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::layers::merging::{Joined, joined_shape, two, wanted};
use crate::tensor::{Float, Shape, Tensor};

/// y = x₀ / x₁, element by element; what division by 0 gives is infinite, or NaN for 0 / 0.
///
/// - Inputs: two; output: the shape that both [broadcast](crate::layers::merging) to. No parameters.
/// - Gradient: dx₀ = dy / x₁ and dx₁ = −dy·y / x₁, summed over the positions that a size of 1 counts for.
///
/// Keras `ops.true_divide` or `a / b`, PyTorch `a / b`.
///
/// ```
/// use gradus::layers::operators::Divide;
/// use gradus::{Builder, Op, Shape};
/// let output = Divide::new().build(&[Shape::from([5, 2]), Shape::from([5, 1])], &mut Builder::<f32>::new(0))?;
/// assert_eq!(output, [Shape::from([5, 2])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Divide {
    #[cfg_attr(feature = "serde", serde(skip))]
    joined: Joined,
}

impl Divide {
    /// The first operand by the second.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Op<T> for Divide {
    fn class(&self) -> &'static str {
        "Divide"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        two("Divide", x, "divide one value after the other")?;
        self.joined.build("Divide", x)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        joined_shape("Divide", x, y)
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        self.joined.fold(slot, x, y, x.len(), |y, x| *y /= x);
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        y: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        let plan = self.joined.plan(slot, x);
        let (y, dy) = (y[0].as_slice(), dy[0].as_slice());
        for (i, dx) in wanted(dx) {
            plan.backward(i, dx, 2, |start, g| {
                let part = start..start + g.len();
                let dy = &dy[part.clone()];
                match i {
                    0 => g.copy_from_slice(dy),
                    _ => g.iter_mut().zip(dy.iter().zip(&y[part])).for_each(|(g, (dy, y))| *g = -*dy * *y),
                }
                plan.combine(1, x[1].as_slice(), start, g, |g, x| *g /= x);
            });
        }
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> OpConfig {
        OpConfig::Divide(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairs;
    use super::*;

    #[test]
    fn values_and_gradients_of_quotients() {
        let [y, a, b] = pairs(Divide::new(), &[[3.0, 2.0], [-1.0, 4.0], [0.0, -2.0], [1.0, 0.0]]);
        assert_eq!(y, [1.5, -0.25, 0.0, f64::INFINITY]);
        assert_eq!(a, [0.5, 0.25, -0.5, f64::INFINITY]);
        assert_eq!(b, [-0.75, 0.0625, 0.0, f64::NEG_INFINITY]);
    }
}
