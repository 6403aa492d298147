//! Fully connected layer.

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Reach, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::{Epilogue, KernelOptions, epilogue_builders, kernel_builders};
use crate::layers::linear::{linear, linear_backward};
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = f(x·W + b) along the last axis: every output from every input.
///
/// - Input `[…, n]`, output `[…, units]`, any number of axes.
/// - Parameters: `kernel` W `[n, units]` (Glorot uniform), `bias` b `[units]` (zeros).
/// - Defaults: no activation, with bias, no penalties, no bounds.
/// - Gradient, with dz = dy·f'(z): dW = xᵀ·dz, db = Σ rows of dz, dx = dz·Wᵀ.
///
/// Keras `Dense`, PyTorch `Linear` (whose weight is Wᵀ).
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([3]).add(Dense::new(2).activation(Activation::Relu)).build(0)?;
/// assert_eq!(model.predict(&Tensor::zeros([5, 3]))?.dims(), &[5, 2]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dense {
    units: usize,
    #[cfg_attr(feature = "serde", serde(flatten))]
    kernel: KernelOptions,
    #[cfg_attr(feature = "serde", serde(flatten))]
    epilogue: Epilogue,
    #[cfg_attr(feature = "serde", serde(skip))]
    w: ParamId,
}

impl Dense {
    /// A layer with this many outputs.
    pub fn new(units: usize) -> Self {
        Dense { units, kernel: KernelOptions::default(), epilogue: Epilogue::default(), w: ParamId::default() }
    }

    kernel_builders!();
    epilogue_builders!();
}

impl<T: Float> Layer<T> for Dense {
    fn class(&self) -> &'static str {
        "Dense"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        if self.units == 0 {
            return Err(Error::argument("Dense", "units", "at least 1", 0, "pass the number of outputs"));
        }
        input.need_features("Dense")?;
        self.epilogue.check()?;
        self.w = self.kernel.product("kernel", Shape::from([input.last(), self.units]), b)?;
        self.epilogue.build(self.units, b)?;
        Ok(input.with_last(self.units))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x.with_last(self.units))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [z] = slot.buffers();
        linear(pass, self.w, x.as_slice(), y);
        self.epilogue.forward(pass, y, z);
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
        let [z] = slot.buffers();
        // dz = dy · f'(z), in place of dy, and db += Σ rows of dz
        self.epilogue.backward(pass, z, y, dy);
        // dW += xᵀ · dz, dx = dz · Wᵀ
        linear_backward(pass, self.w, x.as_slice(), dy, dx.map(Tensor::as_mut_slice));
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Dense(self.clone())
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.epilogue.activation)
    }

    fn output_reach(&self) -> Reach {
        self.epilogue.output_reach()
    }

    fn by_rows(&self) -> bool {
        self.epilogue.by_rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraints::Constraint;
    use crate::gradcheck;
    use crate::regularizers::Regularizer;

    #[test]
    fn hand_computed() {
        let mut model = crate::Sequential::new([2]).add(Dense::new(2)).build_as(0).unwrap();
        model.set_weight("dense/kernel", &[1.0f64, 2.0, 3.0, 4.0]).unwrap();
        model.set_weight("dense/bias", &[10.0, 20.0]).unwrap();
        let y = model.predict(&Tensor::from([[1.0, 1.0], [0.0, 2.0]])).unwrap();
        assert_eq!(y.as_slice(), &[14.0, 26.0, 16.0, 28.0]);
    }

    #[test]
    fn every_activation_and_rank() {
        for activation in Activation::ALL {
            gradcheck::check_layer(&Dense::new(3).activation(activation), [5]).unwrap();
        }
        gradcheck::check_layer(&Dense::new(7).activation(Activation::Gelu).use_bias(false), [3, 2]).unwrap();
    }

    #[test]
    fn penalties_and_bounds() {
        let penalised = Dense::new(3).activation(Activation::Tanh).kernel_regularizer(Regularizer::L1(0.2));
        let penalised = penalised.bias_regularizer(Regularizer::L2(0.3)).kernel_constraint(Constraint::max_norm(1.0));
        for activity in [Regularizer::L1(0.4), Regularizer::L2(0.5), Regularizer::L1L2 { l1: 0.1, l2: 0.2 }] {
            gradcheck::check_layer(&penalised.clone().activity_regularizer(activity), [5]).unwrap();
            gradcheck::check_layer(&penalised.clone().activity_regularizer(activity), [2, 4]).unwrap();
        }
        let fused = Layer::<f32>::output_activation(&penalised.clone().bias_constraint(Constraint::NonNeg));
        assert_eq!(fused, Some(Activation::Tanh));
        let activity = penalised.activity_regularizer(Regularizer::L1(0.1));
        assert_eq!(Layer::<f32>::output_reach(&activity), Reach::Values);
    }

    #[test]
    fn impossible_settings() {
        let build = |d: Dense, shape: Shape| crate::Sequential::new(shape).add(d).build(0).unwrap_err().to_string();
        assert_eq!(
            build(Dense::new(0), Shape::from([3])),
            "layer 0 (dense): Dense: units must be at least 1, got 0; pass the number of outputs"
        );
        assert!(build(Dense::new(usize::MAX), Shape::from([3])).contains("a shape that fits in memory"));
        assert!(build(Dense::new(1), Shape::SCALAR).contains("Reshape([1])"));
        let error = |d: Dense| build(d, Shape::from([3]));
        assert!(error(Dense::new(1).kernel_regularizer(Regularizer::L1(-1.0))).contains("l1 must be finite"));
        assert!(error(Dense::new(1).bias_regularizer(Regularizer::OrthogonalRows(1.0))).contains("a matrix"));
        assert!(error(Dense::new(1).activity_regularizer(Regularizer::OrthogonalRows(1.0))).contains("L1, L2 or L1L2"));
        assert!(error(Dense::new(1).bias_constraint(Constraint::unit_norm().axis([1]))).contains("from 0 to 0"));
    }
}
