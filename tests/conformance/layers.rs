//! One layer: its output, and the gradients of Σ g·output.

use std::collections::BTreeSet;

use gradus::layers::{Conv, ConvTranspose, DepthwiseConv, LayerConfig, SeparableConv, Size};
use gradus::prelude::*;
use gradus::{Builder, Params, Pass, Slot, Statistics};

use crate::case::{Case, Config, Errors, Outcome, set};

/// Keras holds the √2 and the 0.044715 of GELU in single precision, 2e-8 and 1e-8 from what they are.
const SINGLE_CONSTANT: f64 = 3e-8;

/// Classes that are built.
const BUILT: [&str; 46] = [
    "activation",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "conv1d",
    "conv1d_transpose",
    "conv2d",
    "conv2d_transpose",
    "cropping1d",
    "cropping2d",
    "dense",
    "depthwise_conv1d",
    "depthwise_conv2d",
    "einsum_like_time_distributed_dense",
    "elu",
    "embedding",
    "flatten",
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_max_pool1d",
    "global_max_pool2d",
    "group_norm",
    "group_query_attention",
    "identity",
    "layer_norm",
    "leaky_relu",
    "max_pool1d",
    "max_pool2d",
    "multi_head_attention",
    "normalization",
    "permute",
    "prelu",
    "relu",
    "repeat_vector",
    "rescaling",
    "reshape",
    "rms_norm",
    "separable_conv1d",
    "separable_conv2d",
    "softmax",
    "time_distributed_dense",
    "unit_normalization",
    "up_sampling1d",
    "up_sampling2d",
    "zero_padding1d",
    "zero_padding2d",
];

pub fn run(case: &mut Case, errors: &mut Errors) -> Outcome {
    let class = case.class(BUILT.into_iter().chain(crate::LATER)).ok_or("not a known layer")?;
    if crate::LATER.contains(&class) {
        return Ok(Some(class));
    }
    // Layers with two ways of working say here which one is meant.
    let training = case.config.flag("training_mode")?.unwrap_or(true);
    let layer = layer(class, &mut case.config)?;
    pass::<f64>(case, layer.clone(), training, errors)?;
    pass::<f32>(case, layer, training, errors)?;
    Ok(None)
}

