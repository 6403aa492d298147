//! Arithmetic with a number.

use super::power::{by_base, logarithm};
use super::{POWER, map, map_two};
use crate::error::{Error, Result};
use crate::layer::{Builder, Continuation, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// What is done with a value and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(missing_docs)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// An operation with a number c that stands behind the value, or in front of it:
///
/// | operation | y | dx | number first: y | dx |
/// |---|---|---|---|---|
/// | `Add` | x + c | dy | c + x | dy |
/// | `Subtract` | x − c | dy | c − x | −dy |
/// | `Multiply` | x·c | dy·c | c·x | dy·c |
/// | `Divide` | x / c | dy / c | c / x | −dy·y / x |
/// | `Power` | x ^ c | dy·c·x^(c−1), 0 for c = 0 | c ^ x | dy·y·ln c, 0 for c ≤ 0 |
///
/// - Input and output of one shape, any number of axes; no parameters.
/// - By default the number stands behind the value.
/// - Division by 0 is an error of `build`.
///
/// Keras: `x + c` and so on, operators `Add`, `Subtract`, `Multiply`, `TrueDivide`, `Power` with a number in the place of a tensor.
///
/// ```
/// use gradus::prelude::*;
/// // 1 − x²
/// let model = Sequential::new([3])
///     .add(Arithmetic::new(Operation::Power, 2.0))
///     .add(Arithmetic::new(Operation::Subtract, 1.0).number_first(true))
///     .build_as(0)?;
/// assert_eq!(model.predict(&Tensor::from([[0.0f64, 0.5, -3.0]]))?.as_slice(), &[1.0, 0.75, -8.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Arithmetic {
    operation: Operation,
    number: f64,
    number_first: bool,
}

impl Arithmetic {
    /// The operation of the value with this number.
    pub fn new(operation: Operation, number: f64) -> Self {
        Arithmetic { operation, number, number_first: false }
    }

    /// Whether the number stands in front of the value; no by default.
    pub fn number_first(mut self, yes: bool) -> Self {
        self.number_first = yes;
        self
    }
}

