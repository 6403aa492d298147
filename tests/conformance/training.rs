//! A whole `fit` without shuffling: history, weights, predictions.

use gradus::prelude::*;

use crate::case::{Case, Errors, Outcome};
use crate::layers::activation;
use crate::losses::loss;
use crate::optimizers::optimizer;

pub fn run(case: &mut Case, errors: &mut Errors) -> Outcome {
    let config = case.config.clone();
    fit::<f64>(case, errors)?;
    case.config = config;
    fit::<f32>(case, errors)?;
    Ok(None)
}

fn fit<T: Float>(case: &mut Case, errors: &mut Errors) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let (x, y) = (case.tensor::<T>("x")?, case.tensor::<T>("y")?);
    let held_out = case.find::<T>("x_val").zip(case.find::<T>("y_val"));
    let c = &mut case.config;
    if c.flag("shuffle")? != Some(false) {
        return Err("shuffled runs cannot be compared".into());
    }
    let mut how = Fit::default().shuffle(false).verbose(Verbose::Silent);
    how = how.epochs(c.size("epochs")?.unwrap_or(1) as usize);
    how = how.batch_size(c.size("batch_size")?.unwrap_or(32) as usize);
    if let Some((x, y)) = &held_out {
        how = how.validation_data(x, y);
    }
    let mut model = Sequential::new(x.shape().sample());
    let layers = c.value("layers").ok_or("no layers")?;
    for layer in layers.as_array().ok_or("layers is not a list")? {
        let (units, name) = (layer[0].as_u64(), layer[1].as_str());
        let (Some(units), Some(2)) = (units, layer.as_array().map(Vec::len)) else {
            return Err(format!("layer {layer} is not [units, activation]"));
        };
        let activation = name.map_or(Ok(Activation::Linear), |name| activation(name, c))?;
        model = model.add(Dense::new(units as usize).activation(activation));
    }
    let mut model = model.build_as::<T>(0).map_err(text)?;
    let loss = loss::<T>(&c.text("loss")?.ok_or("no loss")?, c)?;
    let rule = c.text("optimizer")?.ok_or("no optimizer")?;
    // What is left are settings of the optimizer.
    let rule = optimizer::<T>(&rule.to_lowercase(), c)?;
    model.compile(rule, loss, [Accuracy::default()]).map_err(text)?;

    let specs = model.params().specs().to_vec();
    if case.names("initial.").len() != specs.len() {
        return Err(format!("{} initial weights, expected {}", case.names("initial.").len(), specs.len()));
    }
    for (i, spec) in specs.iter().enumerate() {
        let start = case.tensor::<T>(&format!("initial.{i}"))?;
        if start.shape() != spec.shape {
            return Err(format!("initial.{i} has shape {}, {} has {}", start.shape(), spec.name, spec.shape));
        }
        model.set_weight(&spec.name, start.as_slice()).map_err(text)?;
    }
    let history = model.fit(&x, &y, &how).map_err(text)?;
    let mut check = |what: &str, got: &[T]| errors.check(what, got, case.tensor::<f64>(what)?.as_slice(), 1e-6);
    for name in case.names("history.") {
        let column = history.get(&name).ok_or_else(|| format!("no {name} in the history"))?;
        check(&format!("history.{name}"), &column.iter().map(|&v| T::of(v)).collect::<Vec<_>>())?;
    }
    for (i, spec) in specs.iter().enumerate() {
        check(&format!("final.{i}"), model.weight(&spec.name).map_err(text)?)?;
    }
    if let Some((x, y)) = &held_out {
        check("predict", model.predict(x).map_err(text)?.as_slice())?;
        let scores = model.evaluate(x, y).map_err(text)?;
        let values = [Some(scores.loss), scores.get("accuracy")].map(|v| T::of(v.unwrap_or(f64::NAN)));
        check("evaluate", &values)?;
    }
    Ok(())
}
