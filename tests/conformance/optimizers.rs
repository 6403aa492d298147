//! Parameters after each of some steps with given gradients.

use gradus::optimizers::*;
use gradus::{Float, Params};

use crate::case::{Case, Config, Errors, Outcome, set};

const CLASSES: [&str; 11] =
    ["adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "nadam", "rmsprop", "sgd"];

pub fn run(case: &mut Case, errors: &mut Errors) -> Outcome {
    let class = case.class(CLASSES).ok_or("not a known optimizer")?;
    let mut config = case.config.clone();
    steps(case, &*optimizer::<f64>(class, &mut case.config.clone())?, errors)?;
    steps(case, &*optimizer::<f32>(class, &mut config)?, errors)?;
    case.config = config;
    Ok(None)
}

fn steps<T: Float>(case: &Case, optimizer: &dyn Optimizer<T>, errors: &mut Errors) -> Result<(), String> {
    optimizer.check().and_then(|()| optimizer.options().check(optimizer.name())).map_err(|e| e.to_string())?;
    let mut params = Params::<T>::new();
    let mut ids = Vec::new();
    while let Some(start) = case.find::<T>(&format!("param{}.0", ids.len())) {
        let name = format!("param{}", ids.len());
        ids.push(params.push(&name, start.shape(), start.as_slice(), true, true).map_err(|e| e.to_string())?);
    }
    let mut state = OptimizerState::new(optimizer, &params);
    let mut gradients = vec![T::zero(); params.len()];
    let mut step = 1;
    while case.find::<T>(&format!("grad0.{step}")).is_some() {
        for (i, &id) in ids.iter().enumerate() {
            let g = case.tensor::<T>(&format!("grad{i}.{step}"))?;
            gradients[params.spec(id).unwrap().range.clone()].copy_from_slice(g.as_slice());
        }
        if !state.step(optimizer, &mut params, &mut gradients) {
            return Err(format!("step {step} met a gradient that is not finite"));
        }
        for (i, &id) in ids.iter().enumerate() {
            let name = format!("param{i}.{step}");
            errors.check(&name, params.get(id), case.tensor::<f64>(&name)?.as_slice(), 1e-9)?;
        }
        step += 1;
    }
    if ids.is_empty() || step == 1 { Err("no parameters or no steps".into()) } else { Ok(()) }
}

/// The optimizer of a class with settings under Keras's names. Keras decays every parameter.
pub fn optimizer<T: Float>(class: &str, c: &mut Config) -> Result<Box<dyn Optimizer<T>>, String> {
    c.value("name");
    Ok(match class {
        "adadelta" => {
            let o = set(common(Adadelta::default(), c)?, c.number("rho")?, Adadelta::rho);
            Box::new(set(o, c.number("epsilon")?, Adadelta::epsilon))
        }
        "adafactor" => {
            // Keras's rule gives the same with and without.
            c.flag("relative_step")?;
            let o = set(common(Adafactor::default(), c)?, c.number("beta_2_decay")?, Adafactor::beta_2_decay);
            let o = set(o, c.number("epsilon_1")?, Adafactor::epsilon_1);
            let o = o.epsilon_2(c.single("epsilon_2")?.unwrap_or(1e-3f32.into()));
            Box::new(set(o, c.number("clip_threshold")?, Adafactor::clip_threshold))
        }
        "adagrad" => {
            let o = common(Adagrad::default(), c)?.initial_accumulator_value(accumulator(c)?);
            Box::new(set(o, c.number("epsilon")?, Adagrad::epsilon))
        }
        "adam" => Box::new(set(betas(common(Adam::default(), c)?, c)?, c.flag("amsgrad")?, Adam::amsgrad)),
        "adamw" => Box::new(set(
            betas(common(AdamW::default().weight_decay(0.004f32.into()), c)?, c)?,
            c.flag("amsgrad")?,
            AdamW::amsgrad,
        )),
        "adamax" => Box::new(betas(common(Adamax::default(), c)?, c)?),
        "nadam" => Box::new(betas(common(Nadam::default(), c)?, c)?),
        "ftrl" => {
            let o = set(common(Ftrl::default(), c)?, c.number("learning_rate_power")?, Ftrl::learning_rate_power);
            let o = o.initial_accumulator_value(accumulator(c)?);
            let o = set(o, c.number("l1_regularization_strength")?, Ftrl::l1_regularization_strength);
            let o = set(o, c.number("l2_regularization_strength")?, Ftrl::l2_regularization_strength);
            let shrinkage = c.number("l2_shrinkage_regularization_strength")?;
            let o = set(o, shrinkage, Ftrl::l2_shrinkage_regularization_strength);
            Box::new(set(o, c.number("beta")?, Ftrl::beta))
        }
        "lion" => {
            let o = common(Lion::default(), c)?.beta_1(c.single("beta_1")?.unwrap_or(0.9f32.into()));
            Box::new(o.beta_2(c.single("beta_2")?.unwrap_or(0.99f32.into())))
        }
        "rmsprop" => {
            let o = set(common(RmsProp::default(), c)?, c.number("rho")?, RmsProp::rho);
            let o = set(o, c.number("momentum")?, RmsProp::momentum);
            let o = set(o, c.number("epsilon")?, RmsProp::epsilon);
            Box::new(set(o, c.flag("centered")?, RmsProp::centered))
        }
        "sgd" => {
            let o = set(common(Sgd::default(), c)?, c.single("momentum")?, Sgd::momentum);
            Box::new(set(o, c.flag("nesterov")?, Sgd::nesterov))
        }
        other => return Err(format!("not a known optimizer: {other}")),
    })
}

/// Keras's initialiser of constants goes through single precision.
fn accumulator(c: &mut Config) -> Result<f64, String> {
    Ok(c.single("initial_accumulator_value")?.unwrap_or(0.1f32.into()))
}

fn betas<O: BetaOptions>(o: O, c: &mut Config) -> Result<O, String> {
    let o = set(o, c.number("beta_1")?, O::beta_1);
    let o = set(o, c.number("beta_2")?, O::beta_2);
    Ok(set(o, c.number("epsilon")?, O::epsilon))
}

fn common<O: OptimizerOptions>(o: O, c: &mut Config) -> Result<O, String> {
    let o = set(o.decay_all(true), c.number("learning_rate")?, O::learning_rate);
    let o = set(o, c.single("weight_decay")?, O::weight_decay);
    let o = set(o, c.number("clipnorm")?, O::clipnorm);
    let o = set(o, c.number("clipvalue")?, O::clipvalue);
    let o = set(o, c.number("global_clipnorm")?, O::global_clipnorm);
    let momentum = c.number("ema_momentum")?.unwrap_or(0.99);
    let o = set(o, c.flag("use_ema")?.filter(|&on| on).map(|_| momentum), O::ema);
    Ok(set(o, c.size("ema_overwrite_frequency")?, O::ema_overwrite_frequency))
}
