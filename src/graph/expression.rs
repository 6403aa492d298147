//! Arithmetic in a graph, written as arithmetic: operators build a description, [`Graph::compute`] adds its nodes.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Graph, Value};
use crate::layers::LayerConfig;
use crate::layers::merging;
use crate::layers::operators::{Absolute, Arithmetic, Divide, Negative, Operation, Power};

/// What is to be computed from values of a graph: `2.0 * a - b / c`, handed to [`Graph::compute`].
///
/// There are `+`, `-`, `*`, `/` and the minus in front, for values, expressions and numbers, and [`pow`](Self::pow) and
/// [`abs`](Self::abs). Each becomes a node, `a + b + c` a single one. Values of several shapes
/// [broadcast](crate::layers::merging). What is needed twice is computed once if it is a value: compute it before.
///
/// Numbers are held as `f64`, and rounded where the graph is built for `f32`. One in front is an `f64`, which every literal is; a
/// number of type `f32` stands behind, `a * c`, or as `f64::from(c) * a`.
///
/// ```
/// use gradus::graph::{Graph, Work};
/// use gradus::prelude::{Pass, Tensor};
///
/// let mut g = Graph::new();
/// let (a, b, c) = (g.input("a", [2]), g.input("b", [2]), g.input("c", [1]));
/// let y = g.compute(2.0 * a - (b / c).abs() + 1.0);
/// let (net, params) = g.build_net::<f32>(&[y], 0)?;
///
/// let (a, b, c) = (Tensor::from([[1.0, 2.0]]), Tensor::from([[3.0, -5.0]]), Tensor::from([[2.0]]));
/// let mut work = Work::default();
/// net.forward(&mut Pass::inference(&params), &mut work, &[&a, &b, &c])?;
/// assert_eq!(net.output(&work, 0).as_slice(), &[2.0 - 1.5 + 1.0, 4.0 - 2.5 + 1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// Keras: operators between tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression(Term);

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Value(Value),
    /// Sums and products of any number, the others of two.
    Join(Operation, Vec<Term>),
    With(Arithmetic, Box<Term>),
    Negative(Box<Term>),
    Absolute(Box<Term>),
}

/// What may stand behind a value in an [`Expression`]: a number, a value, an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand(Side);

#[derive(Clone, Debug, PartialEq)]
enum Side {
    Number(f64),
    Term(Term),
}

impl From<Value> for Expression {
    fn from(value: Value) -> Self {
        Expression(Term::Value(value))
    }
}

impl<E: Into<Expression>> From<E> for Operand {
    fn from(expression: E) -> Self {
        Operand(Side::Term(expression.into().0))
    }
}

impl From<f64> for Operand {
    fn from(number: f64) -> Self {
        Operand(Side::Number(number))
    }
}

impl From<f32> for Operand {
    fn from(number: f32) -> Self {
        f64::from(number).into()
    }
}

/// `x` with what stands behind it; a sum or product goes on.
fn with(x: impl Into<Expression>, operation: Operation, behind: impl Into<Operand>) -> Expression {
    Expression(match (x.into().0, behind.into().0) {
        (x, Side::Number(number)) => Term::With(Arithmetic::new(operation, number), Box::new(x)),
        (Term::Join(before, mut terms), Side::Term(term))
            if before == operation && matches!(operation, Operation::Add | Operation::Multiply) =>
        {
            terms.push(term);
            Term::Join(operation, terms)
        }
        (x, Side::Term(term)) => Term::Join(operation, vec![x, term]),
    })
}

/// `x` with a number in front of it.
fn behind(number: f64, operation: Operation, x: impl Into<Expression>) -> Expression {
    Expression(Term::With(Arithmetic::new(operation, number).number_first(true), Box::new(x.into().0)))
}

macro_rules! operators {
    ($($class:ident::$name:ident = $operation:ident)+) => {
        $(
            operators!(impl $class::$name = $operation for Value);
            operators!(impl $class::$name = $operation for Expression);
        )+
    };
    (impl $class:ident::$name:ident = $operation:ident for $x:ty) => {
        impl<R: Into<Operand>> $class<R> for $x {
            type Output = Expression;

            fn $name(self, right: R) -> Expression {
                with(self, Operation::$operation, right)
            }
        }

        impl $class<$x> for f64 {
            type Output = Expression;

            fn $name(self, right: $x) -> Expression {
                behind(self, Operation::$operation, right)
            }
        }
    };
}

operators! {
    Add::add = Add
    Sub::sub = Subtract
    Mul::mul = Multiply
    Div::div = Divide
}

impl Neg for Expression {
    type Output = Expression;

    fn neg(self) -> Expression {
        Expression(Term::Negative(Box::new(self.0)))
    }
}

impl Neg for Value {
    type Output = Expression;

    fn neg(self) -> Expression {
        -Expression::from(self)
    }
}

impl Expression {
    /// To the power of a number, a value or an expression.
    pub fn pow(self, exponent: impl Into<Operand>) -> Expression {
        with(self, Operation::Power, exponent)
    }

    /// Without the sign.
    pub fn abs(self) -> Expression {
        Expression(Term::Absolute(Box::new(self.0)))
    }
}

impl Value {
    /// To the power of a number, a value or an expression; to be [computed](Graph::compute).
    pub fn pow(self, exponent: impl Into<Operand>) -> Expression {
        Expression::from(self).pow(exponent)
    }

    /// Without the sign; to be [computed](Graph::compute).
    pub fn abs(self) -> Expression {
        Expression::from(self).abs()
    }
}

impl Graph {
    /// Adds the nodes of an [`Expression`], operands before what is computed from them; the value of the last.
    pub fn compute(&mut self, expression: impl Into<Expression>) -> Value {
        self.lower(expression.into().0)
    }

    #[inline(never)]
    fn lower(&mut self, term: Term) -> Value {
        match term {
            Term::Value(value) => value,
            Term::Join(operation, terms) => {
                let x: Vec<_> = terms.into_iter().map(|term| self.lower(term)).collect();
                let y = match operation {
                    Operation::Add => self.op(merging::Add::new(), &x),
                    Operation::Subtract => self.op(merging::Subtract::new(), &x),
                    Operation::Multiply => self.op(merging::Multiply::new(), &x),
                    Operation::Divide => self.op(Divide::new(), &x),
                    Operation::Power => self.op(Power::new(), &x),
                };
                self.drop_mask();
                y
            }
            Term::With(arithmetic, x) => self.behind(LayerConfig::Arithmetic(arithmetic), *x),
            Term::Negative(x) => self.behind(LayerConfig::Negative(Negative::new()), *x),
            Term::Absolute(x) => self.behind(LayerConfig::Absolute(Absolute::new()), *x),
        }
    }

    fn behind(&mut self, layer: LayerConfig, x: Term) -> Value {
        let x = self.lower(x);
        self.layer(layer, x)
    }
}
