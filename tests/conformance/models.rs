//! Whole models of Keras: what they give with its masks, the gradients of all weights and inputs, and how they train.

use std::path::Path;

use gradus::graph::Work;
use gradus::io::{KerasNet, read_keras};
use gradus::prelude::*;
use serde_json::Value;

use crate::case::{Case, Config, Errors};
use crate::losses::loss;
use crate::optimizers::optimizer;

/// What the loader says of models with something that is not built.
const MISSING: &str = "it has what this library has not: ";

/// Compares a case in both types; the reason for one that is not built.
pub fn run(folder: &Path, errors: &mut Errors) -> Result<Option<String>, String> {
    let file = folder.join("model.keras");
    let net = match read_keras::<f64>(&file) {
        Ok(net) => net,
        Err(error) => {
            let said = error.to_string();
            let (_, reasons) = said.split_once(MISSING).ok_or(said.clone())?;
            return Ok(Some(reasons.rsplit_once("; ").map_or(reasons, |(reasons, _)| reasons).to_owned()));
        }
    };
    let mut case = Case::read(&folder.join("reference.safetensors"))?;
    compare(&mut case, &net, errors)?;
    compare(&mut case, &read_keras::<f32>(&file).map_err(|e| e.to_string())?, errors)?;
    train::<f64>(&case, &file, errors)?;
    train::<f32>(&case, &file, errors)?;
    Ok(None)
}

fn compare<T: Float>(case: &mut Case, model: &KerasNet<T>, errors: &mut Errors) -> Result<(), String> {
    let KerasNet { net, params, arrays, .. } = model;
    let x: Vec<Tensor<T>> = (0..).map_while(|i| case.find(&format!("input.{i}"))).collect();
    let x: Vec<_> = x.iter().collect();
    let mut gradients = vec![T::zero(); params.len()];
    let mut pass = Pass::differentiable(params).with_gradients(&mut gradients);
    let mut work = Work::default();
    net.forward(&mut pass, &mut work, &x).map_err(|e| e.to_string())?;
    let outputs = net.output_shapes().len();
    for i in 0..outputs {
        let expected = case.tensor::<f64>(&format!("output.{i}"))?;
        let got = net.output(&work, i);
        if got.dims() != expected.dims() {
            return Err(format!("output {i} is {:?}, expected {:?}", got.dims(), expected.dims()));
        }
        errors.check(format!("output.{i}"), got.as_slice(), expected.as_slice(), 1e-9)?;
        let mask =
            case.find::<f64>(&format!("mask.{i}")).map(|mask| mask.iter().map(|m| *m != 0.0).collect::<Vec<_>>());
        if net.output_mask(&work, i) != mask.as_deref() {
            return Err(format!("the mask of output {i} is {:?}, expected {mask:?}", net.output_mask(&work, i)));
        }
    }
    if case.find::<f64>(&format!("output.{outputs}")).is_some() {
        return Err(format!("{outputs} outputs, expected more"));
    }
    let plan = net.plan(params, &vec![true; x.len()], &vec![true; outputs]);
    for i in 0..outputs {
        net.output_gradient(&mut work, &plan, i).copy_from(&case.tensor(&format!("grad_output.{i}"))?);
    }
    net.backward(&mut pass, &mut work, &plan, &x).map_err(|e| e.to_string())?;
    for i in 0..x.len() {
        let Some(expected) = case.find::<f64>(&format!("grad_input.{i}")) else { continue };
        let got = net.input_gradient(&work, &plan, i).ok_or(format!("no gradient of input {i}"))?;
        errors.check(format!("grad_input.{i}"), got.as_slice(), expected.as_slice(), 1e-9)?;
    }
    let places = case.config.clone().value("weights").ok_or("no weights in the config")?;
    let names = case.names("grad.");
    for name in &names {
        let array = places[name].as_str().ok_or(format!("{name} has no array"))?;
        let id = arrays.iter().find(|(other, _)| other == array).ok_or(format!("{array} is read by nobody"))?.1;
        let range = params.spec(id).ok_or("a weight that is not there")?.range.clone();
        let expected = case.tensor::<f64>(&format!("grad.{name}"))?;
        errors.check(format!("grad.{name}"), &gradients[range], expected.as_slice(), 1e-9)?;
    }
    let trained = arrays.iter().filter(|(_, id)| params.spec(*id).is_some_and(|spec| spec.trainable)).count();
    if trained != names.len() {
        return Err(format!("{trained} weights that are trained, expected {}", names.len()));
    }
    Ok(())
}

