//! Parts that see the same input, their outputs joined.

use std::fmt::Debug;

use super::super::{DynPart, Graph, Part, Value};
use super::list::{List, list_builders};
use crate::activations::Activation;
use crate::layer::Op;
use crate::layers::merging::{Add, Average, Concatenate, Maximum, Minimum, Multiply};

/// y = f₁(x) ∘ … ∘ fₙ(x): branches that see the same input, joined by an operation; made by `branch` of one, such as
/// [`Add::branch`](Add::branch).
///
/// - Input: what every branch takes; output: what the operation makes of theirs. Parameters are those of the branches, under the
///   name of the operation. A branch is a layer, often a [`Block`](super::Block) of several; the identity is a shortcut, for which
///   [`Residual`](super::Residual) is shorter.
/// - A sum of branches wants outputs of one shape.
///
/// ```
/// use gradus::prelude::*;
/// // A residual block that halves the image: the shortcut is a convolution of one tap.
/// let f = Block::new()
///     .add(Conv2d::new(8, 3).strides(2).padding(Padding::Same).activation(Activation::Relu))
///     .add(Conv2d::new(8, 3).padding(Padding::Same));
/// let layer = Add::new().branch(f).branch(Conv2d::new(8, 1).strides(2));
/// let model = Sequential::new([6, 6, 4]).add(layer).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([3, 3, 8]));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Branches<O> {
    op: O,
    list: List,
}

impl<O> Branches<O> {
    list_builders!(branch, branch_named, "a branch");
}

impl Branches<Add> {
    /// The function applied to the sum; none by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.op = self.op.activation(activation);
        self
    }
}

impl<O: Op<f32> + Clone + 'static> Part for Branches<O> {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        let class = self.op.class();
        g.class_scope(class, |g| {
            let branches = self.list.branches(class, g, x);
            g.op(self.op, &branches)
        })
    }
}

/// `branch` and `branch_named` of operations that join any number of values.
macro_rules! branch {
    ($($op:ident $(.$setting:ident($value:literal))?),+ $(,)?) => {
        $(impl $op {
            /// The first of several branches that see the same input and are joined by this operation.
            pub fn branch(self, part: impl Part + Clone + Debug + Send + Sync + 'static) -> Branches<Self> {
                self.branches(None, DynPart::new(part))
            }

            /// [`branch`](Self::branch) under a name of your own.
            pub fn branch_named(
                self,
                name: &str,
                part: impl Part + Clone + Debug + Send + Sync + 'static,
            ) -> Branches<Self> {
                self.branches(Some(name), DynPart::new(part))
            }

            fn branches(self, name: Option<&str>, part: DynPart) -> Branches<Self> {
                let mut list = List::default();
                list.push(name, part);
                Branches { op: self$(.$setting($value))?, list }
            }
        })+
    };
}

branch!(Add.same_shapes(true), Average, Concatenate, Maximum, Minimum, Multiply);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_part;
    use crate::graph::Block;
    use crate::layers::{Dense, Flatten, Identity};
    use crate::model::Sequential;

    #[test]
    fn gradients() {
        let one = Block::new().add(Dense::new(4).activation(Activation::Tanh)).add(Dense::new(3));
        check_part(Add::new().branch(one).branch(Dense::new(3)), [5]).unwrap();
        check_part(Add::new().branch(Identity::new()).branch(Dense::new(5)), [2, 5]).unwrap();
        for activation in Activation::ALL {
            let sum = Add::new().branch(Dense::new(3)).branch(Identity::new()).activation(activation);
            check_part(sum, [2, 3]).unwrap();
        }
        let three = Add::new().branch(Dense::new(2)).trainable(false).branch(Dense::new(2)).branch(Dense::new(2));
        check_part(three, [3]).unwrap();
        let side_by_side =
            Concatenate::new().branch(Dense::new(4).activation(Activation::Tanh)).branch(Identity::new());
        check_part(side_by_side.branch(Dense::new(1)), [5]).unwrap();
        check_part(Concatenate::new().branch(Dense::new(2)).branch(Dense::new(3)), [2, 5]).unwrap();
        let gate = Multiply::new().branch(Dense::new(1).activation(Activation::Sigmoid)).branch(Identity::new());
        check_part(gate.branch(Dense::new(4)), [3, 4]).unwrap();
        check_part(Maximum::new().branch(Dense::new(2)).branch(Dense::new(2)), [3]).unwrap();
    }

    #[test]
    fn shapes_must_agree() {
        let error = |part: &dyn Fn() -> crate::Result<crate::Model>| part().unwrap_err().to_string();
        let sum = || Add::new().branch(Dense::new(4)).branch(Dense::new(1));
        let error_of_sum = error(&|| Sequential::new([3]).add(sum()).build(0));
        assert!(
            error_of_sum.starts_with("layer 2 (add/add): Add: expected operands of one shape, [4]"),
            "{error_of_sum}"
        );
        let beside = || Concatenate::new().branch(Identity::new()).branch(Flatten::new());
        let error_of_both = error(&|| Sequential::new([3, 2]).add(beside()).build(0));
        assert!(error_of_both.contains("[6]"), "{error_of_both}");
        let inner = error(&|| Sequential::new([3]).add(Add::new().branch(Dense::new(0))).build(0));
        assert!(inner.contains("layer 0 (add/dense)"), "{inner}");
    }
}
