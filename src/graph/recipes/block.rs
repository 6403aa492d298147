//! Parts one after the other as one.

use super::super::{Graph, Part, Value};
use super::list::{List, list_builders};

/// y = fₙ(…f₁(x)): layers one after the other as one part, to be repeated, nested and named.
///
/// - Input: what the first layer takes; output: what the last one gives. Parameters are those of the layers, under the
///   block's name. An empty block is the identity.
///
/// Keras: a `Sequential` inside a `Sequential`; PyTorch `nn.Sequential`.
///
/// ```
/// use gradus::prelude::*;
/// let block = Block::new().add(Dense::new(8).activation(Activation::Relu)).add(Dense::new(4));
/// let model = Sequential::new([3]).add(block).build(0)?;
/// assert_eq!(model.params().specs()[2].name, "block/dense_1/kernel");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Block {
    list: List,
}

impl Block {
    /// A block without layers.
    pub fn new() -> Self {
        Self::default()
    }

    list_builders!(add, add_named, "a part");
}

impl Part for Block {
    fn wire(self, g: &mut Graph, x: Value) -> Value {
        g.class_scope("Block", |g| self.list.chain(g, x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activations::Activation;
    use crate::gradcheck::check_part;
    use crate::layers::Dense;

    #[test]
    fn nested() {
        let inner = Block::new().add(Dense::new(3).activation(Activation::Tanh)).add(Activation::Sigmoid);
        check_part(Block::new().add(Dense::new(4)).add(inner).add(Dense::new(2)), [5]).unwrap();
        check_part(Block::new(), [5]).unwrap();
        let settings = Block::new().add(Dense::new(4)).trainable(false).add(Dense::new(2)).learning_rate_factor(0.1);
        check_part(settings, [5]).unwrap();
    }
}
