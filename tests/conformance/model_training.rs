//! Trainings of whole models of Keras: histories, evaluation afterwards, every weight.

use std::path::Path;

use gradus::io::KerasNet;
use gradus::prelude::*;
use serde_json::{Map, Value};
use support::training::{Training, figures};

use crate::case::{Case, Config, Errors};
use crate::losses::loss;
use crate::optimizers::optimizer;

/// Trains the model of a file as its case says, if it says so; `net` has the places of the arrays.
pub fn run<T: Float>(file: &Path, case: &Case, net: &KerasNet<T>, errors: &mut Errors) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let mut config = case.config.clone();
    let Some(fit) = config.value("fit") else { return Ok(()) };
    let mut model = Model::<T>::of_keras(file).map_err(text)?;
    let names = model.output_names();
    let mut heads = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let mut head = Head::new(name);
        if let Some(named) = of_output(&fit["loss"], i, name, names.len()) {
            let (class, mut c) = class(named)?;
            head = head.loss(loss::<T>(&class, &mut c)?);
        }
        if let Some(weight) = of_output(&fit["loss_weights"], i, name, names.len()) {
            head = head.loss_weight(weight.as_f64().ok_or("a weight of a loss is no number")?);
        }
        head = head.metrics(metrics::<T>(&fit["metrics"], i, name, names.len())?);
        heads.push(head.weighted_metrics(metrics::<T>(&fit["weighted_metrics"], i, name, names.len())?));
    }
    let (rule, mut c) = class(&fit["optimizer"])?;
    // Keras on TensorFlow squares the gradients of ids that come again one by one, not their sum.
    if rule != "sgd" && case.names("final.").iter().any(|name| name.ends_with("/embeddings")) {
        return Ok(());
    }
    model.compile_heads(optimizer::<T>(&rule, &mut c)?, heads).map_err(text)?;

    let training = Training::<T>::of(&names, |name| case.find(name));
    let number = |name: &str| fit[name].as_u64().ok_or(format!("no {name}")).map(|n| n as usize);
    let history = training.run(&mut model, number("epochs")?, number("batch_size")?).map_err(text)?;
    let recorded = case.names("history.").into_iter().filter_map(|name| {
        let figure = case.find(&format!("history.{name}"))?;
        Some((name, figure))
    });
    for (name, column, expected) in figures(&history, recorded)? {
        let got: Vec<T> = column.iter().map(|&v| T::of(v)).collect();
        errors.check(format!("history.{name}"), &got, expected.as_slice(), 1e-6)?;
    }
    let places = config.value("weights").ok_or("no weights in the config")?;
    for name in case.names("final.") {
        let array = places[&name].as_str().ok_or(format!("{name} has no array"))?;
        let id = net.arrays.iter().find(|(other, _)| other == array).ok_or(format!("{array} is read by nobody"))?.1;
        let range = model.params().spec(id).ok_or("a weight that is not there")?.range.clone();
        let expected = case.tensor::<f64>(&format!("final.{name}"))?;
        errors.check(format!("final.{name}"), &model.params().values()[range], expected.as_slice(), 1e-6)?;
    }
    let Training { x, y, .. } = &training;
    let scores = match (&x[..], &y[..], training.weights()) {
        // In batches, as a mask's averages are those of batches.
        ([x], [y], None) => {
            let data = Samples::new(x.clone(), y.clone()).map_err(text)?.batch(number("batch_size")?);
            model.evaluate_dataset(&data).map_err(text)?
        }
        (_, _, None) => model.evaluate(x, y).map_err(text)?,
        (_, _, Some(weights)) => model.evaluate_weighted(x, y, weights).map_err(text)?,
    };
    for name in case.names("evaluate.") {
        let expected = case.tensor::<f64>(&format!("evaluate.{name}"))?;
        let got = scores.get(&name).ok_or_else(|| format!("no {name} in the scores"))?;
        errors.check(format!("evaluate.{name}"), &[T::of(got)], expected.as_slice(), 1e-6)?;
    }
    Ok(())
}

/// What a setting says of an output: one for all, a list by position, or an object by name.
fn of_output<'a>(setting: &'a Value, i: usize, name: &str, outputs: usize) -> Option<&'a Value> {
    let found = match setting {
        Value::Object(all) if !all.contains_key("name") => all.get(name)?,
        Value::Array(all) if outputs > 1 => all.get(i)?,
        one => one,
    };
    Some(found).filter(|v| !v.is_null())
}

/// A name, or an object of a name and settings.
fn class(value: &Value) -> Result<(String, Config), String> {
    match value {
        Value::String(name) => Ok((name.clone(), Config::new(Map::new()))),
        Value::Object(all) => {
            let mut all = all.clone();
            let name = all.remove("name").and_then(|name| Some(name.as_str()?.to_owned()));
            Ok((name.ok_or("no name")?, Config::new(all)))
        }
        other => Err(format!("{other} names nothing")),
    }
}

fn metrics<T: Float>(setting: &Value, i: usize, name: &str, outputs: usize) -> Result<Vec<Box<dyn Metric<T>>>, String> {
    let Some(found) = of_output(setting, i, name, outputs) else { return Ok(Vec::new()) };
    let one = |value: &Value| -> Result<Box<dyn Metric<T>>, String> {
        Ok(match value.as_str() {
            Some("accuracy") => Box::new(Accuracy::default()),
            Some("mean_absolute_error") => Box::new(LossMetric::new(MeanAbsoluteError::default())),
            Some("mean_squared_error") => Box::new(LossMetric::new(MeanSquaredError::default())),
            _ => return Err(format!("the metric {value} is not known")),
        })
    };
    match found {
        Value::Array(all) => all.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}
