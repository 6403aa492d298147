//! Softmax as a layer.

use crate::activations::Activation;

/// yᵢ = eˣⁱ / Σ eˣʲ along the last axis: rows of positive numbers that sum to 1.
///
/// - Input and output of one shape, any number of axes; no parameters.
/// - Gradient: dxᵢ = yᵢ(dyᵢ − Σ dy·y). At the end of a model, with cross-entropy, training takes the stable form from
///   logits.
///
/// Keras `Softmax`, PyTorch `Softmax(dim=-1)`; the same as `Activation::Softmax` as a layer. Bridle: "Probabilistic
/// Interpretation of Feedforward Classification Network Outputs", 1990.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2]).add(Softmax::new()).build(0)?;
/// assert_eq!(model.predict(&Tensor::from([[5.0, 5.0]]))?.as_slice(), &[0.5, 0.5]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Softmax {}

impl Softmax {
    /// Softmax along the last axis.
    pub fn new() -> Self {
        Softmax {}
    }

    fn function(&self) -> Activation {
        Activation::Softmax
    }
}

activation_layer!(Softmax);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::layers::Dense;
    use crate::losses::CategoricalCrossentropy;
    use crate::model::{Model, Sequential};
    use crate::optimizers::Sgd;
    use crate::tensor::Tensor;

    #[test]
    fn values_and_gradients() {
        let model = Sequential::new([3]).add(Softmax::new()).build_as(0).unwrap();
        let y = model.predict(&Tensor::from([[0.0f64, 2f64.ln(), 5f64.ln()]])).unwrap();
        for (y, expected) in y.iter().zip([0.125, 0.25, 0.625]) {
            assert!((y - expected).abs() < 1e-15);
        }
        gradcheck::check_layer(&Softmax::new(), [3, 5]).unwrap();
        gradcheck::check_layer(&Softmax::new(), [1]).unwrap();
    }

    #[test]
    fn trains_from_logits_as_a_fused_activation_does() {
        let x = Tensor::from([[1.0f64, -2.0], [0.5, 800.0]]);
        let y = Tensor::from_labels(&[1, 0]);
        let gradients = |mut model: Model<f64>| {
            model.compile(Sgd::default(), CategoricalCrossentropy::default(), ()).unwrap();
            model.gradients(&x, &y).unwrap()
        };
        let apart = Sequential::new([2]).add(Dense::new(2)).add(Softmax::new()).build_as(3).unwrap();
        let fused = Sequential::new([2]).add(Dense::new(2).activation(Activation::Softmax)).build_as(3).unwrap();
        assert_eq!(gradients(apart), gradients(fused));
        let mut model = Sequential::new([2]).add(Softmax::new()).build_as::<f64>(0).unwrap();
        assert!(model.compile(Sgd::default(), CategoricalCrossentropy::default().from_logits(true), ()).is_err());
    }
}
