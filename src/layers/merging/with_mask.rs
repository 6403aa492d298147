//! A mask that comes with the data.

use super::{two, wanted};
use crate::error::{Error, Result};
use crate::layer::{Builder, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// y = x under a mask: a step counts where the second operand is not 0.
///
/// - Inputs: x, and a mask whose samples have the first axes of those of x, all but the last at most; output: the shape of x. No parameters.
/// - Gradient: dx = dy; that of the mask is 0.
///
/// [`Graph::masked`](crate::graph::Graph::masked) adds one. Keras: `mask=` of a layer's call.
///
/// ```
/// use gradus::layers::merging::WithMask;
/// use gradus::{Builder, Op, Shape};
/// let (x, b) = ([Shape::from([6, 2]), Shape::from([6])], &mut Builder::<f32>::new(0));
/// assert_eq!(WithMask::new().build(&x, b)?, [Shape::from([6, 2])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct WithMask {
    /// The axes of a sample that the mask goes over; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    axes: usize,
}

impl WithMask {
    /// With a mask as the second operand.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<T: Float> Op<T> for WithMask {
    fn class(&self) -> &'static str {
        "WithMask"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        let mut y = [Shape::SCALAR];
        Op::<T>::output_shapes(self, x, &mut y)?;
        self.axes = x[1].rank();
        Ok(y.to_vec())
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        let [values, mask] = two("WithMask", x, "pass the values and their mask")?;
        let agrees = |(own, all): (&usize, &usize)| own == all || *own == FREE || *all == FREE;
        if mask.rank() >= values.rank() || !mask.dims().iter().zip(values.dims()).all(agrees) {
            let expected = format!("a mask over the first axes of samples of {values}, all but the last at most");
            return Err(Error::shape(
                "WithMask",
                expected,
                mask,
                "give the mask a number for each step, not for each feature",
            ));
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
        MaskRule::Opens(self.axes)
    }

    fn open_mask(&self, x: Inputs<'_, T>, mask: &mut [bool]) {
        mask.iter_mut().zip(x[1].as_slice()).for_each(|(m, x)| *m = *x != T::zero());
    }

    fn config(&self) -> OpConfig {
        OpConfig::WithMask(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::error;
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients_and_errors() {
        check_op(WithMask::new(), &[[4, 3].into(), [4].into()]).unwrap();
        check_op(WithMask::new(), &[[2, 4, 3].into(), [2].into()]).unwrap();
        check_op(WithMask::new(), &[[3].into(), Shape::SCALAR]).unwrap();
        for mask in [Shape::from([4, 3]), [3].into(), [4, 1].into()] {
            assert_eq!(
                error(WithMask::new(), &[[4, 3].into(), mask]),
                format!(
                    "WithMask: expected a mask over the first axes of samples of [4, 3], all but the last at most, got {mask}; \
                     give the mask a number for each step, not for each feature"
                )
            );
        }
        assert!(error(WithMask::new(), &[[4, 3].into()]).contains("pass the values and their mask"));
    }
}
