//! Keras's optimizers.

use serde_json::Value;

use super::class::Class;
use super::config::Given;
use super::schedules::schedule;
use crate::io::keras::json::Problem;
use crate::optimizers::*;

pub(super) fn optimizer(given: &Given) -> Result<OptimizerConfig, Problem> {
    let mut s = Class::of(given)?;
    let made = match s.plain().as_str() {
        "sgd" => {
            let rule = Sgd::default().momentum(s.number("momentum", 0.0)?).nesterov(s.flag("nesterov")?);
            OptimizerConfig::Sgd(options(&mut s, rule)?)
        }
        "adam" => {
            let rule = Adam::default().amsgrad(s.flag("amsgrad")?);
            OptimizerConfig::Adam(betas(&mut s, rule)?)
        }
        "adamw" => {
            // Keras's default, where others have none.
            let rule = AdamW::default()
                .weight_decay(s.number("weight_decay", 0.004)?)
                .decay_all(true)
                .amsgrad(s.flag("amsgrad")?);
            OptimizerConfig::AdamW(betas(&mut s, rule)?)
        }
        "adamax" => OptimizerConfig::Adamax(betas(&mut s, Adamax::default())?),
        "nadam" => OptimizerConfig::Nadam(betas(&mut s, Nadam::default())?),
        "rmsprop" => {
            let rule = RmsProp::default().rho(s.number("rho", 0.9)?).momentum(s.number("momentum", 0.0)?);
            let rule = rule.epsilon(s.number("epsilon", 1e-7)?).centered(s.flag("centered")?);
            OptimizerConfig::RmsProp(options(&mut s, rule)?)
        }
        "adagrad" => {
            let rule = Adagrad::default().initial_accumulator_value(s.number("initial_accumulator_value", 0.1)?);
            let rule = rule.epsilon(s.number("epsilon", 1e-7)?);
            OptimizerConfig::Adagrad(options(&mut s, rule)?)
        }
        "adadelta" => {
            let rule = Adadelta::default().rho(s.number("rho", 0.95)?).epsilon(s.number("epsilon", 1e-7)?);
            OptimizerConfig::Adadelta(options(&mut s, rule)?)
        }
        "lion" => {
            let rule = Lion::default().beta_1(s.number("beta_1", 0.9)?).beta_2(s.number("beta_2", 0.99)?);
            OptimizerConfig::Lion(options(&mut s, rule)?)
        }
        "ftrl" => {
            let rule = Ftrl::default().learning_rate_power(s.number("learning_rate_power", -0.5)?);
            let rule = rule.initial_accumulator_value(s.number("initial_accumulator_value", 0.1)?);
            let rule = rule.l1_regularization_strength(s.number("l1_regularization_strength", 0.0)?);
            let rule = rule.l2_regularization_strength(s.number("l2_regularization_strength", 0.0)?);
            let shrinkage = s.number("l2_shrinkage_regularization_strength", 0.0)?;
            let rule = rule.l2_shrinkage_regularization_strength(shrinkage).beta(s.number("beta", 0.0)?);
            OptimizerConfig::Ftrl(options(&mut s, rule)?)
        }
        "adafactor" => {
            s.only("relative_step", &[true.into()])?;
            let rule = Adafactor::default().beta_2_decay(s.number("beta_2_decay", -0.8)?);
            let rule = rule.epsilon_1(s.number("epsilon_1", 1e-30)?).epsilon_2(s.number("epsilon_2", 1e-3)?);
            let rule = rule.clip_threshold(s.number("clip_threshold", 1.0)?);
            OptimizerConfig::Adafactor(options(&mut s, rule)?)
        }
        _ => return Err(format!("the optimizer {:.80} is not known here", s.name)),
    };
    s.end(made)
}

fn betas<O: OptimizerOptions + BetaOptions>(s: &mut Class, rule: O) -> Result<O, Problem> {
    let rule = rule.beta_1(s.number("beta_1", 0.9)?).beta_2(s.number("beta_2", 0.999)?);
    let rule = rule.epsilon(s.number("epsilon", 1e-7)?);
    options(s, rule)
}

/// What every optimizer of Keras's has.
fn options<O: OptimizerOptions>(s: &mut Class, mut rule: O) -> Result<O, Problem> {
    s.only("loss_scale_factor", &[Value::Null])?;
    if let Some(rate) = s.take("learning_rate") {
        rule.options_mut().learning_rate = schedule(rate)?;
    }
    if let Some(decay) = s.maybe("weight_decay")? {
        // Keras decays biases and scales too.
        rule = rule.weight_decay(decay).decay_all(true);
    }
    let limits = [s.maybe("clipvalue")?, s.maybe("clipnorm")?, s.maybe("global_clipnorm")?];
    rule = match limits {
        [None, None, None] => rule,
        [Some(limit), None, None] => rule.clipvalue(limit),
        [None, Some(limit), None] => rule.clipnorm(limit),
        [None, None, Some(limit)] => rule.global_clipnorm(limit),
        _ => return Err(format!("{} that clips in two ways", s.name)),
    };
    let (average, momentum) = (s.flag("use_ema")?, s.number("ema_momentum", 0.99)?);
    let every = s.count("ema_overwrite_frequency")?;
    if average {
        rule = rule.ema(momentum);
        rule.options_mut().ema_overwrite_frequency = every;
    }
    let batches = s.count("gradient_accumulation_steps")?;
    Ok(rule.gradient_accumulation_steps(batches.unwrap_or(1)))
}
