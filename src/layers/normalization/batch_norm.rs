//! Channels brought to mean 0 and variance 1 over the batch.

use super::gamma_beta::{GammaBeta, check_epsilon, gamma_beta_builders};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::channels;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::EpiloguePass;
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = f(γ·(x − μ)/√(σ² + ε) + β) for each channel (the last axis); in training μ and σ² are those of the batch over all other
/// axes, in inference moving averages of them.
///
/// - Input and output of one shape, at least one axis.
/// - Parameters: `gamma` γ (ones), `beta` β (zeros), and the statistics `moving_mean` (zeros) and `moving_variance` (ones), all
///   `[channels]`. After each training batch moving = momentum·moving + (1 − momentum)·batch.
/// - Defaults: momentum 0.99, ε = 0.001, with γ and β, no activation f. An activation here is the same as one that follows, but for
///   the memory and the time of another layer.
/// - A variance that the type does not hold (from values of 10¹⁹ on in f32) gives NaN, so that training stops with an error instead
///   of keeping it.
/// - Under a mask, μ and σ² of a training batch are over the steps that count, as if there were 10⁻⁷ more of them, all 0 and without variance
///   (Keras's ε); all steps are normalised by them. The output has the same mask.
/// - Frozen (`trainable(false)`), the layer works as in inference during training too, and its statistics stay.
/// - Gradient in training, dy that of f's input, with x̂ = (x − μ)/√(σ² + ε) and means over N values a channel: dβ = Σ dy, dγ = Σ dy·x̂,
///   dx = γ/√(σ² + ε)·(dy − mean(dy) − x̂·mean(dy·x̂)); in inference dx = γ/√(σ² + ε)·dy.
///
/// Keras `BatchNormalization`, PyTorch `BatchNorm1d` and `BatchNorm2d` (whose momentum is 1 − this one, whose ε is 10⁻⁵ and
/// whose moving variance is that of a sample). Ioffe, Szegedy: "Batch Normalization", 2015.
///
/// ```
/// use gradus::prelude::*;
/// let model = Sequential::new([8, 8, 3]).add(Conv2d::new(4, 3)).add(BatchNorm::new()).build(0)?;
/// assert_eq!(model.weight("batch_norm/moving_variance")?, &[1.0; 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BatchNorm {
    momentum: f64,
    epsilon: f64,
    #[cfg_attr(feature = "serde", serde(flatten))]
    affine: GammaBeta,
    moving_mean_initializer: Init,
    moving_variance_initializer: Init,
    #[cfg_attr(feature = "serde", serde(default))]
    activation: Activation,
    /// Moving mean and variance.
    #[cfg_attr(feature = "serde", serde(skip))]
    moving: [ParamId; 2],
    /// The shape of one input sample; set by build.
    #[cfg_attr(feature = "serde", serde(skip))]
    input: Shape,
}

impl Default for BatchNorm {
    fn default() -> Self {
        BatchNorm {
            momentum: 0.99,
            epsilon: 1e-3,
            affine: GammaBeta::default(),
            moving_mean_initializer: Init::Zeros,
            moving_variance_initializer: Init::Ones,
            activation: Activation::Linear,
            moving: [ParamId::default(); 2],
            input: Shape::default(),
        }
    }
}

impl BatchNorm {
    /// With Keras's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The weight of what was before in the moving averages, from 0 to 1; 0.99 by default.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    gamma_beta_builders!();

    /// What the moving mean begins at; zeros by default.
    pub fn moving_mean_initializer(mut self, init: impl Into<Init>) -> Self {
        self.moving_mean_initializer = init.into();
        self
    }

    /// What the moving variance begins at; ones by default.
    pub fn moving_variance_initializer(mut self, init: impl Into<Init>) -> Self {
        self.moving_variance_initializer = init.into();
        self
    }

    /// The function applied after β; none by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Whether this pass goes by the batch's own statistics.
    fn by_batch<T: Float>(&self, pass: &Pass<'_, T>) -> bool {
        pass.training && !pass.frozen(self.moving[0])
    }

