//! Steps that join several values into one: sums, products, extremes, values side by side, dot products, contrasts.
//!
//! A mask counts as Keras's layers have it: of element-wise ones a step counts where it counts in any operand, and there is no mask where an
//! operand has none.
//!
//! The element-wise ones take operands of several shapes, as Keras's layers do: where one has fewer axes than another, axes of size 1
//! are put in front of its own (behind the batch axis); along each axis sizes are equal or 1, and size 1 counts for all positions.
//! Sums over such positions are taken sample by sample. A size that is [`FREE`] goes with every other; where one is known and not 1, each
//! batch has to bring that or 1. Operands are counted from 0.

mod add;
mod average;
mod concatenate;
mod dot;
mod info_nce;
mod maximum;
mod minimum;
mod multiply;
mod subtract;
mod with_mask;
mod with_mask_of;

pub use add::Add;
pub use average::Average;
pub use concatenate::Concatenate;
pub use dot::Dot;
pub use info_nce::InfoNce;
pub use maximum::Maximum;
pub use minimum::Minimum;
pub use multiply::Multiply;
pub use subtract::Subtract;
pub use with_mask::WithMask;
pub use with_mask_of::WithMaskOf;

use crate::error::{Error, Result};
use crate::kernels::broadcast::{Broadcast, each_block};
use crate::layer::{Inputs, Slot};
use crate::tensor::{FREE, Float, MAX_RANK, Shape, Tensor};

/// How the operands go into what is computed element by element.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Joined {
    /// That of the sizes at build, unless some are free.
    plan: Broadcast,
    free: bool,
}

impl Joined {
    /// Takes operands of these shapes; gives that of the result.
    pub fn build(&mut self, op: &'static str, x: &[Shape]) -> Result<Vec<Shape>> {
        let (output, free) = (broadcast(op, x.iter().copied())?, x.iter().any(Shape::is_free));
        let plan = if free { Broadcast::default() } else { Broadcast::new(x.iter().map(Shape::dims)) };
        *self = Joined { plan, free };
        Ok(vec![output])
    }

    /// For these operands.
    pub fn plan<'a, T: Float>(&'a self, slot: &'a mut Slot<T>, x: Inputs<'_, T>) -> &'a Broadcast {
        let ([], place) = slot.buffers_and_plan();
        self.plan_at(place, x)
    }

    /// The same with a place for what is found where sizes are free.
    #[inline]
    pub fn plan_at<'a, T: Float>(&'a self, place: &'a mut Broadcast, x: Inputs<'_, T>) -> &'a Broadcast {
        if !self.free {
            return &self.plan;
        }
        place.set(x.iter().map(|x| x.dims().get(1..).unwrap_or(&[])));
        place
    }

    /// y = f(… f(x₀, x₁) …, xₙ), where `work` is that of an element.
    pub fn fold<T: Float>(
        &self,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        y: &mut [Tensor<T>],
        work: usize,
        f: impl Fn(&mut T, T) + Copy + Sync,
    ) {
        let plan = self.plan(slot, x);
        each_block(y[0].as_mut_slice(), work, |start, y| plan.fold(|i| x.get(i).as_slice(), start, y, f));
    }

    /// dx where y is one of its operands: dy goes to the first whose value is that of y.
    fn to_the_chosen<T: Float>(
        &self,
        slot: &mut Slot<T>,
        x: Inputs<'_, T>,
        [y, dy]: [&Tensor<T>; 2],
        dx: &mut [Option<Tensor<T>>],
    ) {
        let plan = self.plan(slot, x);
        let both = [y.as_slice(), dy.as_slice()];
        for (i, dx) in wanted(dx) {
            plan.backward(i, dx, i + 2, |start, g| where_chosen(plan, i, x, both, start, g));
        }
    }
}

/// The shape of element by element, where the only output has it.
pub(super) fn joined_shape(op: &'static str, x: &[Shape], y: &mut [Shape]) -> Result<()> {
    y[0] = broadcast(op, x.iter().copied())?;
    Ok(())
}

/// The shape of element by element. A free size goes with every other: it has to turn out the same, or 1, unless that is 1.
pub(super) fn broadcast(op: &'static str, x: impl Iterator<Item = Shape> + Clone) -> Result<Shape> {
    some(op, x.clone())?;
    let rank = x.clone().map(|shape| shape.rank()).max().unwrap_or(0);
    let mut result = [1; MAX_RANK];
    for (i, shape) in x.enumerate() {
        let first = rank - shape.rank();
        for (axis, &size) in (first..).zip(shape.dims()) {
            let all = result[axis];
            if all != size && all != 1 && size != 1 && all != FREE && size != FREE {
                let so_far = Shape::try_from(&result[..rank])?;
                let expected = format!("operands that agree with {so_far}, axes counted from the last, or have size 1");
                let got = format!("{shape} as operand {i}, whose {size} meets {all}");
                let hint = "bring them to one shape, or an axis to size 1 (a Reshape puts axes of 1 behind others)";
                return Err(Error::shape(op, expected, got, hint));
            }
        }
        for (axis, &size) in (first..).zip(shape.dims()) {
            // A known size other than 1 is that of the result.
            if result[axis] == 1 || size != 1 && size != FREE {
                result[axis] = size;
            }
        }
    }
    let result = Shape::try_from(&result[..rank])?;
    result.open_len(op)?;
    Ok(result)
}

