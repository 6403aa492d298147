//! Channels weighed by what the whole image shows.

use super::{Block, Branches};
use crate::activations::Activation;
use crate::layers::merging::Multiply;
use crate::layers::{Dense, GlobalAveragePooling2d, Identity};

/// y = x·σ(W₂·relu(W₁·mean(x))): every channel of an image times a factor that follows from the means of all channels.
///
/// A composition of a global mean, two dense layers (channels / ratio, at least 1, and channels units) and a product, for images
/// `[height, width, channels]`. The paper's ratio is 16.
///
/// Hu et al.: "Squeeze-and-Excitation Networks", 2018.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([6, 6, 8]).add(squeeze_excite(8, 4)).build(0)?;
/// assert_eq!(model.params().len(), 8 * 2 + 2 + 2 * 8 + 8);
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn squeeze_excite(channels: usize, ratio: usize) -> Branches<Multiply> {
    let gate = Block::new()
        .add(GlobalAveragePooling2d::new().keepdims(true))
        .add(Dense::new((channels / ratio.max(1)).max(1)).activation(Activation::Relu))
        .add(Dense::new(channels).activation(Activation::Sigmoid));
    Multiply::new().branch(Identity::new()).branch(gate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::check_part;

    #[test]
    fn gradients() {
        check_part(squeeze_excite(4, 2), [2, 3, 4]).unwrap();
    }

    #[test]
    fn other_channels_than_the_images_are_an_error() {
        let error = crate::Sequential::new([2, 3, 4]).add(squeeze_excite(5, 2)).build(0).unwrap_err();
        assert!(error.to_string().contains("agree with [2, 3, 4]"), "{error}");
    }
}