/// The layer of a class with settings under Keras's names.
fn layer(class: &str, c: &mut Config) -> Result<LayerConfig, String> {
    c.value("name");
    Ok(match class {
        "activation" => {
            let name = c.text("activation")?.ok_or("no activation")?;
            config(activation(&name, c)?)
        }
        "avg_pool1d" => config(average_pool::<1>(c)?),
        "avg_pool2d" => config(average_pool::<2>(c)?),
        "max_pool1d" => config(max_pool::<1>(c)?),
        "max_pool2d" => config(max_pool::<2>(c)?),
        "global_avg_pool1d" => config(set(GlobalAveragePooling1d::new(), keepdims(c)?, GlobalAveragePooling::keepdims)),
        "global_avg_pool2d" => config(set(GlobalAveragePooling2d::new(), keepdims(c)?, GlobalAveragePooling::keepdims)),
        "global_max_pool1d" => config(set(GlobalMaxPooling1d::new(), keepdims(c)?, GlobalMaxPooling::keepdims)),
        "global_max_pool2d" => config(set(GlobalMaxPooling2d::new(), keepdims(c)?, GlobalMaxPooling::keepdims)),
        "cropping1d" => config(Cropping1d::new(margins::<1>(c, "cropping")?)),
        "cropping2d" => config(Cropping2d::new(margins::<2>(c, "cropping")?)),
        "zero_padding1d" => config(ZeroPadding1d::new(margins::<1>(c, "padding")?)),
        "zero_padding2d" => config(ZeroPadding2d::new(margins::<2>(c, "padding")?)),
        "up_sampling1d" => config(UpSampling1d::new(size(c, "size")?.unwrap_or(2.into()))),
        "up_sampling2d" => {
            let layer = UpSampling2d::new(size(c, "size")?.unwrap_or(2.into()));
            config(match c.text("interpolation")?.as_deref() {
                None | Some("nearest") => layer,
                Some("bilinear") => layer.interpolation(Interpolation::Bilinear),
                Some(other) => return Err(format!("interpolation {other} is not known")),
            })
        }
        "batch_norm" => {
            c.only("axis", (-1).into())?;
            let layer = set(BatchNorm::new(), c.number("momentum")?, BatchNorm::momentum);
            let layer = set(layer, c.number("epsilon")?, BatchNorm::epsilon);
            let layer = set(layer, c.flag("center")?, BatchNorm::center);
            config(set(layer, c.flag("scale")?, BatchNorm::scale))
        }
        "layer_norm" => {
            c.only("axis", (-1).into())?;
            let layer = set(LayerNorm::new(), c.number("epsilon")?, LayerNorm::epsilon);
            let layer = set(layer, c.flag("center")?, LayerNorm::center);
            config(set(layer, c.flag("scale")?, LayerNorm::scale))
        }
        "group_norm" => {
            c.only("axis", (-1).into())?;
            let layer = GroupNorm::new(c.size("groups")?.unwrap_or(32) as usize);
            let layer = set(layer, c.number("epsilon")?, GroupNorm::epsilon);
            let layer = set(layer, c.flag("center")?, GroupNorm::center);
            config(set(layer, c.flag("scale")?, GroupNorm::scale))
        }
        "multi_head_attention" => {
            let size = |c: &mut Config, name: &str| c.size(name).map(|n| n.map(|n| n as usize));
            let heads = size(c, "num_heads")?.ok_or("no num_heads")?;
            config(attention(heads, size(c, "key_dim")?.ok_or("no key_dim")?, c)?)
        }
        "group_query_attention" => {
            let size = |c: &mut Config, name: &str| c.size(name)?.ok_or(format!("no {name}")).map(|n| n as usize);
            let (heads, width) = (size(c, "num_query_heads")?, size(c, "head_dim")?);
            let key_heads = size(c, "num_key_value_heads")?;
            config(attention(heads, width, c)?.key_heads(key_heads))
        }
        "rms_norm" => {
            c.only("axis", (-1).into())?;
            config(set(RmsNorm::new(), c.number("epsilon")?, RmsNorm::epsilon))
        }
        "conv1d" => config(conv::<1>(c)?),
        "conv2d" => config(conv::<2>(c)?),
        "conv1d_transpose" => config(conv_transpose::<1>(c)?),
        "conv2d_transpose" => config(conv_transpose::<2>(c)?),
        "depthwise_conv1d" => config(depthwise_conv::<1>(c)?),
        "depthwise_conv2d" => config(depthwise_conv::<2>(c)?),
        "separable_conv1d" => config(separable_conv::<1>(c)?),
        "separable_conv2d" => config(separable_conv::<2>(c)?),
        "elu" => config(set(Elu::new(), c.number("alpha")?, Elu::alpha)),
        "embedding" => {
            let mut size = |name: &str| c.size(name)?.ok_or(format!("no {name}")).map(|n| n as usize);
            config(Embedding::new(size("input_dim")?, size("output_dim")?))
        }
        "flatten" => config(Flatten::new()),
        "identity" => config(Identity::new()),
        "leaky_relu" => config(LeakyRelu::new().negative_slope(c.single("negative_slope")?.unwrap_or(0.3f32.into()))),
        "normalization" => {
            let (mean, variance) = (c.numbers("mean")?.ok_or("no mean")?, c.numbers("variance")?.ok_or("no variance")?);
            config(Normalization::from_stats(mean, variance))
        }
        "permute" => config(Permute::new(sizes(c, "dims")?.ok_or("no dims")?)),
        "prelu" => config(set(PRelu::new(), sizes(c, "shared_axes")?, PRelu::shared_axes)),
        "relu" => config(Activation::Relu),
        "repeat_vector" => config(RepeatVector::new(c.size("n")?.ok_or("no n")? as usize)),
        "rescaling" => {
            let scale = c.single("scale")?.ok_or("no scale")?;
            config(set(Rescaling::new(scale), c.single("offset")?, Rescaling::offset))
        }
        "reshape" => {
            let shape = c.numbers("target_shape")?.ok_or("no target_shape")?;
            config(Reshape::new(shape.into_iter().map(|n| n as isize).collect::<Vec<_>>()))
        }
        "softmax" => {
            c.only("axis", (-1).into())?;
            config(Softmax::new())
        }
        "unit_normalization" => {
            c.only("axis", (-1).into())?;
            config(UnitNormalization::new())
        }
        _ => {
            let units = c.size("units")?.ok_or("no units")?;
            let dense = set(Dense::new(units as usize), c.flag("use_bias")?, Dense::use_bias);
            let f = c.text("activation")?.map(|name| activation(&name, c)).transpose()?;
            config(set(dense, f, Dense::activation))
        }
    })
}

