//! A learning rate to begin with.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::built::Model;
use super::checks::cause;
use super::history::figure;
use super::train::{Accumulated, Outcome};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::kernels::random::{Key, Purpose};
use crate::tensor::{Float, Tensor};

/// Trains for a few steps while the learning rate rises exponentially from very small to very large, and notes the loss: it falls
/// where the rate is useful and rises where it is too large.
///
/// - Step i of n has the rate low·(high / low)^(i / (n − 1)); the loss is a moving average, divided by 1 − βⁱ⁺¹ as it starts
///   from 0. Ends early when that exceeds 4 times its least value, or is not finite. Where a batch had a loss of 0 or below, as
///   with [`CosineSimilarity`](crate::losses::CosineSimilarity) or [`Poisson`](crate::losses::Poisson), multiples of the least tell
///   nothing: there it ends, from the fourth step on, when it has risen from the least by more than 3 times the size of the largest
///   loss before.
/// - The model is the same afterwards, to the bit: weights, optimizer, step count, learning rate.
/// - Defaults: from 10⁻⁷ to 10 in 100 steps of 32 samples, β = 0.9.
///
/// Smith: "Cyclical Learning Rates for Training Neural Networks", 2015; the rising rate and the rules of thumb are J. Howard's
/// (fastai `lr_find`).
///
/// ```
/// use gradus::prelude::*;
/// let digits = digits();
/// let layers = Sequential::new([64]).add(Rescaling::new(1.0 / 16.0)).add(Dense::new(32).activation(Activation::Relu));
/// let mut model = layers.add(Dense::new(10).activation(Activation::Softmax)).build(0)?;
/// model.compile(Sgd::default(), CategoricalCrossentropy::default(), ())?;
/// let found = model.find_learning_rate(&digits.x, &digits.y, &LearningRateFinder::default())?;
/// assert!((1e-3..1.0).contains(&found.suggestion()));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRateFinder {
    low: f64,
    high: f64,
    steps: usize,
    batch_size: usize,
    smoothing: f64,
}

impl Default for LearningRateFinder {
    fn default() -> Self {
        LearningRateFinder { low: 1e-7, high: 10.0, steps: 100, batch_size: 32, smoothing: 0.9 }
    }
}

/// The loss at which the search ends, in multiples of the least.
const END: f64 = 4.0;

/// The steps that a search must have to tell anything.
const LEAST_STEPS: usize = 3;

const OP: &str = "find_learning_rate";

impl LearningRateFinder {
    /// The first and the last rate; 10⁻⁷ and 10 by default.
    pub fn range(mut self, low: f64, high: f64) -> Self {
        (self.low, self.high) = (low, high);
        self
    }

    /// The number of steps; 100 by default.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Samples a step; 32 by default. A rate suits the batch size it was found with.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// The part β of the average that each step keeps, from 0 (no averaging) to below 1; 0.9 by default.
    pub fn smoothing(mut self, beta: f64) -> Self {
        self.smoothing = beta;
        self
    }

    fn check(&self) -> Result<()> {
        let Self { low, high, steps, batch_size, smoothing } = *self;
        if !(low > 0.0 && high.is_finite() && low < high) {
            let got = format!("{low} to {high}");
            return Err(Error::argument(OP, "range", "finite, above 0 and rising", got, "1e-7 to 10 is usual"));
        }
        if steps < 3 {
            return Err(Error::argument(OP, "steps", "at least 3", steps, "100 is usual"));
        }
        if batch_size == 0 {
            return Err(Error::argument(OP, "batch_size", "at least 1", 0, "32 is usual"));
        }
        if !(0.0..1.0).contains(&smoothing) {
            return Err(Error::argument(OP, "smoothing", "at least 0 and below 1", smoothing, "0.9 is usual"));
        }
        Ok(())
    }

    fn rate(&self, step: usize) -> f64 {
        let part = step as f64 / (self.steps - 1) as f64;
        (self.low.ln() * (1.0 - part) + self.high.ln() * part).exp()
    }
}

