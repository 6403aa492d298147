//! Channels brought to mean 0 and variance 1 over the batch.

use super::gamma_beta::{GammaBeta, check_epsilon, gamma_beta_builders};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::initializers::Init;
use crate::kernels::channels;
use crate::layer::{Builder, Continuation, Layer, MaskRule, Pass, Shares, Slot};
use crate::layers::LayerConfig;
use crate::layers::epilogue::EpiloguePass;
use crate::params::{ParamId, Params};
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
/// - In a run by [shards](crate::model::Fit::shards) the batch is a shard, unless [`synchronized`](Self::synchronized) says that it is all of them.
/// - Frozen (`trainable(false)`), the layer works as in inference during training too, and its statistics stay.
/// - Gradient in training, dy that of f's input, with x̂ = (x − μ)/√(σ² + ε) and means over N values a channel: dβ = Σ dy, dγ = Σ dy·x̂,
///   dx = γ/√(σ² + ε)·(dy − mean(dy) − x̂·mean(dy·x̂)); in inference dx = γ/√(σ² + ε)·dy.
///
/// Keras `BatchNormalization`, PyTorch `BatchNorm1d`, `BatchNorm2d` and, synchronised, `SyncBatchNorm` (whose momentum is 1 − this one, whose ε is 10⁻⁵ and
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
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    synchronized: bool,
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
            synchronized: false,
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

    /// Whether μ and σ² of a training batch are those of all [shards](crate::model::Fit::shards) of it, on all ranks, and its gradient is that of the
    /// whole batch through them; no by default: those of each shard's own rows. Without shards, or with one, it changes no bit.
    ///
    /// With N shards a run whose loss is one mean over rows then has the losses, gradients and moving averages that it would have without, but for
    /// rounding, and the same bits on any number of ranks. Within a layer of your own it is not seen, and goes by the shard; within
    /// [`TimeDistributed`](crate::layers::TimeDistributed) it is. The penalty of an activity in a shard of which no row counts weighs as that of one row. It costs two exchanges a layer and step, of 2 + 2·channels numbers a shard each, and memory for the values and the
    /// gradients of all shards of a rank, which go through the model side by side.
    ///
    /// Keras `BatchNormalization(synchronized=True)`, PyTorch `SyncBatchNorm`.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let x = Tensor::from_fn([8, 2], |i| (i as f32).sin());
    /// let y = Tensor::from_fn([8, 1], |i| (i % 2) as f32);
    /// let after_an_epoch = |how: Fit<'_>| {
    ///     let norm = BatchNorm::new().synchronized(true);
    ///     let mut model = Sequential::new([2]).add(norm).add(Dense::new(1)).build(0)?;
    ///     model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
    ///     model.fit(&x, &y, &how.epochs(1).batch_size(8).verbose(Verbose::Silent))?;
    ///     Ok::<_, gradus::Error>(model.weight("batch_norm/moving_mean")?.to_vec())
    /// };
    /// let (whole, shards) = (after_an_epoch(Fit::default())?, after_an_epoch(Fit::default().shards(4))?);
    /// assert!(whole.iter().zip(&shards).all(|(a, b)| (a - b).abs() < 1e-6));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn synchronized(mut self, synchronized: bool) -> Self {
        self.synchronized = synchronized;
        self
    }

    /// Whether this pass goes by the batch's own statistics.
    fn by_batch<T: Float>(&self, pass: &Pass<'_, T>) -> bool {
        pass.training && !pass.frozen(self.moving[0])
    }

    /// Mean and variance of each channel, and those into the moving averages; `sum` is to work in.
    fn statistics<T: Float>(
        &self,
        pass: &mut Pass<'_, T>,
        x: &Tensor<T>,
        space: &mut [T],
        [mean, variance, sum]: [&mut [T]; 3],
    ) {
        let n = mean.len();
        let (shift, counted) = moments(pass, x, space, [sum, variance]);
        match counted {
            None => {
                let inv_n = T::one() / T::of(x.shape().rows() as f64);
                for c in 0..n {
                    let d = sum[c] * inv_n;
                    mean[c] = shift[c] + d;
                    variance[c] = variance[c] * inv_n - d * d;
                }
            }
            Some(count) => {
                let (count, inv_n) = (T::of(count), T::one() / T::of(count + STEPS_EPSILON));
                for c in 0..n {
                    mean[c] = (sum[c] + count * shift[c]) * inv_n;
                    // Σ (x − μ)² = Σ (x − shift)² − 2·(μ − shift)·Σ (x − shift) + count·(μ − shift)²
                    let d = mean[c] - shift[c];
                    variance[c] = (variance[c] - (d + d) * sum[c] + count * d * d) * inv_n;
                }
            }
        }
        variance.iter_mut().for_each(|variance| *variance = held(*variance));
        self.move_averages(pass, |statistic, c| if statistic == 0 { mean[c] } else { variance[c] });
    }

    /// Takes mean (0) and variance (1) of a batch into the moving averages.
    fn move_averages<T: Float>(&self, pass: &mut Pass<'_, T>, batch: impl Fn(usize, usize) -> T) {
        let momentum = T::of(self.momentum);
        for (statistic, id) in self.moving.into_iter().enumerate() {
            let before = pass.weight(id);
            let now = pass.statistics(id);
            for (c, (now, &before)) in now.iter_mut().zip(before).enumerate() {
                *now = before * momentum + batch(statistic, c) * (T::one() - momentum);
            }
        }
    }

    /// Makes dz of dy, and Σ dz and Σ dz·(x − μ) of it.
    fn gradients<T: Float>(&self, pass: &Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &Tensor<T>, dy: &mut [T]) {
        let n = x.shape().last();
        let [space, mean, _, _, sum, sum_x, z] = slot.buffers();
        let space = space.scratch(channels::space(x.shape().rows(), n));
        let [mean, sum, sum_x] = [mean, sum, sum_x].map(|buffer| buffer.scratch(n));
        let epilogue = EpiloguePass::activation(pass, self.activation, n);
        let start = |dz: &mut [T], range| epilogue.backward(z, y, dz, range);
        channels::gradients(x.as_slice(), mean, dy, epilogue.activation.work(), start, space, sum, sum_x);
    }
}

