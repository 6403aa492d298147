//! What a model was compiled with in Keras as optimizer, losses and metrics of ours.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::compile::{CompileConfig, Given};
use super::json::Problem;
use crate::io::{Compiled, CompiledHead};
use crate::losses::*;
use crate::metrics::*;
use crate::optimizers::*;
use crate::schedules::*;

/// Settings that change no number.
const NAMES: [&str; 3] = ["name", "dtype", "fn"];

impl CompileConfig {
    /// The same with our classes, for outputs of these names; the first thing that is not ours is the problem.
    pub(crate) fn compiled(&self, outputs: &[String]) -> Result<Compiled, Problem> {
        if let Some((name, value)) = self.others.iter().find(|(name, _)| name != "steps_per_execution") {
            return Err(format!("{name}={value} is not known here"));
        }
        let losses = by_output("loss", &self.loss, outputs, true)?;
        let weights = by_output("loss_weights", &self.loss_weights, outputs, false)?;
        let metrics = by_output("metrics", &self.metrics, outputs, false)?;
        let weighted = by_output("weighted_metrics", &self.weighted_metrics, outputs, false)?;
        let heads = outputs.iter().enumerate().map(|(i, output)| {
            Ok(CompiledHead {
                output: output.clone(),
                loss: match losses[i] {
                    Given::None => None,
                    given => Some(loss(given)?),
                },
                loss_weight: match weights[i] {
                    Given::None => 1.0,
                    Given::Number(weight) => *weight,
                    _ => return Err("loss_weights that are no numbers".to_owned()),
                },
                metrics: all_metrics(metrics[i])?,
                weighted_metrics: all_metrics(weighted[i])?,
            })
        });
        Ok(Compiled { optimizer: optimizer(&self.optimizer)?, heads: heads.collect::<Result<_, Problem>>()? })
    }
}

/// What was given for each output; one for all where `for_all` says so.
fn by_output<'a>(what: &str, given: &'a Given, outputs: &[String], for_all: bool) -> Result<Vec<&'a Given>, Problem> {
    match given {
        Given::None => Ok(vec![&Given::None; outputs.len()]),
        Given::ByName(entries) => {
            if let Some((name, _)) = entries.iter().find(|(name, _)| !outputs.contains(name)) {
                return Err(format!("{what} of {name:?}, which is no output ({})", outputs.join(", ")));
            }
            let of = |output: &String| entries.iter().find(|(name, _)| name == output).map_or(&Given::None, |(_, g)| g);
            Ok(outputs.iter().map(of).collect())
        }
        // A list of one is for the output as it is, of metrics also within another.
        Given::List(list) if outputs.len() == 1 && what.ends_with("metrics") => match &list[..] {
            [inner @ Given::List(_)] => Ok(vec![inner]),
            _ => Ok(vec![given]),
        },
        Given::List(list) if list.len() == outputs.len() => Ok(list.iter().collect()),
        Given::List(list) => Err(format!("{what} of {} for {} outputs", list.len(), outputs.len())),
        one if for_all || outputs.len() == 1 => Ok(vec![one; outputs.len()]),
        _ => Err(format!("{what} that are neither a list nor by output")),
    }
}

/// A class and its settings, each of which is to be taken.
struct Settings {
    class: String,
    left: Map<String, Value>,
}

