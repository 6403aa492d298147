//! Where the batches of a training run come from: tensors in memory, or a dataset.

use super::fit_options::Fit;
use crate::data::{Batch, Dataset};
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::kernels::random::{Key, Purpose};
use crate::tensor::{Float, Tensor};

/// Batches by number.
pub(crate) trait Feed<T: Float>: Sync {
    /// Batches an epoch.
    fn batches(&self) -> usize;

    /// Gets ready for the batches of an epoch.
    fn begin(&mut self, epoch: usize);

    /// The samples of a batch; a guess where that is not known before it is loaded.
    fn samples(&self, index: usize) -> usize;

    /// Fills a batch; returns whether it has yet to be checked against model and loss.
    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<bool>;

    /// Numbers that are the same where the feed gives the same batches: samples, batch size, batches, shuffled or not.
    fn kind(&self) -> [u64; 4];
}

/// Samples of tensors in memory, checked before.
pub(crate) struct Rows<'a, T> {
    pub x: &'a Tensor<T>,
    pub y: &'a Tensor<T>,
    pub weights: Vec<T>,
    /// The first n are trained on.
    pub n: usize,
    pub batch_size: usize,
    /// The seed that orders them, if they are shuffled.
    pub shuffle: Option<u64>,
    pub order: Vec<usize>,
}

impl<T: Float> Feed<T> for Rows<'_, T> {
    fn batches(&self) -> usize {
        self.n.div_ceil(self.batch_size)
    }

    fn begin(&mut self, epoch: usize) {
        if let Some(seed) = self.shuffle {
            Key::new(seed, Purpose::Shuffle).with(epoch as u64).permutation(self.n, &mut self.order);
        } else if self.order.len() != self.n {
            self.order.clear();
            self.order.extend(0..self.n);
        }
    }

    fn samples(&self, index: usize) -> usize {
        self.batch_size.min(self.n - (index * self.batch_size).min(self.n))
    }

    fn load(&self, _: usize, index: usize, batch: &mut Batch<T>) -> Result<bool> {
        let first = index * self.batch_size;
        gather(self.x, self.y, &self.weights, &self.order[first..first + self.samples(index)], batch);
        Ok(false)
    }

    fn kind(&self) -> [u64; 4] {
        [self.n as u64, self.batch_size as u64, self.batches() as u64, u64::from(self.shuffle.is_some())]
    }
}

/// Batches of a dataset.
pub(crate) struct Batches<'a, T: Float> {
    data: &'a dyn Dataset<T>,
    classes: Option<&'a [f64]>,
    batches: usize,
}

impl<'a, T: Float> Batches<'a, T> {
    pub fn new(data: &'a dyn Dataset<T>, how: &Fit<'a, T>) -> Result<Self> {
        check_classes(how.class_weight)?;
        if how.sample_weight.is_some() {
            let hint = "let the dataset fill Batch::weights";
            return Err(Error::argument("fit", "sample_weight", "left out with a dataset", "weights", hint));
        }
        if how.validation_split != 0.0 {
            let hint = "pass Fit::validation_dataset or Fit::validation_data";
            return Err(Error::argument("fit", "validation_split", "0 with a dataset", how.validation_split, hint));
        }
        Ok(Batches { data, classes: how.class_weight, batches: batches(data, how.steps_per_epoch, "fit")? })
    }
}

/// The batches of an epoch.
fn batches<T: Float>(data: &dyn Dataset<T>, steps: Option<usize>, op: &'static str) -> Result<usize> {
    match (steps, data.batches()) {
        (_, Some(0)) => Err(Error::Empty { op, what: "the dataset" }),
        (Some(0), _) => Err(Error::argument(op, "steps_per_epoch", "at least 1", 0, "leave it out for all batches")),
        (Some(steps), Some(n)) if steps > n => {
            let expected = format!("at most {n}, the batches of the dataset");
            Err(Error::argument(op, "steps_per_epoch", expected, steps, "leave it out for all batches"))
        }
        (Some(n), _) | (None, Some(n)) => Ok(n),
        (None, None) => {
            let hint = "an endless dataset needs Fit::steps_per_epoch; validate and evaluate with one that ends";
            Err(Error::argument(op, "steps_per_epoch", "set", "nothing", hint))
        }
    }
}

