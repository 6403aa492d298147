//! The product of values.

use super::{Joined, joined_shape, wanted};
use crate::error::Result;
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x₀·…·xₙ, element by element: often one of them is a gate.
///
/// - Inputs: one or more; output: the shape that all [broadcast](super) to. No parameters.
/// - Gradient: dxᵢ = dy times the product of the other operands, summed over the positions that a size of 1 counts for.
///
/// Keras `Multiply`, PyTorch `a * b`.
///
/// ```
/// use gradus::layers::merging::Multiply;
/// use gradus::{Builder, Op, Shape};
/// // A gate a channel.
/// let output = Multiply::new().build(&[Shape::from([4, 4, 3]), Shape::from([1, 1, 3])], &mut Builder::<f32>::new(0))?;
/// assert_eq!(output, [Shape::from([4, 4, 3])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Multiply {
    #[cfg_attr(feature = "serde", serde(skip))]
    joined: Joined,
}

impl Multiply {
    /// The product of all operands.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Op<T> for Multiply {
    fn class(&self) -> &'static str {
        "Multiply"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        self.joined.build("Multiply", x)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        joined_shape("Multiply", x, y)
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        self.joined.fold(slot, x, y, x.len(), |y, x| *y *= x);
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
        let dy = dy[0].as_slice();
        for (i, dx) in wanted(dx) {
            plan.backward(i, dx, x.len(), |start, g| {
                g.copy_from_slice(&dy[start..start + g.len()]);
                for j in (0..x.len()).filter(|j| *j != i) {
                    plan.combine(j, x[j].as_slice(), start, g, |g, x| *g *= x);
                }
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
        OpConfig::Multiply(self.clone())
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
            check_op(Multiply::new(), &x).unwrap();
        }
    }
}
