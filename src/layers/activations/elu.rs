//! Exponential linear unit.

use crate::activations::Activation;

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

activation_layer!(Elu);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;
    use crate::tensor::Tensor;

    #[test]
    fn values_gradients_and_errors() {
        let model = Sequential::new([2]).add(Elu::new().alpha(0.7)).build_as(0).unwrap();
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
