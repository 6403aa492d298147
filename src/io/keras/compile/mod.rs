//! What a model was compiled with in Keras: as it stands in the file, and as optimizer, losses and metrics of ours.

mod class;
mod config;
mod losses;
mod metrics;
mod optimizers;
mod schedules;

pub use self::config::{CompileConfig, Given};
use self::losses::loss;
use self::metrics::metrics;
use self::optimizers::optimizer;
use super::json::Problem;
use crate::io::{Compiled, CompiledHead};

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
                metrics: self::metrics(metrics[i])?,
                weighted_metrics: self::metrics(weighted[i])?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::*;
    use crate::optimizers::*;
    use crate::schedules::*;

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

    /// What Keras takes a setting for that is left out, and None.
    #[test]
    fn settings_that_are_left_out() {
        let rule = |class: &str, settings: &str| {
            let optimizer = object("optimizers", class, settings);
            read(&format!(r#"{{"optimizer": {optimizer}, "loss": "mse"}}"#), &["y"])
                .map(|c| format!("{:?}", c.optimizer))
        };
        let decays = AdamW::default().weight_decay(0.004).decay_all(true);
        assert_eq!(rule("AdamW", "{}").unwrap(), format!("AdamW({decays:?})"));
        assert!(rule("AdamW", r#"{"weight_decay": null}"#).unwrap_err().contains("AdamW with weight_decay=None"));
        assert!(rule("SGD", r#"{"momentum": null}"#).unwrap_err().contains("SGD with momentum=None"));
        assert_eq!(rule("Adam", r#"{"weight_decay": null, "loss_scale_factor": null}"#), rule("Adam", "{}"));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let problem = |text: &str| read(text, &["y"]).unwrap_err();
        let with_rate = |rate: &str| {
            let optimizer = object("optimizers", "Adam", &format!(r#"{{"learning_rate": {rate}}}"#));
            format!(r#"{{"optimizer": {optimizer}, "loss": "mse"}}"#)
        };
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
            (r#"{"loss": "mse"}"#.to_owned(), "nothing, where a class is expected"),
            (
                format!(
                    r#"{{"optimizer": "adam", "loss": {}}}"#,
                    object("losses", "MeanSquaredError", r#"{"reduction": null}"#)
                ),
                "MeanSquaredError with reduction=None",
            ),
            (
                format!(
                    r#"{{"optimizer": "adam", "loss": "mse", "metrics": [{}]}}"#,
                    object("metrics", "BinaryAccuracy", r#"{"threshold": null}"#)
                ),
                "BinaryAccuracy with threshold=None",
            ),
            (
                format!(
                    r#"{{"optimizer": "adam", "loss": "mse", "metrics": [{}]}}"#,
                    object("metrics", "MeanSquaredError", r#"{"fn": "mine"}"#)
                ),
                r#"MeanSquaredError with fn="mine""#,
            ),
            (
                with_rate(&object(
                    "optimizers.schedules",
                    "ExponentialDecay",
                    r#"{"decay_steps": 5, "decay_rate": 0.5}"#,
                )),
                "ExponentialDecay without initial_learning_rate",
            ),
            (
                with_rate(&object(
                    "optimizers.schedules",
                    "PiecewiseConstantDecay",
                    r#"{"boundaries": [1], "values": [1, 2], "initial_learning_rate": 3}"#,
                )),
                "PiecewiseConstantDecay with initial_learning_rate=3",
            ),
            // A schedule of one's own that is called as one of Keras's.
            (
                with_rate(
                    r#"{"module": null, "class_name": "CosineDecay", "config": {"initial_learning_rate": 1, "decay_steps": 5},
                        "registered_name": "Mine>CosineDecay"}"#,
                ),
                "learning_rate: CosineDecay is a class of its own",
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