/// Calls the builder methods of the settings that all convolutions have, on a layer without the rest of them.
macro_rules! convolution {
    ($layer:expr, $type:ident, $c:expr) => {{
        let c = $c;
        let layer = set($layer, size(c, "strides")?, $type::<D>::strides);
        let layer = set(layer, size(c, "dilation_rate")?, $type::<D>::dilation_rate);
        let layer = set(layer, padding(c)?, $type::<D>::padding);
        let layer = set(layer, c.flag("use_bias")?, $type::<D>::use_bias);
        let f = c.text("activation")?.map(|name| activation(&name, c)).transpose()?;
        c.only("data_format", "channels_last".into())?;
        set(layer, f, $type::<D>::activation)
    }};
}

fn conv<const D: usize>(c: &mut Config) -> Result<Conv<D>, String> {
    let layer = Conv::<D>::new(filters(c)?, size(c, "kernel_size")?.ok_or("no kernel_size")?);
    let layer = set(layer, c.size("groups")?, |layer, n| layer.groups(n as usize));
    Ok(convolution!(layer, Conv, c))
}

fn conv_transpose<const D: usize>(c: &mut Config) -> Result<ConvTranspose<D>, String> {
    let layer = ConvTranspose::<D>::new(filters(c)?, size(c, "kernel_size")?.ok_or("no kernel_size")?);
    let layer = set(layer, size(c, "output_padding")?, ConvTranspose::<D>::output_padding);
    Ok(convolution!(layer, ConvTranspose, c))
}

fn depthwise_conv<const D: usize>(c: &mut Config) -> Result<DepthwiseConv<D>, String> {
    let layer = DepthwiseConv::<D>::new(size(c, "kernel_size")?.ok_or("no kernel_size")?);
    let layer = set(layer, c.size("depth_multiplier")?, |layer, n| layer.depth_multiplier(n as usize));
    Ok(convolution!(layer, DepthwiseConv, c))
}

fn separable_conv<const D: usize>(c: &mut Config) -> Result<SeparableConv<D>, String> {
    let layer = SeparableConv::<D>::new(filters(c)?, size(c, "kernel_size")?.ok_or("no kernel_size")?);
    let layer = set(layer, c.size("depth_multiplier")?, |layer, n| layer.depth_multiplier(n as usize));
    Ok(convolution!(layer, SeparableConv, c))
}

fn average_pool<const D: usize>(c: &mut Config) -> Result<AveragePooling<D>, String> {
    let layer = AveragePooling::<D>::new(size(c, "pool_size")?.unwrap_or(2.into()));
    let layer = set(layer, size(c, "strides")?, AveragePooling::<D>::strides);
    Ok(set(layer, padding(c)?, AveragePooling::<D>::padding))
}

fn max_pool<const D: usize>(c: &mut Config) -> Result<MaxPooling<D>, String> {
    let layer = MaxPooling::<D>::new(size(c, "pool_size")?.unwrap_or(2.into()));
    let layer = set(layer, size(c, "strides")?, MaxPooling::<D>::strides);
    Ok(set(layer, padding(c)?, MaxPooling::<D>::padding))
}

fn keepdims(c: &mut Config) -> Result<Option<bool>, String> {
    c.flag("keepdims")
}

