//! Settings that several of Keras's layers have.

use std::borrow::Cow;

use super::json::{Object, Problem, Raw, Settings, list, parse, spelled, text};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Init;
use crate::regularizers::Regularizer;

/// Calls a builder's method where the value is there.
pub(super) fn set<B, V>(builder: B, value: Option<V>, method: impl Fn(B, V) -> B) -> B {
    match value {
        Some(value) => method(builder, value),
        None => builder,
    }
}

/// The numeric types whose weights are read; the element type of the model is the caller's choice.
const DTYPES: [&str; 4] = ["float32", "float64", "mixed_float16", "mixed_bfloat16"];

/// The settings of every layer: its name, and whether it is trained.
pub(super) fn common<'a>(s: &mut Settings<'a>) -> Result<(Option<Cow<'a, str>>, bool), Problem> {
    let name = s.text("name")?;
    let trainable = s.flag_or("trainable", true)?;
    dtype(s)?;
    Ok((name, trainable))
}

fn dtype(s: &mut Settings) -> Result<(), Problem> {
    let Some(raw) = s.take("dtype") else { return Ok(()) };
    let (name, quantised) = match text(raw) {
        Some(name) => (Some(name), false),
        None => {
            let policy = Object::read(raw)?;
            let own = policy.is_of(&["keras", "keras.dtype_policies"], "keras.src.dtype_policies.");
            let plain = own && matches!(&*policy.class_name, "DTypePolicy" | "FloatDTypePolicy");
            (Settings::read(policy.config)?.text("name")?.filter(|_| plain), policy.class_name.contains("Quantized"))
        }
    };
    if name.is_some_and(|name| DTYPES.contains(&name.as_ref())) {
        return Ok(());
    }
    let python = match quantised {
        true => QUANTISED,
        false => {
            "weights of this type are not read; build the model under keras.config.set_dtype_policy(\"float32\") and give it these \
             weights: new.set_weights([w.astype(\"float32\") for w in model.get_weights()])"
        }
    };
    Err(format!("dtype={}: {python}", spelled(raw)))
}

/// What is said of weights that are not what was trained.
pub(super) const QUANTISED: &str =
    "quantised weights are not read; save the model as it was before model.quantize(...)";

/// The only order of axes that images and sequences have here.
pub(super) fn channels_last(s: &mut Settings) -> Result<(), Problem> {
    let python = "channels come last here; build the model with data_format=\"channels_last\" and give it the same weights, which \
                  have the same axes: new.set_weights(model.get_weights())";
    s.only("data_format", "\"channels_last\"", python)
}

/// Weights beside the kernel that were trained in its place.
pub(super) fn lora(s: &mut Settings) -> Result<(), Problem> {
    s.skip(&["lora_alpha"]);
    let python = "weights beside the kernel are not read; give a layer without them the sum: new.set_weights([layer.kernel, layer.bias])";
    s.only("lora_rank", "null", python)
}

/// An axis, which must be the last: −1, or by its number where the input has `rank` axes with the batch.
pub(super) fn last_axis(s: &mut Settings, rank: Option<usize>) -> Result<(), Problem> {
    let Some(raw) = s.take_any("axis") else { return Ok(()) };
    let axes = parse::<i64>(raw).map(|one| vec![one]).or_else(|_| list::<i64>(raw, 8)).unwrap_or_default();
    match axes[..] {
        [-1] => Ok(()),
        [axis] if rank.is_some_and(|rank| i64::try_from(rank).is_ok_and(|rank| axis == rank - 1)) => Ok(()),
        _ => Err(format!(
            "axis={}: only the last axis, -1, can be had; bring it to the end with keras.layers.Permute",
            spelled(raw)
        )),
    }
}

/// A function by its name, or a layer in its place.
pub(super) fn activation(s: &mut Settings, name: &str) -> Result<Activation, Problem> {
    let Some(raw) = s.take(name) else { return Ok(Activation::Linear) };
    if let Some(function) = text(raw) {
        return by_name(&function).ok_or_else(|| format!("{name}={}: no such activation", spelled(raw)));
    }
    let object = Object::read(raw)?;
    if object.class_name == "function" {
        let function = spelled(object.config);
        let python = "a function of its own, not Keras's; where Keras's is meant, pass it by its name";
        return Err(format!("{name}={function}: {python}: {name}={function}"));
    }
    of_object(&object).map_err(|problem| format!("{name}={:.80}: {problem}", object.class_name))
}

