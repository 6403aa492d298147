//! What `fit` and `evaluate` report.

use std::fmt;

/// Loss and metrics of every epoch, by name: `"loss"`, `"accuracy"`, `"val_loss"`, `"val_accuracy"` …
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct History {
    /// The number of each epoch, from 0.
    pub epochs: Vec<usize>,
    columns: Vec<(String, Vec<f64>)>,
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

    pub(crate) fn push(&mut self, epoch: usize, figures: &[(String, f64)]) {
        self.epochs.push(epoch);
        for (name, value) in figures {
            match self.columns.iter_mut().find(|(n, _)| n == name) {
                Some((_, values)) => values.push(*value),
                None => self.columns.push((name.clone(), vec![*value])),
            }
        }
    }
}

/// Loss and metrics of an evaluation.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Scores {
    /// The loss, averaged over samples.
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
        write!(f, "loss: {:.4}", self.loss)?;
        self.metrics.iter().try_for_each(|(name, value)| write!(f, " - {name}: {value:.4}"))
    }
}
