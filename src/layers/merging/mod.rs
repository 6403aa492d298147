//! Steps that join several values into one: sums, products, extremes, values side by side, dot products.
//!
//! The element-wise ones take operands of several shapes, as Keras's layers do: where one has fewer axes than another, axes of size 1
//! are put in front of its own (behind the batch axis); along each axis sizes are equal or 1, and size 1 counts for all positions.
//! Sums over such positions are taken sample by sample. Operands are counted from 0.

mod add;
mod average;
mod concatenate;
mod dot;
mod maximum;
mod minimum;
mod multiply;
mod subtract;

pub use add::Add;
pub use average::Average;
pub use concatenate::Concatenate;
pub use dot::Dot;
pub use maximum::Maximum;
pub use minimum::Minimum;
pub use multiply::Multiply;
pub use subtract::Subtract;

use crate::error::{Error, Result};
use crate::kernels::broadcast::Broadcast;
use crate::layer::Inputs;
use crate::tensor::{Float, MAX_RANK, Shape, Tensor};

/// The shape of element by element, and how the operands go into it.
pub(super) fn broadcast(op: &'static str, x: &[Shape]) -> Result<(Shape, Broadcast)> {
    some(op, x)?;
    let rank = x.iter().map(Shape::rank).max().unwrap_or(0);
    let mut result = [1; MAX_RANK];
    for (i, shape) in x.iter().enumerate() {
        let first = rank - shape.rank();
        for (axis, &size) in (first..).zip(shape.dims()) {
            let all = result[axis];
            if all != size && all != 1 && size != 1 {
                let so_far = Shape::try_from(&result[..rank])?;
                let expected = format!("operands that agree with {so_far}, axes counted from the last, or have size 1");
                let got = format!("{shape} as operand {i}, whose {size} meets {all}");
                let hint = "bring them to one shape, or an axis to size 1 (a Reshape puts axes of 1 behind others)";
                return Err(Error::shape(op, expected, got, hint));
            }
        }
        (first..).zip(shape.dims()).filter(|(_, size)| **size != 1).for_each(|(axis, size)| result[axis] = *size);
    }
    let result = Shape::try_from(&result[..rank])?;
    result.checked_len(op)?;
    Ok((result, Broadcast::new(x.iter().map(Shape::dims))))
}

/// An error where there is no operand.
fn some(op: &'static str, x: &[Shape]) -> Result<()> {
    if x.is_empty() {
        return Err(Error::shape(op, "at least 1 operand", 0, "pass the values that are to be joined"));
    }
    Ok(())
}

/// An error where there are not two operands.
pub(super) fn two(op: &'static str, x: &[Shape], hint: &str) -> Result<()> {
    if x.len() != 2 {
        return Err(Error::shape(op, "2 operands", x.len(), hint));
    }
    Ok(())
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
