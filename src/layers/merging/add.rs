//! The sum of values.

use super::{Joined, broadcast, joined_shape, wanted};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::layers::epilogue::EpiloguePass;
use crate::layers::sum;
use crate::tensor::{Float, Shape, Tensor};

/// y = f(x₀ + … + xₙ), element by element.
///
/// - Inputs: one or more; output: the shape that all [broadcast](super) to. No parameters.
/// - Default: no activation f.
/// - Gradient, with dz = dy·f'(Σ x): dxᵢ = dz, summed over the positions that a size of 1 counts for.
///
/// Keras `Add`, PyTorch `a + b`.
///
/// ```
/// use gradus::layers::merging::Add;
/// use gradus::{Builder, Op, Shape};
/// // A bias a channel.
/// let output = Add::new().build(&[Shape::from([4, 4, 3]), Shape::from([3])], &mut Builder::<f32>::new(0))?;
/// assert_eq!(output, [Shape::from([4, 4, 3])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Add {
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Activation::is_linear"))]
    activation: Activation,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    same_shapes: bool,
    #[cfg_attr(feature = "serde", serde(skip))]
    joined: Joined,
    /// Values of a sample of the output.
    #[cfg_attr(feature = "serde", serde(skip))]
    len: usize,
}

impl Add {
    /// The sum alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// The function applied to the sum; none by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// An error for operands of several shapes, where they are to have one.
    fn check_shapes(&self, x: &[Shape]) -> Result<()> {
        let Some(i) = x.iter().position(|shape| self.same_shapes && *shape != x[0]) else { return Ok(()) };
        let expected = format!("operands of one shape, {} as the first", x[0]);
        let hint = "let a Dense or Conv2d bring them to one shape, or use Concatenate";
        Err(Error::shape("Add", expected, format!("{} as operand {i}", x[i]), hint))
    }

    /// Whether operands of other shapes than the first one's are refused, as they are in a residual sum; no by default.
    pub fn same_shapes(mut self, same_shapes: bool) -> Self {
        self.same_shapes = same_shapes;
        self
    }
}

impl<T: Float> Op<T> for Add {
    fn class(&self) -> &'static str {
        "Add"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        self.activation.check()?;
        self.check_shapes(x)?;
        let output = self.joined.build("Add", x)?;
        if self.activation.is_row_wise() {
            output[0].need_axis("Add")?;
        }
        self.len = output[0].len();
        Ok(output)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        self.check_shapes(x)?;
        joined_shape("Add", x, y)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        let epilogue = EpiloguePass::activation(pass, self.activation, y[0].shape().last());
        let ([z], place) = slot.buffers_and_plan();
        let plan = self.joined.plan_at(place, x);
        if plan.all_equal() {
            return sum::forward(epilogue, x.iter(), &mut y[0], z);
        }
        sum::forward_by(epilogue, x.len(), &mut y[0], z, |first, y| {
            plan.fold(|i| x.get(i).as_slice(), first, y, |y, x| *y += x);
        });
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        y: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        let epilogue = EpiloguePass::activation(pass, self.activation, y[0].shape().last());
        let ([z], place) = slot.buffers_and_plan();
        let plan = self.joined.plan_at(place, x);
        if epilogue.activation != Activation::Linear {
            sum::backward(epilogue, z, &y[0], &mut dy[0], &mut Tensor::default());
        }
        let dz = dy[0].as_slice();
        for (i, dx) in wanted(dx) {
            plan.backward(i, dx, 1, |start, g| g.copy_from_slice(&dz[start..start + g.len()]));
        }
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        // The sum, where backward needs it.
        if backward && self.activation.needs_input() { self.len.saturating_mul(samples) } else { 0 }
    }

    fn space_for(&self, x: &[Shape], backward: bool) -> usize {
        let sample = broadcast("Add", x.iter().map(Shape::sample)).unwrap_or_default();
        let samples = x.first().map_or(0, Shape::first);
        if backward && self.activation.needs_input() { sample.len().saturating_mul(samples) } else { 0 }
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Any
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> OpConfig {
        OpConfig::Add(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, operands};
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients() {
        for x in operands() {
            check_op(Add::new(), &x).unwrap();
        }
        for activation in Activation::ALL {
            check_op(Add::new().activation(activation), &[[2, 3].into(), [2, 3].into()]).unwrap();
            check_op(Add::new().activation(activation), &[[3].into(), [2, 1].into()]).unwrap();
        }
    }

    #[test]
    fn impossible_settings() {
        assert!(error(Add::new().activation(Activation::LeakyRelu(f64::NAN)), &[[3].into()]).contains("finite"));
        assert!(error(Add::new().activation(Activation::Softmax), &[Shape::SCALAR]).contains("Reshape([1])"));
        let broadcasts = [Shape::from([3, 5]), [5].into()];
        assert_eq!(
            error(Add::new().same_shapes(true), &broadcasts),
            "Add: expected operands of one shape, [3, 5] as the first, got [5] as operand 1; let a Dense or Conv2d bring them to one \
             shape, or use Concatenate"
        );
    }
}