impl<T: Float> Model<T> {
    /// Tries rising learning rates on samples `x` and targets `y`, and puts the model back as it was; see
    /// [`LearningRateFinder`]. The optimizer's other settings are used as they are.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit) for a model or data that do not fit; [`Error::Argument`] for a setting out of its range, and for
    /// a range at whose start the loss rises too far within three steps; [`Error::Diverged`] if not even three steps give a finite
    /// loss.
    #[inline(never)]
    pub fn find_learning_rate(
        &mut self,
        x: &Tensor<T>,
        y: &Tensor<T>,
        how: &LearningRateFinder,
    ) -> Result<LearningRates> {
        self.check_single(OP)?;
        self.check_data(OP, x.into(), y.into(), None)?;
        how.check()?;
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: OP }) };
        training.mend_all(&self.params);
        let (params, state) = (self.params.clone(), training.state.clone());
        let sums = training.sums.clone();
        // What has been added up for the next update.
        let open = (training.accumulated, training.gradients.clone(), training.written.clone());
        training.accumulated = Accumulated::default();
        let found = catch_unwind(AssertUnwindSafe(|| self.rising_rates(x, y, how)));
        self.params = params;
        if let Some(training) = &mut self.training {
            training.mend(&self.params);
            (training.state, training.sums) = (state, sums);
            (training.accumulated, training.gradients, training.written) = open;
        }
        found.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn rising_rates(&mut self, x: &Tensor<T>, y: &Tensor<T>, how: &LearningRateFinder) -> Result<LearningRates> {
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: OP }) };
        let (n, mut order) = (x.samples(), Vec::new());
        let batches = n.div_ceil(how.batch_size);
        let mut found = LearningRates { ended: SearchEnd::AllSteps, rates: vec![], losses: vec![], smoothed: vec![] };
        let (mut average, mut least, mut why) = (0.0, f64::INFINITY, String::new());
        // Of the losses before.
        let (mut lowest, mut largest) = (f64::INFINITY, 0.0f64);
        for step in 0..how.steps {
            // Batches in the order in which `fit` would take them.
            if step % batches == 0 {
                Key::new(self.seed, Purpose::Shuffle).with((step / batches) as u64).permutation(n, &mut order);
            }
            let positions = order.chunks(how.batch_size).nth(step % batches).unwrap_or(&[]);
            let (x, y) = (x.select(positions)?, y.select(positions)?);
            let load = |batch: &mut Batch<T>| {
                batch.x.copy_from(&x);
                batch.y.copy_from(&y);
                batch.weights.clear();
                Ok(false)
            };
            let rate = how.rate(step);
            training.state.learning_rate = Some(rate);
            let outcome = training.step(positions.len(), load, &self.net, &mut self.params, self.seed)?;
            if !matches!(outcome, Outcome::Done(_)) && found.rates.len() < LEAST_STEPS {
                why = cause(training.loaded(), |row| positions.get(row).copied());
            }
            let loss = match outcome {
                Outcome::Done(loss) => loss,
                Outcome::Loss(value) => {
                    found.ended = SearchEnd::NotFinite { what: "the loss", value };
                    break;
                }
                Outcome::Update => {
                    found.ended = SearchEnd::NotFinite { what: "a gradient or a new weight", value: f64::NAN };
                    break;
                }
            };
            average = how.smoothing * average + (1.0 - how.smoothing) * loss;
            let smoothed = average / (1.0 - how.smoothing.powf(step as f64 + 1.0));
            if !smoothed.is_finite() {
                found.ended = SearchEnd::NotFinite { what: "the average of the losses", value: smoothed };
                break;
            }
            // Losses on both sides of 0 have no least to be measured by: the first batch may be near 0 by chance.
            let rose = match lowest.min(loss) > 0.0 {
                true => step > 0 && smoothed > END * least,
                false => step >= LEAST_STEPS && largest > 0.0 && smoothed - least > (END - 1.0) * largest,
            };
            if rose {
                found.ended = SearchEnd::Rose { loss: smoothed, least };
                break;
            }
            least = least.min(smoothed);
            (lowest, largest) = (lowest.min(loss), largest.max(loss.abs()));
            found.rates.push(rate);
            found.losses.push(loss);
            found.smoothed.push(smoothed);
        }
        let n = found.rates.len();
        match found.ended {
            SearchEnd::NotFinite { what, value } if n < LEAST_STEPS => {
                Err(Error::Diverged { op: OP, what, epoch: 1, step: n + 1, value, cause: why })
            }
            SearchEnd::Rose { loss, least } if n < LEAST_STEPS => {
                let expected = format!("low enough for three steps before the loss is {END} times its least");
                let LearningRateFinder { low, high, .. } = how;
                let got = format!(
                    "{low:e} to {high:e}, whose step {} brought the loss from {least:.3e} to {loss:.3e}",
                    n + 1
                );
                let hint = "begin lower, 1e-7 to 10 is usual, or take more steps";
                Err(Error::argument(OP, "range", expected, got, hint))
            }
            _ => Ok(found),
        }
    }
}

