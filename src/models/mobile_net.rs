//! A network of depthwise convolutions.

use crate::activations::Activation;
use crate::graph::Block;
use crate::layers::{BatchNorm, Conv2d, Dense, DepthwiseConv2d, GlobalAveragePooling2d, Padding};

/// MobileNet for images `[height, width, channels]` of 32×32 and more: a convolution with stride 2, 13 pairs of a depthwise
/// convolution of 3×3 and one of 1×1, each with [`BatchNorm`] and ReLU6, the mean of each channel, and a dense layer of
/// `classes` units with softmax. `width` multiplies the filters of every layer; with 1 there are 32 to 1,024, and 3.2 million
/// weights before the classes.
///
/// Howard et al.: "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([96, 96, 3]).add(gradus::models::mobile_net(0.25, 5)).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([5]));
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn mobile_net(width: f64, classes: usize) -> Block {
    let filters = |n: usize| ((n as f64 * width) as usize).max(1);
    let mut net = Block::new()
        .add(Conv2d::new(filters(32), 3).strides(2).padding(Padding::Same).use_bias(false))
        .add(BatchNorm::new().activation(Activation::Relu6));
    let pairs =
        [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)];
    for (n, stride) in pairs.into_iter().chain([(1024, 2), (1024, 1)]) {
        net = net
            .add(DepthwiseConv2d::new(3).strides(stride).padding(Padding::Same).use_bias(false))
            .add(BatchNorm::new().activation(Activation::Relu6))
            .add(Conv2d::new(filters(n), 1).use_bias(false))
            .add(BatchNorm::new().activation(Activation::Relu6));
    }
    net.add(GlobalAveragePooling2d::new()).add(Dense::new(classes).activation(Activation::Softmax))
}