    /// Σ (x − shift) and Σ (x − shift)² into mean and variance of each channel, and those into the moving averages.
    fn statistics<T: Float>(
        &self,
        pass: &mut Pass<'_, T>,
        x: &Tensor<T>,
        space: &mut [T],
        [mean, variance, sum]: [&mut [T]; 3],
    ) {
        // Shifted by the first row, squares lose nothing to a mean far from 0.
        let n = mean.len();
        match steps(pass, x) {
            None => {
                let shift = &x.as_slice()[..n];
                channels::moments(x.as_slice(), shift, space, sum, variance);
                let inv_n = T::one() / T::of(x.shape().rows() as f64);
                for c in 0..n {
                    let d = sum[c] * inv_n;
                    mean[c] = shift[c] + d;
                    variance[c] = variance[c] * inv_n - d * d;
                }
            }
            Some(mask) => {
                let rows = || x.as_slice().chunks_exact(n).zip(mask).filter_map(|(x, counts)| counts.then_some(x));
                let (count, inv_n) = counted::<T>(mask);
                let shift = rows().next().unwrap_or(&x.as_slice()[..n]);
                sum.fill(T::zero());
                variance.fill(T::zero());
                for x in rows() {
                    for c in 0..n {
                        let d = x[c] - shift[c];
                        sum[c] += d;
                        variance[c] += d * d;
                    }
                }
                for c in 0..n {
                    mean[c] = (sum[c] + count * shift[c]) * inv_n;
                    // Σ (x − μ)² = Σ (x − shift)² − 2·(μ − shift)·Σ (x − shift) + count·(μ − shift)²
                    let d = mean[c] - shift[c];
                    variance[c] = (variance[c] - (d + d) * sum[c] + count * d * d) * inv_n;
                }
            }
        }
        for variance in variance.iter_mut() {
            // A variance beyond the type must show, as no moving average could take it in.
            *variance = if variance.is_finite() { variance.max(T::zero()) } else { T::nan() };
        }
        let momentum = T::of(self.momentum);
        for (id, batch) in self.moving.into_iter().zip([mean, variance]) {
            let before = pass.weight(id);
            let now = pass.statistics(id);
            for ((now, &before), &batch) in now.iter_mut().zip(before).zip(&*batch) {
                *now = before * momentum + batch * (T::one() - momentum);
            }
        }
    }
}

/// Keras's ε in the number of steps that count.
const STEPS_EPSILON: f64 = 1e-7;

/// The mask, a row of x at a time.
fn steps<'a, T: Float>(pass: &'a Pass<'_, T>, x: &Tensor<T>) -> Option<&'a [bool]> {
    pass.mask().filter(|mask| mask.len() == x.shape().rows())
}

/// How many steps count, and what a sum over them is multiplied by.
fn counted<T: Float>(mask: &[bool]) -> (T, T) {
    let count = mask.iter().filter(|counts| **counts).count() as f64;
    (T::of(count), T::one() / T::of(count + STEPS_EPSILON))
}

