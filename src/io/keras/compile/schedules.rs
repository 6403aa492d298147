//! Keras's learning rates and their schedules.

use std::sync::Arc;

use serde_json::Value;

use super::class::Class;
use super::config::given;
use crate::io::keras::json::Problem;
use crate::schedules::*;

/// What the rate is to begin with.
const INITIAL: &str = "initial_learning_rate";

/// A learning rate, which Keras holds in single precision, as it was written; or a schedule.
pub(super) fn schedule(value: Value) -> Result<Arc<dyn Schedule>, Problem> {
    if let Some(rate) = value.as_f64() {
        let single = rate as f32;
        let short = if f64::from(single) == rate { single.to_string().parse().unwrap_or(rate) } else { rate };
        return Ok(Arc::new(short));
    }
    if !value.is_object() {
        return Err(format!("learning_rate={value:.80}"));
    }
    let mut s = Class::of(&given(value)?).map_err(|problem| format!("learning_rate: {problem}"))?;
    let made: Arc<dyn Schedule> = match s.name.as_str() {
        "ExponentialDecay" => {
            let rule = ExponentialDecay::new(s.needed(INITIAL)?, s.steps("decay_steps")?, s.needed("decay_rate")?);
            Arc::new(rule.staircase(s.flag("staircase")?))
        }
        "InverseTimeDecay" => {
            let rule = InverseTimeDecay::new(s.needed(INITIAL)?, s.steps("decay_steps")?, s.needed("decay_rate")?);
            Arc::new(rule.staircase(s.flag("staircase")?))
        }
        "PolynomialDecay" => {
            let rule = PolynomialDecay::new(s.needed(INITIAL)?, s.steps("decay_steps")?)
                .end(s.number("end_learning_rate", 1e-4)?);
            Arc::new(rule.power(s.number("power", 1.0)?).cycle(s.flag("cycle")?))
        }
        "CosineDecay" => {
            let rule = CosineDecay::new(s.needed(INITIAL)?, s.steps("decay_steps")?).alpha(s.number("alpha", 0.0)?);
            let steps = s.count_or("warmup_steps", 0)?;
            Arc::new(match s.maybe("warmup_target")? {
                Some(target) => rule.warmup(target, steps),
                None => rule,
            })
        }
        "CosineDecayRestarts" => {
            let rule = CosineDecayRestarts::new(s.needed(INITIAL)?, s.steps("first_decay_steps")?)
                .alpha(s.number("alpha", 0.0)?);
            Arc::new(rule.t_mul(s.number("t_mul", 2.0)?).m_mul(s.number("m_mul", 1.0)?))
        }
        "PiecewiseConstantDecay" => {
            let list = |value: Option<Value>| serde_json::from_value::<Vec<f64>>(value.unwrap_or_default());
            let wrong = |e: serde_json::Error| format!("PiecewiseConstantDecay: {e}");
            let boundaries = list(s.take("boundaries")).map_err(wrong)?;
            let values = list(s.take("values")).map_err(wrong)?;
            let whole: Vec<u64> = boundaries.iter().map(|b| *b as u64).collect();
            if let Some((boundary, _)) =
                boundaries.iter().zip(&whole).find(|(boundary, whole)| **boundary != **whole as f64)
            {
                return Err(s.wrong("boundaries", &(*boundary).into()));
            }
            Arc::new(PiecewiseConstantDecay::new(whole, values))
        }
        _ => return Err(format!("the schedule {:.80} is not known here", s.name)),
    };
    s.end(made)
}
