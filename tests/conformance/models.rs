//! Whole models of Keras: what they give with its masks, the gradients of all weights and inputs, and how they train.

use std::path::Path;

use gradus::graph::Work;
use gradus::io::{KerasNet, read_keras};
use gradus::{Float, Pass, Tensor};

use crate::case::{Case, Errors};
use crate::model_training;

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
    let tolerance = 1e-9;
    compare(&mut case, &net, tolerance, errors)?;
    model_training::run(&file, &case, &net, errors)?;
    let single = read_keras::<f32>(&file).map_err(|e| e.to_string())?;
    compare(&mut case, &single, tolerance, errors)?;
    model_training::run(&file, &case, &single, errors)?;
    Ok(None)
}

fn compare<T: Float>(case: &mut Case, model: &KerasNet<T>, tolerance: f64, errors: &mut Errors) -> Result<(), String> {
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
        errors.check(format!("output.{i}"), got.as_slice(), expected.as_slice(), tolerance)?;
        // Keras leaves on scores of attention the mask that they were made with, an axis for each of theirs; here they have none.
        let mask = case.find::<f64>(&format!("mask.{i}")).filter(|mask| mask.dims().len() < expected.dims().len());
        let mask = mask.map(|mask| mask.iter().map(|m| *m != 0.0).collect::<Vec<_>>());
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
        errors.check(format!("grad_input.{i}"), got.as_slice(), expected.as_slice(), tolerance)?;
    }
    let places = case.config.clone().value("weights").ok_or("no weights in the config")?;
    let names = case.names("grad.");
    for name in &names {
        let array = places[name].as_str().ok_or(format!("{name} has no array"))?;
        let id = arrays.iter().find(|(other, _)| other == array).ok_or(format!("{array} is read by nobody"))?.1;
        let range = params.spec(id).ok_or("a weight that is not there")?.range.clone();
        let expected = case.tensor::<f64>(&format!("grad.{name}"))?;
        errors.check(format!("grad.{name}"), &gradients[range], expected.as_slice(), tolerance)?;
    }
    let trained = arrays.iter().filter(|(_, id)| params.spec(*id).is_some_and(|spec| spec.trainable)).count();
    if trained != names.len() {
        return Err(format!("{trained} weights that are trained, expected {}", names.len()));
    }
    Ok(())
}
