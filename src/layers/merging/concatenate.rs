//! Values side by side.

use super::{axis_of, some, wanted};
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::layer::{Builder, Continuation, Inputs, MaskRule, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::tensor::{FREE, Float, MAX_RANK, Shape, Tensor};

/// y = [x₀, …, xₙ] along one axis.
///
/// - Inputs: one or more that agree in all axes but this one; output: their sizes along it added. No parameters.
/// - Default: the last axis. Axes are counted from 1, as axis 0 is the batch, or from −1 for the last.
/// - Gradient: dxᵢ is the operand's own part of dy.
///
/// Keras `Concatenate`, PyTorch `cat`.
///
/// ```
/// use gradus::layers::merging::Concatenate;
/// use gradus::{Builder, Op, Shape};
/// let (x, b) = ([Shape::from([6, 2]), Shape::from([5, 2])], &mut Builder::<f32>::new(0));
/// assert_eq!(Concatenate::new().axis(1).build(&x, b)?, [Shape::from([11, 2])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Concatenate {
    axis: isize,
    /// How many values of each operand stand together; none where sizes are free.
    #[cfg_attr(feature = "serde", serde(skip))]
    widths: Vec<u32>,
    /// The axis, counted from 0 within a sample, where sizes are free and each pass finds the widths.
    #[cfg_attr(feature = "serde", serde(skip))]
    free: Option<usize>,
    /// The axis, counted from 0 within a sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    position: usize,
}

impl Default for Concatenate {
    fn default() -> Self {
        Concatenate { axis: -1, widths: Vec::new(), free: None, position: 0 }
    }
}

impl Concatenate {
    /// Along the last axis.
    pub fn new() -> Self {
        Self::default()
    }

    /// The axis along which the operands follow one another: from 1, as axis 0 is the batch, or from −1 for the last, as by default.
    pub fn axis(mut self, axis: isize) -> Self {
        self.axis = axis;
        self
    }

    /// The axis as it was given.
    #[cfg(feature = "keras")]
    pub(crate) fn along(&self) -> isize {
        self.axis
    }

    /// How many values of each operand stand together, and of all: what build found, or the pass forward where sizes are free.
    fn widths<'a, T: Float>(&'a self, slot: &'a Slot<T>) -> (&'a [u32], usize) {
        let widths = if self.free.is_some() { &slot.indices } else { &self.widths };
        (widths, widths.iter().map(|&n| n as usize).sum::<usize>().max(1))
    }

    /// The shape of the output, and the axis counted from 0.
    fn output(&self, x: &[Shape]) -> Result<(Shape, usize)> {
        some("Concatenate", x.iter().copied())?;
        x[0].need_axis("Concatenate")?;
        let axis = axis_of("Concatenate", "axis", self.axis, x[0], 0)?;
        let (mut sizes, rank) = ([0; MAX_RANK], x[0].rank());
        sizes[..rank].copy_from_slice(x[0].dims());
        for (i, shape) in x.iter().enumerate().skip(1) {
            let agrees = |at: usize| {
                let (own, all) = (shape.dims()[at], sizes[at]);
                at == axis || own == all || own == FREE || all == FREE
            };
            if shape.rank() != rank || !(0..rank).all(agrees) {
                let expected = format!("operands that agree with the first, {}, in all axes but {}", x[0], axis + 1);
                let hint = "concatenate along the axis in which they differ, or bring the others to one size";
                return Err(Error::shape("Concatenate", expected, format!("{shape} as operand {i}"), hint));
            }
            for (at, (all, &own)) in sizes.iter_mut().zip(shape.dims()).enumerate() {
                *all = match (at == axis, *all, own) {
                    (true, FREE, _) | (true, _, FREE) => FREE,
                    (true, all, own) => all.saturating_add(own),
                    // A free size has to turn out as that which is known.
                    (false, FREE, own) => own,
                    (false, all, _) => all,
                };
            }
        }
        let output = Shape::try_from(&sizes[..rank])?;
        output.open_len("Concatenate")?;
        Ok((output, axis))
    }
}

/// How many values of these sizes stand together from `axis` on, fewer than 2³² as an output that is larger is refused.
fn width(sizes: &[usize], axis: usize) -> u32 {
    sizes.iter().skip(axis).fold(1, |n, &size| n.saturating_mul(u32::try_from(size).unwrap_or(u32::MAX)))
}

