//! What a run of a model is set up with.

use super::built::Model;
use super::data_adapter::DataAdapter;
use super::evaluate::ValidationData;
use super::fit_options::Fit;
use super::settings::{Depth, OPTIMIZER, START, Settings, numbered};
use super::tensors::Weights;
use super::trained_head::unique;
use crate::callbacks::Callback;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

impl<T: Float> Model<T> {
    /// What all ranks of a run have to agree on.
    pub(super) fn settings_of_ranks(
        &self,
        data: &dyn DataAdapter<T>,
        held_out: Option<&ValidationData<'_, T>>,
        how: &Fit<'_, T>,
        callbacks: &[&mut dyn Callback<T>],
    ) -> Result<Settings> {
        let mut settings = Settings::default();
        settings.put("version of gradus", env!("CARGO_PKG_VERSION"));
        let unwritten = |e: serde_json::Error| Error::Config {
            op: "fit",
            problem: e.to_string(),
            hint: "check the layers' settings".into(),
        };
        settings.put_json("architecture", &serde_json::to_value(self.graph.written()).map_err(unwritten)?);
        settings.put("inputs", self.net.input_shapes().iter().map(Shape::to_string).collect::<Vec<_>>().join(", "));
        settings.put("weights", self.params.len());
        settings.append(self.settings());
        settings.append(self.settings_of_run(data, held_out, how, callbacks, Depth::Glance)?);
        // Of datasets the first and the last batch.
        if data.is_dataset() {
            data.describe(&mut settings, Depth::Sample)?;
        }
        if let Some(ValidationData::Batches(data)) = held_out
            && let Some(n) = data.batches()
        {
            settings.put_batches("validation's ", n, |index, batch| data.load(0, index, batch))?;
        }
        settings.put("batches of an epoch", data.batches());
        settings.put("epochs", how.epochs);
        settings.put("initial_epoch", how.initial_epoch);
        settings.put("shard_optimizer", how.shard_optimizer);
        settings.put("gradients travel early", how.ranks().overlaps());
        if let Some(checkpoint) = how.checkpoint {
            checkpoint.check()?;
        }
        let pace = how.checkpoint.map(|checkpoint| (checkpoint.every_steps, checkpoint.every_epochs));
        settings
            .put("checkpoint every so many steps, and epochs", pace.map_or("none".into(), |pace| format!("{pace:?}")));
        let names: Vec<_> = callbacks.iter().map(|callback| callback.name()).collect();
        settings.put("all callbacks", names.join(", "));
        Ok(settings)
    }

    /// What the model is trained with, beside its layers and seed, which every file has.
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.put("element type", T::NAME);
        let specs = self.params.specs();
        let frozen: Vec<_> = specs.iter().filter(|s| s.frozen).map(|s| s.name.as_str()).collect();
        settings.put("frozen weights", if frozen.is_empty() { "none".into() } else { frozen.join(", ") });
        let factors = specs.iter().filter(|s| s.learning_rate_factor != 1.0);
        let factors: Vec<_> = factors.map(|s| format!("{} {}", s.name, s.learning_rate_factor)).collect();
        settings.put("learning rate factors", if factors.is_empty() { "none".into() } else { factors.join(", ") });
        if let Some(training) = &self.training {
            settings.put(OPTIMIZER, training.optimizer.name());
            settings.put_fields("optimizer", &training.optimizer);
            for head in &training.heads {
                // A model of one output says nothing of its name.
                let of = if self.net.outputs() > 1 { format!(" of {}", head.name) } else { String::new() };
                match &head.loss {
                    Some(loss) => settings.put_fields(&format!("loss{of}"), loss),
                    None => settings.put(format!("loss{of}"), "none"),
                }
                settings.put(format!("loss_weight{of}"), head.weight);
                settings.put(format!("metrics{of}"), head.metrics.len());
                for (i, metric) in head.metrics.iter().enumerate() {
                    let weighted = if i < head.unweighted { "" } else { "weighted " };
                    settings.put_fields(&format!("{weighted}metric {i}{of}"), metric);
                }
            }
        }
        settings
    }

    /// What `fit` was given, behind the model's own settings where the run is to be compared with another.
    pub(super) fn settings_of_run(
        &self,
        data: &dyn DataAdapter<T>,
        held_out: Option<&ValidationData<'_, T>>,
        how: &Fit<'_, T>,
        callbacks: &[&mut dyn Callback<T>],
        depth: Depth,
    ) -> Result<Settings> {
        let mut settings = if depth > Depth::Glance { self.settings() } else { Settings::default() };
        if let Some(start) = self.training.as_ref().and_then(|t| t.started).filter(|_| depth > Depth::Glance) {
            settings.put(START, format!("digest {start:016x}"));
        }
        put_callbacks(&mut settings, callbacks);
        settings.put("shards", how.shard_count()?.map_or("none".into(), |n| n.to_string()));
        data.describe(&mut settings, depth)?;
        self.put_sample_weights(&mut settings, "sample_weight", how.sample_weight.as_ref())?;
        settings.put_weights("class_weight", how.class_weight);
        self.put_sample_weights(&mut settings, "validation_weight", how.validation_weight.as_ref())?;
        match held_out {
            None => settings.put("validation", "none"),
            Some(ValidationData::Batches(data)) => {
                let (x, y) = data.all_shapes();
                settings.put(
                    "validation",
                    format!("a dataset of {:?} batches of {} and {}", data.batches(), joined(&x), joined(&y)),
                );
                if let (Some(n), true) = (data.batches(), depth > Depth::Glance) {
                    settings.put_batches("validation's ", n, |index, batch| data.load(0, index, batch))?;
                }
            }
            Some(ValidationData::Rows(held)) if held.rows.start > 0 => {
                settings.put("validation", format!("samples {} to {}", held.rows.start, held.rows.end));
            }
            Some(ValidationData::Rows(held)) => {
                settings.put("validation", "samples of their own");
                for (what, tensors) in [("x", &*held.x), ("y", &*held.y)] {
                    for (i, tensor) in tensors.iter().enumerate() {
                        settings.put_tensor(&numbered(&format!("validation {what}"), i), tensor, depth);
                    }
                }
            }
        }
        Ok(settings)
    }

    /// The weights of every output that takes any, so that those which come or go are seen.
    fn put_sample_weights(&self, settings: &mut Settings, name: &str, weights: Option<&Weights<'_, T>>) -> Result<()> {
        let names = self.training.as_ref().map_or_else(Vec::new, |training| training.target_names());
        let lists = weights.map_or_else(|| Ok(vec![None; names.len()]), |weights| weights.ordered("fit", &names))?;
        for (output, weights) in names.iter().zip(lists) {
            let name = if names.len() > 1 { format!("{name} of {output}") } else { name.to_owned() };
            settings.put_weights(name, weights);
        }
        Ok(())
    }
}

/// Shapes with commas between them.
fn joined(shapes: &[Shape]) -> String {
    shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ")
}

/// What those callbacks that take part in training are set up with.
fn put_callbacks<T: Float>(settings: &mut Settings, callbacks: &[&mut dyn Callback<T>]) {
    let own = callbacks.iter().map(|callback| (callback.name(), callback.settings()));
    let own: Vec<_> = own.filter(|(_, settings)| !settings.is_empty()).collect();
    let names = unique(own.iter().map(|(name, _)| (*name).to_owned()));
    settings.put("callbacks", if names.is_empty() { "none".into() } else { names.join(", ") });
    for (name, (_, own)) in names.iter().zip(own) {
        own.into_iter().for_each(|(setting, text)| settings.put(format!("{name}.{setting}"), text));
    }
}