impl Settings {
    fn of(given: &Given) -> Result<Self, Problem> {
        match given {
            Given::Named(name) => Ok(Settings { class: name.clone(), left: Map::new() }),
            Given::Object { class, own: true, settings } => {
                let mut left = settings.clone();
                NAMES.iter().for_each(|name| drop(left.remove(*name)));
                Ok(Settings { class: class.clone(), left })
            }
            Given::Object { class, .. } => Err(format!("{class:.80} is a class of its own, not Keras's")),
            _ => Err("a list or a number, where a class is expected".to_owned()),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, value: &Value) -> Problem {
        format!("{} with {name}={value:.80}, which is not known here", self.class)
    }

    fn maybe(&mut self, name: &str) -> Result<Option<f64>, Problem> {
        let value = self.take(name);
        value.map(|value| value.as_f64().ok_or_else(|| self.wrong(name, &value))).transpose()
    }

    fn number(&mut self, name: &str, default: f64) -> Result<f64, Problem> {
        Ok(self.maybe(name)?.unwrap_or(default))
    }

    /// A whole number; Keras writes some of them with a point.
    fn count(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let number = self.maybe(name)?;
        let whole = |n: f64| n >= 0.0 && n.fract() == 0.0 && n < 9e15;
        number.map(|n| if whole(n) { Ok(n as u64) } else { Err(self.wrong(name, &n.into())) }).transpose()
    }

    fn steps(&mut self, name: &str) -> Result<u64, Problem> {
        self.count(name)?.ok_or_else(|| format!("{} without {name}", self.class))
    }

    fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        let value = self.take(name);
        value.map_or(Ok(false), |value| value.as_bool().ok_or_else(|| self.wrong(name, &value)))
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let value = self.take(name);
        value.map(|value| value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name, &value))).transpose()
    }

    /// A setting that has to be one of these, where it is given.
    fn only(&mut self, name: &str, values: &[Value]) -> Result<(), Problem> {
        match self.take(name) {
            Some(value) if !values.contains(&value) => Err(self.wrong(name, &value)),
            _ => Ok(()),
        }
    }

    /// What is left matters to nobody.
    fn end<V>(self, made: V) -> Result<V, Problem> {
        match self.left.iter().find(|(_, value)| !value.is_null()) {
            Some((name, value)) => Err(self.wrong(name, value)),
            None => Ok(made),
        }
    }
}

/// A class or function by its name in snake case without `_`, so that all spellings that Keras takes are one.
fn plain(class: &str) -> String {
    class.chars().filter(|c| *c != '_').collect::<String>().to_lowercase()
}

