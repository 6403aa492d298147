//! Settings that several of Keras's layers have.

use serde_json::Value;

use crate::activations::Activation;

/// An activation by its name, or a layer in its place.
pub(super) fn activation(value: &Value) -> Result<Activation, String> {
    if let Some(class) = value["class_name"].as_str() {
        let config = &value["config"];
        let number = |name: &str, default: f64| config[name].as_f64().unwrap_or(default);
        return match class {
            "LeakyReLU" => Ok(Activation::LeakyRelu(number("negative_slope", 0.3))),
            "ELU" => Ok(Activation::Elu(number("alpha", 1.0))),
            "ReLU" => relu(config),
            "function" => activation(config),
            other => Err(format!("the activation {other}")),
        };
    }
    Ok(match value.as_str() {
        None if value.is_null() => Activation::Linear,
        Some("linear") => Activation::Linear,
        Some("relu") => Activation::Relu,
        Some("relu6") => Activation::Relu6,
        Some("leaky_relu") => Activation::LeakyRelu(0.2),
        Some("elu") => Activation::Elu(1.0),
        Some("celu") => Activation::Celu(1.0),
        Some("selu") => Activation::Selu,
        Some("gelu") => Activation::Gelu,
        Some("silu" | "swish") => Activation::Silu,
        Some("mish") => Activation::Mish,
        Some("sigmoid") => Activation::Sigmoid,
        Some("log_sigmoid") => Activation::LogSigmoid,
        Some("tanh") => Activation::Tanh,
        Some("tanh_shrink") => Activation::TanhShrink,
        Some("hard_tanh") => Activation::HardTanh,
        Some("hard_sigmoid") => Activation::HardSigmoid,
        Some("hard_silu" | "hard_swish") => Activation::HardSilu,
        Some("softplus") => Activation::Softplus,
        Some("softsign") => Activation::Softsign,
        Some("squareplus") => Activation::Squareplus,
        Some("exponential") => Activation::Exponential,
        Some("softmax") => Activation::Softmax,
        Some("log_softmax") => Activation::LogSoftmax,
        _ => return Err(format!("the activation {value:.60}")),
    })
}

pub(super) fn relu(config: &Value) -> Result<Activation, String> {
    let number = |name: &str| config[name].as_f64();
    match (number("max_value"), number("negative_slope").unwrap_or(0.0), number("threshold").unwrap_or(0.0)) {
        (None, 0.0, 0.0) => Ok(Activation::Relu),
        (Some(6.0), 0.0, 0.0) => Ok(Activation::Relu6),
        (None, slope, 0.0) => Ok(Activation::LeakyRelu(slope)),
        (max, slope, threshold) => Err(format!("max_value {max:?} with slope {slope} and threshold {threshold}")),
    }
}

/// A whole number by its name.
pub(super) fn number(c: &Value, name: &str) -> Result<usize, String> {
    c[name].as_u64().and_then(|n| usize::try_from(n).ok()).ok_or(format!("no {name}"))
}
