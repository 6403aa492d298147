//! Residual networks for small images.

use crate::activations::Activation;
use crate::graph::{Block, Residual};
use crate::initializers::Init;
use crate::layers::merging::Add;
use crate::layers::{BatchNorm, Conv2d, Dense, GlobalAveragePooling2d, Padding};

/// The residual network of 20 layers for CIFAR's images `[32, 32, 3]`, about 270,000 weights: [`resnet`] with 3 blocks a stage.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([32, 32, 3]).add(gradus::models::resnet20(10)).build(0)?;
/// assert_eq!(model.summary().trainable, 272_474);
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn resnet20(classes: usize) -> Block {
    resnet(3, classes)
}

/// The residual network of 6·`blocks` + 2 layers for small images: a convolution, three stages of `blocks` residual blocks with
/// 16, 32 and 64 filters, each stage after the first at half the resolution, the mean of each channel, and a dense layer of
/// `classes` units with softmax.
///
/// A block is relu(x + F(x)), F two convolutions of 3×3 with [`BatchNorm`]; where resolution and filters change, the shortcut is a
/// convolution of 1×1 with BatchNorm. Kernels begin as He et al. have them (`Init::HeNormal`); they train with weight decay of 10⁻⁴.
///
/// He et al.: "Deep Residual Learning for Image Recognition", 2016, section 4.2, with projections in the place of padded
/// shortcuts.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([32, 32, 3]).add(gradus::models::resnet(1, 10)).build(0)?;
/// assert_eq!(model.output_shape(), Shape::from([10]));
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn resnet(blocks: usize, classes: usize) -> Block {
    let mut net = Block::new().add(conv(16, 3, 1)).add(BatchNorm::new().activation(Activation::Relu));
    for (stage, filters) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..blocks {
            let halves = stage > 0 && block == 0;
            let stride = if halves { 2 } else { 1 };
            let f = Block::new()
                .add(conv(filters, 3, stride))
                .add(BatchNorm::new().activation(Activation::Relu))
                .add(conv(filters, 3, 1))
                .add(BatchNorm::new());
            let shortcut = Block::new().add(conv(filters, 1, stride)).add(BatchNorm::new());
            net = match halves {
                true => net.add(Add::new().branch(f).branch(shortcut).activation(Activation::Relu)),
                false => net.add(Residual::new().add(f).activation(Activation::Relu)),
            };
        }
    }
    net.add(GlobalAveragePooling2d::new()).add(Dense::new(classes).activation(Activation::Softmax))
}

fn conv(filters: usize, size: usize, stride: usize) -> Conv2d {
    let conv = Conv2d::new(filters, size).strides(stride).padding(Padding::Same);
    conv.use_bias(false).kernel_initializer(Init::HeNormal)
}
