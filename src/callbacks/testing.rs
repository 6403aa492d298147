//! A training without a model, for the tests of callbacks.

use super::{Callback, Logs, Plan, Run};
use crate::error::Result;
use crate::initializers::Init;
use crate::layer::Builder;
use crate::layers::composite::Chain;
use crate::params::Params;
use crate::tensor::Shape;

/// Weights that each epoch sets to its number, and the learning rates that callbacks left behind each epoch.
pub(super) struct Stage {
    pub params: Params<f32>,
    pub rates: Vec<f64>,
}

impl Stage {
    pub fn new() -> Self {
        let mut b = Builder::new(0);
        b.weight("w", [2, 3], &Init::Zeros).unwrap();
        Stage { params: b.into_params(), rates: Vec::new() }
    }

    /// Epochs with these values of one figure; returns how many were played.
    pub fn try_play(&mut self, callback: &mut dyn Callback<f32>, name: &str, values: &[f64]) -> Result<usize> {
        let (mut rate, mut stop, mut played) = (None, false, 0);
        let (layers, input) = (Chain::default(), Shape::from([2]));
        let plan = Plan { layers: &layers, input, seed: 0 };
        let mut run =
            Run { plan, resumed: false, params: &mut self.params, rate: &mut rate, scheduled: 1.0, stop: &mut stop };
        callback.on_train_begin(&mut run)?;
        for (epoch, &value) in values.iter().enumerate() {
            callback.on_epoch_begin(epoch, &mut run)?;
            run.values_mut().fill(epoch as f32);
            callback.on_epoch_end(epoch, &Logs(&[(name.to_owned(), value)]), &mut run)?;
            self.rates.push(run.learning_rate());
            played += 1;
            if *run.stop {
                break;
            }
        }
        callback.on_train_end(&mut run)?;
        Ok(played)
    }

    pub fn play(&mut self, callback: &mut dyn Callback<f32>, name: &str, values: &[f64]) -> usize {
        self.try_play(callback, name, values).unwrap()
    }
}