/// An activation that stands as a layer.
fn of_object(object: &Object) -> Result<Activation, Problem> {
    if !object.is_of(&["keras.layers"], "keras.src.layers.") {
        return Err(object.foreign());
    }
    let mut s = Settings::read(object.config)?;
    common(&mut s)?;
    let made = of_layer(&object.class_name, &mut s)?.ok_or_else(|| "no activation".to_owned())?;
    s.only("activity_regularizer", "null", "a penalty on an activation's output; give it to the layer")?;
    s.finish()?;
    Ok(made)
}

/// The activation that a layer of this class computes.
fn of_layer(class: &str, s: &mut Settings) -> Result<Option<Activation>, Problem> {
    Ok(Some(match class {
        "ReLU" => relu(s)?,
        "LeakyReLU" => Activation::LeakyRelu(s.number_or("negative_slope", 0.3)?),
        "ELU" => Activation::Elu(s.number_or("alpha", 1.0)?),
        "Softmax" => {
            last_axis(s, None)?;
            Activation::Softmax
        }
        "Activation" => activation(s, "activation")?,
        _ => return Ok(None),
    }))
}

fn by_name(name: &str) -> Option<Activation> {
    Some(match name {
        "linear" => Activation::Linear,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "leaky_relu" => Activation::LeakyRelu(0.2),
        "elu" => Activation::Elu(1.0),
        "celu" => Activation::Celu(1.0),
        "selu" => Activation::Selu,
        "gelu" => Activation::Gelu,
        "silu" | "swish" => Activation::Silu,
        "mish" => Activation::Mish,
        "sigmoid" => Activation::Sigmoid,
        "log_sigmoid" => Activation::LogSigmoid,
        "tanh" => Activation::Tanh,
        "tanh_shrink" => Activation::TanhShrink,
        "hard_tanh" => Activation::HardTanh,
        "hard_sigmoid" => Activation::HardSigmoid,
        "hard_silu" | "hard_swish" => Activation::HardSilu,
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "squareplus" => Activation::Squareplus,
        "exponential" => Activation::Exponential,
        "softmax" => Activation::Softmax,
        "log_softmax" => Activation::LogSoftmax,
        _ => return None,
    })
}

pub(super) fn relu(s: &mut Settings) -> Result<Activation, Problem> {
    let (max, slope, threshold) =
        (s.number("max_value")?, s.number_or("negative_slope", 0.0)?, s.number_or("threshold", 0.0)?);
    match (max, slope, threshold) {
        (None, 0.0, 0.0) => Ok(Activation::Relu),
        (Some(6.0), 0.0, 0.0) => Ok(Activation::Relu6),
        (None, slope, 0.0) => Ok(Activation::LeakyRelu(slope)),
        _ => {
            let max = max.map_or("None".to_owned(), |max| max.to_string());
            Err(format!("max_value={max} with negative_slope={slope} and threshold={threshold}: no such ReLU"))
        }
    }
}

/// An object of one of Keras's small families, with its settings.
fn member<'a>(raw: Raw<'a>, module: &str, below: &str) -> Result<(Cow<'a, str>, Settings<'a>), Problem> {
    let object = Object::read(raw)?;
    match object.is_of(&[module], below) && object.class_name != "function" {
        true => Ok((object.class_name, Settings::read(object.config)?)),
        false => Err(object.foreign()),
    }
}

/// A penalty.
pub(super) fn regularizer(s: &mut Settings, name: &str) -> Result<Option<Regularizer>, Problem> {
    let Some(raw) = s.take(name) else { return Ok(None) };
    let read = || {
        let (class, mut s) = member(raw, "keras.regularizers", "keras.src.regularizers.")?;
        let made = match &*class {
            "L1" => Regularizer::L1(s.number_or("l1", 0.01)?),
            "L2" => Regularizer::L2(s.number_or("l2", 0.01)?),
            "L1L2" => Regularizer::L1L2 { l1: s.number_or("l1", 0.0)?, l2: s.number_or("l2", 0.0)? },
            "OrthogonalRegularizer" => {
                let factor = s.number_or("factor", 0.01)?;
                match s.text("mode")?.as_deref() {
                    None | Some("rows") => Regularizer::OrthogonalRows(factor),
                    Some("columns") => Regularizer::OrthogonalColumns(factor),
                    Some(other) => return Err(format!("mode={other:.40}")),
                }
            }
            other => return Err(format!("no regularizer {other:.80}")),
        };
        s.finish().map(|()| made)
    };
    read().map(Some).map_err(|problem: Problem| format!("{name}={}: {problem}", spelled(raw)))
}

