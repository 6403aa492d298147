//! Multiplicative noise.

use super::{NORMAL, check_rate, each_sample, normal};
use crate::activations::Activation;
use crate::error::Result;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x·N(1, rate / (1 − rate)) in training, y = x in inference: noise with the mean and variance of dropout.
///
/// - Input and output of one shape, any number of axes; no parameters. Each value has noise of its own, which follows from
///   the seed, the layer, the step and the row.
/// - The rate lies in [0, 1).
/// - Gradient: dx = dy times the same noise.
///
/// Keras `GaussianDropout`. Srivastava et al.: "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014, §10.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4]).add(GaussianDropout::new(0.2)).add(Dense::new(2)).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([3, 4]))?.as_slice(), &[0.0; 6]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GaussianDropout {
    rate: f64,
    #[cfg_attr(feature = "serde", serde(skip))]
    stream: u64,
}

impl GaussianDropout {
    /// The rate of the dropout that has the same variance.
    pub fn new(rate: f64) -> Self {
        GaussianDropout { rate, stream: 0 }
    }

    /// to = from times the noise of this pass: y from x and dx from dy alike.
    fn apply<T: Float>(&self, pass: &Pass<'_, T>, from: &Tensor<T>, to: &mut Tensor<T>) {
        if !pass.training || self.rate == 0.0 {
            return to.as_mut_slice().copy_from_slice(from.as_slice());
        }
        let stddev = T::of((self.rate / (1.0 - self.rate)).sqrt());
        each_sample(pass, self.stream, from, to, NORMAL, |key, from, to| {
            normal(key, from, to, |v, z| v * (T::one() + stddev * z));
        });
    }
}

impl<T: Float> Layer<T> for GaussianDropout {
    fn class(&self) -> &'static str {
        "GaussianDropout"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        check_rate("GaussianDropout", self.rate, false)?;
        self.stream = b.stream();
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        self.apply(pass, x, y);
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        self.apply(pass, dy, dx);
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::GaussianDropout(self.clone())
    }

    fn reach(&self, _: Activation) -> Reach {
        if self.rate == 0.0 { Reach::Training } else { Reach::Inference }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn gradients_inference_and_errors() {
        gradcheck::check_layer(&GaussianDropout::new(0.4), [3, 7]).unwrap();
        gradcheck::check_layer(&GaussianDropout::new(0.0), [1]).unwrap();
        let model = Sequential::new([3]).add(GaussianDropout::new(0.9)).build_as(0).unwrap();
        let x = Tensor::from([[1.0f64, -2.0, 3.0]]);
        assert_eq!(model.predict(&x).unwrap(), x);
        for rate in [-0.1, 1.0, f64::NAN] {
            let error = Sequential::new([3]).add(GaussianDropout::new(rate)).build(0).unwrap_err().to_string();
            assert!(error.contains("rate must be at least 0 and below 1"), "{error}");
        }
    }
}
