//! Saliency maps.

use super::Target;
use crate::error::Result;
use crate::model::Model;
use crate::tensor::{Float, Tensor};

/// |∂score/∂x| for each sample of `x` `[n, …input]`, shaped like `x`: how strongly the score of a class depends on each input.
///
/// The sign, which says in what direction, is kept by [`Model::input_gradient`]. For colour images the map of a pixel is the
/// largest of its channels.
///
/// Simonyan, Vedaldi, Zisserman: "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency
/// Maps", 2014. Captum `Saliency`.
///
/// ```
/// use gradus::prelude::*;
/// let mut model = Sequential::new([2]).add(Dense::new(2).activation(Activation::Softmax)).build(0)?;
/// model.set_weight("dense/kernel", &[1.0, -2.0, 3.0, 4.0])?;
/// let map = saliency(&model, &Tensor::from([[0.5, -1.0]]), Target::class(1))?;
/// assert_eq!(map, Tensor::from([[2.0, 4.0]]));
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// As [`Model::input_gradient`].
pub fn saliency<T: Float>(model: &Model<T>, x: &Tensor<T>, target: Target) -> Result<Tensor<T>> {
    Ok(model.input_gradient(x, target)?.map(T::abs))
}
