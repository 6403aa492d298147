//! Fully connected layer.

use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::gemm::{CHEAPER, Matrix, gemm};
use crate::kernels::{parallel, rows};
use crate::layer::{Builder, Layer, Pass, Slot};
use crate::layers::LayerConfig;
use crate::params::ParamId;
use crate::regularizers::Regularizer;
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
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Init,
    bias_initializer: Init,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    kernel_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    bias_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    activity_regularizer: Option<Regularizer>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    kernel_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    bias_constraint: Option<Constraint>,
    #[cfg_attr(feature = "serde", serde(skip))]
    kernel: ParamId,
    #[cfg_attr(feature = "serde", serde(skip))]
    bias: ParamId,
}

/// Values that get bias and activation in one go.
const TOGETHER: usize = 2048;

impl Dense {
    /// A layer with this many outputs.
    pub fn new(units: usize) -> Self {
        Dense {
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: Init::GlorotUniform,
            bias_initializer: Init::Zeros,
            kernel_regularizer: None,
            bias_regularizer: None,
            activity_regularizer: None,
            kernel_constraint: None,
            bias_constraint: None,
            kernel: ParamId::default(),
            bias: ParamId::default(),
        }
    }

    /// The function applied to x·W + b; none by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Whether b is added; yes by default.
    pub fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// How W is filled; Glorot uniform by default.
    pub fn kernel_initializer(mut self, init: impl Into<Init>) -> Self {
        self.kernel_initializer = init.into();
        self
    }

    /// How b is filled; zeros by default.
    pub fn bias_initializer(mut self, init: impl Into<Init>) -> Self {
        self.bias_initializer = init.into();
        self
    }

    /// A penalty on W, added to the loss; none by default.
    pub fn kernel_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.kernel_regularizer = Some(regularizer);
        self
    }

    /// A penalty on b, added to the loss; none by default.
    pub fn bias_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.bias_regularizer = Some(regularizer);
        self
    }

    /// A penalty on y (L1, L2 or both), divided by the number of samples and added to the loss; none by default.
    pub fn activity_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.activity_regularizer = Some(regularizer);
        self
    }

    /// Bounds that W is brought into after each update; none by default.
    pub fn kernel_constraint(mut self, constraint: Constraint) -> Self {
        self.kernel_constraint = Some(constraint);
        self
    }

    /// Bounds that b is brought into after each update; none by default.
    pub fn bias_constraint(mut self, constraint: Constraint) -> Self {
        self.bias_constraint = Some(constraint);
        self
    }

    /// What is applied in this pass: nothing where the loss works from logits.
    fn applied<T: Float>(&self, pass: &Pass<'_, T>) -> Activation {
        if pass.logits { Activation::Linear } else { self.activation }
    }
}

impl<T: Float> Layer<T> for Dense {
    fn class(&self) -> &'static str {
        "Dense"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        if self.units == 0 {
            return Err(Error::argument("Dense", "units", "at least 1", 0, "pass the number of outputs"));
        }
        if input.rank() == 0 {
            return Err(Error::shape("Dense", "at least one axis a sample", input, "add a Reshape([1]) before it"));
        }
        self.activation.check()?;
        if let Some(regularizer) = self.activity_regularizer {
            regularizer.check_activity()?;
        }
        self.kernel = b.weight("kernel", [input.last(), self.units], &self.kernel_initializer)?;
        b.regularize(self.kernel, self.kernel_regularizer)?;
        b.constrain(self.kernel, self.kernel_constraint.clone())?;
        if self.use_bias {
            self.bias = b.bias("bias", [self.units], &self.bias_initializer)?;
            b.regularize(self.bias, self.bias_regularizer)?;
            b.constrain(self.bias, self.bias_constraint.clone())?;
        }
        Ok(input.with_last(self.units))
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let (n, units) = (x.shape().last(), self.units);
        let activation = self.applied(pass);
        let a = Matrix::rows(x.as_slice(), n);
        gemm(
            [x.shape().rows(), n, units],
            a,
            Matrix::rows(pass.weight(self.kernel), units),
            T::zero(),
            y.as_mut_slice(),
        );
        let bias = if self.use_bias { pass.weight(self.bias) } else { &[] };
        if pass.needs_backward() && activation.needs_input() {
            rows::add_bias(y.as_mut_slice(), bias);
            slot.tensor(0, y.shape()).copy_from(y);
            parallel::rows(y.as_mut_slice(), units, units * activation.work(), |_, y| activation.forward(y, units));
        } else {
            parallel::rows(y.as_mut_slice(), units, units * (1 + activation.work()), |_, y| {
                // A few rows at a time, so that the activation finds them in the first-level cache.
                for y in y.chunks_mut(units * (TOGETHER / units).max(1)) {
                    rows::add_bias(y, bias);
                    activation.forward(y, units);
                }
            });
        }
        if let Some(regularizer) = &self.activity_regularizer {
            pass.add_penalty(regularizer.activity(y));
        }
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
        let (rows, n, units) = (x.shape().rows(), x.shape().last(), self.units);
        if let Some(regularizer) = self.activity_regularizer.filter(|_| pass.training) {
            regularizer.add_activity_gradient(y, dy);
        }
        // dz = dy · f'(z), in place of dy
        let activation = self.applied(pass);
        let z: &[T] = if activation.needs_input() { slot.tensors[0].as_slice() } else { &[] };
        parallel::rows(dy.as_mut_slice(), units, units * activation.work(), |first, dz| {
            let part = first * units..first * units + dz.len();
            activation.backward(z.get(part.clone()).unwrap_or(&[]), &y.as_slice()[part], dz, units);
        });
        let dz = dy.as_slice();
        let w = Matrix::transposed(pass.weight(self.kernel), units);
        let trained = pass.wants(self.kernel);
        // db += Σ rows of dz
        if self.use_bias && pass.wants(self.bias) {
            rows::sum_rows(dz, pass.gradient(self.bias));
        }
        let (dw, add) = pass.gradient_or_first(self.kernel);
        // dW += xᵀ · dz, which no element of dx waits for
        let mut weights = || {
            let beta = if add { T::one() } else { T::zero() };
            gemm([n, rows, units], Matrix::transposed(x.as_slice(), n), Matrix::rows(dz, units), beta, dw);
        };
        // dx = dz · Wᵀ
        let inputs = |dx: &mut Tensor<T>| {
            gemm([rows, units, n], Matrix::rows(dz, units), w, T::zero(), dx.as_mut_slice());
        };
        match (trained, dx) {
            (true, Some(dx)) => parallel::both(2 * rows * n * units / CHEAPER, weights, || inputs(dx)),
            (true, None) => weights(),
            (false, Some(dx)) => inputs(dx),
            (false, None) => {}
        }
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Dense(self.clone())
    }

    fn output_activation(&self) -> Option<Activation> {
        // A penalty on outputs needs them activated.
        self.activity_regularizer.is_none().then_some(self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn hand_computed() {
        let mut model = crate::Sequential::of([2]).add(Dense::new(2)).build(0).unwrap();
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
        assert_eq!(Layer::<f32>::output_activation(&activity), None);
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
