//! A shortcut around layers.

use super::super::{Graph, Part, Value};
use super::list::{List, list_builders};
use crate::activations::Activation;
use crate::layers::merging::Add;

/// y = f(x + F(x)), F the layers inside, whose output must have the input's shape.
///
/// - Input and output of one shape; parameters are those of the layers.
/// - Default: no activation f.
/// - Gradient: dx = dz + ∂F/∂x·dz, dz = dy·f'(x + F(x)).
///
/// He et al.: "Deep Residual Learning for Image Recognition", 2016. Keras: `Add` of two branches.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4])
///     .add(Residual::new().add(Dense::new(16).activation(Activation::Relu)).add(Dense::new(4)))
///     .build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([2, 4]))?.dims(), &[2, 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Residual {
    list: List,
    activation: Activation,
}

impl Residual {
    /// A shortcut around nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The function applied to the sum; none by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    list_builders!(add, add_named, "a part of F");
}

impl Part for Residual {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        g.class_scope("Residual", |g| {
            let f = self.list.chain(g, x);
            g.op(Add::new().activation(self.activation).same_shapes(true), &[x, f])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_part;
    use crate::layers::Dense;

    #[test]
    fn with_and_without_layers() {
        let block = Residual::new().add(Dense::new(3).activation(Activation::Gelu)).add(Dense::new(5));
        check_part(block, [5]).unwrap();
        check_part(Residual::new(), [2, 3]).unwrap();
        for activation in Activation::ALL {
            let block = Residual::new().add(Dense::new(5)).activation(activation);
            check_part(block, [3, 5]).unwrap();
        }
    }

    #[test]
    fn another_shape_is_an_error() {
        let error = crate::Sequential::new([5]).add(Residual::new().add(Dense::new(1))).build(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "layer 1 (residual/add): Add: expected operands of one shape, [5] as the first, got [1] as operand 1; let a Dense or \
             Conv2d bring them to one shape, or use Concatenate"
        );
    }
}
