//! Keras's layers as this crate's: each class with all its settings.

use super::json::{Object, Problem, Raw, Settings, list, parse, spelled};
use super::made::{Made, Step};
use super::settings::{
    QUANTISED, activation, channels_last, common, last_axis, lora, of_weight, regularizer, relu, set, with_weight,
};
use super::{attention, convolutions, merging, normalizations, pools};
use crate::error::Result as Read;
use crate::layer::Layer;
use crate::layers::{
    ActivityRegularization, AlphaDropout, Dense, Dropout, Elu, Embedding, Flatten, GaussianDropout, GaussianNoise,
    Identity, LayerConfig, LeakyRelu, Masking, Normalization, PRelu, Permute, RepeatVector, Rescaling, Reshape,
    Softmax, TimeDistributed,
};

/// A layer's configuration.
fn config(layer: impl Layer<f32>) -> LayerConfig {
    layer.config()
}

/// What is known of a layer besides its settings.
pub(super) struct About<'r> {
    /// The axes of its input with the batch, where the file says so.
    pub rank: Option<usize>,
    /// Where its arrays lie in the folder.
    pub below: String,
    /// The numbers of one of them.
    pub array: &'r dyn Fn(&str, usize) -> Read<Vec<f64>>,
}

/// The layer of a class; none for a class that this crate has not.
pub(super) fn layer(class: &str, s: &mut Settings, about: &About) -> Result<Option<Made>, Problem> {
    if let Some(made) = convolutions::layer(class, s)? {
        return Ok(Some(made));
    }
    if let Some(made) = pools::layer(class, s)? {
        return Ok(Some(made));
    }
    if let Some(made) = normalizations::layer(class, s, about.rank)? {
        return Ok(Some(made));
    }
    if let Some(made) = attention::layer(class, s)? {
        return Ok(Some(made));
    }
    if let Some(join) = merging::join(class, s)? {
        return Ok(Some(Made::of(Step::Join(join))));
    }
    Ok(Some(match class {
        "Dense" => dense(s)?,
        "PReLU" => {
            let of = of_weight(s, "alpha")?;
            let axes = s.integers("shared_axes")?.unwrap_or_default();
            let axes: Vec<usize> =
                axes.into_iter().map(usize::try_from).collect::<Result<_, _>>().map_err(|_| "shared_axes")?;
            let layer = PRelu::new().shared_axes(axes);
            Made::new(with_weight!(layer, of, alpha_initializer, alpha_regularizer, alpha_constraint), vec!["alpha"])
        }
        "Embedding" => embedding(s)?,
        "Normalization" => normalization(s, about)?,
        "TimeDistributed" => time_distributed(s, about)?,
        _ => match plain(class, s, about.rank)? {
            Some(layer) => Made::plain(layer),
            None => return Ok(None),
        },
    }))
}

fn dense(s: &mut Settings) -> Result<Made, Problem> {
    s.only("quantization_config", "null", QUANTISED)?;
    lora(s)?;
    let layer = Dense::new(s.needed_size("units")?).activation(activation(s, "activation")?);
    let layer = with_weight!(layer, of_weight(s, "kernel")?, kernel_initializer, kernel_regularizer, kernel_constraint);
    let layer = set(layer, regularizer(s, "activity_regularizer")?, Dense::activity_regularizer);
    let (bias, use_bias) = (of_weight(s, "bias")?, s.flag_or("use_bias", true)?);
    if !use_bias {
        return Ok(Made::new(layer.use_bias(false), vec!["kernel"]));
    }
    let layer = with_weight!(layer, bias, bias_initializer, bias_regularizer, bias_constraint);
    Ok(Made::new(layer, vec!["kernel", "bias"]))
}

fn embedding(s: &mut Settings) -> Result<Made, Problem> {
    s.only("quantization_config", "null", QUANTISED)?;
    lora(s)?;
    s.skip(&["input_length"]);
    let layer = Embedding::new(s.needed_size("input_dim")?, s.needed_size("output_dim")?);
    let layer = layer.mask_zero(s.flag_or("mask_zero", false)?);
    let of = of_weight(s, "embeddings")?;
    let layer = with_weight!(layer, of, embeddings_initializer, embeddings_regularizer, embeddings_constraint);
    Ok(Made::new(layer, vec!["embeddings"]))
}

/// A penalty on what a layer gives.
pub(super) const NO_PENALTY: &str = "a penalty on outputs can be had of Dense and the convolutions; keras.layers.ActivityRegularization(l1=..., \
                                     l2=...) behind the layer is the same";

/// A layer that is applied to each step.
fn time_distributed(s: &mut Settings, about: &About) -> Result<Made, Problem> {
    let raw = s.take("layer").ok_or("no layer")?;
    let object = Object::read(raw)?;
    let class = &*object.class_name;
    let here = |problem: Problem| format!("layer={class:.80}: {problem}");
    if !object.is_of(&["keras.layers"], "keras.src.layers.") {
        let problem = match object.is_of(&["keras", "keras.models"], "keras.src.models.") {
            true => {
                "one layer can be had inside, and no model; put each of its layers into a TimeDistributed of its own"
                    .to_owned()
            }
            false => object.foreign(),
        };
        return Err(here(problem));
    }
    let mut inner = Settings::read(object.config).map_err(here)?;
    let (_, trainable) = common(&mut inner).map_err(here)?;
    let depth = about.below.matches('/').count();
    if depth >= 8 {
        return Err(here("too many layers inside one another".to_owned()));
    }
    let about = About { rank: None, below: format!("{}/layer", about.below), array: about.array };
    let made = layer(class, &mut inner, &about).map_err(here)?.ok_or_else(|| here("no such layer".to_owned()))?;
    inner.only("activity_regularizer", "null", NO_PENALTY).map_err(here)?;
    inner.finish().map_err(here)?;
    let Step::Layer(config) = made.step else { return Err(here("it takes several tensors".to_owned())) };
    let below = format!("/layer{}", made.below);
    let step = Step::Layer(Box::new(self::config(TimeDistributed::around(*config))));
    Ok(Made { step, below, frozen: made.frozen || !trainable, ..made })
}