impl<T: Float> Op<T> for Concatenate {
    fn class(&self) -> &'static str {
        "Concatenate"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        let (output, axis) = self.output(x)?;
        self.position = axis;
        self.free = x.iter().any(Shape::is_free).then_some(axis);
        let fixed = if self.free.is_some() { &[] } else { x };
        self.widths = fixed.iter().map(|shape| width(shape.dims(), axis)).collect();
        Ok(vec![output])
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        y[0] = self.output(x)?.0;
        Ok(())
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        if let Some(axis) = self.free {
            slot.indices.clear();
            slot.indices.extend(x.iter().map(|x| width(x.dims(), axis + 1)));
        }
        let (widths, width) = self.widths(slot);
        parallel::rows(y[0].as_mut_slice(), width, width, |first, y| {
            for (row, mut y) in (first..).zip(y.chunks_exact_mut(width)) {
                for (x, &n) in x.iter().zip(widths) {
                    let n = n as usize;
                    let own = y.split_off_mut(..n).unwrap_or_default();
                    own.copy_from_slice(&x.as_slice()[row * n..(row + 1) * n]);
                }
            }
        });
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        _: Inputs<'_, T>,
        _: &[Tensor<T>],
        dy: &mut [Tensor<T>],
        dx: &mut [Option<Tensor<T>>],
    ) {
        let (dy, (widths, width)) = (dy[0].as_slice(), self.widths(slot));
        for (i, dx) in wanted(dx) {
            let before = widths[..i].iter().map(|&n| n as usize).sum::<usize>();
            let n = (widths[i] as usize).max(1);
            parallel::rows(dx, n, n, |first, dx| {
                for (dx, dy) in dx.chunks_exact_mut(n).zip(dy[first * width..].chunks_exact(width)) {
                    dx.copy_from_slice(&dy[before..before + n]);
                }
            });
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Joins(self.position)
    }

    fn continuation(&self) -> Continuation {
        // One sequence behind another moves its steps.
        if self.position > 0 { Continuation::Steps } else { Continuation::Whole }
    }

    fn config(&self) -> OpConfig {
        OpConfig::Concatenate(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::error;
    use super::*;
    use crate::gradcheck::check_op;

    #[test]
    fn gradients() {
        for axis in [1, 2, 3, -1, -2, -3] {
            let sizes = [3, 1, 4].map(|n| {
                let mut dims = [2, 3, 5];
                dims[if axis > 0 { axis as usize - 1 } else { (3 + axis) as usize }] = n;
                Shape::from(dims)
            });
            check_op(Concatenate::new().axis(axis), &sizes).unwrap();
        }
        check_op(Concatenate::new(), &[[4].into(), [1].into()]).unwrap();
        check_op(Concatenate::new(), &[[2, 3].into()]).unwrap();
    }

    #[test]
    fn order_of_values() {
        let x = [Tensor::from([[[1.0], [2.0]]]), Tensor::from([[[3.0], [4.0]]])];
        let joined = |axis, shape: Shape| {
            let mut op = Concatenate::new().axis(axis);
            Op::<f64>::build(&mut op, &[[2, 1].into(); 2], &mut Builder::new(0)).unwrap();
            let (params, mut y) = (crate::Params::new(), [Tensor::zeros(shape)]);
            op.forward(&mut Pass::inference(&params), &mut Slot::new(), Inputs::new(&x, &[0, 1]), &mut y);
            y[0].clone()
        };
        assert_eq!(joined(1, [1, 4, 1].into()), Tensor::from([[[1.0], [2.0], [3.0], [4.0]]]));
        assert_eq!(joined(-1, [1, 2, 2].into()), Tensor::from([[[1.0, 3.0], [2.0, 4.0]]]));
    }

    #[test]
    fn impossible_operands() {
        let x = [Shape::from([3, 2]), [3, 4].into(), [2, 2].into()];
        assert_eq!(
            error(Concatenate::new(), &x),
            "Concatenate: expected operands that agree with the first, [3, 2], in all axes but 2, got [2, 2] as operand 2; \
             concatenate along the axis in which they differ, or bring the others to one size"
        );
        assert!(error(Concatenate::new().axis(1), &x).contains("in all axes but 1, got [3, 4] as operand 1"));
        assert!(error(Concatenate::new(), &[[3, 2].into(), [2].into()]).contains("got [2] as operand 1"));
        for axis in [0, 3, -3, isize::MAX, isize::MIN] {
            assert_eq!(
                error(Concatenate::new().axis(axis), &x),
                format!(
                    "Concatenate: axis must be from 1 to 2 or from -2 to -1 for operand 0, samples of [3, 2], got {axis}; \
                     axis 0 is the batch, -1 the last axis"
                )
            );
        }
        assert!(error(Concatenate::new().axis(2), &[[3].into()]).contains("axis must be 1 or -1 for operand 0"));
        assert!(error(Concatenate::new(), &[Shape::SCALAR]).contains("Reshape([1])"));
        assert!(error(Concatenate::new(), &[]).contains("at least 1 operand"));
        let huge = [Shape::from([usize::MAX]), [2].into()];
        assert!(error(Concatenate::new(), &huge).contains("a shape that fits in memory"));
    }
}