/// The batches of a dataset that is measured.
pub(crate) fn all_batches<T: Float>(data: &dyn Dataset<T>, op: &'static str) -> Result<usize> {
    batches(data, None, op)
}

impl<T: Float> Feed<T> for Batches<'_, T> {
    fn batches(&self) -> usize {
        self.batches
    }

    fn begin(&mut self, _: usize) {}

    fn samples(&self, _: usize) -> usize {
        // Enough for the pool to be entered, if the model is large enough for that.
        32
    }

    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<bool> {
        batch.weights.clear();
        match self.data.batches() {
            Some(_) => self.data.load(epoch, index, batch)?,
            // A stream has one epoch, of which those of training are stretches.
            None => self.data.load(0, epoch.saturating_mul(self.batches).saturating_add(index), batch)?,
        }
        if let Some(classes) = self.classes {
            weigh(&batch.y, classes, &mut batch.weights)?;
        }
        Ok(true)
    }

    fn kind(&self) -> [u64; 4] {
        [0, 0, self.batches as u64, 2]
    }
}

fn bad(weight: f64) -> bool {
    !weight.is_finite() || weight < 0.0
}

fn check_classes(classes: Option<&[f64]>) -> Result<()> {
    match classes.unwrap_or_default().iter().enumerate().find(|(_, w)| bad(**w)) {
        None => Ok(()),
        Some((class, w)) => {
            let hint = format!("correct the weight of class {class}");
            Err(Error::argument("fit", "class_weight", "finite and not negative", w, hint))
        }
    }
}

/// The weight of every sample; empty where all are 1.
pub(crate) fn sample_weights<T: Float>(
    y: &Tensor<T>,
    samples: Option<&[T]>,
    classes: Option<&[f64]>,
) -> Result<Vec<T>> {
    let n = y.samples();
    if let Some(samples) = samples {
        check_weights("fit", n, samples)?;
    }
    check_classes(classes)?;
    let mut weights = samples.unwrap_or_default().to_vec();
    if let Some(classes) = classes {
        weigh(y, classes, &mut weights)?;
    }
    Ok(weights)
}

/// One weight a sample, each of them finite and not negative.
pub(crate) fn check_weights<T: Float>(op: &'static str, n: usize, weights: &[T]) -> Result<()> {
    if weights.len() != n {
        let expected = format!("{n} weights, one for each sample");
        return Err(Error::shape(op, expected, weights.len(), "pass a weight for every sample of x"));
    }
    match weights.iter().enumerate().find(|(_, w)| bad(w.as_f64())) {
        None => Ok(()),
        Some((i, w)) => {
            let hint = format!("correct the weight of sample {i}");
            Err(Error::argument(op, "sample_weight", "finite and not negative", w, hint))
        }
    }
}

/// Multiplies the weight of each sample by that of its class.
fn weigh<T: Float>(y: &Tensor<T>, classes: &[f64], weights: &mut Vec<T>) -> Result<()> {
    if weights.is_empty() {
        weights.resize(y.samples(), T::one());
    }
    for (i, weight) in weights.iter_mut().enumerate() {
        let row = y.row(i);
        let largest = || (0..row.len()).fold(0, |best, j| if row[j] > row[best] { j } else { best });
        let class = if row.len() == 1 { row[0].as_f64() } else { largest() as f64 };
        let factor = if class.fract() == 0.0 && class >= 0.0 { classes.get(class as usize) } else { None };
        *weight *= T::of(*factor.ok_or_else(|| Error::Label {
            op: "fit",
            row: i,
            expected: format!(
                "a class number from 0 to {}, which class_weight has weights for",
                classes.len().max(1) - 1
            ),
            got: class.to_string(),
            hint: "give every class a weight".into(),
        })?);
    }
    Ok(())
}

/// Copies the samples of a batch into the training buffers.
fn gather<T: Float>(x: &Tensor<T>, y: &Tensor<T>, weights: &[T], positions: &[usize], batch: &mut Batch<T>) {
    batch.weights.clear();
    if !weights.is_empty() {
        batch.weights.extend(positions.iter().map(|&position| weights[position]));
    }
    for (from, to) in [(x, &mut batch.x), (y, &mut batch.y)] {
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
