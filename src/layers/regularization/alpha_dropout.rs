//! Dropout for SELU networks.

use super::{UNIFORM, check_rate, each_sample, mask};
use crate::activations::Activation;
use crate::error::Result;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// −scale·α of SELU.
const DROPPED: f64 = -1.050_700_987_355_480_5 * 1.673_263_242_354_377_2;

/// y = a·x + b, with x replaced by α′ = −1.7581 with probability `rate`, in training; y = x in inference.
///
/// a = ((1 − rate)(1 + rate·α′²))^−½ and b = −a·α′·rate keep mean 0 and variance 1, so that networks of SELUs stay
/// self-normalising; α′ is the value that SELU tends to at −∞.
///
/// - Input and output of one shape, any number of axes; no parameters. Each value is dropped on its own; which ones follows
///   from the seed, the layer, the step and the row.
/// - The rate lies in [0, 1).
/// - Gradient: dx = a·dy where x was kept, else 0.
///
/// Keras and PyTorch `AlphaDropout`. Klambauer et al.: "Self-Normalizing Neural Networks", 2017.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4])
///     .add(Dense::new(8).activation(Activation::Selu).kernel_initializer(Init::LecunNormal))
///     .add(AlphaDropout::new(0.1))
///     .build(0)?;
/// assert_eq!(model.output_shape().dims(), &[8]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AlphaDropout {
    rate: f64,
    #[cfg_attr(feature = "serde", serde(skip))]
    stream: u64,
}

impl AlphaDropout {
    /// The part of the values that is replaced.
    pub fn new(rate: f64) -> Self {
        AlphaDropout { rate, stream: 0 }
    }

    /// The a and b that keep mean and variance.
    fn affine(&self) -> (f64, f64) {
        let a = ((1.0 - self.rate) * (1.0 + self.rate * DROPPED * DROPPED)).powf(-0.5);
        (a, -a * DROPPED * self.rate)
    }
}

impl<T: Float> Layer<T> for AlphaDropout {
    fn class(&self) -> &'static str {
        "AlphaDropout"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        check_rate("AlphaDropout", self.rate, false)?;
        self.stream = b.stream();
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        if !pass.training || self.rate == 0.0 {
            return y.as_mut_slice().copy_from_slice(x.as_slice());
        }
        let (a, b) = self.affine();
        let values = [a, b, a * DROPPED + b].map(T::of);
        each_sample(pass, self.stream, x, y, UNIFORM, |key, x, y| mask(key, self.rate, x, y, values));
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
        if !pass.training || self.rate == 0.0 {
            return dx.as_mut_slice().copy_from_slice(dy.as_slice());
        }
        // dx = a·dy where x was kept
        let values = [self.affine().0, 0.0, 0.0].map(T::of);
        each_sample(pass, self.stream, dy, dx, UNIFORM, |key, dy, dx| mask(key, self.rate, dy, dx, values));
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::AlphaDropout(self.clone())
    }

    fn reach(&self, _: Activation) -> Reach {
        if self.rate == 0.0 { Reach::Training } else { Reach::Inference }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::kernels::random::{Key, Purpose};
    use crate::model::Sequential;

    #[test]
    fn gradients_inference_and_errors() {
        gradcheck::check_layer(&AlphaDropout::new(0.4), [3, 7]).unwrap();
        gradcheck::check_layer(&AlphaDropout::new(0.0), [1]).unwrap();
        let model = Sequential::new([3]).add(AlphaDropout::new(0.9)).build_as(0).unwrap();
        let x = Tensor::from([[1.0f64, -2.0, 3.0]]);
        assert_eq!(model.predict(&x).unwrap(), x);
        for rate in [-0.1, 1.0, f64::NAN] {
            let error = Sequential::new([3]).add(AlphaDropout::new(rate)).build(0).unwrap_err().to_string();
            assert!(error.contains("rate must be at least 0 and below 1"), "{error}");
        }
    }

    #[test]
    fn mean_and_variance_of_a_standard_normal_stay() {
        let mut x = Tensor::zeros([300, 1001]);
        super::super::normal(Key::new(1, Purpose::Data), &vec![0.0; x.len()], x.as_mut_slice(), |_, z: f64| z);
        let mut layer = AlphaDropout::new(0.3);
        Layer::<f64>::build(&mut layer, x.shape().sample(), &mut Builder::new(0)).unwrap();
        let (params, mut y) = (crate::Params::new(), Tensor::zeros(x.shape()));
        layer.forward(&mut Pass::training(&params, &mut [], 3, 0, 0), &mut Slot::new(), &x, &mut y);
        let n = y.len() as f64;
        let mean = y.iter().sum::<f64>() / n;
        let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean}, {variance}");
    }
}
