//! A value to the power of another.

use super::POWER;
use crate::error::Result;
use crate::layer::{Builder, Continuation, Inputs, Op, Pass, Slot};
use crate::layers::OpConfig;
use crate::layers::merging::{Joined, joined_shape, two, wanted};
use crate::tensor::{Float, Shape, Tensor};

/// y = x₀ ^ x₁, element by element; a negative base has powers with whole exponents only, the others are NaN.
///
/// - Inputs: two; output: the shape that both [broadcast](crate::layers::merging) to. No parameters.
/// - Gradient: dx₀ = dy·x₁·x₀^(x₁−1) and dx₁ = dy·y·ln x₀, summed over the positions that a size of 1 counts for. dx₀ is taken as 0
///   where x₁ is 0, where y is 1 for every x₀; dx₁ where x₀ is 0, where y is 0 for every x₁ above 0, and where x₀ is negative,
///   where ln x₀ is no number.
///
/// Keras `ops.power` or `a ** b`, whose gradients on TensorFlow have the same zeros for dx₁; PyTorch `pow`.
///
/// ```
/// use gradus::layers::operators::Power;
/// use gradus::{Builder, Op, Shape};
/// let output = Power::new().build(&[Shape::from([5, 2]), Shape::from([2])], &mut Builder::<f32>::new(0))?;
/// assert_eq!(output, [Shape::from([5, 2])]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Power {
    #[cfg_attr(feature = "serde", serde(skip))]
    joined: Joined,
}

impl Power {
    /// The first operand to the power of the second.
    pub fn new() -> Self {
        Self::default()
    }
}

/// d(x^c)/dx
pub(super) fn by_base<T: Float>(x: T, c: T) -> T {
    if c == T::zero() { T::zero() } else { c * x.powf(c - T::one()) }
}

/// ln x where d(c^x)/dx = c^x·ln c is defined, elsewhere 0.
pub(super) fn logarithm<T: Float>(x: T) -> T {
    if x <= T::zero() { T::zero() } else { x.ln() }
}

impl<T: Float> Op<T> for Power {
    fn class(&self) -> &'static str {
        "Power"
    }

    fn build(&mut self, x: &[Shape], _: &mut Builder<T>) -> Result<Vec<Shape>> {
        two("Power", x, "take one power after the other")?;
        self.joined.build("Power", x)
    }

    fn output_shapes(&self, x: &[Shape], y: &mut [Shape]) -> Result<()> {
        joined_shape("Power", x, y)
    }

    fn forward(&self, _: &mut Pass<'_, T>, slot: &mut Slot<T>, x: Inputs<'_, T>, y: &mut [Tensor<T>]) {
        self.joined.fold(slot, x, y, POWER, |y, x| *y = y.powf(x));
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
            plan.backward(i, dx, POWER, |start, g| {
                let part = start..start + g.len();
                if i == 0 {
                    plan.combine(0, x[0].as_slice(), start, g, |g, x| *g = x);
                    plan.combine(1, x[1].as_slice(), start, g, |g, c| *g = by_base(*g, c));
                } else {
                    plan.combine(0, x[0].as_slice(), start, g, |g, x| *g = logarithm(x));
                    g.iter_mut().zip(&y[part.clone()]).for_each(|(g, y)| *g *= *y);
                }
                g.iter_mut().zip(&dy[part]).for_each(|(g, dy)| *g *= *dy);
            });
        }
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> OpConfig {
        OpConfig::Power(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairs;
    use super::*;

    #[test]
    fn where_a_gradient_is_zero_by_definition() {
        let [y, a, b] = pairs(Power::new(), &[[0.0, 2.0], [0.0, 0.0], [-2.0, 3.0], [-2.0, 0.0], [4.0, 0.5]]);
        assert_eq!(y, [0.0, 1.0, -8.0, 1.0, 2.0]);
        assert_eq!(a, [0.0, 0.0, 12.0, 0.0, 0.25]);
        assert_eq!(b, [0.0, 0.0, 0.0, 0.0, 2.0 * 4f64.ln()]);
        assert!(pairs(Power::new(), &[[-2.0, 0.5]])[0][0].is_nan());
    }
}