/// A `fit` of a model of one output with one loss, and what evaluating gives afterwards; others are compared elsewhere.
fn train<T: Float>(case: &Case, file: &Path, errors: &mut Errors) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let Some(mut c) = case.config.clone().value("fit").and_then(Config::of) else { return Ok(()) };
    let (Some(Value::String(class)), None) = (c.value("loss"), c.value("weighted_metrics")) else { return Ok(()) };
    let (Some(x), Some(y), None) =
        (case.find::<T>("train.x.0"), case.find::<T>("train.y.0"), case.find::<T>("train.sample_weight.0"))
    else {
        return Err("no data to train on".into());
    };
    if case.find::<T>("train.x.1").is_some() || case.find::<T>("train.y.1").is_some() {
        return Ok(());
    }
    let metrics = match c.value("metrics") {
        None => Vec::new(),
        Some(Value::Array(names)) => {
            let metric = |name: &Value| match name.as_str() {
                Some("accuracy") => Ok(Accuracy::default().boxed()),
                Some(name) => loss::<T>(name, &mut Config::default()).map(|loss| LossMetric::new(loss).boxed()),
                None => Err(format!("the metric {name}")),
            };
            names.iter().map(metric).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(format!("metrics {other}")),
    };
    let mut rule = c.value("optimizer").and_then(Config::of).ok_or("no optimizer")?;
    let name = rule.text("name")?.ok_or("an optimizer without a name")?;
    // Keras on TensorFlow squares the gradients of ids that come again one by one, not their sum.
    if name != "sgd" && case.names("final.").iter().any(|name| name.ends_with("/embeddings")) {
        return Ok(());
    }
    let (epochs, batch) = (c.size("epochs")?.unwrap_or(1) as usize, c.size("batch_size")?.unwrap_or(32) as usize);
    let mut model = Model::<T>::of_keras(file).map_err(text)?;
    model
        .compile(optimizer::<T>(&name, &mut rule)?, loss::<T>(&class, &mut Config::default())?, metrics)
        .map_err(text)?;
    let how = Fit::default().epochs(epochs).batch_size(batch).shuffle(false).verbose(Verbose::Silent);
    let history = model.fit(&x, &y, &how).map_err(text)?;
    let mut check = |what: &str, got: &[T]| errors.check(what, got, case.tensor::<f64>(what)?.as_slice(), 1e-6);
    for name in case.names("history.") {
        let column = history.get(&name).ok_or_else(|| format!("no {name} in the history"))?;
        check(&format!("history.{name}"), &column.iter().map(|&v| T::of(v)).collect::<Vec<_>>())?;
    }
    let data = Samples::new(x, y).map_err(text)?.batch(batch);
    let scores = model.evaluate_dataset(&data).map_err(text)?;
    for name in case.names("evaluate.") {
        let value = if name == "loss" { Some(scores.loss) } else { scores.get(&name) };
        check(&format!("evaluate.{name}"), &[T::of(value.ok_or_else(|| format!("no {name} in the scores"))?)])?;
    }
    let arrays = read_keras::<T>(file).map_err(text)?.arrays;
    let places = case.config.clone().value("weights").ok_or("no weights in the config")?;
    for name in case.names("final.") {
        let id =
            arrays.iter().find(|(array, _)| places[&name].as_str() == Some(array)).ok_or(format!("no array {name}"))?.1;
        let range = model.params().spec(id).ok_or("a weight that is not there")?.range.clone();
        check(&format!("final.{name}"), &model.params().values()[range])?;
    }
    Ok(())
}
