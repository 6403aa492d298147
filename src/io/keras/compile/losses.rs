//! Keras's losses.

use super::class::Class;
use super::config::Given;
use crate::io::keras::json::Problem;
use crate::losses::*;

pub(super) fn loss(given: &Given) -> Result<LossConfig, Problem> {
    let mut s = Class::of(given)?;
    s.only("reduction", &["sum_over_batch_size".into(), "mean".into()])?;
    let made = known_loss(&mut s)?.ok_or_else(|| format!("the loss {:.80} is not known here", s.name))?;
    s.end(made)
}

pub(super) fn known_loss(s: &mut Class) -> Result<Option<LossConfig>, Problem> {
    s.only("axis", &[(-1).into()])?;
    Ok(Some(match s.plain().as_str() {
        "mse" | "meansquarederror" => LossConfig::MeanSquaredError(MeanSquaredError::default()),
        "mae" | "meanabsoluteerror" => LossConfig::MeanAbsoluteError(MeanAbsoluteError::default()),
        "mape" | "meanabsolutepercentageerror" => {
            LossConfig::MeanAbsolutePercentageError(MeanAbsolutePercentageError::default())
        }
        "msle" | "meansquaredlogarithmicerror" => {
            LossConfig::MeanSquaredLogarithmicError(MeanSquaredLogarithmicError::default())
        }
        "kld" | "kldivergence" | "kullbackleiblerdivergence" => LossConfig::KlDivergence(KlDivergence::default()),
        "logcosh" => LossConfig::LogCosh(LogCosh::default()),
        "poisson" => LossConfig::Poisson(Poisson::default()),
        "hinge" => LossConfig::Hinge(Hinge::default()),
        "squaredhinge" => LossConfig::SquaredHinge(SquaredHinge::default()),
        "categoricalhinge" => LossConfig::CategoricalHinge(CategoricalHinge::default()),
        "cosinesimilarity" => LossConfig::CosineSimilarity(CosineSimilarity::default()),
        "huber" | "huberloss" => LossConfig::Huber(Huber::default().delta(s.number("delta", 1.0)?)),
        "bce" | "binarycrossentropy" => {
            let loss = BinaryCrossentropy::default().from_logits(s.flag("from_logits")?);
            LossConfig::BinaryCrossentropy(loss.label_smoothing(s.number("label_smoothing", 0.0)?))
        }
        "categoricalcrossentropy" => {
            let loss = CategoricalCrossentropy::default().from_logits(s.flag("from_logits")?);
            LossConfig::CategoricalCrossentropy(loss.label_smoothing(s.number("label_smoothing", 0.0)?))
        }
        "sparsecategoricalcrossentropy" => {
            let mut loss = SparseCategoricalCrossentropy::default().from_logits(s.flag("from_logits")?);
            if let Some(class) = s.maybe("ignore_class")? {
                let whole = class.fract() == 0.0 && class.abs() < 9e15;
                loss =
                    loss.ignore_class(if whole { class as i64 } else { Err(s.wrong("ignore_class", &class.into()))? });
            }
            LossConfig::SparseCategoricalCrossentropy(loss)
        }
        "binaryfocalcrossentropy" => {
            let loss = BinaryFocalCrossentropy::default().from_logits(s.flag("from_logits")?);
            let loss = loss.label_smoothing(s.number("label_smoothing", 0.0)?).gamma(s.number("gamma", 2.0)?);
            let (balanced, alpha) = (s.flag("apply_class_balancing")?, s.number("alpha", 0.25)?);
            LossConfig::BinaryFocalCrossentropy(if balanced { loss.alpha(alpha) } else { loss })
        }
        "categoricalfocalcrossentropy" => {
            let loss = CategoricalFocalCrossentropy::default().from_logits(s.flag("from_logits")?);
            let loss = loss.label_smoothing(s.number("label_smoothing", 0.0)?).gamma(s.number("gamma", 2.0)?);
            LossConfig::CategoricalFocalCrossentropy(loss.alpha(s.number("alpha", 0.25)?))
        }
        _ => return Ok(None),
    }))
}
