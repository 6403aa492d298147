//! A mask that another value carries.

use super::{two, wanted};
use crate::error::{Error, Result};
use crate::layer::{Builder, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = x under the mask that the second operand carries, if it does.
///
/// - Inputs: x, and a value of as many steps, the first axis of a sample; output: the shape of x. No parameters.
/// - Gradient: dx = dy; that of the second operand is 0.
///
/// [`Graph::masked_as`](crate::graph::Graph::masked_as) adds one. Keras: `mask=` of a layer's call with the mask of another tensor.
///
/// ```
/// use gradus::layers::merging::WithMaskOf;
/// use gradus::{Builder, Op, Shape};
/// let (x, b) = ([Shape::from([6, 2]), Shape::from([6, 5])], &mut Builder::<f32>::new(0));
/// assert_eq!(WithMaskOf::new().build(&x, b)?, [Shape::from([6, 2])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct WithMaskOf {}

impl WithMaskOf {
    /// With the mask of the second operand.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Op<T> for WithMaskOf {
    fn class(&self) -> &'static str {
        "WithMaskOf"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        let mut y = [Shape::SCALAR];
        Op::<T>::output_shapes(self, x, &mut y)?;
        Ok(y.to_vec())
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        let [values, other] = two("WithMaskOf", x, "pass the values, and what carries their mask")?;
        let steps = [values, other].map(|x| x.dims().first().copied());
        let agree = matches!(steps, [Some(a), Some(b)] if a == b || a == FREE || b == FREE);
        if !agree {
            let expected = format!("a value of as many steps as {values}");
            return Err(Error::shape("WithMaskOf", expected, other, "take the mask of a value of the same steps"));
        }
        y[0] = values;
        Ok(())
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        y[0].as_mut_slice().copy_from_slice(x[0].as_slice());
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        for (i, dx) in wanted(dx) {
            match i {
                0 => dx.copy_from_slice(dy[0].as_slice()),
                _ => dx.fill(T::zero()),
            }
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::PassesOf(1)
    }

    fn config(&self) -> OpConfig {
        OpConfig::WithMaskOf(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::error;
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients_and_errors() {
        check_op(WithMaskOf::new(), &[[4, 3].into(), [4, 2].into()]).unwrap();
        check_op(WithMaskOf::new(), &[[4, 3].into(), [4].into()]).unwrap();
        assert!(error(WithMaskOf::new(), &[[4, 3].into(), [5, 3].into()]).contains("of as many steps as [4, 3]"));
        assert!(error(WithMaskOf::new(), &[[4, 3].into()]).contains("pass the values, and what carries their mask"));
    }
}
