//! Exponential linear unit.

use crate::activations::Activation;
use crate::error::Result;
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::tensor::{Float, Shape, Tensor};

/// y = x for x > 0, else α(eˣ − 1).
///
/// - Input and output of one shape, any number of axes; no parameters.
/// - Default: α = 1.
/// - Gradient: dx = dy for x > 0, else dy·(y + α).
///
/// Keras `ELU`, PyTorch `ELU`. Clevert, Unterthiner, Hochreiter: "Fast and Accurate Deep Network Learning by Exponential
/// Linear Units", 2016.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([2]).add(Elu::default().alpha(2.0)).build(0)?;
/// let y = model.predict(&Tensor::from([[-1e3, 3.0]]))?;
/// assert_eq!(y.as_slice(), &[-2.0, 3.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Elu {
    alpha: f64,
}

impl Default for Elu {
    fn default() -> Self {
        Elu { alpha: 1.0 }
    }
}

impl Elu {
    /// The layer with α = 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// The depth of the negative side; 1 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    fn function(&self) -> Activation {
        Activation::Elu(self.alpha)
    }
}

impl<T: Float> Layer<T> for Elu {
    fn class(&self) -> &'static str {
        "Elu"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        self.function().build(input, b)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        Layer::forward(&self.function(), pass, slot, x, y);
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        Layer::backward(&self.function(), pass, slot, x, y, dy, dx);
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Elu(self.clone())
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.function())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    #[test]
    fn values_gradients_and_errors() {
        let model = Sequential::of([2]).add(Elu::new().alpha(0.7)).build(0).unwrap();
        // Keras 3.15 in float64.
        let y = model.predict(&Tensor::from([[-0.054278708897502914f64, 0.9157145928609024]])).unwrap();
        assert!((y.as_slice()[0] + 0.03698234012330112).abs() < 1e-15);
        assert_eq!(y.as_slice()[1], 0.9157145928609024);
        for alpha in [1.0, 0.7, -0.5] {
            gradcheck::check_layer(&Elu::new().alpha(alpha), [3, 5]).unwrap();
        }
        assert!(Sequential::new([3]).add(Elu::new().alpha(f64::NAN)).build(0).is_err());
    }
}
