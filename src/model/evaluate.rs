//! `evaluate`, and the checks that data passes before it is used.

use std::ops::Range;

use super::blocks::Blocks;
use super::built::Model;
use super::data_adapter::all_batches;
use super::history::Scores;
use super::masked::CountedRows;
use super::predictor::Workspace;
use super::tensors::{List, Tensors, Weights};
use super::trained_head::{TrainedHead, mean, of_head};
use crate::data::{Batch, Dataset};
use crate::distributed::{World, all_gather_numbers, shards_of};
use crate::error::{Error, Result};
use crate::graph::Work;
use crate::memory;
use crate::tensor::{Float, Shape, Tensor};

/// What is measured after each epoch.
#[derive(Clone)]
pub(crate) enum ValidationData<'a, T: Float> {
    Rows(Rows<'a, T>),
    /// The batches of a dataset.
    Batches(&'a dyn Dataset<T>),
}

/// Some rows of tensors, and the weights of all of them, or of all their steps: one list for each target, or none.
#[derive(Clone)]
pub(crate) struct Rows<'a, T: Float> {
    pub x: List<'a, T>,
    pub y: List<'a, T>,
    pub rows: Range<usize>,
    pub weights: Vec<Option<&'a [T]>>,
    /// Masks of the targets, or none.
    pub masks: Vec<Option<&'a [bool]>>,
}

/// Rows whose loss is taken together.
const ROWS_TOGETHER: usize = 256;

/// Loss and metrics, gathered batch by batch.
struct Evaluation<T: Float> {
    /// Of each figure.
    sums: Vec<Vec<f64>>,
    work: Workspace<T>,
    out: Vec<Tensor<T>>,
    targets: Vec<Tensor<T>>,
    batch: Batch<T>,
    counted: CountedRows<T>,
    blocks: Blocks<T>,
    /// Σ loss · rows that count, and Σ rows.
    sum: f64,
    seen: usize,
    /// Rows for which there is known to be memory.
    room: usize,
}

/// The pieces in which data are measured.
fn pieces<T: Float>(held_out: &ValidationData<'_, T>) -> Result<usize> {
    match held_out {
        ValidationData::Rows(held) => Ok(held.rows.len().div_ceil(ROWS_TOGETHER)),
        ValidationData::Batches(data) => all_batches(*data, "evaluate"),
    }
}