/// Σ (x − shift) and Σ (x − shift)² over the rows that count, with the shift, one of these rows, and how many they are where there is a mask.
fn moments<'x, T: Float>(
    pass: &Pass<'_, T>,
    x: &'x Tensor<T>,
    space: &mut [T],
    [sum, squares]: [&mut [T]; 2],
) -> (&'x [T], Option<f64>) {
    // Shifted by the first row, squares lose nothing to a mean far from 0.
    let n = sum.len();
    let first = &x.as_slice()[..n];
    let Some(mask) = steps(pass, x) else {
        channels::moments(x.as_slice(), first, space, sum, squares);
        return (first, None);
    };
    let rows = || x.as_slice().chunks_exact(n).zip(mask).filter_map(|(x, counts)| counts.then_some(x));
    let shift = rows().next().unwrap_or(first);
    sum.fill(T::zero());
    squares.fill(T::zero());
    for x in rows() {
        for c in 0..n {
            let d = x[c] - shift[c];
            sum[c] += d;
            squares[c] += d * d;
        }
    }
    (shift, Some(counted(mask)))
}

/// A variance as it goes on: one beyond the type must show, as no moving average could take it in.
fn held<T: Float>(variance: T) -> T {
    if variance.is_finite() { variance.max(T::zero()) } else { T::nan() }
}

/// Keras's ε in the number of steps that count.
const STEPS_EPSILON: f64 = 1e-7;

/// The mask, a row of x at a time.
fn steps<'a, T: Float>(pass: &'a Pass<'_, T>, x: &Tensor<T>) -> Option<&'a [bool]> {
    pass.mask().filter(|mask| mask.len() == x.shape().rows())
}

/// How many steps count.
fn counted(mask: &[bool]) -> f64 {
    mask.iter().filter(|counts| **counts).count() as f64
}

/// A line of a shard: its rows that count, whether there is a mask, the means of the channels, and their Σ (x − mean)². Of all shards, in the place of
/// the rows what sums over them are divided by, and in that of the sums variances.
const COUNT: usize = 0;
const MASKED: usize = 1;
const MEANS: usize = 2;

impl<T: Float> Shares<T> for BatchNorm {
    fn numbers(&self) -> usize {
        MEANS + 2 * self.input.last()
    }

    fn by_batch(&self, params: &Params<T>) -> bool {
        !params.spec(self.moving[0]).is_some_and(|spec| spec.frozen)
    }

    fn collect(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, line: &mut [f64]) {
        let n = x.shape().last();
        let [space, squares, _, _, sum] = slot.buffers();
        let space = space.scratch(channels::space(x.shape().rows(), n));
        let [squares, sum] = [squares, sum].map(|buffer| buffer.scratch(n));
        let (shift, counted) = moments(pass, x, space, [&mut *sum, &mut *squares]);
        let count = counted.unwrap_or(x.shape().rows() as f64);
        line[COUNT] = count;
        line[MASKED] = f64::from(u8::from(counted.is_some()));
        if count == 0.0 {
            return;
        }
        let (means, around) = line[MEANS..].split_at_mut(n);
        for c in 0..n {
            let [shift, sum, squares] = [shift[c], sum[c], squares[c]].map(T::as_f64);
            let d = sum / count;
            (means[c], around[c]) = (shift + d, squares - sum * d);
        }
    }