/// One number for all sides, one for each axis, or a pair for each axis.
fn margins<const D: usize>(c: &mut Config, name: &str) -> Result<Margins<D>, String> {
    let value = c.value(name).unwrap_or(1.into());
    let wrong = || format!("{name} is {value}, expected {D} sizes or pairs");
    if let Some(size) = value.as_u64() {
        return Ok(Margins::from(size as usize));
    }
    let number = |v: &serde_json::Value| v.as_u64().map(|n| n as usize);
    let pair = |v: &serde_json::Value| match (number(v), v.as_array().map(Vec::as_slice)) {
        (Some(size), _) => Some([size; 2]),
        (None, Some([a, b])) => Some([number(a)?, number(b)?]),
        _ => None,
    };
    // Of a sequence the pair itself may stand there.
    let own = if D == 1 { pair(&value).map(|p| vec![p]) } else { None };
    let pairs = own.or_else(|| value.as_array()?.iter().map(pair).collect()).ok_or_else(wrong)?;
    Ok(Margins::from(<[[usize; 2]; D]>::try_from(pairs).map_err(|_| wrong())?))
}

fn filters(c: &mut Config) -> Result<usize, String> {
    Ok(c.size("filters")?.ok_or("no filters")? as usize)
}

/// One number for all axes, or one for each.
fn size<const D: usize>(c: &mut Config, name: &str) -> Result<Option<Size<D>>, String> {
    let Some(value) = c.value(name) else { return Ok(None) };
    let wrong = || format!("{name} is {value}, expected {D} sizes");
    if let Some(size) = value.as_u64() {
        return Ok(Some(Size::from(size as usize)));
    }
    let sizes: Vec<usize> =
        value.as_array().ok_or_else(wrong)?.iter().filter_map(|v| Some(v.as_u64()? as usize)).collect();
    Ok(Some(Size::from(<[usize; D]>::try_from(sizes).map_err(|_| wrong())?)))
}

fn padding(c: &mut Config) -> Result<Option<Padding>, String> {
    Ok(match c.text("padding")?.as_deref() {
        None => None,
        Some("valid") => Some(Padding::Valid),
        Some("same") => Some(Padding::Same),
        Some("causal") => Some(Padding::Causal),
        Some(other) => return Err(format!("padding {other} is not known")),
    })
}

fn sizes(c: &mut Config, name: &str) -> Result<Option<Vec<usize>>, String> {
    Ok(c.numbers(name)?.map(|v| v.into_iter().map(|n| n as usize).collect()))
}

fn config(layer: impl Layer<f64>) -> LayerConfig {
    layer.config()
}

/// The settings that both kinds of attention have.
fn attention(heads: usize, width: usize, c: &mut Config) -> Result<MultiHeadAttention, String> {
    let layer = MultiHeadAttention::new(heads, width);
    let layer = set(layer, c.size("value_dim")?.map(|n| n as usize), MultiHeadAttention::value_dim);
    let layer = set(layer, c.number("dropout")?, MultiHeadAttention::dropout);
    let layer = set(layer, c.flag("use_bias")?, MultiHeadAttention::use_bias);
    Ok(set(layer, c.flag("use_causal_mask")?, MultiHeadAttention::causal))
}

/// The activation of this name, with its settings.
pub fn activation(name: &str, c: &mut Config) -> Result<Activation, String> {
    Ok(match name {
        "gelu" if c.flag("approximate")? == Some(true) => Activation::GeluTanh,
        "leaky_relu" => Activation::LeakyRelu(c.single("negative_slope")?.unwrap_or(0.2f32.into())),
        "elu" => Activation::Elu(c.number("alpha")?.unwrap_or(1.0)),
        "celu" => Activation::Celu(c.number("alpha")?.unwrap_or(1.0)),
        name => name.parse().map_err(|e: Error| e.to_string())?,
    })
}

