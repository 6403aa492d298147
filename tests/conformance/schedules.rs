//! Learning rates at given steps.

use gradus::Schedule;
use gradus::schedules::*;

use crate::case::{Case, Config, Errors, Outcome, set};

pub fn run(case: &mut Case, errors: &mut Errors) -> Outcome {
    let schedule = schedule(case)?;
    schedule.check().map_err(|e| e.to_string())?;
    let steps = case.tensor::<f64>("step")?;
    let rates: Vec<f64> = steps.iter().map(|&s| schedule.at(s as u64)).collect();
    errors.check("learning_rate", &rates, case.tensor::<f64>("learning_rate")?.as_slice(), 1e-6)?;
    Ok(None)
}

fn schedule(case: &mut Case) -> Result<Box<dyn Schedule>, String> {
    let classes = [
        "cosine_decay",
        "cosine_decay_restarts",
        "exponential_decay",
        "inverse_time_decay",
        "piecewise_constant",
        "piecewise_constant_decay",
        "polynomial_decay",
    ];
    let class = case.class(classes).ok_or("not a known schedule")?;
    let c = &mut case.config;
    c.value("name");
    if class.starts_with("piecewise_constant") {
        let boundaries = c.numbers("boundaries")?.ok_or("no boundaries")?;
        let values = c.numbers("values")?.ok_or("no values")?;
        let boundaries: Vec<u64> = boundaries.into_iter().map(|b| b as u64).collect();
        return Ok(Box::new(PiecewiseConstantDecay::new(boundaries, values)));
    }
    let initial = either(c, "initial", "initial_learning_rate")?.ok_or("no initial learning rate")?;
    let steps = if class == "cosine_decay_restarts" { "first_decay_steps" } else { "decay_steps" };
    let steps = c.size(steps)?.ok_or("no number of steps")?;
    Ok(match class {
        "cosine_decay" => {
            let schedule = set(CosineDecay::new(initial, steps), c.number("alpha")?, CosineDecay::alpha);
            // Without a target Keras takes no notice of warmup_steps.
            let warmup = (c.number("warmup_target")?, c.size("warmup_steps")?);
            Box::new(set(schedule, warmup.0, |s, target| s.warmup(target, warmup.1.unwrap_or(0))))
        }
        "cosine_decay_restarts" => {
            let schedule = CosineDecayRestarts::new(initial, steps);
            let schedule = set(schedule, c.number("alpha")?, CosineDecayRestarts::alpha);
            let schedule = set(schedule, c.number("t_mul")?, CosineDecayRestarts::t_mul);
            Box::new(set(schedule, c.number("m_mul")?, CosineDecayRestarts::m_mul))
        }
        "exponential_decay" => {
            let schedule = ExponentialDecay::new(initial, steps, c.number("decay_rate")?.ok_or("no decay_rate")?);
            Box::new(set(schedule, c.flag("staircase")?, ExponentialDecay::staircase))
        }
        "inverse_time_decay" => {
            let schedule = InverseTimeDecay::new(initial, steps, c.number("decay_rate")?.ok_or("no decay_rate")?);
            Box::new(set(schedule, c.flag("staircase")?, InverseTimeDecay::staircase))
        }
        _ => {
            let schedule = PolynomialDecay::new(initial, steps);
            let schedule = set(schedule, either(c, "end", "end_learning_rate")?, PolynomialDecay::end);
            let schedule = set(schedule, c.number("power")?, PolynomialDecay::power);
            Box::new(set(schedule, c.flag("cycle")?, PolynomialDecay::cycle))
        }
    })
}

/// A setting under a short name or Keras's.
fn either(c: &mut Config, short: &str, long: &str) -> Result<Option<f64>, String> {
    Ok(c.number(short)?.or(c.number(long)?))
}