/// Why a search of the learning rate ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SearchEnd {
    /// All rates were tried.
    AllSteps,
    /// The smoothed loss was too far above its least: see [`LearningRateFinder`].
    Rose {
        /// The smoothed loss of the step that ended it.
        loss: f64,
        /// The least before.
        least: f64,
    },
    /// A value left the finite numbers.
    NotFinite {
        /// Which.
        what: &'static str,
        /// What it became.
        value: f64,
    },
}

impl fmt::Display for SearchEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SearchEnd::AllSteps => f.write_str("all rates were tried"),
            SearchEnd::Rose { loss, least } => {
                write!(f, "ended as the loss rose to {}, far above its least of {}", figure(*loss), figure(*least))
            }
            SearchEnd::NotFinite { what, value } => write!(f, "ended as {what} became {value}"),
        }
    }
}

/// What [`Model::find_learning_rate`] found; prints as a table with bars.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningRates {
    /// The rate of each step.
    pub rates: Vec<f64>,
    /// The loss of each step's batch, before the update.
    pub losses: Vec<f64>,
    /// The moving average of the losses.
    pub smoothed: Vec<f64>,
    /// Why there are no more of them.
    pub ended: SearchEnd,
}

impl LearningRates {
    /// The rate at which the smoothed loss is least; larger ones do harm.
    pub fn at_minimum(&self) -> f64 {
        self.rates.get(self.lowest()).copied().unwrap_or(f64::NAN)
    }

    /// The rate at which the smoothed loss falls most steeply, over the logarithm of the rate, before its minimum.
    pub fn steepest(&self) -> f64 {
        let end = self.lowest().max(1).min(self.points().saturating_sub(2));
        let slope =
            |i: usize| (self.smoothed[i + 1] - self.smoothed[i - 1]) / (self.rates[i + 1] / self.rates[i - 1]).ln();
        let best = (1..=end).min_by(|&a, &b| slope(a).total_cmp(&slope(b)));
        best.and_then(|i| self.rates.get(i)).copied().unwrap_or(f64::NAN)
    }

    /// A rate to begin with: a tenth of that at the minimum.
    pub fn suggestion(&self) -> f64 {
        self.at_minimum() / 10.0
    }

    fn points(&self) -> usize {
        self.rates.len().min(self.smoothed.len())
    }

    fn lowest(&self) -> usize {
        (0..self.points()).min_by(|&a, &b| self.smoothed[a].total_cmp(&self.smoothed[b])).unwrap_or(0)
    }
}

