//! Keras's architecture as layers of this crate.

use std::path::Path;

use serde_json::Value;

use super::settings::{activation, relu};
use crate::error::{Error, Result};
use crate::layers::LayerConfig;
use crate::layers::config::{ContainerConfig, NamedConfig};
use crate::layers::{
    ActivityRegularization, AlphaDropout, Dense, Dropout, Elu, Flatten, GaussianDropout, GaussianNoise, Identity,
    LeakyRelu, Normalization, PRelu, Permute, RepeatVector, Rescaling, Reshape, Softmax, UnitNormalization,
};
use crate::tensor::Shape;

/// The layers of a model and where their weights are.
#[derive(Debug, Default)]
pub(crate) struct Planned {
    pub input: Option<Shape>,
    pub layers: Vec<NamedConfig>,
    pub weights: Vec<Weight>,
    /// Weights of ours whose values are known already.
    pub given: Vec<(String, Vec<f64>)>,
}

/// A weight of ours and the array that holds it.
#[derive(Debug, PartialEq)]
pub(crate) struct Weight {
    pub name: String,
    pub array: String,
}

/// Reads the numbers of an array, at most so many.
type Numbers<'a> = &'a dyn Fn(&str, usize) -> Result<Vec<f64>>;

/// The most statistics of a Normalization layer.
const MAX_STATISTICS: usize = 1 << 20;

/// Reads an architecture, and keeps what cannot be had.
pub(super) struct Planner<'a> {
    pub numbers: Numbers<'a>,
    pub unsupported: Vec<String>,
}

impl Planner<'_> {
    pub fn plan(mut self, path: &Path, config: &Value) -> Result<Planned> {
        if config["class_name"] != "Sequential" {
            let class = config["class_name"].as_str().unwrap_or("nothing");
            let problem = format!("a model of class {class}; Sequential models are read");
            return Err(Error::file(path, problem, "build it in code and read the weights from npz or safetensors"));
        }
        let planned = self.sequential(&config["config"], "", "");
        if !self.unsupported.is_empty() {
            let problem = format!("it has what this library has not: {}", self.unsupported.join("; "));
            return Err(Error::file(path, problem, "replace these layers in Keras, or build the model in code"));
        }
        if planned.layers.is_empty() {
            return Err(Error::file(path, "no layers", "save a model that has been built"));
        }
        Ok(planned)
    }

    /// The layers of a Sequential whose arrays lie below `folder` and whose weights below `scope`.
    fn sequential(&mut self, config: &Value, folder: &str, scope: &str) -> Planned {
        let mut planned = Planned::default();
        let mut used: Vec<String> = Vec::new();
        let empty = Vec::new();
        for layer in config["layers"].as_array().unwrap_or(&empty) {
            let (class, config) = (layer["class_name"].as_str().unwrap_or_default(), &layer["config"]);
            if class == "InputLayer" {
                let shape = config.get("batch_shape").or(config.get("batch_input_shape"));
                planned.input = shape.and_then(sizes).and_then(|s| Shape::try_from(&s[1.min(s.len())..]).ok());
                continue;
            }
            let name = config["name"].as_str().unwrap_or(class).to_owned();
            // Arrays are named after the class, numbered.
            let class_name = snake_case(class);
            let before = used.iter().filter(|n| **n == class_name).count();
            let group = if before == 0 { class_name.clone() } else { format!("{class_name}_{before}") };
            used.push(class_name);
            let folder = format!("{folder}layers/{group}");
            let path = format!("{scope}{name}");
            let mut weight = |i: usize, leaf: &str| {
                planned.weights.push(Weight { name: format!("{path}/{leaf}"), array: format!("{folder}/vars/{i}") });
            };
            let made = match class {
                "Dense" => {
                    weight(0, "kernel");
                    if config["use_bias"] != false {
                        weight(1, "bias");
                    }
                    self.dense(config)
                }
                "PReLU" => {
                    weight(0, "alpha");
                    let axes = sizes(&config["shared_axes"]).unwrap_or_default();
                    Ok(LayerConfig::PRelu(PRelu::new().shared_axes(axes)))
                }
                "Sequential" => {
                    let inner = self.sequential(config, &format!("{folder}/"), &format!("{path}/"));
                    planned.weights.extend(inner.weights);
                    planned.given.extend(inner.given);
                    Ok(LayerConfig::Block(ContainerConfig { layers: inner.layers, ..ContainerConfig::default() }))
                }
                "Normalization" => self.normalization(config, &folder).map(|(mean, variance)| {
                    planned.given.push((format!("{path}/mean"), mean.clone()));
                    planned.given.push((format!("{path}/variance"), variance.clone()));
                    LayerConfig::Normalization(Normalization::from_stats(mean, variance))
                }),
                _ => match super::vision::layer(class, config) {
                    Some(made) => made.map(|(layer, leaves)| {
                        leaves.into_iter().enumerate().for_each(|(i, leaf)| weight(i, leaf));
                        layer
                    }),
                    None => simple(class, config),
                },
            };
            match made {
                Ok(layer) => {
                    let trainable = config["trainable"] != false;
                    planned.layers.push(NamedConfig { name: Some(name), trainable, learning_rate_factor: 1.0, layer });
                }
                Err(problem) => self.unsupported.push(format!("{name} ({class}): {problem}")),
            }
        }
        planned
    }

    /// Mean and variance, given or adapted.
    fn normalization(&self, config: &Value, folder: &str) -> Result<(Vec<f64>, Vec<f64>), String> {
        if config["invert"] == true {
            return Err("invert".into());
        }
        if sizes_or_negative(&config["axis"]) != [-1] && config["axis"] != -1 {
            return Err(format!("statistics along axis {}; only the last, -1, can be had", config["axis"]));
        }
        if !config["mean"].is_null() {
            return Ok((numbers(&config["mean"]), numbers(&config["variance"])));
        }
        let read = |i: usize| (self.numbers)(&format!("{folder}/vars/{i}"), MAX_STATISTICS).map_err(|e| e.to_string());
        Ok((read(0)?, read(1)?))
    }

    fn dense(&mut self, config: &Value) -> Result<LayerConfig, String> {
        if !config["quantization_config"].is_null() {
            return Err("quantised weights".into());
        }
        // Initialisers, penalties and bounds concern training alone: weights are given, and a model is compiled anew.
        let units = usize::try_from(config["units"].as_u64().ok_or("no units")?).map_err(|e| e.to_string())?;
        let dense = Dense::new(units).activation(activation(&config["activation"])?);
        Ok(LayerConfig::Dense(dense.use_bias(config["use_bias"] != false)))
    }
}