fn pass<T: Float>(case: &Case, layer: LayerConfig, training: bool, errors: &mut Errors) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let mut layer = layer.into_layer::<T>().map_err(text)?;
    let x = case.tensor::<T>("input")?;
    let mut builder = Builder::new(1);
    let class = layer.class();
    let output = builder.scoped(class, None, |b| layer.build(x.shape().sample(), b)).1.map_err(text)?;
    let mut params = builder.into_params();
    let names = assign(case, &mut params)?;

    let tolerance = if case.name.starts_with("activation_gelu") { SINGLE_CONSTANT } else { 1e-9 };
    let output = output.batched(x.samples()).map_err(text)?;
    let expected = case.tensor::<f64>("output")?;
    if output != expected.shape() {
        return Err(format!("the output has shape {output}, expected {}", expected.shape()));
    }
    let mut gradients = vec![T::zero(); params.len().max(1)];
    let mut statistics = Statistics::new(&params);
    let mut pass = Pass::training(&params, &mut gradients, 0, 0, 0).with_statistics(&mut statistics);
    pass.training = training;
    let (mut slot, mut y) = (Slot::new(), Tensor::full(output, T::nan()));
    layer.forward(&mut pass, &mut slot, &x, &mut y);
    errors.check("output", y.as_slice(), expected.as_slice(), tolerance)?;

    let (mut dy, mut dx) = (case.tensor::<T>("grad_output")?, Tensor::full(x.shape(), T::nan()));
    layer.backward(&mut pass, &mut slot, &x, &y, &mut dy, Some(&mut dx));
    if let Some(expected) = case.find::<f64>("grad_input") {
        errors.check("grad_input", dx.as_slice(), expected.as_slice(), tolerance)?;
    }
    statistics.apply(&mut params);
    for (name, spec) in &names {
        let range = params.specs()[*spec].range.clone();
        if let Some(mut expected) = case.find::<f64>(&format!("grad.{name}")) {
            if class.ends_with("Attention") && name == "key/bias" {
                // What is added to all scores of a query alike changes nothing: the file has what rounding left.
                expected.as_mut_slice().fill(0.0);
            }
            errors.check(format!("grad.{name}"), &gradients[range.clone()], expected.as_slice(), tolerance)?;
        }
        if let Some(expected) = case.find::<f64>(&format!("after.{name}")) {
            errors.check(format!("after.{name}"), &params.values()[range], expected.as_slice(), tolerance)?;
        }
    }
    let known: BTreeSet<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    for prefix in ["grad.", "after."] {
        if let Some(name) = case.names(prefix).iter().find(|n| !known.contains(n.as_str())) {
            return Err(format!("{prefix}{name} has no param.{name}"));
        }
    }
    Ok(())
}

/// Gives every parameter its value: of the parameters with the same last name and shape the one whose path has the most
/// words in common, the first of equals. Returns names in the file with positions in the model.
fn assign<T: Float>(case: &Case, params: &mut Params<T>) -> Result<Vec<(String, usize)>, String> {
    let specs = params.specs().to_vec();
    let mut free = vec![true; specs.len()];
    let mut names = Vec::new();
    for name in case.names("param.") {
        let value = case.tensor::<T>(&format!("param.{name}"))?;
        // Keras has an axis for the heads of attention, which stand side by side here.
        let same = |shape: Shape| {
            shape == value.shape()
                || (value.shape().rank() > shape.rank()
                    && shape.dims().iter().product::<usize>() == value.shape().dims().iter().product::<usize>())
        };
        let fits = |i: &usize| free[*i] && last(&specs[*i].name) == last(&name) && same(specs[*i].shape);
        let common = |i: &usize| words(&name).filter(|w| words(&specs[*i].name).any(|v| v == *w)).count();
        // Of equals max_by_key takes the last.
        let Some(found) = (0..specs.len()).rev().filter(fits).max_by_key(common) else {
            return Err(format!("no parameter for param.{name} {}", value.shape()));
        };
        free[found] = false;
        params.values_mut()[specs[found].range.clone()].copy_from_slice(value.as_slice());
        names.push((name, found));
    }
    match free.iter().position(|&f| f) {
        Some(left) => Err(format!("no value for {} {}", specs[left].name, specs[left].shape)),
        None => Ok(names),
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn words(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', '_'])
}