fn optimizer(given: &Given) -> Result<OptimizerConfig, Problem> {
    let mut s = Settings::of(given)?;
    let made = match plain(&s.class).as_str() {
        "sgd" => {
            let rule = Sgd::default().momentum(s.number("momentum", 0.0)?).nesterov(s.flag("nesterov")?);
            OptimizerConfig::Sgd(options(&mut s, rule)?)
        }
        "adam" => {
            let rule = Adam::default().amsgrad(s.flag("amsgrad")?);
            OptimizerConfig::Adam(betas(&mut s, rule)?)
        }
        "adamw" => {
            // By its name alone it has Keras's defaults, else what it says.
            let decay = if matches!(given, Given::Named(_)) { 0.004 } else { 0.0 };
            let rule = AdamW::default().weight_decay(decay).decay_all(true).amsgrad(s.flag("amsgrad")?);
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
        _ => return Err(format!("the optimizer {:.80} is not known here", s.class)),
    };
    s.end(made)
}

fn betas<O: OptimizerOptions + BetaOptions>(s: &mut Settings, rule: O) -> Result<O, Problem> {
    let rule = rule.beta_1(s.number("beta_1", 0.9)?).beta_2(s.number("beta_2", 0.999)?);
    let rule = rule.epsilon(s.number("epsilon", 1e-7)?);
    options(s, rule)
}

/// What every optimizer of Keras's has.
fn options<O: OptimizerOptions>(s: &mut Settings, mut rule: O) -> Result<O, Problem> {
    s.only("loss_scale_factor", &[])?;
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
        _ => return Err(format!("{} that clips in two ways", s.class)),
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

/// A learning rate, which Keras holds in single precision, as it was written; or a schedule.
fn schedule(value: Value) -> Result<Arc<dyn Schedule>, Problem> {
    if let Some(rate) = value.as_f64() {
        let single = rate as f32;
        let short = if f64::from(single) == rate { single.to_string().parse().unwrap_or(rate) } else { rate };
        return Ok(Arc::new(short));
    }
    let Value::Object(mut object) = value else { return Err(format!("learning_rate={value:.80}")) };
    let (Some(Value::String(class)), Some(Value::Object(left))) =
        (object.remove("class_name"), object.remove("config"))
    else {
        return Err("a learning_rate without a class".to_owned());
    };
    let mut s = Settings { class, left };
    NAMES.iter().for_each(|name| drop(s.left.remove(*name)));
    let initial = s.number("initial_learning_rate", f64::NAN)?;
    let made: Arc<dyn Schedule> = match s.class.as_str() {
        "ExponentialDecay" => {
            let rule = ExponentialDecay::new(initial, s.steps("decay_steps")?, s.number("decay_rate", f64::NAN)?);
            Arc::new(rule.staircase(s.flag("staircase")?))
        }
        "InverseTimeDecay" => {
            let rule = InverseTimeDecay::new(initial, s.steps("decay_steps")?, s.number("decay_rate", f64::NAN)?);
            Arc::new(rule.staircase(s.flag("staircase")?))
        }
        "PolynomialDecay" => {
            let rule = PolynomialDecay::new(initial, s.steps("decay_steps")?).end(s.number("end_learning_rate", 1e-4)?);
            Arc::new(rule.power(s.number("power", 1.0)?).cycle(s.flag("cycle")?))
        }
        "CosineDecay" => {
            let rule = CosineDecay::new(initial, s.steps("decay_steps")?).alpha(s.number("alpha", 0.0)?);
            let steps = s.count("warmup_steps")?.unwrap_or(0);
            Arc::new(match s.maybe("warmup_target")? {
                Some(target) => rule.warmup(target, steps),
                None => rule,
            })
        }
        "CosineDecayRestarts" => {
            let rule = CosineDecayRestarts::new(initial, s.steps("first_decay_steps")?).alpha(s.number("alpha", 0.0)?);
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
        _ => return Err(format!("the schedule {:.80} is not known here", s.class)),
    };
    s.end(made)
}

fn loss(given: &Given) -> Result<LossConfig, Problem> {
    let mut s = Settings::of(given)?;
    s.only("reduction", &["sum_over_batch_size".into(), "mean".into()])?;
    let made = known_loss(&mut s)?.ok_or_else(|| format!("the loss {:.80} is not known here", s.class))?;
    s.end(made)
}

fn known_loss(s: &mut Settings) -> Result<Option<LossConfig>, Problem> {
    s.only("axis", &[(-1).into()])?;
    Ok(Some(match plain(&s.class).as_str() {
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
            let loss = SparseCategoricalCrossentropy::default().from_logits(s.flag("from_logits")?);
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

fn all_metrics(given: &Given) -> Result<Vec<MetricConfig>, Problem> {
    match given {
        Given::None => Ok(Vec::new()),
        Given::List(list) => list.iter().map(metric).collect(),
        one => Ok(vec![metric(one)?]),
    }
}

fn metric(given: &Given) -> Result<MetricConfig, Problem> {
    let mut s = Settings::of(given)?;
    let named = matches!(given, Given::Named(_));
    let unknown = |s: &Settings| format!("the metric {:.80} is not known here", s.class);
    let made = match plain(&s.class).as_str() {
        // The function stands for what fits the output, the class for equal numbers.
        "accuracy" | "acc" if named => MetricConfig::Accuracy(Accuracy::default()),
        "binaryaccuracy" => {
            let threshold = s.number("threshold", 0.5)?;
            let metric = BinaryAccuracy::default();
            MetricConfig::BinaryAccuracy(if threshold == 0.5 { metric } else { metric.threshold(threshold) })
        }
        "categoricalaccuracy" => MetricConfig::CategoricalAccuracy(CategoricalAccuracy::default()),
        "sparsecategoricalaccuracy" => MetricConfig::SparseCategoricalAccuracy(SparseCategoricalAccuracy::default()),
        "topkcategoricalaccuracy" | "sparsetopkcategoricalaccuracy" => {
            s.only("from_sorted_ids", &[false.into()])?;
            MetricConfig::TopKAccuracy(TopKAccuracy::default().k(s.count("k")?.unwrap_or(5) as usize))
        }
        "precision" => MetricConfig::Precision(precision_recall(&mut s, Precision::default())?),
        "recall" => MetricConfig::Recall(precision_recall(&mut s, Recall::default())?),
        "auc" => {
            s.only("summation_method", &["interpolation".into()])?;
            s.only("multi_label", &[false.into()])?;
            s.only("thresholds", &[])?;
            let metric = Auc::default().num_thresholds(s.count("num_thresholds")?.unwrap_or(200) as usize);
            let metric = if s.flag("from_logits")? { metric.from_logits(true) } else { metric };
            MetricConfig::Auc(match s.text("curve")?.as_deref() {
                None | Some("ROC") => metric,
                Some("PR") => metric.curve(Curve::PrecisionRecall),
                Some(other) => return Err(s.wrong("curve", &other.into())),
            })
        }
        "f1score" => {
            let average = match s.text("average")?.as_deref() {
                Some("macro") => Average::Macro,
                Some("micro") => Average::Micro,
                Some("weighted") => Average::Weighted,
                _ => return Err("an F1Score without an average, which is one number for each class".to_owned()),
            };
            let metric = F1Score::default().average(average);
            MetricConfig::F1Score(match s.maybe("threshold")? {
                Some(threshold) => metric.threshold(threshold),
                None => metric,
            })
        }
        "r2score" => {
            s.only("class_aggregation", &["uniform_average".into()])?;
            s.only("num_regressors", &[0.into()])?;
            MetricConfig::R2Score(R2Score::default())
        }
        "rootmeansquarederror" => MetricConfig::RootMeanSquaredError(RootMeanSquaredError::default()),
        "cosinesimilarity" => {
            s.only("axis", &[(-1).into()])?;
            MetricConfig::CosineScore(CosineScore::default())
        }
        _ => match known_loss(&mut s)? {
            Some(loss) => MetricConfig::LossMetric(Box::new(loss)),
            None => return Err(unknown(&s)),
        },
    };
    s.end(made)
}

fn precision_recall<const RECALL: bool>(
    s: &mut Settings,
    metric: PrecisionRecall<RECALL>,
) -> Result<PrecisionRecall<RECALL>, Problem> {
    s.only("top_k", &[])?;
    let metric = match s.take("thresholds") {
        None => metric,
        Some(Value::Array(list)) if list.len() == 1 && list[0].is_number() => {
            metric.threshold(list[0].as_f64().unwrap_or(f64::NAN))
        }
        Some(value) => match value.as_f64() {
            Some(threshold) => metric.threshold(threshold),
            None => return Err(s.wrong("thresholds", &value)),
        },
    };
    Ok(match s.count("class_id")? {
        Some(class) => metric.class_id(class as usize),
        None => metric,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, outputs: &[&str]) -> Result<Compiled, Problem> {
        let config = CompileConfig::read(serde_json::from_str(text).unwrap())?.unwrap();
        config.compiled(&outputs.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    fn object(module: &str, class: &str, config: &str) -> String {
        format!(
            r#"{{"module": "keras.{module}", "class_name": "{class}", "config": {config}, "registered_name": null}}"#
        )
    }

    #[test]
    fn classes_and_settings_of_keras() {
        let decay = object(
            "optimizers.schedules",
            "CosineDecay",
            r#"{"initial_learning_rate": 0.1, "decay_steps": 50, "alpha": 0.0, "name": "CosineDecay", "warmup_target": null, "warmup_steps": 0}"#,
        );
        let adamw = object(
            "optimizers",
            "AdamW",
            &format!(
                r#"{{"name": "adamw", "learning_rate": {decay}, "weight_decay": 0.01, "clipnorm": 1.0, "global_clipnorm": null, "clipvalue": null,
                "use_ema": false, "ema_momentum": 0.99, "ema_overwrite_frequency": null, "loss_scale_factor": null,
                "gradient_accumulation_steps": null, "beta_1": 0.8, "beta_2": 0.999, "epsilon": 1e-07, "amsgrad": false}}"#
            ),
        );
        let precision = object(
            "metrics",
            "Precision",
            r#"{"name": "precision", "dtype": "float32", "thresholds": 0.3, "top_k": null, "class_id": 1}"#,
        );
        let text = format!(
            r#"{{"optimizer": {adamw}, "loss": {{"a": "mse", "b": "binary_crossentropy"}}, "loss_weights": [1, 0.5], "metrics": {{"b": ["accuracy", {precision}]}}}}"#
        );
        let compiled = read(&text, &["a", "b"]).unwrap();
        let rule = AdamW::default().learning_rate(CosineDecay::new(0.1, 50)).weight_decay(0.01).decay_all(true);
        let expected = rule.clipnorm(1.0).beta_1(0.8);
        assert_eq!(format!("{:?}", compiled.optimizer), format!("AdamW({expected:?})"));
        assert_eq!(compiled.heads[1].loss_weight, 0.5);
        let metrics = format!("{:?}", compiled.heads[1].metrics);
        let expected = [
            format!("Accuracy({:?})", Accuracy::default()),
            format!("Precision({:?})", Precision::default().threshold(0.3).class_id(1)),
        ];
        assert_eq!(metrics, format!("[{}]", expected.join(", ")));
        // A rate of single precision is the number that was written.
        let adam = object("optimizers", "Adam", r#"{"learning_rate": 0.0010000000474974513}"#);
        let compiled =
            read(&format!(r#"{{"optimizer": {adam}, "loss": "mae", "metrics": ["mse", "auc"]}}"#), &["y"]).unwrap();
        assert_eq!(format!("{:?}", compiled.optimizer), format!("Adam({:?})", Adam::default()));
        assert_eq!(compiled.heads[0].metrics.len(), 2);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let problem = |text: &str| read(text, &["y"]).unwrap_err();
        for (text, part) in [
            (r#"{"optimizer": "adam", "loss": "ctc"}"#.to_owned(), "the loss ctc"),
            (r#"{"optimizer": "loss_scale", "loss": "mse"}"#.to_owned(), "the optimizer loss_scale"),
            (r#"{"optimizer": "adam", "loss": "mse", "metrics": ["mean_io_u"]}"#.to_owned(), "the metric mean_io_u"),
            (r#"{"optimizer": "adam", "loss": {"z": "mse"}}"#.to_owned(), "no output (y)"),
            (r#"{"optimizer": "adam", "loss": ["mse", "mse"]}"#.to_owned(), "loss of 2 for 1 outputs"),
            (r#"{"optimizer": "adam", "loss": "mse", "auto_scale_loss": false}"#.to_owned(), "auto_scale_loss"),
            (r#"{"optimizer": {"a": 1}, "loss": "mse"}"#.to_owned(), "where a class is expected"),
            (
                format!(
                    r#"{{"optimizer": "adam", "loss": {}}}"#,
                    object("losses", "MeanSquaredError", r#"{"reduction": "sum"}"#)
                ),
                r#"MeanSquaredError with reduction="sum""#,
            ),
            (
                format!(r#"{{"optimizer": {}, "loss": "mse"}}"#, object("optimizers", "Adam", r#"{"beta_3": 0.5}"#)),
                "Adam with beta_3=0.5",
            ),
            (
                format!(
                    r#"{{"optimizer": {}, "loss": "mse"}}"#,
                    object("optimizers", "SGD", r#"{"learning_rate": "fast"}"#)
                ),
                "learning_rate",
            ),
        ] {
            let got = problem(&text);
            assert!(got.contains(part), "{text}: {got}");
        }
    }
}
