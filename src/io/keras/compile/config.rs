//! What `compile` was given, as it stands in the file.

use serde_json::{Map, Value};

use crate::io::keras::json::{Problem, Raw, Settings, parse, spelled};

/// What `compile` was given in Keras, as it stands in the file: nothing is refused before it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct CompileConfig {
    /// The optimizer.
    pub optimizer: Given,
    /// The loss, or losses by output.
    pub loss: Given,
    /// Factors of the losses.
    pub loss_weights: Given,
    /// What is measured without weights of samples.
    pub metrics: Given,
    /// What is measured with weights of samples.
    pub weighted_metrics: Given,
    /// Other settings that are not Keras's defaults, as Python writes them.
    pub others: Vec<(String, String)>,
}

/// A part of what `compile` was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// Nothing.
    None,
    /// A number.
    Number(f64),
    /// Something of Keras's by its name.
    Named(String),
    /// An object: its class, and its settings; `own` says whether it is Keras's.
    Object {
        /// The class.
        class: String,
        /// Whether it is Keras's own.
        own: bool,
        /// The settings.
        settings: Map<String, Value>,
    },
    /// One after the other, by output or as they come.
    List(Vec<Given>),
    /// By output.
    ByName(Vec<(String, Given)>),
}

/// The longest description that is read: what it is parsed into takes a multiple of it.
const MAX_LEN: usize = 1 << 16;

/// Settings that change no number, or have this value by default.
const DEFAULTS: [(&str, &[&str]); 4] = [
    ("run_eagerly", &["false", "true"]),
    ("steps_per_execution", &["1"]),
    ("jit_compile", &["false", "true", "\"auto\""]),
    ("auto_scale_loss", &["true"]),
];

impl CompileConfig {
    /// None for a model that was not compiled.
    pub(in crate::io::keras) fn read(raw: Raw) -> Result<Option<Self>, Problem> {
        if raw.get().len() > MAX_LEN {
            return Err(format!("compile_config has {} bytes, more than the {MAX_LEN} that are read", raw.get().len()));
        }
        let mut s = Settings::read(raw)?;
        let mut given = |name: &str| match s.take(name) {
            Some(raw) => parse(raw).map_err(|e| format!("{name}={} ({e})", spelled(raw))).and_then(given),
            None => Ok(Given::None),
        };
        let config = CompileConfig {
            optimizer: given("optimizer")?,
            loss: given("loss")?,
            loss_weights: given("loss_weights")?,
            metrics: given("metrics")?,
            weighted_metrics: given("weighted_metrics")?,
            others: Vec::new(),
        };
        if config.optimizer == Given::None && config.loss == Given::None {
            return Ok(None);
        }
        let default =
            |name: &str, raw: Raw| DEFAULTS.iter().any(|(other, values)| *other == name && values.contains(&raw.get()));
        let others = s.rest().filter(|(name, raw)| raw.get() != "null" && !default(name, raw));
        Ok(Some(CompileConfig {
            others: others.map(|(name, raw)| (name.into_owned(), spelled(raw))).collect(),
            ..config
        }))
    }
}

pub(super) fn given(value: Value) -> Result<Given, Problem> {
    Ok(match value {
        Value::Null => Given::None,
        Value::String(name) => Given::Named(name),
        Value::Number(number) => Given::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::Array(list) => Given::List(list.into_iter().map(given).collect::<Result<_, _>>()?),
        Value::Object(mut object) => match (object.remove("class_name"), object.remove("config")) {
            (Some(Value::String(class)), Some(config)) => of_class(&object, class, config),
            (None, None) => {
                let entries = object.into_iter().map(|(name, value)| Ok((name, given(value)?)));
                Given::ByName(entries.collect::<Result<_, Problem>>()?)
            }
            _ => return Err("an object without a class or without settings".to_owned()),
        },
        Value::Bool(value) => return Err(format!("{value}, where names and objects are expected")),
    })
}

fn of_class(object: &Map<String, Value>, class: String, config: Value) -> Given {
    let module = object.get("module").and_then(Value::as_str).unwrap_or_default();
    let registered = object.get("registered_name").and_then(Value::as_str);
    let keras = module == "keras" || module.starts_with("keras.");
    match config {
        // A function: Keras's own stand by their names, as its module says.
        Value::String(name) if class == "function" && keras => Given::Named(name),
        Value::String(name) => Given::Object { class: name, own: false, settings: Map::new() },
        Value::Object(settings) => {
            let own = keras && registered.is_none_or(|name| name == class);
            Given::Object { class, own, settings }
        }
        _ => Given::Object { class, own: false, settings: Map::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<CompileConfig>, Problem> {
        CompileConfig::read(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn as_it_stands_in_the_file() {
        let adam = r#"{"module": "keras.optimizers", "class_name": "Adam", "config": {"learning_rate": 0.5}, "registered_name": null}"#;
        let own =
            r#"{"module": "builtins", "class_name": "function", "config": "mine", "registered_name": "function"}"#;
        let text = format!(
            r#"{{"optimizer": {adam}, "loss": {{"a": "mse", "b": {own}}}, "loss_weights": [1, 0.5], "metrics": [["accuracy"], null],
                "weighted_metrics": null, "run_eagerly": false, "steps_per_execution": 4, "jit_compile": false}}"#
        );
        let config = read(&text).unwrap().unwrap();
        let Given::Object { class, own: true, settings } = &config.optimizer else { panic!("{config:?}") };
        assert_eq!((class.as_str(), settings["learning_rate"].as_f64()), ("Adam", Some(0.5)));
        let mine = Given::Object { class: "mine".into(), own: false, settings: Map::new() };
        assert_eq!(config.loss, Given::ByName(vec![("a".into(), Given::Named("mse".into())), ("b".into(), mine)]));
        assert_eq!(config.loss_weights, Given::List(vec![Given::Number(1.0), Given::Number(0.5)]));
        assert_eq!(config.metrics, Given::List(vec![Given::List(vec![Given::Named("accuracy".into())]), Given::None]));
        assert_eq!(config.weighted_metrics, Given::None);
        assert_eq!(config.others, [("steps_per_execution".to_owned(), "4".to_owned())]);
    }

    #[test]
    fn not_compiled_or_not_readable() {
        assert_eq!(read("{}"), Ok(None));
        assert!(read(r#"{"loss": true}"#).is_err());
        assert!(read(&format!(r#"{{"loss": "{}"}}"#, "x".repeat(70_000))).unwrap_err().contains("more than the 65536"));
        let deep = format!("{{\"loss\": {}1{}}}", "[".repeat(200), "]".repeat(200));
        assert!(read(&deep).is_err());
    }
}