/// Layers without weights.
fn plain(class: &str, s: &mut Settings, rank: Option<usize>) -> Result<Option<LayerConfig>, Problem> {
    Ok(Some(match class {
        "Activation" => config(activation(s, "activation")?),
        "ReLU" => config(relu(s)?),
        "LeakyReLU" => config(LeakyRelu::new().negative_slope(s.number_or("negative_slope", 0.3)?)),
        "ELU" => config(Elu::new().alpha(s.number_or("alpha", 1.0)?)),
        "Softmax" => {
            last_axis(s, rank)?;
            config(Softmax::new())
        }
        "Dropout" | "GaussianDropout" | "AlphaDropout" => {
            // Draws follow from the seed of the model.
            s.skip(&["seed"]);
            let python = "values are dropped one by one here; to predict, layer.noise_shape = None changes nothing";
            s.only("noise_shape", "null", python)?;
            let rate = s.needed_number("rate")?;
            match class {
                "Dropout" => config(Dropout::new(rate)),
                "GaussianDropout" => config(GaussianDropout::new(rate)),
                _ => config(AlphaDropout::new(rate)),
            }
        }
        "GaussianNoise" => {
            s.skip(&["seed"]);
            config(GaussianNoise::new(s.needed_number("stddev")?))
        }
        "ActivityRegularization" => {
            config(ActivityRegularization::new().l1(s.number_or("l1", 0.0)?).l2(s.number_or("l2", 0.0)?))
        }
        "Flatten" => {
            channels_last(s)?;
            config(Flatten::new())
        }
        "Identity" => config(Identity::new()),
        "Masking" => config(Masking::new(s.number_or("mask_value", 0.0)?)),
        "Reshape" => {
            let sizes = s.integers("target_shape")?.ok_or("no target_shape")?;
            let sizes = sizes.into_iter().map(isize::try_from).collect::<Result<Vec<_>, _>>();
            config(Reshape::new(sizes.map_err(|_| "target_shape")?))
        }
        "Permute" => {
            let dims = s.integers("dims")?.ok_or("no dims")?;
            let dims = dims.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>();
            config(Permute::new(dims.map_err(|_| "dims")?))
        }
        "RepeatVector" => config(RepeatVector::new(s.needed_size("n")?.min(1 << 40))),
        "Rescaling" => config(Rescaling::new(one(s, "scale", None)?).offset(one(s, "offset", Some(0.0))?)),
        _ => return Ok(None),
    }))
}

/// A number where Keras also takes one for each channel.
fn one(s: &mut Settings, name: &str, default: Option<f64>) -> Result<f64, Problem> {
    match s.take(name) {
        None => default.ok_or_else(|| format!("no {name}")),
        Some(raw) => parse(raw).map_err(|_| {
            let python = "one number for all channels can be had; for each its own, keras.layers.Normalization(mean=..., variance=...)";
            format!("{name}={}: {python}", spelled(raw))
        }),
    }
}

/// Mean and variance, given or adapted.
fn normalization(s: &mut Settings, about: &About) -> Result<Made, Problem> {
    s.only("invert", "false", "only the way from values to their normalised form can be had")?;
    last_axis(s, about.rank)?;
    let (mean, variance) = (s.take("mean"), s.take("variance"));
    let (mean, variance, spare) = match (mean, variance) {
        (Some(mean), Some(variance)) => (numbers(mean)?, numbers(variance)?, 0),
        (None, None) => {
            let array = |i| (about.array)(&about.below, i).map_err(|e| e.to_string());
            // The third array counts what was seen.
            (array(0)?, array(1)?, 3)
        }
        _ => return Err("mean and variance must be given both or none".to_owned()),
    };
    let layer = Normalization::from_stats(mean.clone(), variance.clone());
    Ok(Made { given: vec![("mean", mean), ("variance", variance)], spare, ..Made::plain(config(layer)) })
}

/// The most statistics of a Normalization layer.
pub(super) const MAX_STATISTICS: usize = 1 << 20;

/// The numbers of a value; broadcast shapes come as lists in lists.
fn numbers(mut raw: Raw) -> Result<Vec<f64>, Problem> {
    let wrong = |raw: Raw| format!("{}, where numbers are expected", spelled(raw));
    for _ in 0..8 {
        if let Ok(one) = parse::<f64>(raw) {
            return Ok(vec![one]);
        }
        if let Ok(all) = list(raw, MAX_STATISTICS) {
            return Ok(all);
        }
        match list::<Raw>(raw, 1).as_deref() {
            Ok(&[inner]) => raw = inner,
            _ => return Err(wrong(raw)),
        }
    }
    Err(wrong(raw))
}
