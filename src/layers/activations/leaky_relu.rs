//! Leaky rectifier.

use crate::activations::Activation;

/// y = x for x > 0, else negative_slope·x.
///
/// - Input and output of one shape, any number of axes; no parameters.
/// - Default: negative slope 0.3 (Keras's function of that name, as `"leaky_relu"` makes it, has 0.2).
/// - Gradient: dx = dy for x > 0, else negative_slope·dy.
///
/// Keras `LeakyReLU`, PyTorch `LeakyReLU` (slope 0.01). Maas, Hannun, Ng: "Rectifier Nonlinearities Improve Neural Network
/// Acoustic Models", 2013.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2]).add(LeakyRelu::default().negative_slope(0.5)).build(0)?;
/// assert_eq!(model.predict(&Tensor::from([[-2.0, 3.0]]))?.as_slice(), &[-1.0, 3.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LeakyRelu {
    negative_slope: f64,
}

impl Default for LeakyRelu {
    fn default() -> Self {
        LeakyRelu { negative_slope: 0.3 }
    }
}

impl LeakyRelu {
    /// The layer with a slope of 0.3.
    pub fn new() -> Self {
        Self::default()
    }

    /// The factor of negative inputs; 0.3 by default.
    pub fn negative_slope(mut self, slope: f64) -> Self {
        self.negative_slope = slope;
        self
    }

    fn function(&self) -> Activation {
        Activation::LeakyRelu(self.negative_slope)
    }
}

activation_layer!(LeakyRelu);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;
    use crate::tensor::Tensor;

    #[test]
    fn values_gradients_and_errors() {
        let model = Sequential::new([3]).add(LeakyRelu::new()).build_as(0).unwrap();
        let y = model.predict(&Tensor::from([[-1.0f64, 0.0, 2.0]])).unwrap();
        assert_eq!(y.as_slice(), &[-0.3, 0.0, 2.0]);
        for slope in [0.3, 0.0, -0.5] {
            gradcheck::check_layer(&LeakyRelu::new().negative_slope(slope), [3, 5]).unwrap();
        }
        let infinite = LeakyRelu::new().negative_slope(f64::INFINITY);
        let error = Sequential::new([3]).add(infinite).build(0).unwrap_err().to_string();
        assert!(error.contains("must be finite, got inf"), "{error}");
    }
}