impl fmt::Display for LearningRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES: usize = 20;
        const BAR: f64 = 40.0;
        // Bars begin at 0, or at the least loss where that is below.
        let [least, most] = [f64::min, f64::max].map(|of| self.smoothed.iter().copied().fold(0.0, of));
        write!(f, "{:>9}  {:>9}", "rate", "loss")?;
        for i in (0..self.points()).step_by(self.points().div_ceil(LINES).max(1)) {
            let part = (self.smoothed[i] - least) / (most - least);
            let bar = "█".repeat((part * BAR).clamp(0.0, BAR).round() as usize);
            write!(f, "\n{:>9.2e}  {:>9}  {bar}", self.rates[i], figure(self.smoothed[i]))?;
        }
        let [least, steepest, first] = [self.at_minimum(), self.steepest(), self.suggestion()];
        write!(f, "\nleast loss at {least:.2e}, steepest fall at {steepest:.2e}; begin with {first:.2e}")?;
        write!(f, "\n{} steps; {}", self.rates.len(), self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    fn data() -> (Tensor, Tensor) {
        let x = Tensor::from_fn([100, 3], |i| ((i * 37 % 101) as f32) * 0.02 - 1.0);
        let y = Tensor::from_fn([100, 1], |i| 2.0 * x.row(i)[0] - x.row(i)[1] + 0.5);
        (x, y)
    }

    fn model(optimizer: impl Optimizer<f32> + 'static) -> Model {
        let layers = Sequential::new([3]).add(Dense::new(8).activation(Activation::Tanh)).add(Dropout::new(0.1));
        let mut model = layers.add(Dense::new(1)).build(4).unwrap();
        model.compile(optimizer, MeanSquaredError::default(), [RootMeanSquaredError::default()]).unwrap();
        model
    }

    #[test]
    fn the_model_is_left_as_it_was() {
        fn check(optimizer: impl Optimizer<f32> + Clone + 'static) {
            let ((x, y), how) = (data(), Fit::default().epochs(2).verbose(Verbose::Silent));
            let (mut a, mut b) = (model(optimizer.clone()), model(optimizer));
            for _ in 0..2 {
                let before = b.params().values().to_vec();
                b.find_learning_rate(&x, &y, &LearningRateFinder::default()).unwrap();
                assert_eq!(b.params().values(), before);
                assert_eq!(a.fit(&x, &y, &how).unwrap(), b.fit(&x, &y, &how).unwrap());
                assert_eq!(a.params(), b.params());
            }
        }
        check(Adam::default().amsgrad(true));
        check(Sgd::default().momentum(0.9).learning_rate(CosineDecay::new(0.1, 20)));
        check(RmsProp::default().ema(0.9));
    }

    #[test]
    fn losses_of_a_known_curve() {
        let rates: Vec<f64> = (0..9).map(|i| 10f64.powi(i - 6)).collect();
        let smoothed = vec![1.0, 1.0, 0.95, 0.7, 0.3, 0.2, 0.19, 0.5, 0.7];
        let found = LearningRates { rates, losses: smoothed.clone(), smoothed, ended: SearchEnd::AllSteps };
        assert_eq!((found.at_minimum(), found.steepest(), found.suggestion()), (1.0, 1e-3, 0.1));
        let end = "least loss at 1.00e0, steepest fall at 1.00e-3; begin with 1.00e-1\n9 steps; all rates were tried";
        assert!(found.to_string().ends_with(end));
        let none = LearningRates { rates: vec![], losses: vec![], smoothed: vec![], ended: SearchEnd::AllSteps };
        assert!(none.suggestion().is_nan() && none.steepest().is_nan());
    }

    #[test]
    fn rates_rise_and_too_large_ones_end_it() {
        let (x, y) = data();
        let how = LearningRateFinder::default().range(1e-4, 1e4).steps(50);
        let found = model(Sgd::default()).find_learning_rate(&x, &y, &how).unwrap();
        assert!((found.rates[0] / 1e-4 - 1.0).abs() < 1e-9 && found.rates.len() < 50);
        let ratio = 1e8f64.powf(1.0 / 49.0);
        assert!(found.rates.windows(2).all(|w| (w[1] / w[0] / ratio - 1.0).abs() < 1e-9));
        assert_eq!(found, model(Sgd::default()).find_learning_rate(&x, &y, &how).unwrap());
        assert!(found.suggestion() > 1e-3 && found.suggestion() < 1.0, "{found}");
        let SearchEnd::Rose { loss, least } = found.ended else { panic!("{found}") };
        assert!(loss > 4.0 * least && least == found.smoothed.iter().copied().fold(f64::INFINITY, f64::min), "{found}");
        // A first step with the rate so low is that of `fit`.
        let whole = LearningRateFinder::default().batch_size(100).steps(3).smoothing(0.0).range(1e-9, 1e-8);
        let first = model(Sgd::default()).find_learning_rate(&x, &y, &whole).unwrap();
        assert_eq!(first.losses, first.smoothed);
    }

    /// Losses below 0, of 0 and on both sides of it: multiples of the least ended all of them at the second step.
    #[test]
    fn losses_that_are_not_above_0() {
        let x = data().0;
        let find = |layers: Sequential, loss: Box<dyn Loss<f32>>, y: &Tensor, how: LearningRateFinder| {
            let mut model = layers.build(4).unwrap();
            model.compile(Sgd::default(), loss, ()).unwrap();
            model.find_learning_rate(&x, y, &how).unwrap()
        };
        let net = |last: Activation| {
            Sequential::new([3])
                .add(Dense::new(8).activation(Activation::Tanh))
                .add(Dense::new(2).activation(last).kernel_initializer(Init::GlorotUniform))
        };
        let how = LearningRateFinder::default();
        // Cosines of any sign stay between -1 and 1, whatever the rate.
        let y = Tensor::from_fn([100, 2], |i| (i as f32 * 0.7).sin());
        let found = find(net(Activation::Linear), CosineSimilarity::default().boxed(), &y, how);
        assert!(found.ended == SearchEnd::AllSteps && found.rates.len() == 100, "{found}");
        assert!(found.smoothed.iter().any(|l| *l < 0.0) && found.to_string().contains("██"), "{found}");
        // Counts above e: the likelihood is below 0 from some step on, and then runs away.
        let counts = Tensor::from_fn([100, 2], |i| (20 + i % 7) as f32);
        let found = find(net(Activation::Exponential), Poisson::default().boxed(), &counts, how);
        assert!(found.rates.len() > 50 && found.smoothed.iter().any(|l| *l < 0.0), "{found}");
        let fallen = found.smoothed[0] - found.smoothed.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(fallen > 1.0 && (1e-5..10.0).contains(&found.at_minimum()), "{found}");
        // Nothing to be better at.
        let zeros = Sequential::new([3]).add(Dense::new(2).kernel_initializer(Init::Zeros));
        let found = find(zeros, MeanSquaredError::default().boxed(), &Tensor::zeros([100, 2]), how);
        assert!(found.ended == SearchEnd::AllSteps && found.losses == [0.0; 100], "{found}");
        // A first batch without loss, and then some.
        let zeros = Sequential::new([3]).add(Dense::new(2).kernel_initializer(Init::Zeros));
        let mut y = Tensor::zeros([100, 2]);
        y.as_mut_slice()[0] = 1.0;
        let found = find(zeros, MeanSquaredError::default().boxed(), &y, how.batch_size(1).range(1e-7, 1e-3));
        assert!(found.losses[0] == 0.0 && found.losses.iter().any(|l| *l > 0.0), "{found}");
        assert_eq!(found.ended, SearchEnd::AllSteps);
    }

    #[test]
    fn impossible_settings() {
        let (x, y) = data();
        let error =
            |how: LearningRateFinder| model(Sgd::default()).find_learning_rate(&x, &y, &how).unwrap_err().to_string();
        let how = LearningRateFinder::default();
        assert!(error(how.range(0.0, 1.0)).contains("range must be finite, above 0 and rising, got 0 to 1"));
        assert!(error(how.range(1.0, 0.1)).contains("rising"));
        assert!(error(how.range(1.0, f64::NAN)).contains("NaN"));
        assert!(error(how.steps(2)).contains("steps must be at least 3"));
        assert!(error(how.batch_size(0)).contains("batch_size"));
        assert!(error(how.smoothing(1.0)).contains("below 1, got 1"));
        // Steps whose losses rise are told from those that leave the finite numbers.
        let rises = error(how.range(10.0, 1e3).smoothing(0.0));
        let expected = "find_learning_rate: range must be low enough for three steps before the loss is 4 times its least, got 1e1 \
            to 1e3, whose step 2 brought the loss from ";
        assert!(rises.starts_with(expected) && rises.contains("begin lower"), "{rises}");
        let overflows = error(how.range(1e36, 1e38));
        assert!(
            overflows.contains("became NaN in epoch 1, step ") || overflows.contains("became inf in epoch 1, step "),
            "{overflows}"
        );
        assert!(model(Sgd::default()).find_learning_rate(&x, &Tensor::zeros([3]), &how).is_err());
        let mut plain = Sequential::new([3]).add(Dense::new(1)).build(0).unwrap();
        assert!(plain.find_learning_rate(&x, &y, &how).unwrap_err().to_string().contains("not compiled"));
    }
}
