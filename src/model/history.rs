//! What `fit` and `evaluate` report.

use std::fmt;

use crate::error::Result;
use crate::state::State;

/// Where a run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunStart {
    /// At its beginning.
    #[default]
    Fresh,
    /// In the midst of a run before, whose checkpoint was found or resumed.
    Resumed {
        /// The epoch that went on, from 0.
        epoch: usize,
        /// Its batches that were done before.
        batch: usize,
    },
    /// Nowhere: a checkpoint was found in which all was done, so that nothing was trained.
    Finished,
}

/// Loss and metrics of every epoch, by name: `"loss"`, `"accuracy"`, `"val_loss"`, `"val_accuracy"` …
///
/// Prints as a table. Two histories are equal if their figures are, wherever their runs began.
///
/// ```
/// use gradus::prelude::*;
/// let mut model = Sequential::new([1]).add(Dense::new(1).kernel_initializer(Init::Zeros)).build(0)?;
/// model.compile(Sgd::default().learning_rate(0.25), MeanSquaredError::default(), ())?;
/// let x = Tensor::full([4, 1], 1.0);
/// let history = model.fit(&x, &x, &Fit::default().epochs(3).verbose(Verbose::Silent))?;
/// assert_eq!(history.to_string(), "epoch    loss\n    1  1.0000\n    2  0.0000\n    3  0.0000");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct History {
    /// The number of each epoch, from 0.
    pub epochs: Vec<usize>,
    columns: Vec<(String, Vec<f64>)>,
    #[cfg_attr(feature = "serde", serde(skip))]
    start: RunStart,
    #[cfg_attr(feature = "serde", serde(skip))]
    interrupted: bool,
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        (&self.epochs, &self.columns) == (&other.epochs, &other.columns)
    }
}

impl History {
    /// The figure of every epoch.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.columns.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }

    /// The figure of the last epoch.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name)?.last().copied()
    }

    /// The names of the figures, in the order in which they are printed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(n, _)| n.as_str())
    }

    /// Whether the run that this is the history of began anew, went on from a checkpoint, or found nothing left to do.
    pub fn start(&self) -> RunStart {
        self.start
    }

    /// Whether a rank of a distributed run was asked to end, by SIGTERM say, before all was trained: with a checkpoint, the same run goes on
    /// from there.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    pub(crate) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    pub(crate) fn set_start(&mut self, start: RunStart) {
        self.start = start;
    }

    /// Adds an epoch; a figure that only some epochs have is NaN in the others.
    pub(crate) fn push(&mut self, epoch: usize, figures: &[(String, f64)]) {
        let before = self.epochs.len();
        self.epochs.push(epoch);
        for (name, value) in figures {
            match self.columns.iter_mut().find(|(n, _)| n == name) {
                Some((_, values)) => values.push(*value),
                None => {
                    let mut values = vec![f64::NAN; before];
                    values.push(*value);
                    self.columns.push((name.clone(), values));
                }
            }
        }
        self.columns.iter_mut().for_each(|(_, values)| values.resize(before + 1, f64::NAN));
    }
}

impl History {
    pub(crate) fn save(&self, state: &mut State) {
        let epochs: Vec<u64> = self.epochs.iter().map(|&e| e as u64).collect();
        state.put("epochs", &epochs);
        for (i, (name, values)) in self.columns.iter().enumerate() {
            state.put_text(&format!("figure_{i}"), name);
            state.put(&format!("values_{i}"), values);
        }
    }

    pub(crate) fn restore(state: &State) -> Result<Self> {
        let epochs = state.get::<u64>("epochs")?.iter().map(|&e| e as usize).collect();
        let names = (0..).map_while(|i| Some((i, state.text(&format!("figure_{i}")).ok()?)));
        let columns = names.map(|(i, name)| Ok((name.to_owned(), state.get(&format!("values_{i}"))?.to_vec())));
        Ok(History { epochs, columns: columns.collect::<Result<_>>()?, start: RunStart::Fresh, interrupted: false })
    }
}

