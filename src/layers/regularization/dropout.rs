//! Dropout.

use super::{check_rate, drop_values};
use crate::activations::Activation;
use crate::error::Result;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x / (1 − rate), or 0 with probability `rate`, in training; y = x in inference.
///
/// - Input and output of one shape, any number of axes; no parameters. Each value is dropped on its own.
/// - The rate lies in [0, 1]; 1 drops all.
/// - Gradient: dx = dy / (1 − rate) where x was kept, else 0.
///
/// What is dropped follows from the seed, the layer, the step and the row: the same run drops the same values, with any
/// number of threads.
///
/// Keras and PyTorch `Dropout`. Srivastava et al.: "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([4]).add(Dense::new(8)).add(Dropout::new(0.5)).add(Dense::new(2)).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([3, 4]))?.dims(), &[3, 2]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dropout {
    rate: f64,
    #[cfg_attr(feature = "serde", serde(skip))]
    stream: u64,
}

impl Dropout {
    /// The part of the values that is dropped.
    pub fn new(rate: f64) -> Self {
        Dropout { rate, stream: 0 }
    }
}

impl<T: Float> Layer<T> for Dropout {
    fn class(&self) -> &'static str {
        "Dropout"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        check_rate("Dropout", self.rate, true)?;
        self.stream = b.stream();
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        drop_values(pass, self.stream, self.rate, x, y);
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
        drop_values(pass, self.stream, self.rate, dy, dx);
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Dropout(self.clone())
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
    fn gradients() {
        for rate in [0.0, 0.4, 1.0] {
            gradcheck::check_layer(&Dropout::new(rate), [3, 7]).unwrap();
        }
    }

    #[test]
    fn the_part_dropped_is_the_rate_and_what_is_kept_grows() {
        for rate in [0.1, 0.5, 0.8] {
            let x = Tensor::full([400, 1001], 1.0f32);
            let mut layer = Dropout::new(rate);
            Layer::<f32>::build(&mut layer, x.shape().sample(), &mut Builder::new(0)).unwrap();
            let params = crate::Params::new();
            let mut y = Tensor::full(x.shape(), f32::NAN);
            drop_values(&Pass::training(&params, &mut [], 3, 0, 0), layer.stream, rate, &x, &mut y);
            let dropped = y.iter().filter(|v| **v == 0.0).count() as f64 / y.len() as f64;
            // Five standard deviations of a binomial part.
            let bound = 5.0 * (rate * (1.0 - rate) / y.len() as f64).sqrt();
            assert!((dropped - rate).abs() < bound, "{dropped} for {rate}");
            assert!(y.iter().all(|&v| v == 0.0 || v == (1.0 / (1.0 - rate)) as f32));
            // Each column and each row on its own.
            let column = y.iter().step_by(1001).filter(|v| **v == 0.0).count() as f64 / 400.0;
            let row = y.row(7).iter().filter(|v| **v == 0.0).count() as f64 / 1001.0;
            assert!((column - rate).abs() < 0.125 && (row - rate).abs() < 0.08, "{column}, {row}");
        }
    }

    #[test]
    fn inference_changes_nothing_and_rates_are_checked() {
        let model = Sequential::new([3]).add(Dropout::new(0.9)).build_as(0).unwrap();
        let x = Tensor::from([[1.0f64, -2.0, 3.0]]);
        assert_eq!(model.predict(&x).unwrap(), x);
        for rate in [-0.1, 1.5, f64::NAN] {
            let error = Sequential::new([3]).add(Dropout::new(rate)).build(0).unwrap_err().to_string();
            assert!(error.contains("rate must be from 0 to 1"), "{error}");
        }
    }
}
