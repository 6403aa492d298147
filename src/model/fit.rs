//! `fit`, `evaluate` and `train_on_batch`.

use super::history::{History, Scores};
use super::progress::Progress;
use super::sequential::{ROWS_TOGETHER, Sequential};
use super::train::{Buffers, Outcome};
use crate::callbacks::{Callback, Logs, Run};
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::kernels::random::{Key, Purpose};
use crate::layer::Slot;
use crate::metrics::Metric;
use crate::tensor::{Float, Tensor};

/// What `fit` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbose {
    /// A progress bar on a terminal, a line an epoch where output is piped.
    #[default]
    Auto,
    /// Nothing.
    Silent,
    /// A line an epoch.
    Lines,
    /// A progress bar (feature `progress`); a line an epoch without it, or where output is no terminal.
    Bar,
}

/// How `fit` trains.
///
/// Defaults are Keras's: 1 epoch, batches of 32, shuffled, no validation.
///
/// ```
/// use gradus::prelude::*;
/// let how: Fit = Fit::default().epochs(10).batch_size(64).validation_split(0.2).verbose(Verbose::Silent);
/// # let _ = how;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fit<'a, T = f32> {
    epochs: usize,
    initial_epoch: usize,
    batch_size: usize,
    shuffle: bool,
    validation_split: f64,
    validation_data: Option<(&'a Tensor<T>, &'a Tensor<T>)>,
    sample_weight: Option<&'a [T]>,
    class_weight: Option<&'a [f64]>,
    verbose: Verbose,
    check_finite: bool,
}

impl<T> Default for Fit<'_, T> {
    fn default() -> Self {
        Fit {
            epochs: 1,
            initial_epoch: 0,
            batch_size: 32,
            shuffle: true,
            validation_split: 0.0,
            validation_data: None,
            sample_weight: None,
            class_weight: None,
            verbose: Verbose::Auto,
            check_finite: false,
        }
    }
}

impl<'a, T> Fit<'a, T> {
    /// The epoch to train up to; 1 by default.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The epoch to begin with, counted from 0, to continue an earlier run; 0 by default.
    pub fn initial_epoch(mut self, epoch: usize) -> Self {
        self.initial_epoch = epoch;
        self
    }

    /// Samples a step; 32 by default. The last batch of an epoch may be smaller.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.batch_size = samples;
        self
    }

    /// Whether samples are taken in a new order each epoch, which follows from the model's seed and the epoch; yes by
    /// default.
    pub fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// The last part of the samples, from 0 (the default) to below 1, is kept from training and measured after each epoch.
    pub fn validation_split(mut self, part: f64) -> Self {
        self.validation_split = part;
        self
    }

    /// Inputs and targets measured after each epoch; takes precedence over `validation_split`.
    pub fn validation_data(mut self, x: &'a Tensor<T>, y: &'a Tensor<T>) -> Self {
        self.validation_data = Some((x, y));
        self
    }

    /// A weight for the loss of each sample, one for every sample of x; none by default. The batch's loss is Σ wᵢ·lossᵢ / n as in
    /// Keras. With a validation split the last ones weight its loss; metrics are not weighted.
    pub fn sample_weight(mut self, weights: &'a [T]) -> Self {
        self.sample_weight = Some(weights);
        self
    }

    /// A weight for the loss of each class, by its number; none by default. Multiplied by the sample's weight; validation is not
    /// weighted by class. Targets are class numbers or one-hot rows.
    pub fn class_weight(mut self, weights: &'a [f64]) -> Self {
        self.class_weight = Some(weights);
        self
    }

    /// What is printed.
    pub fn verbose(mut self, verbose: Verbose) -> Self {
        self.verbose = verbose;
        self
    }

    /// Whether inputs and targets are searched for NaN and infinities before training; no by default.
    pub fn check_finite(mut self, check: bool) -> Self {
        self.check_finite = check;
        self
    }
}