/// A bound on a weight.
pub(super) fn constraint(s: &mut Settings, name: &str) -> Result<Option<Constraint>, Problem> {
    let Some(raw) = s.take(name) else { return Ok(None) };
    let read = || {
        let (class, mut s) = member(raw, "keras.constraints", "keras.src.constraints.")?;
        let made = match &*class {
            "MaxNorm" => Constraint::max_norm(s.number_or("max_value", 2.0)?),
            "NonNeg" => Constraint::NonNeg,
            "UnitNorm" => Constraint::unit_norm(),
            "MinMaxNorm" => {
                let bounds = Constraint::min_max_norm(s.number_or("min_value", 0.0)?, s.number_or("max_value", 1.0)?);
                bounds.rate(s.number_or("rate", 1.0)?)
            }
            other => return Err(format!("no constraint {other:.80}")),
        };
        let axes = s.integers("axis")?.unwrap_or(vec![0]);
        let axes: Option<Vec<usize>> = axes.into_iter().map(|axis| usize::try_from(axis).ok()).collect();
        let axes = axes.ok_or("count its axes from 0")?;
        s.finish().map(|()| made.axis(axes))
    };
    read().map(Some).map_err(|problem: Problem| format!("{name}={}: {problem}", spelled(raw)))
}

/// How weights were first drawn, where there is the like here. Weights come from the file, so that nothing depends on it.
pub(super) fn initializer(s: &mut Settings, name: &str) -> Option<Init> {
    let (class, mut s) = member(s.take(name)?, "keras.initializers", "keras.src.initializers.").ok()?;
    let mut number = |name: &str, default: f64| s.number_or(name, default).ok();
    Some(match &*class {
        "Zeros" => Init::Zeros,
        "Ones" => Init::Ones,
        "Constant" => Init::Constant(number("value", 0.0)?),
        "RandomUniform" => Init::Uniform { min: number("minval", -0.05)?, max: number("maxval", 0.05)? },
        "RandomNormal" => Init::Normal { mean: number("mean", 0.0)?, std: number("stddev", 0.05)? },
        "TruncatedNormal" => Init::TruncatedNormal { mean: number("mean", 0.0)?, std: number("stddev", 0.05)? },
        "GlorotUniform" => Init::GlorotUniform,
        "GlorotNormal" => Init::GlorotNormal,
        "HeUniform" => Init::HeUniform,
        "HeNormal" => Init::HeNormal,
        "LecunUniform" => Init::LecunUniform,
        "LecunNormal" => Init::LecunNormal,
        "Orthogonal" | "OrthogonalInitializer" => Init::Orthogonal { gain: number("gain", 1.0)? },
        "Identity" | "IdentityInitializer" => Init::Identity { gain: number("gain", 1.0)? },
        _ => return None,
    })
    .filter(|init| init.check().is_ok())
}

/// What Keras keeps for a weight by its name: the initialiser, the penalty, the bound.
pub(super) type OfWeight = (Option<Init>, Option<Regularizer>, Option<Constraint>);

pub(super) fn of_weight(s: &mut Settings, name: &str) -> Result<OfWeight, Problem> {
    Ok((
        initializer(s, &format!("{name}_initializer")),
        regularizer(s, &format!("{name}_regularizer"))?,
        constraint(s, &format!("{name}_constraint"))?,
    ))
}

/// Hands a weight's settings to the builder's methods for it.
macro_rules! with_weight {
    ($layer:expr, $of:expr, $initializer:ident, $regularizer:ident, $constraint:ident) => {{
        let (initializer, regularizer, constraint) = $of;
        let layer = $crate::io::keras::settings::set($layer, initializer, |layer, v| layer.$initializer(v));
        let layer = $crate::io::keras::settings::set(layer, regularizer, |layer, v| layer.$regularizer(v));
        $crate::io::keras::settings::set(layer, constraint, |layer, v| layer.$constraint(v))
    }};
}

pub(super) use with_weight;
