//! How the outputs of a model are trained and measured, and the figures that come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::blocks::ByRows;
use super::head::Head;
use super::masked::{CountedRows, Counts, counting};
use super::sample_weights::{check_steps, check_weights};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Ending, Net, RowNode};
use crate::layer::Reach;
use crate::losses::{Loss, LossConfig};
use crate::metrics::{Metric, MetricConfig};
use crate::tensor::{Float, Shape, Tensor};

/// How one output is trained and measured.
#[derive(Debug)]
pub(crate) struct TrainedHead<T: Float> {
    /// Its position among the model's outputs.
    pub output: usize,
    pub name: String,
    pub loss: Option<Arc<dyn Loss<T>>>,
    /// What its loss is multiplied by.
    pub weight: f64,
    pub metrics: Vec<Box<dyn Metric<T>>>,
    /// How many of the metrics, the first ones, take no weights.
    pub unweighted: usize,
    /// The loss from logits and the activation that it stands for, where both meet at the end of the model: in inference, and
    /// in training unless there is noise between them.
    pub(super) fused: Option<Fused<T>>,
    /// The node that makes the output, where it is left to the loss, which takes it some rows at a time.
    pub(super) by_rows: Option<RowNode>,
    /// The loss of the last batch, and how many rows it is of.
    pub(super) last_loss: f64,
    pub(super) last_rows: usize,
}

/// A figure beside the whole loss.
#[derive(Debug)]
pub(super) struct Figure {
    /// The name in the history; a second `precision` is `precision_1`.
    pub name: String,
    pub head: usize,
    /// The number of its metric; none for the loss of the head.
    pub metric: Option<usize>,
}

impl<T: Float> TrainedHead<T> {
    /// A head for an output, checked by itself.
    pub fn new(head: Head<T>, output: usize, name: String, ending: Option<Ending>) -> Self {
        let Head { loss, weight, mut metrics, weighted_metrics, .. } = head;
        let unweighted = metrics.len();
        metrics.extend(weighted_metrics);
        let fused = ending.zip(loss.as_deref()).and_then(|(ending, loss)| Fused::new(ending, loss));
        TrainedHead {
            output,
            name,
            loss,
            weight,
            metrics,
            unweighted,
            fused,
            by_rows: None,
            last_loss: 0.0,
            last_rows: 0,
        }
    }

    /// Whether the loss may take some rows at a time. What is not of this crate may be no function of rows.
    pub(super) fn goes_by_rows(&self) -> bool {
        let own = |metric: &dyn Metric<T>| matches!(metric.config(), MetricConfig::Custom { .. });
        let loss = self.loss.as_ref().is_some_and(|loss| !matches!(loss.config(), LossConfig::Custom { .. }));
        loss && !self.metrics.iter().any(|metric| own(&**metric))
    }

    /// The class of targets that do not count.
    pub(super) fn ignored_class(&self) -> Option<f64> {
        self.loss.as_ref()?.ignored_class()
    }

    /// The output as one that goes by rows.
    pub(super) fn rows<'a>(
        &'a self,
        net: &'a Net<T>,
        targets: &'a Tensor<T>,
        rows: &'a CountedRows<T>,
    ) -> Option<ByRows<'a, T>> {
        let (loss, activation) = match &self.fused {
            Some(fused) => (&*fused.loss, Some(fused.activation)),
            None => (self.loss.as_deref()?, None),
        };
        Some(ByRows { net, at: self.by_rows?, loss, activation, targets, rows })
    }

    /// Checks the shapes of targets and outputs, both with the batch axis.
    pub fn check_shapes(&self, targets: Shape, output: Shape) -> Result<()> {
        self.loss.iter().try_for_each(|loss| loss.check(targets, output))?;
        self.metrics.iter().try_for_each(|m| m.check(targets, output))
    }

    /// Checks the targets of `n` samples for outputs whose samples have this shape, with weights and a mask; `memory` is to work in.
    pub fn check_targets(
        &self,
        op: &'static str,
        y: &Tensor<T>,
        (n, output): (usize, Shape),
        weights: Option<&[T]>,
        mask: Option<&[bool]>,
        memory: &mut Tensor<T>,
    ) -> Result<()> {
        if y.samples() != n || y.shape().rank() == 0 {
            let expected = format!("{n} targets, one for each sample of x");
            let got = if y.shape().rank() == 0 { "a single number".to_owned() } else { y.samples().to_string() };
            return Err(Error::shape(op, expected, got, "make the first axes of x and y agree"));
        }
        self.check_shapes(y.shape(), output.with_batch(n))?;
        weights.map_or(Ok(()), |weights| check_weights(op, n, output, weights))?;
        const FILLED: &str = "targets were filled up along an axis that the loss takes as one; bring them to one size, or give the \
                              output and its targets an axis more";
        mask.map_or(Ok(()), |mask| check_steps(op, "places of a mask", n, output, mask.len(), FILLED))?;
        // Metrics without weights look at targets of weight 0, too.
        let (metrics, weighted) = self.metrics.split_at(self.unweighted);
        let sides = [(weights, weighted, self.loss.as_deref()), (None, metrics, None)];
        let ignored = self.ignored_class().filter(|_| y.shape() != output.with_batch(n));
        for (weights, metrics, loss) in sides {
            let output = output.with_batch(n);
            let check = |y: &Tensor<T>| {
                let of_loss = loss.map_or(Ok(()), |loss| loss.check_targets(y, output));
                of_loss.and_then(|()| metrics.iter().try_for_each(|metric| metric.check_targets(y, output)))
            };
            if check(y).is_ok() {
                continue;
            }
            let Some((y, [first, places])) = counting(y, weights, mask, ignored, memory) else { continue };
            let checked = check(y);
            checked.map_err(|mut error| {
                if let Error::Label { row: row @ 0, .. } = &mut error {
                    // Where the first row does not count, it holds the first that does.
                    *row = first / (places / n.max(1)).max(1);
                }
                error
            })?;
        }
        Ok(())
    }

    /// The loss of outputs, which are logits where a loss takes over the last activation; they are activated afterwards.
    pub fn score(&self, t: &Tensor<T>, y: &mut Tensor<T>, counts: Counts<'_, T>) -> Option<f64> {
        let loss = self.fused.as_ref().map(|fused| &*fused.loss).or(self.loss.as_deref());
        let value = loss.map(|loss| counts.loss(loss, t, y, None));
        if let Some(fused) = &self.fused {
            fused.activate(y);
        }
        value
    }

    /// Adds some rows of targets and activated outputs to the sums of a metric, with what they count, without and with their weights.
    pub(super) fn measure_rows(
        &self,
        metric: Option<usize>,
        sums: &mut [f64],
        [t, y]: [&Tensor<T>; 2],
        counts: [&[T]; 2],
    ) {
        if let Some(i) = metric {
            let weights = counts[usize::from(i >= self.unweighted)];
            self.metrics[i].update(sums, t, y, Some(weights));
        }
    }

    /// Adds a batch of activated outputs to the sums of metric number `i`.
    pub fn measure(&self, i: usize, sums: &mut [f64], t: &Tensor<T>, y: &Tensor<T>, counts: Counts<'_, T>) {
        self.metrics[i].update(sums, t, y, counts.metric(i >= self.unweighted));
    }
}