impl<T: Float> Layer<T> for BatchNorm {
    fn class(&self) -> &'static str {
        "BatchNorm"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        input.need_features("BatchNorm")?;
        if !(0.0..=1.0).contains(&self.momentum) {
            let hint = "0.99 is the default; PyTorch's momentum is 1 minus this one";
            return Err(Error::argument("BatchNorm", "momentum", "from 0 to 1", self.momentum, hint));
        }
        check_epsilon::<T>("BatchNorm", self.epsilon)?;
        self.activation.check()?;
        self.affine.build(input.last(), b)?;
        self.input = input;
        let mean = b.state("moving_mean", [input.last()], &self.moving_mean_initializer)?;
        self.moving = [mean, b.state("moving_variance", [input.last()], &self.moving_variance_initializer)?];
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let n = x.shape().last();
        let [space, mean, scale, inverse, offset, _, z] = slot.buffers();
        let space = space.scratch(channels::space(x.shape().rows(), n));
        let [mean, scale, inverse, offset] = [mean, scale, inverse, offset].map(|buffer| buffer.scratch(n));
        if self.by_batch(pass) {
            self.statistics(pass, x, space, [mean, inverse, offset]);
        } else {
            let [moving_mean, moving_variance] = self.moving.map(|id| pass.weight(id));
            mean.copy_from_slice(moving_mean);
            inverse.copy_from_slice(moving_variance);
        }
        let epilogue = EpiloguePass::activation(pass, self.activation, n);
        let z = epilogue.keep_z(x.shape(), z);
        let (gamma, beta, epsilon) = (self.affine.gamma(pass), self.affine.beta(pass), T::of(self.epsilon));
        for c in 0..n {
            inverse[c] = T::one() / (inverse[c] + epsilon).sqrt();
            scale[c] = gamma(c) * inverse[c];
            offset[c] = beta(c);
        }
        let work = epilogue.activation.work();
        let then = |y: &mut [T], z: &mut [T]| epilogue.forward(y, z);
        channels::normalise(x.as_slice(), [mean, scale, offset], y.as_mut_slice(), z, work, then);
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
        let by_batch = self.by_batch(pass);
        let n = x.shape().last();
        let [space, mean, scale, inverse, sum, sum_x, z] = slot.buffers();
        let space = space.scratch(channels::space(x.shape().rows(), n));
        let [mean, scale, inverse] = [mean, scale, inverse].map(|buffer| &*buffer.scratch(n));
        let [sum, sum_x] = [sum, sum_x].map(|buffer| buffer.scratch(n));
        let epilogue = EpiloguePass::activation(pass, self.activation, n);
        if by_batch || epilogue.activation != Activation::Linear || self.affine.wants(pass) {
            let start = |dz: &mut [T], range| epilogue.backward(z, y, dz, range);
            // Σ dz and Σ dz·(x − μ)
            channels::gradients(
                x.as_slice(),
                mean,
                dy.as_mut_slice(),
                epilogue.activation.work(),
                start,
                space,
                sum,
                sum_x,
            );
            // dβ += Σ dz, dγ += Σ dz·x̂
            self.affine.beta_gradient(pass).iter_mut().zip(&*sum).for_each(|(g, s)| *g += *s);
            let each = sum_x.iter().zip(inverse);
            self.affine.gamma_gradient(pass).iter_mut().zip(each).for_each(|(g, (s, r))| *g += *s * *r);
        }
        let Some(dx) = dx else { return };
        // mean(dz) and mean(dz·x̂)/√(σ² + ε); constant statistics have no part in the gradient.
        let mask = steps(pass, x).filter(|_| by_batch);
        let inv_n = match mask {
            Some(mask) => counted::<T>(mask).1,
            None if by_batch => T::one() / T::of(x.shape().rows() as f64),
            None => T::zero(),
        };
        for c in 0..n {
            sum[c] = if by_batch { sum[c] * inv_n } else { T::zero() };
            sum_x[c] = if by_batch { sum_x[c] * inv_n * inverse[c] * inverse[c] } else { T::zero() };
            if mask.is_some() {
                // Σ m·(x − μ) is not 0 but ε·μ.
                sum[c] -= sum_x[c] * T::of(STEPS_EPSILON) * mean[c] * inv_n;
            }
        }
        channels::normalise_backward(x.as_slice(), dy.as_slice(), [mean, scale, sum, sum_x], dx.as_mut_slice());
        // Steps that do not count have no part in the statistics.
        let steps = dx.as_mut_slice().chunks_exact_mut(n).zip(dy.as_slice().chunks_exact(n)).zip(mask.unwrap_or(&[]));
        for ((dx, dz), _) in steps.filter(|(_, counts)| !**counts) {
            dx.iter_mut().zip(dz).zip(scale).for_each(|((dx, &dz), &scale)| *dx = dz * scale);
        }
    }

    fn space(&self, samples: usize, backward: bool) -> usize {
        Layer::<T>::space_for(self, self.input.with_batch(samples), backward)
    }

    fn space_for(&self, x: Shape, _: bool) -> usize {
        // Sums of blocks of rows, and six numbers a channel.
        let (rows, channels) = (x.rows(), x.last());
        channels::space(rows, channels).saturating_add(channels.saturating_mul(6))
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn continuation(&self) -> Continuation {
        Continuation::Steps
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::BatchNorm(self.clone())
    }

    fn output_activation(&self) -> Option<Activation> {
        Some(self.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::graph::Block;
    use crate::layers::Dense;
    use crate::losses::MeanSquaredError;
    use crate::model::{Model, Sequential};
    use crate::optimizers::{OptimizerOptions, Sgd};

    #[test]
    fn gradients() {
        gradcheck::check_layer(&BatchNorm::new(), [3]).unwrap();
        gradcheck::check_layer(&BatchNorm::new().epsilon(1e-5).momentum(0.5), [3, 2, 5]).unwrap();
        gradcheck::check_layer(&BatchNorm::new().scale(false), [4, 3]).unwrap();
        gradcheck::check_layer(&BatchNorm::new().center(false), [4, 3]).unwrap();
        for activation in Activation::ALL {
            gradcheck::check_layer(&BatchNorm::new().activation(activation), [5, 3]).unwrap();
        }
    }

    fn model() -> Model<f64> {
        let mut model =
            Sequential::new([2]).add(BatchNorm::new().momentum(0.75)).add(Dense::new(1)).build_as(1).unwrap();
        model.compile(Sgd::default().learning_rate(0.0), MeanSquaredError::default(), ()).unwrap();
        model
    }

    #[test]
    fn statistics_follow_the_batches_and_predictions_go_by_them() {
        let mut model = model();
        let (x, t) = (Tensor::from([[1.0, -3.0], [3.0, -3.0]]), Tensor::from([[0.0], [1.0]]));
        model.train_on_batch(&x, &t).unwrap();
        assert_eq!(model.weight("batch_norm/moving_mean").unwrap(), &[0.5, -0.75]);
        assert_eq!(model.weight("batch_norm/moving_variance").unwrap(), &[1.0, 0.75]);
        let before = model.params().values().to_vec();
        let y = model.predict(&x).unwrap();
        assert_eq!(y.row(0), model.predict(&x.rows(0..1).unwrap()).unwrap().row(0));
        model.evaluate(&x, &t).unwrap();
        assert_eq!(before, model.params().values());
        // A frozen layer keeps its statistics and goes by them.
        model.set_trainable("batch_norm", false).unwrap();
        let loss = model.train_on_batch(&x, &t).unwrap();
        assert_eq!(before, model.params().values());
        assert!((loss - model.evaluate(&x, &t).unwrap().loss).abs() < 1e-12);
        model.set_trainable("batch_norm", true).unwrap();
        model.train_on_batch(&x, &t).unwrap();
        assert_eq!(model.weight("batch_norm/moving_mean").unwrap(), &[0.875, -1.3125]);
    }

    #[test]
    fn an_activation_is_that_of_a_layer_behind() {
        let x = Tensor::from_fn([70, 17], |i| ((i * 7) % 23) as f64 * 0.1 - 1.0);
        let t = Tensor::from_fn([70, 1], |i| (i % 5) as f64 * 0.2);
        let train = |activation: Activation, held: bool, norm: Block| {
            let mut model = Sequential::new([17]).add(Dense::new(17)).add(norm).add(Dense::new(1)).build_as(3).unwrap();
            model.compile(Sgd::default(), MeanSquaredError::default(), ()).unwrap();
            model.set_trainable("block", !held).unwrap();
            let losses = [0; 3].map(|_| model.train_on_batch(&x, &t).unwrap());
            assert!(losses[2] < losses[0], "{activation}");
            (losses, model.predict(&x).unwrap(), model.params().values().to_vec())
        };
        for (activation, held) in [(Activation::Relu, false), (Activation::Gelu, false), (Activation::Relu, true)] {
            let inside = train(activation, held, Block::new().add(BatchNorm::new().activation(activation)));
            assert_eq!(inside, train(activation, held, Block::new().add(BatchNorm::new()).add(activation)));
        }
    }

    #[test]
    fn a_batch_far_from_zero() {
        let mut model = Sequential::new([1]).add(BatchNorm::new()).add(Dense::new(1)).build_as(1).unwrap();
        model.compile(Sgd::default().learning_rate(0.0), MeanSquaredError::default(), ()).unwrap();
        let x = Tensor::from_fn([256, 1], |i| 10_000.0f32 + (i % 4) as f32);
        model.train_on_batch(&x, &Tensor::zeros([256, 1])).unwrap();
        let variance = (f64::from(model.weight("batch_norm/moving_variance").unwrap()[0]) - 0.99) / 0.01;
        assert!((variance - 1.25).abs() < 1e-3, "{variance}");
    }

    #[test]
    fn a_batch_that_is_not_finite_leaves_the_statistics() {
        let mut model = model();
        let before = model.params().clone();
        let error = model.train_on_batch(&Tensor::from([[f64::NAN, 1.0]]), &Tensor::from([[0.0]]));
        assert!(error.is_err());
        assert_eq!(&before, model.params());
    }

    #[test]
    fn impossible_settings() {
        let error = |layer: BatchNorm| Sequential::new([3]).add(layer).build(0).unwrap_err().to_string();
        assert!(error(BatchNorm::new().momentum(1.5)).contains("momentum must be from 0 to 1"));
        assert!(error(BatchNorm::new().activation(Activation::Elu(f64::NAN))).contains("must be finite"));
        assert!(error(BatchNorm::new().epsilon(0.0)).contains("epsilon must be above 0"));
        assert!(Sequential::new(Shape::SCALAR).add(BatchNorm::new()).build(0).is_err());
    }
}
