//! Where the batches of a training run come from: tensors in memory, or a dataset.

use std::ops::Range;

use super::checks::weigh;
use super::sample_weights::check_classes;
#[cfg(feature = "files")]
use super::settings::{Depth, Settings, numbered};
use super::tensors::List;
use crate::data::{Batch, Dataset, Shard};
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::kernels::random::{Key, Purpose};
use crate::tensor::{Float, Shape, Tensor};

/// Batches by number.
pub(crate) trait DataAdapter<T: Float>: Sync {
    /// Batches an epoch.
    fn batches(&self) -> usize;

    /// Takes the seed by which samples are put in order, if they are.
    fn set_seed(&mut self, seed: u64);

    /// Gets ready for the batches of an epoch.
    fn begin(&mut self, epoch: usize);

    /// The samples of a batch; a guess where that is not known before it is loaded.
    fn samples(&self, index: usize) -> usize;

    /// Fills a batch; returns whether it has yet to be checked against model and loss.
    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<bool>;

    /// Fills a batch with the rows that belong to a shard, unless there are none; see [`load`](Self::load).
    fn load_shard(&self, epoch: usize, index: usize, shard: Shard, batch: &mut Batch<T>) -> Result<Loaded>;

    /// An error about a batch, which it names where that tells more than the error itself.
    fn about(&self, index: usize, error: Error) -> Error {
        let _ = index;
        error
    }

    /// Numbers that are the same where the adapter gives the same batches: samples, batch size, batches, shuffled or not.
    fn fingerprint(&self) -> [u64; 4];

    /// The number of a batch's sample in the whole of the data, where there is one.
    fn sample(&self, index: usize, row: usize) -> Option<usize>;

    /// What a checkpoint keeps of the data.
    ///
    /// # Errors
    /// Those of loading a batch.
    #[cfg(feature = "files")]
    fn describe(&self, settings: &mut Settings, depth: Depth) -> Result<()>;

    /// Whether the data are known by their batches alone.
    #[cfg(feature = "files")]
    fn is_dataset(&self) -> bool {
        false
    }
}

/// What was loaded of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loaded {
    /// The samples of the whole batch.
    pub samples: usize,
    /// Whether they have yet to be checked against model and loss.
    pub unchecked: bool,
}

/// Samples of tensors in memory, checked before.
pub(crate) struct InMemory<'a, T> {
    pub x: List<'a, T>,
    /// One for each head.
    pub y: List<'a, T>,
    /// One list for each head, or one for all; empty where all are 1.
    pub weights: Vec<Vec<T>>,
    /// The first n are trained on.
    pub n: usize,
    pub batch_size: usize,
    /// The seed that orders them, if they are shuffled.
    pub shuffle: Option<u64>,
    pub order: Vec<usize>,
}

impl<T: Float> InMemory<'_, T> {
    /// Copies some rows of a batch.
    fn gather(&self, index: usize, rows: Range<usize>, batch: &mut Batch<T>) {
        let first = index * self.batch_size;
        let positions = &self.order[first + rows.start..first + rows.end];
        let Batch { x, y, weights, more_x, more_y, more_weights, masks } = batch;
        masks.iter_mut().for_each(Vec::clear);
        gather_all(&self.x, positions, x, more_x);
        gather_all(&self.y, positions, y, more_y);
        more_weights.resize_with(self.weights.len().saturating_sub(1), Vec::new);
        for (from, to) in self.weights.iter().zip(std::iter::once(weights).chain(more_weights)) {
            to.clear();
            if !from.is_empty() {
                // One weight a sample, or one for each of its steps.
                let each = from.len() / self.x[0].samples();
                to.extend(positions.iter().flat_map(|&position| &from[position * each..][..each]));
            }
        }
    }
}

impl<T: Float> DataAdapter<T> for InMemory<'_, T> {
    fn batches(&self) -> usize {
        self.n.div_ceil(self.batch_size)
    }

    fn set_seed(&mut self, seed: u64) {
        self.shuffle = self.shuffle.map(|_| seed);
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
        self.gather(index, 0..self.samples(index), batch);
        Ok(false)
    }

    fn load_shard(&self, _: usize, index: usize, shard: Shard, batch: &mut Batch<T>) -> Result<Loaded> {
        let samples = self.samples(index);
        let rows = shard.rows(samples);
        if !rows.is_empty() {
            self.gather(index, rows, batch);
        }
        Ok(Loaded { samples, unchecked: false })
    }

    fn sample(&self, index: usize, row: usize) -> Option<usize> {
        self.order.get(index * self.batch_size + row).copied()
    }

    fn fingerprint(&self) -> [u64; 4] {
        [self.n as u64, self.batch_size as u64, self.batches() as u64, u64::from(self.shuffle.is_some())]
    }

    #[cfg(feature = "files")]
    fn describe(&self, settings: &mut Settings, depth: Depth) -> Result<()> {
        settings.put("data", "tensors");
        settings.put("samples to train on", self.n);
        settings.put("batch_size", self.batch_size);
        settings.put("shuffle", self.shuffle.is_some());
        for (what, tensors) in [("x", &*self.x), ("y", &*self.y)] {
            for (i, tensor) in tensors.iter().enumerate() {
                settings.put_tensor(&numbered(what, i), tensor, depth);
            }
        }
        Ok(())
    }
}