/// Names with `_1`, `_2` … after those that occurred before.
pub(super) fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let (mut taken, mut next) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    let free = |name: String| {
        if taken.insert(name.clone()) {
            return name;
        }
        // What was taken stays so: the search goes on where it ended.
        let i = next.entry(name.clone()).or_insert(1);
        loop {
            let numbered = format!("{name}_{i}");
            *i += 1;
            if taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    };
    names.map(free).collect()
}

/// The loss of an output from what its last activation takes.
#[derive(Debug)]
pub(super) struct Fused<T: Float> {
    pub loss: Box<dyn Loss<T>>,
    pub ending: Ending,
    activation: Activation,
    in_training: bool,
}

impl<T: Float> Fused<T> {
    fn new(ending: Ending, loss: &dyn Loss<T>) -> Option<Self> {
        let Ending { activation, reach, .. } = ending;
        let loss = loss.with_logits(activation).filter(|_| reach >= Reach::Inference)?;
        Some(Fused { loss, ending, activation, in_training: reach == Reach::Training })
    }

    /// Turns logits into what the model gives.
    pub fn activate(&self, y: &mut Tensor<T>) {
        let width = y.shape().last();
        self.activation.forward(y.as_mut_slice(), width);
    }
}

/// What is fused in training.
pub(super) fn in_training<T: Float>(fused: &Option<Fused<T>>) -> Option<&Fused<T>> {
    fused.as_ref().filter(|f| f.in_training)
}

/// An error about a head, which is named where there are several.
pub(crate) fn of_head<T: Float>(heads: &[TrainedHead<T>], i: usize, error: Error) -> Error {
    match heads.len() {
        1 => error,
        _ => Error::Output { name: heads[i].name.clone(), source: Box::new(error) },
    }
}

/// The figures of heads, in the order in which they are printed; named after their outputs where there are several.
pub(super) fn figures<T: Float>(heads: &[TrainedHead<T>], several: bool) -> Vec<Figure> {
    let (mut all, mut taken) = (Vec::<Figure>::new(), BTreeSet::new());
    for (i, head) in heads.iter().enumerate() {
        let prefix = if several { format!("{}_", head.name) } else { String::new() };
        if several && head.loss.is_some() {
            taken.insert(format!("{prefix}loss"));
            all.push(Figure { name: format!("{prefix}loss"), head: i, metric: None });
        }
        for (metric, m) in head.metrics.iter().enumerate() {
            let mut name = format!("{prefix}{}", m.name());
            if metric >= head.unweighted && taken.contains(&name) {
                // As Keras has it.
                name = format!("{prefix}weighted_{}", m.name());
            }
            taken.insert(name.clone());
            all.push(Figure { name, head: i, metric: Some(metric) });
        }
    }
    let names = unique(all.iter().map(|figure| figure.name.clone()));
    all.iter_mut().zip(names).for_each(|(figure, name)| figure.name = name);
    all
}

pub(super) fn add_loss(sums: &mut [f64], loss: f64, rows: usize) {
    sums[0] += loss * rows as f64;
    sums[1] += rows as f64;
}

/// A mean over rows, of which there may be none.
pub(super) fn mean(sum: f64, rows: f64) -> f64 {
    if rows == 0.0 { 0.0 } else { sum / rows }
}
