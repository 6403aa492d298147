//! The smallest of values.

use super::{Joined, joined_shape};
use crate::error::Result;
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = min(x₀, …, xₙ), element by element; NaN where any operand has it.
///
/// - Inputs: one or more; output: the shape that all [broadcast](super) to. No parameters.
/// - Gradient: dxᵢ = dy where xᵢ is the first operand whose value is y, elsewhere 0, summed over the positions that a size of 1 counts
///   for; none where y is NaN.
///
/// Keras `Minimum` (on TensorFlow the gradient goes to the first of equals too), PyTorch `minimum` (which shares it among equals).
///
/// ```
/// use gradus::layers::merging::Minimum;
/// use gradus::{Builder, Op, Shape};
/// let output = Minimum::new().build(&[Shape::from([5, 2]), Shape::from([5, 1])], &mut Builder::<f32>::new(0))?;
/// assert_eq!(output, [Shape::from([5, 2])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Minimum {
    #[cfg_attr(feature = "serde", serde(skip))]
    joined: Joined,
}

impl Minimum {
    /// The smallest of all operands.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Op<T> for Minimum {
    fn class(&self) -> &'static str {
        "Minimum"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        self.joined.build("Minimum", x)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        joined_shape("Minimum", x, y)
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        // NaN is no smaller, and stays.
        self.joined.fold(slot, x, y, x.len(), |y, x| *y = if x < *y || x.is_nan() { x } else { *y });
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
        self.joined.to_the_chosen(slot, x, [&y[0], &dy[0]], dx);
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Any
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> OpConfig {
        OpConfig::Minimum(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::operands;
    use super::*;
    use crate::gradcheck::check_op;
    use crate::params::Params;

    #[test]
    fn gradients() {
        for x in operands() {
            check_op(Minimum::new(), &x).unwrap();
        }
    }

    #[test]
    fn the_first_of_equals_has_the_gradient() {
        let x =
            [Tensor::from([[1.0, 5.0, 2.0, f64::NAN]]), Tensor::from([[1.0, 5.0, 2.0, 1.0]]), Tensor::from([[2.0]])];
        let mut op = Minimum::new();
        Op::<f64>::build(&mut op, &[[4].into(), [4].into(), [1].into()], &mut Builder::new(0)).unwrap();
        let (params, inputs) = (Params::new(), Inputs::new(&x, &[0, 1, 2]));
        let (pass, slot) = (&mut Pass::inference(&params), &mut Slot::new());
        let mut y = [Tensor::zeros([1, 4])];
        op.forward(pass, slot, inputs, &mut y);
        assert_eq!(y[0].as_slice()[..3], [1.0, 2.0, 2.0]);
        assert!(y[0].as_slice()[3].is_nan());
        let mut dx = [Some(Tensor::zeros([1, 4])), Some(Tensor::zeros([1, 4])), Some(Tensor::zeros([1, 1]))];
        op.backward(pass, slot, inputs, &y, &mut [Tensor::from([[1.0, f64::INFINITY, 3.0, 4.0]])], &mut dx);
        let dx = dx.map(|dx| dx.unwrap().into_vec());
        assert_eq!(dx, [vec![1.0, 0.0, 3.0, 0.0], vec![0.0; 4], vec![f64::INFINITY]]);
    }
}