impl<T: Float> Sequential<T> {
    /// Trains on samples `x` `[n, …input]` and their targets `y`; returns loss and metrics of every epoch, averaged over
    /// samples, as they were during the epoch's steps.
    ///
    /// # Errors
    /// [`Error::NotCompiled`] before `compile`; [`Error::Empty`], [`Error::Shape`], [`Error::Label`] or
    /// [`Error::Argument`] for data or settings that do not fit; [`Error::NonFinite`] if asked to look for it;
    /// [`Error::Diverged`] when the loss becomes NaN or infinite, with the last finite weights kept.
    pub fn fit(&mut self, x: &Tensor<T>, y: &Tensor<T>, how: &Fit<'_, T>) -> Result<History> {
        self.fit_with(x, y, how, &mut [])
    }

    /// [`fit`](Self::fit) with [callbacks](crate::callbacks), called in the order of the list.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and those of the callbacks.
    pub fn fit_with(
        &mut self,
        x: &Tensor<T>,
        y: &Tensor<T>,
        how: &Fit<'_, T>,
        callbacks: &mut [&mut dyn Callback<T>],
    ) -> Result<History> {
        self.check_data("fit", x, y)?;
        if how.batch_size == 0 {
            return Err(Error::argument("fit", "batch_size", "at least 1", 0, "32 is usual"));
        }
        if !(0.0..1.0).contains(&how.validation_split) {
            let hint = "0.2 keeps the last fifth";
            return Err(Error::argument(
                "fit",
                "validation_split",
                "at least 0 and below 1",
                how.validation_split,
                hint,
            ));
        }
        let mut n = x.samples();
        let mut held_out = None;
        if let Some((x, y)) = how.validation_data {
            self.check_data("fit", x, y).map_err(|error| Error::ValidationData(Box::new(error)))?;
            held_out = Some((x, y, 0..x.samples()));
        } else if how.validation_split > 0.0 {
            // As Keras: the first ⌊n(1 − part)⌋ samples are trained on.
            let kept = (n as f64 * (1.0 - how.validation_split)) as usize;
            if kept == 0 {
                let expected = format!("small enough to leave a sample of {n} to train on");
                return Err(Error::argument(
                    "fit",
                    "validation_split",
                    expected,
                    how.validation_split,
                    "make it smaller",
                ));
            }
            if kept == n {
                let expected = format!("large enough to keep one sample of {n} for validation");
                return Err(Error::argument(
                    "fit",
                    "validation_split",
                    expected,
                    how.validation_split,
                    "make it larger",
                ));
            }
            held_out = Some((x, y, kept..n));
            n = kept;
        }
        if how.check_finite {
            check_finite("fit", "x", x)?;
            check_finite("fit", "y", y)?;
            if let Some((x, y)) = how.validation_data {
                check_finite("fit", "validation x", x)?;
                check_finite("fit", "validation y", y)?;
            }
        }
        let weights = sample_weights(y, how.sample_weight, how.class_weight)?;
        let batches = n.div_ceil(how.batch_size);
        let mut history = History::default();
        let mut order = Vec::new();
        let mut progress = Progress::new(how.verbose, how.epochs, batches);
        let mut stop = false;
        self.call(callbacks, &mut stop, |callback, run| callback.on_train_begin(run))?;
        for epoch in how.initial_epoch..how.epochs {
            if how.shuffle {
                Key::new(self.seed, Purpose::Shuffle).with(epoch as u64).permutation(n, &mut order);
            } else {
                order.clear();
                order.extend(0..n);
            }
            if stop {
                break;
            }
            progress.begin(epoch);
            self.call(callbacks, &mut stop, |callback, run| callback.on_epoch_begin(epoch, run))?;
            let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "fit" }) };
            training.metrics.iter_mut().for_each(|m| m.reset());
            let (mut sum, mut seen) = (0.0, 0);
            for (step, batch) in order.chunks(how.batch_size).enumerate() {
                let diverged =
                    |what, value| Error::Diverged { op: "fit", what, epoch: epoch + 1, step: step + 1, value };
                let load = |buffers: &mut _| gather(x, y, &weights, batch, buffers);
                match training.step(batch.len(), load, &self.layers, &mut self.params, self.seed) {
                    Outcome::Done(loss) => {
                        sum += loss * batch.len() as f64;
                        if !callbacks.is_empty() {
                            let mut run = training.run(&mut self.params, &mut stop);
                            callbacks.iter_mut().try_for_each(|c| c.on_batch_end(step, loss, &mut run))?;
                        }
                    }
                    Outcome::Loss(value) => return Err(diverged("the loss", value)),
                    Outcome::Update => return Err(diverged("a gradient or a new weight", f64::NAN)),
                }
                seen += batch.len();
                progress.step(step + 1, sum / seen as f64, || training.figures(&training.metrics));
            }
            let mut figures = vec![("loss".to_owned(), sum / seen as f64)];
            figures.extend(training.figures(&training.metrics));
            if let Some((x, y, rows)) = &held_out {
                let own = how.sample_weight.filter(|_| how.validation_data.is_none());
                let scores = self.measure(x, y, own, rows.clone())?;
                figures.push(("val_loss".to_owned(), scores.loss));
                figures.extend(scores.metrics.into_iter().map(|(name, value)| (format!("val_{name}"), value)));
            }
            progress.end(epoch, &figures);
            history.push(epoch, &figures);
            self.call(callbacks, &mut stop, |callback, run| callback.on_epoch_end(epoch, &Logs(&figures), run))?;
        }
        // As in Keras, after the last validation.
        if let (Some(training), true) = (&self.training, how.initial_epoch < how.epochs) {
            training.state.use_average(&mut self.params);
        }
        self.call(callbacks, &mut stop, |callback, run| callback.on_train_end(run))?;
        Ok(history)
    }

    /// Hands the state of training to every callback.
    fn call(
        &mut self,
        callbacks: &mut [&mut dyn Callback<T>],
        stop: &mut bool,
        f: impl Fn(&mut dyn Callback<T>, &mut Run<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "fit" }) };
        let mut run = training.run(&mut self.params, stop);
        callbacks.iter_mut().try_for_each(|callback| f(*callback, &mut run))
    }

    /// Loss and metrics on samples and targets, averaged over samples.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn evaluate(&self, x: &Tensor<T>, y: &Tensor<T>) -> Result<Scores> {
        self.check_data("evaluate", x, y)?;
        self.measure(x, y, None, 0..x.samples())
    }

    /// One step on one batch; returns its loss before the update.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn train_on_batch(&mut self, x: &Tensor<T>, y: &Tensor<T>) -> Result<f64> {
        self.check_data("train_on_batch", x, y)?;
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "train_on_batch" }) };
        let load = |batch: &mut Buffers<T>| {
            batch.x.copy_from(x);
            batch.t.copy_from(y);
            batch.w.clear();
        };
        let step = training.state.step as usize + 1;
        let diverged = |what, value| Err(Error::Diverged { op: "train_on_batch", what, epoch: 1, step, value });
        match training.step(x.samples(), load, &self.layers, &mut self.params, self.seed) {
            Outcome::Done(loss) => Ok(loss),
            Outcome::Loss(value) => diverged("the loss", value),
            Outcome::Update => diverged("a gradient or a new weight", f64::NAN),
        }
    }

    /// The loss of a batch and the gradient of every weight, laid out as [`params`](Self::params); changes nothing that
    /// training sees. For a loss that is not finite the gradients are zero.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn gradients(&mut self, x: &Tensor<T>, y: &Tensor<T>) -> Result<(f64, Vec<T>)> {
        self.check_data("gradients", x, y)?;
        let Some(training) = &mut self.training else { return Err(Error::NotCompiled { op: "gradients" }) };
        let batch = training.batch();
        batch.x.copy_from(x);
        batch.t.copy_from(y);
        batch.w.clear();
        Ok(training.gradients(&self.layers, &self.params, self.seed))
    }

    fn measure(
        &self,
        x: &Tensor<T>,
        y: &Tensor<T>,
        weights: Option<&[T]>,
        rows: std::ops::Range<usize>,
    ) -> Result<Scores> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "evaluate" }) };
        let mut metrics: Vec<Box<dyn Metric<T>>> = training.metrics.iter().map(|m| m.fresh()).collect();
        let (mut slot, mut batch, mut out) = (Slot::new(), Tensor::default(), Tensor::default());
        let (mut sum, mut start) = (0.0, rows.start);
        while start < rows.end {
            let end = (start + ROWS_TOGETHER).min(rows.end);
            let penalty = self.forward_rows(&mut slot, x, start..end, &mut batch, &mut out, training.takes_logits());
            let t = y.rows(start..end)?;
            let loss = training.score(&t, &mut out, weights.map(|w| &w[start..end])) + penalty;
            sum += loss * (end - start) as f64;
            metrics.iter_mut().for_each(|m| m.update(&t, &out, None));
            start = end;
        }
        let metrics = training.figures(&metrics).collect();
        Ok(Scores { loss: sum / rows.len() as f64 + self.params.penalty(), metrics })
    }

    fn check_data(&self, op: &'static str, x: &Tensor<T>, y: &Tensor<T>) -> Result<()> {
        self.check_built(op)?;
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op }) };
        if x.samples() == 0 || x.is_empty() {
            return Err(Error::Empty { op, what: "x" });
        }
        self.check_input(op, x)?;
        if y.samples() != x.samples() || y.shape().rank() == 0 {
            let expected = format!("{} targets, one for each sample of x", x.samples());
            let got = if y.shape().rank() == 0 { "a single number".to_owned() } else { y.samples().to_string() };
            return Err(Error::shape(op, expected, got, "make the first axes of x and y agree"));
        }
        let output = self.output.with_batch(x.samples());
        training.loss.check(y.shape(), output)?;
        training.loss.check_targets(y, output)?;
        training.metrics.iter().try_for_each(|m| m.check(y.shape(), output))
    }
}

