//! A training without a model, for the tests of callbacks.

use super::{Callback, Described, Logs, Run, RunPlan};
use crate::error::Result;
use crate::graph::Graph;
use crate::initializers::Init;
use crate::layer::Builder;
use crate::params::Params;
use crate::state::State;

/// Weights that each epoch sets to its number, and the learning rates that callbacks left behind each epoch.
pub(super) struct Stage {
    pub params: Params<f32>,
    pub rates: Vec<f64>,
    pub notes: Vec<String>,
    /// What a checkpoint says of the callback, where the run is resumed.
    pub restored: Option<State>,
    /// The epochs after which the run is ended, where it is.
    pub ends_after: Option<usize>,
}

impl Stage {
    pub fn new() -> Self {
        let mut b = Builder::new(0);
        b.weight("w", [2, 3], &Init::Zeros).unwrap();
        Stage { params: b.into_params(), rates: Vec::new(), notes: Vec::new(), restored: None, ends_after: None }
    }

    /// Epochs with these values of one figure; returns how many were played.
    pub fn try_play(&mut self, callback: &mut dyn Callback<f32>, name: &str, values: &[f64]) -> Result<usize> {
        let (mut rate, mut stop, mut played) = (None, false, 0);
        let graph = Graph::new();
        let described = Described { graph: &graph, seed: 0, beside: &crate::io::Beside::default() };
        let figures = [name.to_owned()];
        let resumed = self.restored.is_some();
        callback.check(&RunPlan { figures: &figures, epochs: values.len(), resumed })?;
        let mut run = Run {
            described,
            resumed,
            params: &mut self.params,
            rate: &mut rate,
            scheduled: 1.0,
            stop: &mut stop,
            notes: &mut self.notes,
        };
        callback.on_train_begin(&mut run)?;
        self.restored.as_ref().map_or(Ok(()), |state| callback.restore(state))?;
        for (epoch, &value) in values.iter().enumerate() {
            callback.on_epoch_begin(epoch, &mut run)?;
            run.values_mut().fill(epoch as f32);
            callback.on_epoch_end(epoch, &Logs(&[(name.to_owned(), value)]), &mut run)?;
            self.rates.push(run.learning_rate());
            played += 1;
            if *run.stop || self.ends_after == Some(played) {
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

/// What Keras's callbacks did on the same figures; `tests/interop/callbacks.py` asked them.
#[cfg(feature = "files")]
#[test]
fn as_keras_does() {
    use serde_json::Value;

    use super::{EarlyStopping, Mode, ReduceLrOnPlateau};

    let file = include_str!("../../tests/fixtures/callbacks/keras.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let mut played = [0; 3];
    for case in file["cases"].as_array().unwrap() {
        let how = &case["how"];
        let number = |name: &str| how[name].as_f64();
        let count = |name: &str| how[name].as_u64().unwrap() as usize;
        let mode = if how["mode"] == "max" { Mode::Max } else { Mode::Min };
        let values: Vec<f64> = case["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let mut stage = Stage::new();
        match case["class"].as_str().unwrap() {
            "EarlyStopping" => {
                let mut stopping = EarlyStopping::default()
                    .monitor("figure")
                    .mode(mode)
                    .min_delta(number("min_delta").unwrap())
                    .patience(count("patience"))
                    .start_from_epoch(count("start_from_epoch"))
                    .restore_best_weights(how["restore_best_weights"] == true);
                if let Some(baseline) = number("baseline") {
                    stopping = stopping.baseline(baseline);
                }
                let epochs = stage.play(&mut stopping, "figure", &values);
                assert_eq!(epochs as u64, case["epochs"].as_u64().unwrap(), "{case}");
                assert_eq!(stopping.best(), case["best"].as_f64(), "{case}");
                assert_eq!(stopping.stopped_epoch().unwrap_or(0) as u64, case["stopped"].as_u64().unwrap(), "{case}");
                assert_eq!(f64::from(stage.params.values()[0]), case["weights"].as_f64().unwrap(), "{case}");
                played[0] += 1;
            }
            "ReduceLROnPlateau" => {
                let mut slower = ReduceLrOnPlateau::default()
                    .monitor("figure")
                    .mode(mode)
                    .factor(number("factor").unwrap())
                    .patience(count("patience"))
                    .min_delta(number("min_delta").unwrap())
                    .cooldown(count("cooldown"))
                    .min_lr(number("min_lr").unwrap());
                stage.play(&mut slower, "figure", &values);
                let rates: Vec<f64> = case["rates"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
                assert_eq!(stage.rates, rates, "{case}");
                played[1] += 1;
            }
            _ => played[2] += usize::from(saves_as_keras(case, mode, &values)),
        }
    }
    assert_eq!(played[..2], [150, 100]);
    assert_eq!(played[2], 60);
}

/// Compares the epochs after which a model was saved.
#[cfg(feature = "files")]
fn saves_as_keras(case: &serde_json::Value, mode: super::Mode, values: &[f64]) -> bool {
    let folder = std::env::temp_dir().join(format!("gradus_saves_as_keras_{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut checkpoint = super::ModelCheckpoint::new(folder.join("{epoch:02}"))
        .monitor("figure")
        .mode(mode)
        .save_best_only(case["how"]["save_best_only"] == true);
    if let Some(threshold) = case["how"]["initial_value_threshold"].as_f64() {
        checkpoint = checkpoint.initial_value_threshold(threshold);
    }
    Stage::new().play(&mut checkpoint, "figure", values);
    let epoch = |path: &str| path.rsplit(['/', '\\']).next().unwrap().parse::<u64>().unwrap() - 1;
    let saved: Vec<u64> = checkpoint.saved().map(epoch).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    let expected: Vec<u64> = case["saved"].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect();
    assert_eq!(saved, expected, "{case}");
    true
}
