//! In which precision moments are kept from step to step.

/// How an optimizer's moments are stored between two steps; set with [`OptimizerOptions::moment_storage`](super::OptimizerOptions).
///
/// In [`Bf16`](Self::Bf16) each takes two bytes in the place of four: with the two moments of Adam, weights, gradients and moments take 12 bytes
/// a weight and not 16, and a step of the optimizer moves 20 bytes and not 28. The arithmetic stays in single precision: a step reads moments of
/// bf16, computes with them as ever, and uses the new ones before they are rounded.
///
/// Rounding is stochastic: up or down at random, so that the mean is right. Plain rounding would lose every change below half of the
/// distance between neighbours, which is 1/128 to 1/256 of the size; with β₂ 0.999 the mean of squares would stand still. What remains is noise: with β₂
/// 0.999 the mean of squares has a standard deviation of about 4 % around what single precision gives (2 % of a step's length), with β₂ 0.95
/// below 1 %, and the mean of gradients with β₁ 0.9 one of 0.5 % of its size, whatever the number of steps. It is drawn by the model's seed, the step and
/// the weight's number: the same bits for any number of threads and after a resume, and for a moment that bf16 holds (0, a fresh one) no change.
///
/// Where it is possible: weights in f32, and rules whose moments are means that decay, which are then right on average: [`Adam`](super::Adam) and
/// [`AdamW`](super::AdamW) without `amsgrad`, [`Nadam`](super::Nadam), [`Lion`](super::Lion), [`Sgd`](super::Sgd) with momentum,
/// [`RmsProp`](super::RmsProp) unless centred, [`Adadelta`](super::Adadelta). `compile` refuses all others by name: sums that only grow and maxima
/// keep what was once rounded up, a variance is a small difference of rounded numbers, and [`Muon`](super::Muon) and
/// [`Adafactor`](super::Adafactor) go through whole parameters.
///
/// Checkpoints hold moments as they are stored (safetensors `BF16`). A run that goes on with another storage has changed settings: an error, unless
/// changes are accepted; then moments are converted.
///
/// Stochastic rounding: Gupta et al.: "Deep Learning with Limited Numerical Precision", 2015; for the states of optimizers: Zamirai et al.:
/// "Revisiting BFloat16 Training", 2020.
///
/// ```
/// use gradus::prelude::*;
/// let (x, y) = (Tensor::from([[0.0], [1.0], [2.0]]), Tensor::from([[1.0], [3.0], [5.0]]));
/// let mut model = Sequential::new([1]).add(Dense::new(1)).build(7)?;
/// let optimizer = AdamW::default().learning_rate(0.1).moment_storage(MomentStorage::Bf16);
/// model.compile(optimizer, MeanSquaredError::default(), ())?;
/// model.fit(&x, &y, &Fit::default().epochs(200).verbose(Verbose::Silent))?;
/// assert!(model.evaluate(&x, &y)?.loss < 0.01);
///
/// let refused = model.compile(Adagrad::default().moment_storage(MomentStorage::Bf16), MeanSquaredError::default(), ());
/// assert!(refused.unwrap_err().to_string().starts_with("adagrad: moment_storage must be AsWeights"));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum MomentStorage {
    /// As the weights are: nothing is rounded.
    #[default]
    AsWeights,
    /// In bfloat16, rounded stochastically; for weights in f32.
    Bf16,
}

#[cfg(feature = "serde")]
impl MomentStorage {
    pub(super) fn is_as_weights(&self) -> bool {
        *self == MomentStorage::AsWeights
    }
}
