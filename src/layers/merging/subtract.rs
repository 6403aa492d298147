//! The difference of two values.

use super::{Joined, joined_shape, two, wanted};
use crate::error::Result;
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x₀ − x₁, element by element.
///
/// - Inputs: two; output: the shape that both [broadcast](super) to. No parameters.
/// - Gradient: dx₀ = dy and dx₁ = −dy, summed over the positions that a size of 1 counts for.
///
/// Keras `Subtract`, PyTorch `a - b`.
///
/// ```
/// use gradus::layers::merging::Subtract;
/// use gradus::{Builder, Op, Shape};
/// let output = Subtract::new().build(&[Shape::from([5, 2]), Shape::from([2])], &mut Builder::<f32>::new(0))?;
/// assert_eq!(output, [Shape::from([5, 2])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Subtract {
    #[cfg_attr(feature = "serde", serde(skip))]
    joined: Joined,
}

impl Subtract {
    /// The first operand less the second.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Op<T> for Subtract {
    fn class(&self) -> &'static str {
        "Subtract"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        two("Subtract", x, "subtract one value after the other")?;
        self.joined.build("Subtract", x)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        joined_shape("Subtract", x, y)
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        self.joined.fold(slot, x, y, x.len(), |y, x| *y -= x);
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
            plan.backward(i, dx, 1, |start, g| {
                let dy = &dy[start..start + g.len()];
                match i {
                    0 => g.copy_from_slice(dy),
                    _ => g.iter_mut().zip(dy).for_each(|(g, dy)| *g = -*dy),
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
        OpConfig::Subtract(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, operands};
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients() {
        for x in operands().iter().filter(|x| x.len() > 1) {
            check_op(Subtract::new(), &x[..2]).unwrap();
            check_op(Subtract::new(), &[x[1], x[0]]).unwrap();
        }
    }

    #[test]
    fn two_operands() {
        let expected = "Subtract: expected 2 operands, got 3; subtract one value after the other";
        assert_eq!(error(Subtract::new(), &[Shape::from([2]); 3]), expected);
        assert!(error(Subtract::new(), &[Shape::from([2])]).contains("expected 2 operands, got 1"));
        assert!(error(Subtract::new(), &[]).contains("expected 2 operands, got 0"));
    }
}
