//! A penalty on what passes through.

use crate::activations::Activation;
use crate::error::Result;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::regularizers::Regularizer;
use crate::tensor::{Float, Shape, Tensor};

/// y = x; adds (l1·Σ|x| + l2·Σx²) / n to the loss of a batch of n samples, in training and in `evaluate`.
///
/// - Input and output of one shape, any number of axes; no parameters.
/// - Defaults: both factors 0.
/// - Gradient: dx = dy + (l1·sign(x) + 2·l2·x) / n.
///
/// Keras `ActivityRegularization`.
///
/// ```
/// use gradus::prelude::*;
/// let mut model = Sequential::new([2]).add(ActivityRegularization::new().l2(0.5)).build(0)?;
/// model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
/// // Targets are met, so only the penalty is left: 0.5·(1² + 3²).
/// let x = Tensor::from([[1.0, 3.0]]);
/// assert_eq!(model.evaluate(&x, &x)?.loss, 5.0);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ActivityRegularization {
    l1: f64,
    l2: f64,
}

impl ActivityRegularization {
    /// A penalty with both factors 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The factor of Σ|x|; 0 by default.
    pub fn l1(mut self, l1: f64) -> Self {
        self.l1 = l1;
        self
    }

    /// The factor of Σx²; 0 by default.
    pub fn l2(mut self, l2: f64) -> Self {
        self.l2 = l2;
        self
    }

    fn regularizer(&self) -> Regularizer {
        Regularizer::L1L2 { l1: self.l1, l2: self.l2 }
    }
}

impl<T: Float> Layer<T> for ActivityRegularization {
    fn class(&self) -> &'static str {
        "ActivityRegularization"
    }

    fn build(&mut self, input: Shape, _: &mut Builder<T>) -> Result<Shape> {
        self.regularizer().check_activity()?;
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, _: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        y.as_mut_slice().copy_from_slice(x.as_slice());
        pass.add_penalty(self.regularizer().activity(x));
    }

    fn backward(
        &self,
        pass: &mut Pass<'_, T>,
        _: &mut Slot<T>,
        x: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        // dx = dy + (l1·sign(x) + 2·l2·x) / n
        dx.as_mut_slice().copy_from_slice(dy.as_slice());
        // The penalty is a part of the loss in training; the gradient of an output alone knows none.
        if pass.training {
            self.regularizer().add_activity_gradient(x, dx);
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::ActivityRegularization(self.clone())
    }

    fn reach(&self, _: Activation) -> Reach {
        // The penalty needs activated values.
        Reach::Values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::layers::Dense;
    use crate::model::Sequential;

    #[test]
    fn gradients_and_errors() {
        for layer in [ActivityRegularization::new().l1(0.3), ActivityRegularization::new().l1(0.1).l2(0.2)] {
            gradcheck::check_layer(&layer, [3, 5]).unwrap();
            gradcheck::check_layer(&layer, Shape::SCALAR).unwrap();
        }
        let error = Sequential::new([2]).add(ActivityRegularization::new().l1(-1.0)).build(0).unwrap_err().to_string();
        assert!(error.contains("l1 must be finite and not negative, got -1"), "{error}");
    }

    #[test]
    fn inside_a_model() {
        let inner = crate::graph::Residual::new().add(Dense::new(2)).add(ActivityRegularization::new().l1(0.1).l2(0.2));
        let mut model = Sequential::new([2]).add(Dense::new(2)).add(inner).add(Dense::new(1)).build_as(1).unwrap();
        model.compile(crate::optimizers::Sgd::default(), crate::losses::MeanSquaredError::default(), ()).unwrap();
        let x = Tensor::from([[0.3, -0.7], [1.1, 0.4], [-0.2, 0.9]]);
        gradcheck::check_model(&mut model, &x, &Tensor::from([[1.0], [0.0], [0.5]])).unwrap();
    }
}