impl<T: Float> Model<T> {
    /// Loss and metrics on samples and targets. `x` and `y` are tensors or, for several inputs and outputs, lists of them, by position or name.
    ///
    /// Loss and metrics are means over all rows (the samples, or their steps) that count, whatever batches they come in: those that no mask leaves
    /// out and whose target is of no ignored class. Keras averages the means of batches over samples, which is the same where as many rows of each
    /// sample count.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`Error::NonFinite`] with row and column for NaN or an infinity in `x` or `y`.
    pub fn evaluate<'a>(&self, x: impl Into<Tensors<'a, T>>, y: impl Into<Tensors<'a, T>>) -> Result<Scores> {
        self.evaluate_tensors(x.into(), y.into(), None)
    }

    /// [`evaluate`](Self::evaluate) with a weight for each sample, or for each of its steps, in losses and in weighted metrics: of every output, or
    /// of those named.
    ///
    /// Keras: `evaluate(sample_weight=…)`.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate); [`Error::Shape`] and [`Error::Argument`] for weights that are not one a sample or one a step, finite and
    /// not negative.
    pub fn evaluate_weighted<'a>(
        &self,
        x: impl Into<Tensors<'a, T>>,
        y: impl Into<Tensors<'a, T>>,
        weights: impl Into<Weights<'a, T>>,
    ) -> Result<Scores> {
        self.evaluate_tensors(x.into(), y.into(), Some(weights.into()))
    }

    #[inline(never)]
    pub(crate) fn evaluate_tensors(
        &self,
        x: Tensors<'_, T>,
        y: Tensors<'_, T>,
        weights: Option<Weights<'_, T>>,
    ) -> Result<Scores> {
        let (x, y, weights) = self.check_data("evaluate", x, y, weights.as_ref())?;
        let n = x[0].samples();
        self.check_all_finite("evaluate", &x, &y, 0..n)?;
        self.measure(&ValidationData::Rows(Rows { x, y, rows: 0..n, weights, masks: Vec::new() }))
    }

    /// Loss and metrics on all batches of a dataset, in its epoch 0.
    ///
    /// # Errors
    /// As [`fit_dataset`](Self::fit_dataset); [`Error::Batch`] around what is wrong with the values of a batch.
    #[inline(never)]
    pub fn evaluate_dataset(&self, data: &dyn Dataset<T>) -> Result<Scores> {
        self.check_dataset("evaluate", data)?;
        self.measure(&ValidationData::Batches(data))
    }

    pub(super) fn measure(&self, held_out: &ValidationData<'_, T>) -> Result<Scores> {
        let mut m = self.evaluation()?;
        (0..pieces(held_out)?).try_for_each(|piece| self.measure_piece(&mut m, held_out, piece))?;
        self.scores(&m.sums, m.sum, m.seen)
    }

    /// [`measure`](Self::measure), each rank some pieces of it; what they come to is added up in their order, so that it is the same on any
    /// number of ranks.
    pub(super) fn measure_together(&self, held_out: &ValidationData<'_, T>, world: &dyn World) -> Result<Scores> {
        let mut m = self.evaluation()?;
        let (pieces, ranks) = (pieces(held_out)?, world.size());
        let width = 2 + m.sums.iter().map(Vec::len).sum::<usize>();
        let mut lines = memory::filled("fit", "what validation comes to, piece by piece", pieces * width, 0.0f64)?;
        for piece in shards_of(world.rank(), ranks, pieces) {
            m.sums.iter_mut().for_each(|sums| sums.fill(0.0));
            (m.sum, m.seen) = (0.0, 0);
            self.measure_piece(&mut m, held_out, piece)?;
            let known = [m.sum, m.seen as f64].into_iter().chain(m.sums.iter().flatten().copied());
            lines[piece * width..].iter_mut().zip(known).for_each(|(to, from)| *to = from);
        }
        all_gather_numbers(world, "validation", &mut lines, |rank| {
            let own = shards_of(rank, ranks, pieces);
            own.start * width..own.end * width
        })?;
        m.sums.iter_mut().for_each(|sums| sums.fill(0.0));
        let (mut sum, mut seen) = (0.0, 0.0);
        for line in lines.chunks_exact(width) {
            sum += line[0];
            seen += line[1];
            m.sums.iter_mut().flatten().zip(&line[2..]).for_each(|(sum, more)| *sum += more);
        }
        self.scores(&m.sums, sum, seen as usize)
    }

    fn scores(&self, sums: &[Vec<f64>], sum: f64, seen: usize) -> Result<Scores> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "evaluate" }) };
        let metrics = training.figures(sums).collect();
        Ok(Scores { loss: mean(sum, seen as f64) + self.params.penalty(), metrics })
    }

    fn evaluation(&self) -> Result<Evaluation<T>> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "evaluate" }) };
        let mut m = Evaluation {
            sums: training.sums.iter().map(|sums| vec![0.0; sums.len()]).collect(),
            work: Workspace::default(),
            out: vec![Tensor::default(); self.net.outputs()],
            targets: Vec::new(),
            batch: Batch::default(),
            counted: CountedRows::default(),
            blocks: Blocks::default(),
            sum: 0.0,
            seen: 0,
            room: 0,
        };
        self.leave_out(&mut m.work, training.logits(), training.by_rows());
        Ok(m)
    }

    /// Adds a piece: some rows, or a batch of a dataset.
    fn measure_piece(&self, m: &mut Evaluation<T>, held_out: &ValidationData<'_, T>, index: usize) -> Result<()> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "evaluate" }) };
        match held_out {
            ValidationData::Rows(held) => {
                let start = held.rows.start + index * ROWS_TOGETHER;
                self.measure_rows(m, held, start..(start + ROWS_TOGETHER).min(held.rows.end))
            }
            ValidationData::Batches(data) => {
                let mut batch = std::mem::take(&mut m.batch);
                batch.clear_weights();
                let checked = data.load(0, index, &mut batch).and_then(|()| self.check_batch("evaluate", &batch));
                checked.map_err(|error| Error::Batch { index, source: Box::new(error) })?;
                let weights = (0..training.heads.len()).map(|i| batch.weights_of(i)).collect();
                let masks = (0..training.heads.len()).map(|i| batch.mask_of(i)).collect();
                let (x, y): (Vec<_>, Vec<_>) = (batch.inputs().collect(), batch.targets().collect());
                let (x, y, rows) = (List::Several(x), List::Several(y), 0..batch.x.samples());
                self.measure_rows(m, &Rows { x, y, rows: rows.clone(), weights, masks }, rows)?;
                m.batch = batch;
                Ok(())
            }
        }
    }

    fn measure_rows(&self, m: &mut Evaluation<T>, held: &Rows<'_, T>, rows: Range<usize>) -> Result<()> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "evaluate" }) };
        self.check_room("evaluate", rows.len().min(ROWS_TOGETHER), &mut m.room, training.by_rows())?;
        let mut start = rows.start;
        while start < rows.end {
            let part = start..(start + ROWS_TOGETHER).min(rows.end);
            let penalty = self.forward_rows(&mut m.work, &held.x, part.clone(), &mut m.out)?;
            m.targets.resize_with(held.y.len(), Tensor::default);
            held.y.iter().zip(&mut m.targets).for_each(|(y, t)| y.copy_rows(part.clone(), t));
            let n = held.x[0].samples();
            let work = &m.work;
            let counts = |i: usize, output: usize| {
                let weights = held.weights.get(i).copied().flatten().map(|weights| of_samples(weights, n, &part));
                let mask = held.masks.get(i).copied().flatten().map(|mask| of_samples(mask, n, &part));
                (weights, [mask, work.mask(output)])
            };
            let (of, buffers) = ((&self.net, &self.params), (&mut m.counted, &mut m.blocks));
            let (loss, rows) = training.score(of, &mut m.sums, &mut m.out, &m.targets, counts, buffers);
            m.sum += (loss + penalty) * rows as f64;
            m.seen += rows;
            start = part.end;
        }
        Ok(())
    }

    /// The tensors in the order of inputs and targets, checked.
    pub(super) fn check_data<'a>(
        &self,
        op: &'static str,
        x: Tensors<'a, T>,
        y: Tensors<'a, T>,
        weights: Option<&Weights<'a, T>>,
    ) -> Result<Checked<'a, T>> {
        let Some(training) = &self.training else { return Err(self.not_compiled(op)) };
        let (x, y) = self.ordered(op, x, y)?;
        let ordered = |weights: &Weights<'a, T>| weights.ordered(op, &training.target_names());
        let weights = weights.map_or_else(|| Ok(Vec::new()), ordered)?;
        self.check_targets(op, &x, &y, |i| (weights.get(i).copied().flatten(), None))?;
        Ok((x, y, weights))
    }

    /// Inputs and targets in the order of the model's, the inputs checked.
    fn ordered<'a>(
        &self,
        op: &'static str,
        x: Tensors<'a, T>,
        y: Tensors<'a, T>,
    ) -> Result<(List<'a, T>, List<'a, T>)> {
        let Some(training) = &self.training else { return Err(self.not_compiled(op)) };
        let x = x.ordered(op, "x", self.net.inputs(), || self.net.input_names())?;
        let y = y.ordered(op, "y", training.heads.len(), || training.target_names())?;
        if x[0].samples() == 0 || x[0].is_empty() {
            return Err(Error::Empty { op, what: "x" });
        }
        self.check_inputs(op, &x)?;
        Ok((x, y))
    }

    /// Checks targets, with what counts of them, against the outputs for inputs that have been checked.
    fn check_targets<'w>(
        &self,
        op: &'static str,
        x: &[&Tensor<T>],
        y: &[&Tensor<T>],
        counts: impl Fn(usize) -> (Option<&'w [T]>, Option<&'w [bool]>),
    ) -> Result<()> {
        let Some(training) = &self.training else { return Err(self.not_compiled(op)) };
        let mut memory = Tensor::default();
        for (i, (head, y)) in training.heads.iter().zip(y).enumerate() {
            let (weights, mask) = counts(i);
            let shape = self.head_shape(op, head, x)?;
            let checked = head.check_targets(op, y, (x[0].samples(), shape), weights, mask, &mut memory);
            checked.map_err(|error| of_head(&training.heads, i, error))?;
        }
        Ok(())
    }

    /// The shape of one sample of a head's output for these inputs, which have been checked.
    fn head_shape(&self, op: &'static str, head: &TrainedHead<T>, x: &[&Tensor<T>]) -> Result<Shape> {
        let x = x.iter().map(|x| x.shape().sample());
        self.net.output_shape_of(op, &mut Work::default(), x, head.output)
    }

    /// What can be known of a dataset before its batches are loaded.
    pub(super) fn check_dataset(&self, op: &'static str, data: &dyn Dataset<T>) -> Result<()> {
        let Some(training) = &self.training else { return Err(self.not_compiled(op)) };
        data.check()?;
        let (x, y) = data.all_shapes();
        let inputs = self.net.input_shapes();
        if x.len() != inputs.len() || y.len() != training.heads.len() {
            let names = (self.net.input_names().join(", "), training.target_names().join(", "));
            let expected =
                format!("{} inputs ({}) and {} targets ({})", inputs.len(), names.0, training.heads.len(), names.1);
            let hint = "let Dataset::all_shapes name one shape for each";
            return Err(Error::shape(op, expected, format!("{} and {}", x.len(), y.len()), hint));
        }
        for ((x, input), name) in x.iter().zip(&inputs).zip(self.net.input_names()) {
            if x != input && !input.admits(x) {
                let of = if inputs.len() > 1 { format!(" for the input {name}") } else { String::new() };
                let hint = "reshape or map the dataset's samples, or change the shape given to Sequential::new";
                return Err(Error::shape(op, format!("samples of shape {input}{of}"), *x, hint));
            }
        }
        let mut work = Work::default();
        for (i, (head, y)) in training.heads.iter().zip(&y).enumerate() {
            let shape = self.net.output_shape_of(op, &mut work, x.iter().copied(), head.output)?;
            let fits = y.batched(1).and_then(|y| head.check_shapes(y, shape.with_batch(1)));
            fits.map_err(|error| of_head(&training.heads, i, error))?;
        }
        Ok(())
    }

    fn check_batch(&self, op: &'static str, batch: &Batch<T>) -> Result<()> {
        let (x, y): (Vec<_>, Vec<_>) = (batch.inputs().collect(), batch.targets().collect());
        let (x, y) = self.ordered(op, x.into(), y.into())?;
        self.check_targets(op, &x, &y, |i| (batch.weights_of(i), batch.mask_of(i)))?;
        self.check_all_finite(op, &x, &y, 0..x[0].samples())
    }
}

/// Inputs and targets in the order of the model's, with the weights of each target, or none for any.
pub(super) type Checked<'a, T> = (List<'a, T>, List<'a, T>, Vec<Option<&'a [T]>>);

/// What belongs to some of `n` samples, of values for samples or for their steps.
fn of_samples<'a, V>(values: &'a [V], n: usize, part: &Range<usize>) -> &'a [V] {
    let each = values.len() / n.max(1);
    &values[part.start * each..part.end * each]
}