/// The weight of every sample; empty where all are 1.
fn sample_weights<T: Float>(y: &Tensor<T>, samples: Option<&[T]>, classes: Option<&[f64]>) -> Result<Vec<T>> {
    let n = y.samples();
    let bad = |weight: f64| !weight.is_finite() || weight < 0.0;
    if let Some(samples) = samples {
        if samples.len() != n {
            let expected = format!("{n} weights, one for each sample");
            return Err(Error::shape("fit", expected, samples.len(), "pass a weight for every sample of x"));
        }
        if let Some((i, w)) = samples.iter().enumerate().find(|(_, w)| bad(w.as_f64())) {
            let hint = format!("correct the weight of sample {i}");
            return Err(Error::argument("fit", "sample_weight", "finite and not negative", w, hint));
        }
    }
    let Some(classes) = classes else { return Ok(samples.unwrap_or_default().to_vec()) };
    if let Some((class, w)) = classes.iter().enumerate().find(|(_, w)| bad(**w)) {
        let hint = format!("correct the weight of class {class}");
        return Err(Error::argument("fit", "class_weight", "finite and not negative", w, hint));
    }
    (0..n)
        .map(|i| {
            let row = y.row(i);
            let largest = || (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best });
            let class = if row.len() == 1 { row[0].as_f64() } else { largest() as f64 };
            let weight = if class.fract() == 0.0 && class >= 0.0 { classes.get(class as usize) } else { None };
            let weight = weight.ok_or_else(|| Error::Label {
                op: "fit",
                row: i,
                expected: format!(
                    "a class number from 0 to {}, which class_weight has weights for",
                    classes.len().max(1) - 1
                ),
                got: class.to_string(),
                hint: "give every class a weight".into(),
            })?;
            Ok(samples.map_or(T::one(), |s| s[i]) * T::of(*weight))
        })
        .collect()
}

/// Copies the samples of a batch into the training buffers.
fn gather<T: Float>(x: &Tensor<T>, y: &Tensor<T>, weights: &[T], positions: &[usize], batch: &mut Buffers<T>) {
    batch.w.clear();
    if !weights.is_empty() {
        batch.w.extend(positions.iter().map(|&position| weights[position]));
    }
    for (from, to) in [(x, &mut batch.x), (y, &mut batch.t)] {
        to.resize(from.shape().with_first(positions.len()));
        let width = from.shape().sample().len();
        let from = from.as_slice();
        parallel::rows(to.as_mut_slice(), width, width * COPY, |first, rows| {
            for (row, &position) in rows.chunks_exact_mut(width).zip(&positions[first..]) {
                row.copy_from_slice(&from[position * width..][..width]);
            }
        });
    }
}

/// The cost of copying a value from a row that is in no cache, in element updates.
const COPY: usize = 4;

fn check_finite<T: Float>(op: &'static str, what: &'static str, x: &Tensor<T>) -> Result<()> {
    match x.first_non_finite() {
        None => Ok(()),
        Some((row, column, value)) => Err(Error::NonFinite { op, what, row, column, value: value.as_f64() }),
    }
}