/// The most epochs that are printed one by one; of more, some evenly spread and the last.
const LINES: usize = 40;

impl fmt::Display for History {
    /// Epochs count from 1, as `fit` prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |values: &[f64], i: usize| values.get(i).map_or_else(|| "-".to_owned(), |&v| figure(v));
        let n = self.epochs.len();
        let step = n.div_ceil(LINES).max(1);
        let rows: Vec<usize> = (0..n).filter(|i| i % step == 0 || i + 1 == n).collect();
        let epoch = |i: usize| (self.epochs[i] + 1).to_string();
        let epochs = rows.iter().map(|&i| epoch(i).len()).fold("epoch".len(), usize::max);
        let width = |(name, values): &(String, Vec<f64>)| {
            rows.iter().map(|&i| text(values, i).len()).fold(name.chars().count(), usize::max)
        };
        let widths: Vec<usize> = self.columns.iter().map(width).collect();
        write!(f, "{:>epochs$}", "epoch")?;
        self.columns.iter().zip(&widths).try_for_each(|((name, _), w)| write!(f, "  {name:>w$}"))?;
        for &i in &rows {
            write!(f, "\n{:>epochs$}", epoch(i))?;
            self.columns.iter().zip(&widths).try_for_each(|((_, values), w)| write!(f, "  {:>w$}", text(values, i)))?;
        }
        Ok(())
    }
}

/// A figure in four decimals; in four significant ones and a power of ten where that would not show it.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || !value.is_finite() || (1e-3..1e7).contains(&size) {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    }
}

/// Loss and metrics of an evaluation.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Scores {
    /// The loss, a mean over the rows that count.
    pub loss: f64,
    pub(crate) metrics: Vec<(String, f64)>,
}

impl Scores {
    /// A metric, or `"loss"`, by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        if name == "loss" {
            return Some(self.loss);
        }
        self.metrics.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// The metrics in the order of `compile`.
    pub fn metrics(&self) -> &[(String, f64)] {
        &self.metrics
    }
}

impl fmt::Display for Scores {
    /// `loss: 0.1234 - accuracy: 0.9876`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss: {}", figure(self.loss))?;
        self.metrics.iter().try_for_each(|(name, value)| write!(f, " - {name}: {}", figure(*value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        let texts =
            [0.0, 1.0, 0.12345, 1e-3, 0.000123456, -2e-9, 123456.789, 1.5e12, f64::NAN, f64::INFINITY].map(figure);
        let expected =
            ["0.0000", "1.0000", "0.1235", "0.0010", "1.235e-4", "-2.000e-9", "123456.7890", "1.500e12", "NaN", "inf"];
        assert_eq!(texts, expected);
        let scores = Scores { loss: 1e-5, metrics: vec![("accuracy".into(), 0.5)] };
        assert_eq!(scores.to_string(), "loss: 1.000e-5 - accuracy: 0.5000");
    }

    #[test]
    fn a_table_with_gaps() {
        let mut history = History::default();
        history.push(0, &[("loss".into(), 0.5)]);
        history.push(1, &[("loss".into(), 1e-5), ("val_loss".into(), 0.25)]);
        history.push(2, &[("val_loss".into(), 12345678.0)]);
        let expected = "\
epoch      loss  val_loss
    1    0.5000       NaN
    2  1.000e-5    0.2500
    3       NaN   1.235e7";
        assert_eq!(history.to_string(), expected);
        assert_eq!(history.get("val_loss").map(<[f64]>::len), Some(3));
        let mut long = History::default();
        (0..1000).for_each(|i| long.push(i, &[("loss".into(), 1.0)]));
        let text = long.to_string();
        assert!(text.lines().count() <= LINES + 2 && text.ends_with(" 1000  1.0000"), "{text}");
        assert_eq!(History::default().to_string(), "epoch");
    }
}
