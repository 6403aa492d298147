//! What `fit` and `evaluate` report.

use std::fmt;

use crate::error::Result;
use crate::state::State;

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
        Ok(History { epochs, columns: columns.collect::<Result<_>>()? })
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