fn simple(class: &str, config: &Value) -> Result<LayerConfig, String> {
    let number = |name: &str, default: f64| config[name].as_f64().unwrap_or(default);
    let last_axis = |what: &str| match &config["axis"] {
        axis if axis.is_null() || *axis == -1 || sizes_or_negative(axis) == [-1] => Ok(()),
        axis => Err(format!("{what} along axis {axis}; only the last, -1, can be had")),
    };
    Ok(match class {
        "Activation" => LayerConfig::Activation(activation(&config["activation"])?),
        "Dropout" | "GaussianDropout" | "AlphaDropout" if !config["noise_shape"].is_null() => {
            return Err("a noise_shape".into());
        }
        "Dropout" => LayerConfig::Dropout(Dropout::new(number("rate", 0.0))),
        "GaussianDropout" => LayerConfig::GaussianDropout(GaussianDropout::new(number("rate", 0.0))),
        "AlphaDropout" => LayerConfig::AlphaDropout(AlphaDropout::new(number("rate", 0.0))),
        "GaussianNoise" => LayerConfig::GaussianNoise(GaussianNoise::new(number("stddev", 0.0))),
        "ActivityRegularization" => LayerConfig::ActivityRegularization(
            ActivityRegularization::new().l1(number("l1", 0.0)).l2(number("l2", 0.0)),
        ),
        "Flatten" if config["data_format"] == "channels_first" => return Err("channels_first".into()),
        "Flatten" => LayerConfig::Flatten(Flatten::new()),
        "Identity" => LayerConfig::Identity(Identity::new()),
        "Reshape" => {
            let shape = sizes_or_negative(&config["target_shape"]);
            LayerConfig::Reshape(Reshape::new(shape.iter().map(|&d| d as isize).collect::<Vec<_>>()))
        }
        "Permute" => LayerConfig::Permute(Permute::new(sizes(&config["dims"]).ok_or("no dims")?)),
        "RepeatVector" => {
            LayerConfig::RepeatVector(RepeatVector::new(config["n"].as_u64().unwrap_or(0).min(1 << 40) as usize))
        }
        "LeakyReLU" => LayerConfig::LeakyRelu(LeakyRelu::new().negative_slope(number("negative_slope", 0.3))),
        "ELU" => LayerConfig::Elu(Elu::new().alpha(number("alpha", 1.0))),
        "ReLU" => LayerConfig::Activation(relu(config)?),
        "Softmax" => {
            last_axis("a softmax")?;
            LayerConfig::Softmax(Softmax::new())
        }
        "UnitNormalization" => {
            last_axis("a norm")?;
            LayerConfig::UnitNormalization(UnitNormalization::new())
        }
        "Rescaling" => match (config["scale"].as_f64(), config["offset"].as_f64()) {
            (Some(scale), Some(offset)) => LayerConfig::Rescaling(Rescaling::new(scale).offset(offset)),
            _ => return Err("a scale or offset that is no single number".into()),
        },
        _ => return Err("no such layer".into()),
    })
}