/// An error where there is no operand.
fn some(op: &'static str, mut x: impl Iterator<Item = Shape>) -> Result<()> {
    if x.next().is_none() {
        return Err(Error::shape(op, "at least 1 operand", 0, "pass the values that are to be joined"));
    }
    Ok(())
}

/// An error where there are not two operands.
pub(super) fn two(op: &'static str, x: &[Shape], hint: &str) -> Result<[Shape; 2]> {
    x.try_into().map_err(|_| Error::shape(op, "2 operands", x.len(), hint))
}

/// The position among the axes of a sample of what is counted from 1 as the batch is axis 0, or from −1 for the last.
fn axis_of(op: &'static str, name: &'static str, axis: isize, shape: Shape, operand: usize) -> Result<usize> {
    let rank = shape.rank();
    let position = if axis > 0 { axis.unsigned_abs() - 1 } else { rank.wrapping_sub(axis.unsigned_abs()) };
    if position < rank {
        return Ok(position);
    }
    let expected = match rank {
        0 => format!("an axis of operand {operand}, whose samples {shape} have none"),
        1 => format!("1 or -1 for operand {operand}, samples of {shape}"),
        _ => format!("from 1 to {rank} or from -{rank} to -1 for operand {operand}, samples of {shape}"),
    };
    Err(Error::argument(op, name, expected, axis, "axis 0 is the batch, -1 the last axis"))
}

/// The gradients that are wanted, with the operands' numbers.
pub(super) fn wanted<T: Float>(dx: &mut [Option<Tensor<T>>]) -> impl Iterator<Item = (usize, &mut [T])> {
    dx.iter_mut().enumerate().filter_map(|(i, dx)| Some((i, dx.as_mut()?.as_mut_slice())))
}

/// The part of dy that begins at `start` where operand `i` is the first whose value is that of y; elsewhere 0.
fn where_chosen<T: Float>(plan: &Broadcast, i: usize, x: Inputs<'_, T>, [y, dy]: [&[T]; 2], start: usize, g: &mut [T]) {
    let part = start..start + g.len();
    g.copy_from_slice(&y[part.clone()]);
    // What an operand before it has is no other's.
    for j in 0..i {
        plan.combine(j, x[j].as_slice(), start, g, |y, x| *y = if x == *y { T::nan() } else { *y });
    }
    plan.combine(i, x[i].as_slice(), start, g, |y, x| *y = if x == *y { T::one() } else { T::zero() });
    g.iter_mut().zip(&dy[part]).for_each(|(g, dy)| *g = if *g == T::one() { *dy } else { T::zero() });
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::layer::{Builder, Op};

    /// What `build` says of operands of these shapes.
    pub(in crate::layers) fn error(mut op: impl Op<f64>, x: &[Shape]) -> String {
        op.build(x, &mut Builder::new(0)).unwrap_err().to_string()
    }

    /// Operands that try every pattern: one shape, trailing axes, an axis of 1 in the middle, at the end, in both, a number a sample.
    pub(in crate::layers) fn operands() -> Vec<Vec<Shape>> {
        vec![
            vec![[2, 3, 5].into(); 3],
            vec![[3, 5].into(), [5].into()],
            vec![[5].into(), [2, 3, 5].into(), [1, 1, 5].into()],
            vec![[3, 4].into(), [3, 1].into()],
            vec![[3, 1].into(), [1, 4].into(), [3, 4].into()],
            vec![[2, 1, 3].into(), [2, 4, 1].into(), [4, 3].into()],
            vec![Shape::SCALAR, [7].into()],
            vec![Shape::SCALAR; 2],
            vec![[2, 3].into()],
            vec![[1, 1].into(), [1].into()],
        ]
    }

    #[test]
    fn shapes_that_do_not_broadcast() {
        let x = [Shape::from([2, 1, 3]), [4, 1].into(), [2, 3].into()];
        let expected = "Multiply: expected operands that agree with [2, 4, 3], axes counted from the last, or have size 1, got \
                        [2, 3] as operand 2, whose 2 meets 4; bring them to one shape, or an axis to size 1 (a Reshape puts axes \
                        of 1 behind others)";
        assert_eq!(error(Multiply::new(), &x), expected);
        let refused = |op: &str, error: String| {
            assert!(error.starts_with(&format!("{op}: expected operands that agree with [3]")), "{error}");
        };
        let x = [Shape::from([3]), [4].into()];
        refused("Add", error(Add::new(), &x));
        refused("Average", error(Average::new(), &x));
        refused("Maximum", error(Maximum::new(), &x));
        refused("Minimum", error(Minimum::new(), &x));
        refused("Subtract", error(Subtract::new(), &x));
        assert_eq!(
            error(Add::new(), &[]),
            "Add: expected at least 1 operand, got 0; pass the values that are to be joined"
        );
        let huge = [Shape::from([1 << 40, 1]), [1 << 40].into()];
        assert!(error(Add::new(), &huge).contains("a shape that fits in memory"));
    }
}