    fn combine(&self, lines: &[f64], total: &mut [f64]) {
        total.fill(0.0);
        let [mut all, mut masked] = [0.0; 2];
        let n = self.input.last();
        // Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
        for line in lines.chunks_exact(Shares::<T>::numbers(self)) {
            masked += line[MASKED];
            let count = line[COUNT];
            if count == 0.0 {
                continue;
            }
            let (before, now) = (all, all + count);
            let (means, around) = total[MEANS..].split_at_mut(n);
            for c in 0..n {
                let d = line[MEANS + c] - means[c];
                means[c] += d * (count / now);
                around[c] += line[MEANS + n + c] + d * d * (before * (count / now));
            }
            all = now;
        }
        let steps = if masked > 0.0 { all + STEPS_EPSILON } else { all };
        (total[COUNT], total[MASKED]) = (steps, masked);
        let (means, variances) = total[MEANS..].split_at_mut(n);
        for c in 0..n {
            // Around the mean with the further steps, of which each is 0.
            let mean = means[c] * (all / steps);
            let d = means[c] - mean;
            (means[c], variances[c]) = (mean, (variances[c] + all * d * d) / steps);
        }
    }

    fn collect_back(
        &self,
        pass: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        dy: &mut Tensor<T>,
        line: &mut [f64],
    ) {
        self.gradients(pass, slot, x, y, dy.as_mut_slice());
        let n = x.shape().last();
        let [_, _, _, _, sum, sum_x] = slot.buffers();
        let sums = [sum, sum_x].map(|buffer| &*buffer.scratch(n));
        line.iter_mut().zip(sums.into_iter().flatten()).for_each(|(to, sum)| *to = sum.as_f64());
    }

    fn settle(&self, pass: &mut Pass<'_, T>) {
        let Some(total) = pass.total() else { return };
        let n = self.input.last();
        self.move_averages(pass, |statistic, c| {
            let value = T::of(total.forward[MEANS + statistic * n + c]);
            if statistic == 0 { value } else { held(value) }
        });
    }
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
        let by_batch = self.by_batch(pass);
        if let Some(total) = pass.total().filter(|_| by_batch) {
            let (means, variances) = total.forward[MEANS..].split_at(n);
            mean.iter_mut().zip(means).for_each(|(to, mean)| *to = T::of(*mean));
            inverse.iter_mut().zip(variances).for_each(|(to, variance)| *to = held(T::of(*variance)));
        } else if by_batch {
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
        let total = pass.total().filter(|total| by_batch && total.came_back);
        let activated = EpiloguePass::activation(pass, self.activation, n).activation != Activation::Linear;
        let summed = by_batch || activated || self.affine.wants(pass);
        if summed && total.is_none() {
            self.gradients(pass, slot, x, y, dy.as_mut_slice());
        }
        let [_, mean, scale, inverse, sum, sum_x] = slot.buffers();
        let [mean, scale, inverse] = [mean, scale, inverse].map(|buffer| &*buffer.scratch(n));
        let [sum, sum_x] = [sum, sum_x].map(|buffer| buffer.scratch(n));
        if summed {
            // dβ += Σ dz, dγ += Σ dz·x̂
            self.affine.beta_gradient(pass).iter_mut().zip(&*sum).for_each(|(g, s)| *g += *s);
            let each = sum_x.iter().zip(inverse);
            self.affine.gamma_gradient(pass).iter_mut().zip(each).for_each(|(g, (s, r))| *g += *s * *r);
        }
        let Some(dx) = dx else { return };
        // mean(dz) and mean(dz·x̂)/√(σ² + ε); constant statistics have no part in the gradient.
        let mask = steps(pass, x).filter(|_| by_batch);
        let inv_n = match mask {
            Some(mask) => T::one() / T::of(counted(mask) + STEPS_EPSILON),
            None if by_batch => T::one() / T::of(x.shape().rows() as f64),
            None => T::zero(),
        };
        for c in if total.is_none() { 0..n } else { 0..0 } {
            sum[c] = if by_batch { sum[c] * inv_n } else { T::zero() };
            sum_x[c] = if by_batch { sum_x[c] * inv_n * inverse[c] * inverse[c] } else { T::zero() };
            if mask.is_some() {
                // Σ m·(x − μ) is not 0 but ε·μ.
                sum[c] -= sum_x[c] * T::of(STEPS_EPSILON) * mean[c] * inv_n;
            }
        }
        if let Some(total) = total {
            // The same of all shards, as gradients of this one are weighed.
            let (steps, unit) = (total.forward[COUNT], pass.weight_of_shard);
            for c in 0..n {
                let [mean, inverse] = [mean[c], inverse[c]].map(T::as_f64);
                let of_x = total.back[n + c] / steps * inverse * inverse;
                let epsilon = if total.forward[MASKED] > 0.0 { STEPS_EPSILON } else { 0.0 };
                sum[c] = T::of((total.back[c] / steps - of_x * epsilon * mean / steps) / unit);
                sum_x[c] = T::of(of_x / unit);
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

    fn shares(&self) -> Option<&dyn Shares<T>> {
        self.synchronized.then_some(self)
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