impl<T: Float> Layer<T> for Arithmetic {
    fn class(&self) -> &'static str {
        "Arithmetic"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        let (number, fixed) = (self.number, T::of(self.number));
        let refused = |expected: String, hint: &str| {
            Err(Error::argument("Arithmetic", "number", expected, format!("{number:?}"), hint))
        };
        if !fixed.is_finite() {
            let expected = if number.is_finite() { format!("finite as {}", T::NAME) } else { "finite".into() };
            return refused(expected, "1.0 leaves products as they are, 0.0 sums");
        }
        if fixed == T::zero() && self.operation == Operation::Divide && !self.number_first {
            return refused(format!("other than 0 as {}", T::NAME), "no value can be divided by 0");
        }
        Ok(input)
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn forward(&self, _: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let c = T::of(self.number);
        match (self.operation, self.number_first) {
            (Operation::Add, _) => map(x, y, 1, |x| x + c),
            (Operation::Subtract, false) => map(x, y, 1, |x| x - c),
            (Operation::Subtract, true) => map(x, y, 1, |x| c - x),
            (Operation::Multiply, _) => map(x, y, 1, |x| x * c),
            (Operation::Divide, false) => map(x, y, 1, |x| x / c),
            (Operation::Divide, true) => map(x, y, 1, |x| c / x),
            (Operation::Power, false) if c == T::of(2.0) => map(x, y, 1, |x| x * x),
            (Operation::Power, false) => map(x, y, POWER, |x| x.powf(c)),
            (Operation::Power, true) => map(x, y, POWER, |x| c.powf(x)),
        }
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let (Some(dx), c) = (dx, T::of(self.number)) else { return };
        match (self.operation, self.number_first) {
            (Operation::Add, _) | (Operation::Subtract, false) => dx.as_mut_slice().copy_from_slice(dy.as_slice()),
            (Operation::Subtract, true) => map(dy, dx, 1, T::neg),
            (Operation::Multiply, _) => map(dy, dx, 1, |dy| dy * c),
            (Operation::Divide, false) => map(dy, dx, 1, |dy| dy / c),
            (Operation::Divide, true) => {
                // dx = −dy·y / x
                map_two(y, x, dx, 2, |y, x| -y / x);
                dx.as_mut_slice().iter_mut().zip(dy.as_slice()).for_each(|(dx, dy)| *dx *= *dy);
            }
            (Operation::Power, false) if c == T::of(2.0) => map_two(x, dy, dx, 1, |x, dy| dy * (c * x)),
            (Operation::Power, false) => map_two(x, dy, dx, POWER, |x, dy| dy * by_base(x, c)),
            (Operation::Power, true) => {
                let log = logarithm(c);
                map_two(y, dy, dx, 1, |y, dy| dy * (y * log));
            }
        }
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Arithmetic(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::Operation::*;
    use super::*;
    use crate::gradcheck::{check_layer, check_part};
    use crate::graph::Block;
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        for shape in [Shape::from([3, 5]), [7].into(), Shape::SCALAR] {
            for number in [1.5, -0.75] {
                for operation in [Add, Subtract, Multiply, Divide] {
                    check_layer(&Arithmetic::new(operation, number), shape).unwrap();
                    check_layer(&Arithmetic::new(operation, number).number_first(true), shape).unwrap();
                }
            }
            for whole in [0.0, 1.0, 2.0, 3.0, -1.0] {
                check_layer(&Arithmetic::new(Power, whole), shape).unwrap();
            }
            for base in [1.5, 0.3, 0.0] {
                let above = Block::new().add(Arithmetic::new(Add, 1.5));
                check_part(above.add(Arithmetic::new(Power, base).number_first(true)), shape).unwrap();
            }
            for exponent in [0.5, -1.5] {
                let above = Block::new().add(Arithmetic::new(Add, 1.5));
                check_part(above.add(Arithmetic::new(Power, exponent)), shape).unwrap();
            }
        }
    }

    #[test]
    fn values() {
        let value = |layer: Arithmetic, x: f64| {
            let model = Sequential::new([1]).add(layer).build_as::<f64>(0).unwrap();
            model.predict(&Tensor::from([[x]])).unwrap().as_slice()[0]
        };
        let behind = [(Add, 5.0), (Subtract, 1.0), (Multiply, 6.0), (Divide, 1.5), (Power, 9.0)];
        let first = [(Add, 5.0), (Subtract, -1.0), (Multiply, 6.0), (Divide, 2.0 / 3.0), (Power, 8.0)];
        behind.iter().for_each(|&(o, y)| assert_eq!(value(Arithmetic::new(o, 2.0), 3.0), y, "{o:?}"));
        first.iter().for_each(|&(o, y)| assert_eq!(value(Arithmetic::new(o, 2.0).number_first(true), 3.0), y, "{o:?}"));
    }

    #[test]
    fn numbers_that_cannot_be() {
        fn error<T: Float>(layer: Arithmetic) -> Option<String> {
            Sequential::new([1]).add(layer).build_as::<T>(0).err().map(|e| e.root().to_string())
        }
        for number in [f64::NAN, f64::INFINITY] {
            assert!(error::<f64>(Arithmetic::new(Add, number)).unwrap().contains("number must be finite, got"));
        }
        let wide = Arithmetic::new(Multiply, 1e39);
        assert!(error::<f32>(wide.clone()).unwrap().contains("finite as f32"));
        assert!(error::<f64>(wide).is_none());
        assert_eq!(
            error::<f32>(Arithmetic::new(Divide, 1e-50)).unwrap(),
            "Arithmetic: number must be other than 0 as f32, got 1e-50; no value can be divided by 0"
        );
        assert!(error::<f64>(Arithmetic::new(Divide, 1e-50)).is_none());
        assert!(error::<f32>(Arithmetic::new(Divide, 0.0).number_first(true)).is_none());
    }
}