/// Batches of a dataset.
pub(crate) struct FromDataset<'a, T: Float> {
    data: &'a dyn Dataset<T>,
    classes: Option<&'a [f64]>,
    /// The shape of an output sample.
    output: Shape,
    batches: usize,
}

impl<'a, T: Float> FromDataset<'a, T> {
    /// The batches of a dataset, `steps` an epoch, for outputs of a shape, samples weighted by `classes`.
    pub fn new(
        data: &'a dyn Dataset<T>,
        steps: Option<usize>,
        classes: Option<&'a [f64]>,
        output: Shape,
    ) -> Result<Self> {
        check_classes(classes)?;
        Ok(FromDataset { data, classes, output, batches: batches(data, steps, "fit")? })
    }

    /// Epoch and number of a batch in the dataset: a stream has one epoch, of which those of training are stretches.
    fn place(&self, epoch: usize, index: usize) -> (usize, usize) {
        match self.data.batches() {
            Some(_) => (epoch, index),
            None => (0, epoch.saturating_mul(self.batches).saturating_add(index)),
        }
    }

    /// Weighs samples by their classes, where that is asked for.
    fn weigh(&self, batch: &mut Batch<T>) -> Result<()> {
        let Some(classes) = self.classes else { return Ok(()) };
        weigh(&batch.y, self.output, classes, &mut batch.weights)
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

impl<T: Float> DataAdapter<T> for FromDataset<'_, T> {
    fn batches(&self) -> usize {
        self.batches
    }

    fn set_seed(&mut self, _: u64) {}

    fn begin(&mut self, _: usize) {}

    fn samples(&self, _: usize) -> usize {
        // Enough for the pool to be entered, if the model is large enough for that.
        32
    }

    fn load(&self, epoch: usize, index: usize, batch: &mut Batch<T>) -> Result<bool> {
        batch.clear_weights();
        let (epoch, index) = self.place(epoch, index);
        self.data.load(epoch, index, batch).map_err(|error| self.about(index, error))?;
        self.weigh(batch)?;
        Ok(true)
    }

    fn load_shard(&self, epoch: usize, index: usize, shard: Shard, batch: &mut Batch<T>) -> Result<Loaded> {
        batch.clear_weights();
        let (epoch, index) = self.place(epoch, index);
        let samples = self.data.load_shard(epoch, index, shard, batch).map_err(|error| self.about(index, error))?;
        if samples == 0 {
            return Err(self.about(index, Error::Empty { op: "fit", what: "a batch of the dataset" }));
        }
        let rows = shard.rows(samples).len();
        if rows > 0 && batch.x.samples() != rows {
            let expected = format!("{rows} samples of a batch of {samples} for shard {} of {}", shard.number, shard.of);
            let hint = "let Dataset::load_shard fill the batch with Shard::rows and return the samples of all of it";
            return Err(self.about(index, Error::shape("fit", expected, batch.x.samples(), hint)));
        }
        if rows > 0 {
            self.weigh(batch).map_err(|error| error.in_rows_from(shard.rows(samples).start))?;
        }
        Ok(Loaded { samples, unchecked: rows > 0 })
    }

    fn sample(&self, _: usize, _: usize) -> Option<usize> {
        None
    }

    fn about(&self, index: usize, error: Error) -> Error {
        match error {
            Error::Batch { .. } | Error::Rank { .. } | Error::Ranks { .. } => error,
            _ => Error::Batch { index, source: Box::new(error) },
        }
    }

    fn fingerprint(&self) -> [u64; 4] {
        [0, 0, self.batches as u64, 2]
    }

    #[cfg(feature = "files")]
    fn describe(&self, settings: &mut Settings, depth: Depth) -> Result<()> {
        let (x, y) = self.data.all_shapes();
        settings.put("data", "a dataset");
        settings.put("batches an epoch", self.batches);
        settings.put("batches of the dataset", self.data.batches().map_or("without end".into(), |n| n.to_string()));
        for (what, shapes) in [("x of a sample", x), ("y of a sample", y)] {
            shapes.iter().enumerate().for_each(|(i, shape)| settings.put(numbered(what, i), shape));
        }
        match depth {
            Depth::Glance => Ok(()),
            _ => settings.put_batches("", self.batches, |index, batch| self.load(0, index, batch).map(|_| ())),
        }
    }

    #[cfg(feature = "files")]
    fn is_dataset(&self) -> bool {
        true
    }
}

/// Copies the samples of a batch into a first tensor and further ones.
fn gather_all<T: Float>(from: &[&Tensor<T>], positions: &[usize], first: &mut Tensor<T>, more: &mut Vec<Tensor<T>>) {
    more.resize_with(from.len().saturating_sub(1), Tensor::default);
    for (from, to) in from.iter().zip(std::iter::once(first).chain(more)) {
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
