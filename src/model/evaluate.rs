//! `evaluate`, and the checks that data passes before it is used.

use super::built::Model;
use super::checks::check_finite;
use super::data_adapter::all_batches;
use super::history::Scores;
use super::predictor::Workspace;
use crate::data::{Batch, Dataset};
use crate::error::{Error, Result};
use crate::tensor::{Float, Tensor};

/// What is measured after each epoch.
#[derive(Clone)]
pub(crate) enum ValidationData<'a, T: Float> {
    /// Some rows of tensors, and the weights of all.
    Rows(&'a Tensor<T>, &'a Tensor<T>, std::ops::Range<usize>, Option<&'a [T]>),
    /// The batches of a dataset.
    Batches(&'a dyn Dataset<T>),
}

/// Rows whose loss is taken together.
const ROWS_TOGETHER: usize = 256;

/// Loss and metrics, gathered batch by batch.
struct Evaluation<T: Float> {
    /// Of each metric.
    sums: Vec<Vec<f64>>,
    work: Workspace<T>,
    out: Tensor<T>,
    sum: f64,
    seen: usize,
    /// Rows for which there is known to be memory.
    room: usize,
}

impl<T: Float> Model<T> {
    /// Loss and metrics on samples and targets, averaged over samples.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`Error::NonFinite`] with row and column for NaN or an infinity in `x` or `y`.
    #[inline(never)]
    pub fn evaluate(&self, x: &Tensor<T>, y: &Tensor<T>) -> Result<Scores> {
        self.check_data("evaluate", x, y)?;
        check_finite("evaluate", "x", x, 0..x.samples())?;
        check_finite("evaluate", "y", y, 0..y.samples())?;
        self.measure(&ValidationData::Rows(x, y, 0..x.samples(), None))
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
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "evaluate" }) };
        let mut m = Evaluation {
            sums: training.sums.iter().map(|sums| vec![0.0; sums.len()]).collect(),
            work: Workspace::default(),
            out: Tensor::default(),
            sum: 0.0,
            seen: 0,
            room: 0,
        };
        self.leave_out(&mut m.work, training.logits());
        match held_out {
            ValidationData::Rows(x, y, rows, weights) => {
                self.measure_rows(&mut m, x, y, rows.clone(), *weights)?;
            }
            ValidationData::Batches(data) => {
                let mut batch = Batch::default();
                for index in 0..all_batches(*data, "evaluate")? {
                    batch.weights.clear();
                    data.load(0, index, &mut batch)?;
                    self.check_batch("evaluate", &batch)
                        .map_err(|error| Error::Batch { index, source: Box::new(error) })?;
                    let weights = (!batch.weights.is_empty()).then_some(&batch.weights[..]);
                    self.measure_rows(&mut m, &batch.x, &batch.y, 0..batch.x.samples(), weights)?;
                }
            }
        }
        let metrics = training.figures(&m.sums).collect();
        Ok(Scores { loss: m.sum / m.seen as f64 + self.params.penalty(), metrics })
    }

    fn measure_rows(
        &self,
        m: &mut Evaluation<T>,
        x: &Tensor<T>,
        y: &Tensor<T>,
        rows: std::ops::Range<usize>,
        weights: Option<&[T]>,
    ) -> Result<()> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op: "evaluate" }) };
        self.check_room("evaluate", rows.len().min(ROWS_TOGETHER), &mut m.room)?;
        let mut start = rows.start;
        while start < rows.end {
            let end = (start + ROWS_TOGETHER).min(rows.end);
            m.out.resize_batch(&self.output, end - start);
            let penalty = self.forward_rows(&mut m.work, x, start..end, &mut m.out);
            let t = y.rows(start..end)?;
            let loss = training.score(&t, &mut m.out, weights.map(|w| &w[start..end])) + penalty;
            m.sum += loss * (end - start) as f64;
            for (metric, sums) in training.metrics.iter().zip(&mut m.sums) {
                metric.update(sums, &t, &m.out, None);
            }
            start = end;
        }
        m.seen += rows.len();
        Ok(())
    }

    pub(super) fn check_data(&self, op: &'static str, x: &Tensor<T>, y: &Tensor<T>) -> Result<()> {
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
        training.check_targets(y, self.output.with_batch(x.samples()))
    }

    /// What can be known of a dataset before its batches are loaded.
    pub(super) fn check_dataset(&self, op: &'static str, data: &dyn Dataset<T>) -> Result<()> {
        let Some(training) = &self.training else { return Err(Error::NotCompiled { op }) };
        data.check()?;
        let (x, y) = data.shapes();
        if x != self.input {
            let hint = "reshape or map the dataset's samples, or change the shape given to Sequential::new";
            return Err(Error::shape(op, format!("samples of shape {}", self.input), x, hint));
        }
        training.check_shapes(y.batched(1)?, self.output.with_batch(1))
    }

    fn check_batch(&self, op: &'static str, batch: &Batch<T>) -> Result<()> {
        self.check_data(op, &batch.x, &batch.y)?;
        check_finite(op, "x", &batch.x, 0..batch.x.samples())?;
        check_finite(op, "y", &batch.y, 0..batch.y.samples())?;
        if batch.weights.is_empty() {
            Ok(())
        } else {
            super::sample_weights::check_weights(op, batch.x.samples(), &batch.weights)
        }
    }
}
