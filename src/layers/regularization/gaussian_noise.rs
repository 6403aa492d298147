//! Additive noise.

use super::{NORMAL, each_sample, normal};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x + N(0, stddev²) in training, y = x in inference.
///
/// - Input and output of one shape, any number of axes; no parameters. Each value has noise of its own, which follows from
///   the seed, the layer, the step and the row.
/// - Gradient: dx = dy.
///
/// Keras `GaussianNoise`. Bishop: "Training with Noise is Equivalent to Tikhonov Regularization", 1995.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4]).add(GaussianNoise::new(0.1)).add(Dense::new(2)).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([3, 4]))?.as_slice(), &[0.0; 6]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GaussianNoise {
    stddev: f64,
    #[cfg_attr(feature = "serde", serde(skip))]
    stream: u64,
}

impl GaussianNoise {
    /// The standard deviation of the noise.
    pub fn new(stddev: f64) -> Self {
        GaussianNoise { stddev, stream: 0 }
    }
}

impl<T: Float> Layer<T> for GaussianNoise {
    fn class(&self) -> &'static str {
        "GaussianNoise"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        if !(T::of(self.stddev).is_finite() && self.stddev >= 0.0) {
            let hint = "0.1 is usual for inputs of unit variance";
            return Err(Error::argument("GaussianNoise", "stddev", "finite and not negative", self.stddev, hint));
        }
        self.stream = b.stream();
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        if !pass.training || self.stddev == 0.0 {
            return y.as_mut_slice().copy_from_slice(x.as_slice());
        }
        let stddev = T::of(self.stddev);
        each_sample(pass, self.stream, x, y, NORMAL, |key, x, y| normal(key, x, y, |x, z| x + stddev * z));
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        // dx = dy
        dx.as_mut_slice().copy_from_slice(dy.as_slice());
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::GaussianNoise(self.clone())
    }

    fn reach(&self, _: Activation) -> Reach {
        if self.stddev == 0.0 { Reach::Training } else { Reach::Inference }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients_inference_and_errors() {
        gradcheck::check_layer(&GaussianNoise::new(0.5), [3, 7]).unwrap();
        gradcheck::check_layer(&GaussianNoise::new(0.0), [1]).unwrap();
        let model = Sequential::new([3]).add(GaussianNoise::new(0.9)).build_as(0).unwrap();
        let x = Tensor::from([[1.0f64, -2.0, 3.0]]);
        assert_eq!(model.predict(&x).unwrap(), x);
        for stddev in [-0.1, f64::INFINITY, f64::NAN] {
            let error = Sequential::new([3]).add(GaussianNoise::new(stddev)).build(0).unwrap_err().to_string();
            assert!(error.contains("stddev must be finite and not negative"), "{error}");
        }
    }
}
