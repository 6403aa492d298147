//! LeNet-5.

use crate::activations::Activation;
use crate::graph::Block;
use crate::layers::{AveragePooling2d, Conv2d, Dense, Flatten, Padding};

/// LeNet-5 for grey images of about 28×28 `[28, 28, 1]`: two convolutions of 5×5 (6 and 16 filters, tanh), each followed by a mean
/// over 2×2, then dense layers of 120, 84 and `classes` units, the last with softmax. 61,706 weights for 10 classes.
///
/// The first convolution pads, in the place of the paper's images of 32×32; pools have no weights, and the classes are a softmax
/// in the place of radial basis functions. LeCun et al.: "Gradient-Based Learning Applied to Document Recognition", 1998.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([28, 28, 1]).add(gradus::models::lenet5(10)).build(0)?;
/// assert_eq!(model.params().len(), 61_706);
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn lenet5(classes: usize) -> Block {
    Block::new()
        .add(Conv2d::new(6, 5).padding(Padding::Same).activation(Activation::Tanh))
        .add(AveragePooling2d::new(2))
        .add(Conv2d::new(16, 5).activation(Activation::Tanh))
        .add(AveragePooling2d::new(2))
        .add(Flatten::new())
        .add(Dense::new(120).activation(Activation::Tanh))
        .add(Dense::new(84).activation(Activation::Tanh))
        .add(Dense::new(classes).activation(Activation::Softmax))
}