/// The numbers of a value; broadcast shapes come as lists in lists.
fn numbers(mut value: &Value) -> Vec<f64> {
    while let Some([inner]) = value.as_array().map(Vec::as_slice).filter(|v| v.len() == 1 && v[0].is_array()) {
        value = inner;
    }
    match value.as_array() {
        Some(values) => values.iter().filter_map(Value::as_f64).collect(),
        None => value.as_f64().into_iter().collect(),
    }
}

/// Sizes of axes; the unknown batch is 0.
fn sizes(value: &Value) -> Option<Vec<usize>> {
    let size = |v: &Value| if v.is_null() { Some(0) } else { v.as_u64().and_then(|n| usize::try_from(n).ok()) };
    value.as_array()?.iter().map(size).collect()
}

fn sizes_or_negative(value: &Value) -> Vec<i64> {
    value.as_array().map(|v| v.iter().filter_map(Value::as_i64).collect()).unwrap_or_default()
}

/// The name that Keras's files give a class: `PReLU` is `p_re_lu`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (i, &c) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|j| letters[j]);
        let after = letters.get(i + 1);
        // A capital before small letters begins a word, and so does one after a small letter.
        let begins = c.is_ascii_uppercase()
            && before.is_some()
            && (after.is_some_and(char::is_ascii_lowercase) || before.is_some_and(|b| b.is_ascii_lowercase()));
        if begins {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planner() -> Planner<'static> {
        Planner { numbers: &|_, _| Ok(vec![1.0]), unsupported: Vec::new() }
    }

    #[test]
    fn names_as_keras_has_them() {
        for (class, name) in [
            ("Dense", "dense"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ELU", "elu"),
            ("ReLU", "re_lu"),
            ("Conv2D", "conv2d"),
            ("GaussianDropout", "gaussian_dropout"),
            ("UnitNormalization", "unit_normalization"),
            ("LSTM", "lstm"),
            ("BatchNormalization", "batch_normalization"),
        ] {
            assert_eq!(snake_case(class), name);
        }
    }

    #[test]
    fn all_that_is_missing_is_named() {
        let config = serde_json::json!({"class_name": "Sequential", "config": {"layers": [
            {"class_name": "Conv3D", "config": {"name": "conv"}},
            {"class_name": "Conv2D", "config": {"name": "d", "filters": 2, "kernel_size": [3, 3, 3]}},
            {"class_name": "Dense", "config": {"name": "a", "units": 3, "activation": "sparsemax"}},
            {"class_name": "ReLU", "config": {"name": "b", "max_value": 3.0}},
            {"class_name": "Softmax", "config": {"name": "c", "axis": 1}},
        ]}});
        let error = planner().plan(Path::new("m.keras"), &config).unwrap_err().to_string();
        assert_eq!(
            error,
            "m.keras: it has what this library has not: conv (Conv3D): no such layer; d (Conv2D): kernel_size [3,3,3]; a (Dense): the activation \"sparsemax\"; \
             b (ReLU): max_value Some(3.0) with slope 0 and threshold 0; c (Softmax): a softmax along axis 1; only the last, -1, \
             can be had; replace these layers in Keras, or build the model in code"
        );
        for bad in ["null", "[]", "{\"class_name\":\"Functional\"}", "{\"class_name\":\"Sequential\"}"] {
            let config = serde_json::from_str(bad).unwrap();
            assert!(planner().plan(Path::new("m.keras"), &config).is_err());
        }
    }
}
