//! Arithmetic of a value with a number or another value, and slices: what Keras writes as `2 * x - y`, `abs(x)`, `x[:, -1]`.
//!
//! Sums, differences and products of values are in [`merging`](super::merging), whose rules for operands of several shapes hold here
//! too. In a graph all of them are written short, see [`Expression`](crate::graph::Expression).

mod absolute;
mod arithmetic;
mod divide;
mod negative;
mod power;
mod slice;

pub use absolute::Absolute;
pub use arithmetic::{Arithmetic, Operation};
pub use divide::Divide;
pub use negative::Negative;
pub use power::Power;
pub use slice::Slice;

use crate::kernels::parallel;
use crate::tensor::{Float, Tensor};

/// yᵢ = f(xᵢ)
fn map<T: Float>(x: &Tensor<T>, y: &mut Tensor<T>, work: usize, f: impl Fn(T) -> T + Sync) {
    let x = x.as_slice();
    parallel::rows(y.as_mut_slice(), 1, work, |first, y| {
        y.iter_mut().zip(&x[first..]).for_each(|(y, x)| *y = f(*x));
    });
}

/// yᵢ = f(aᵢ, bᵢ)
fn map_two<T: Float>(a: &Tensor<T>, b: &Tensor<T>, y: &mut Tensor<T>, work: usize, f: impl Fn(T, T) -> T + Sync) {
    let (a, b) = (a.as_slice(), b.as_slice());
    parallel::rows(y.as_mut_slice(), 1, work, |first, y| {
        y.iter_mut().zip(a[first..].iter().zip(&b[first..])).for_each(|(y, (a, b))| *y = f(*a, *b));
    });
}

/// The work of a power or a logarithm, in that of a product.
const POWER: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::merging::tests::{error, operands};
    use super::*;
    use crate::error::Result;
    use crate::gradcheck::check_op;
    use crate::layer::{Builder, Inputs, Op, Pass, Slot};
    use crate::tensor::Shape;

    /// An operation whose first operand is moved by a number, so that a check has it on one side of 0.
    #[derive(Debug)]
    struct Moved<O>(O, f64);

    impl<O> Moved<O> {
        fn inputs(&self, x: Inputs<'_, f64>) -> Vec<Tensor<f64>> {
            x.iter().enumerate().map(|(i, x)| if i == 0 { x.clone().map(|x| x + self.1) } else { x.clone() }).collect()
        }
    }

    impl<O: Op<f64>> Op<f64> for Moved<O> {
        fn class(&self) -> &'static str {
            self.0.class()
        }

        fn build(&mut self, x: &[Shape], b: &mut Builder<f64>) -> Result<Vec<Shape>> {
            self.0.build(x, b)
        }

        fn forward(&self, pass: &mut Pass<'_, f64>, slot: &mut Slot<f64>, x: Inputs<'_, f64>, y: &mut [Tensor<f64>]) {
            self.0.forward(pass, slot, Inputs::new(&self.inputs(x), &[0, 1]), y);
        }

        fn backward(
            &self,
            pass: &mut Pass<'_, f64>,
            slot: &mut Slot<f64>,
            x: Inputs<'_, f64>,
            y: &[Tensor<f64>],
            dy: &mut [Tensor<f64>],
            dx: &mut [Option<Tensor<f64>>],
        ) {
            self.0.backward(pass, slot, Inputs::new(&self.inputs(x), &[0, 1]), y, dy, dx);
        }
    }

    /// Values and gradients for pairs of operands, one after the other: y, dx₀ and dx₁ for dy = 1.
    pub(super) fn pairs(mut op: impl Op<f64>, pairs: &[[f64; 2]]) -> [Vec<f64>; 3] {
        op.build(&[Shape::SCALAR; 2], &mut Builder::new(0)).unwrap();
        let shape = Shape::from([pairs.len()]);
        let x = [0, 1].map(|i| Tensor::from_fn(shape, |row| pairs[row][i]));
        let params = crate::Params::new();
        let (mut pass, mut slot, inputs) = (Pass::differentiable(&params), Slot::new(), Inputs::new(&x, &[0, 1]));
        let (mut y, mut dx) = ([Tensor::zeros(shape)], x.clone().map(Some));
        op.forward(&mut pass, &mut slot, inputs, &mut y);
        op.backward(&mut pass, &mut slot, inputs, &y, &mut [Tensor::full(shape, 1.0)], &mut dx);
        let ([y], [a, b]) = (y, dx.map(Option::unwrap));
        [y, a, b].map(|t| t.as_slice().to_vec())
    }

    #[test]
    fn gradients() {
        for x in operands().iter().filter(|x| x.len() > 1) {
            for x in [[x[0], x[1]], [x[1], x[0]]] {
                check_op(Divide::new(), &x).unwrap();
                check_op(Moved(Power::new(), 1.5), &x).unwrap();
            }
        }
    }

    #[test]
    fn two_operands_that_broadcast() {
        let (one, three) = ([Shape::from([2])], [Shape::from([2]); 3]);
        assert_eq!(
            error(Divide::new(), &three),
            "Divide: expected 2 operands, got 3; divide one value after the other"
        );
        assert!(error(Divide::new(), &one).contains("expected 2 operands, got 1"));
        assert!(error(Power::new(), &three).contains("expected 2 operands, got 3; "));
        assert!(error(Power::new(), &[]).contains("expected 2 operands, got 0"));
        let x = [Shape::from([3]), [4].into()];
        assert!(error(Divide::new(), &x).contains("operands that agree with [3]"));
        assert!(error(Power::new(), &x).contains("operands that agree with [3]"));
    }
}
