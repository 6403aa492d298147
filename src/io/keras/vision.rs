//! Keras's convolutions, pools, normalisations and what belongs to them.

use serde_json::Value;

use super::settings::{activation, number};
use crate::layers::{
    AveragePooling, BatchNorm, Conv, ConvTranspose, Cropping, DepthwiseConv, GlobalAveragePooling, GlobalMaxPooling,
    GroupNorm, Interpolation, LayerConfig, LayerNorm, Margins, MaxPooling, Padding, RmsNorm, SeparableConv, Size,
    SpatialDropout, UpSampling, ZeroPadding,
};

/// A layer, and the last names of its weights in the order of Keras's arrays.
type Made = (LayerConfig, Vec<&'static str>);

/// The layer of a class of this family; none for another.
pub(super) fn layer(class: &str, config: &Value) -> Option<Result<Made, String>> {
    // The number of axes ends the names of those that have several versions.
    let (name, axes) =
        match class.len().checked_sub(2).filter(|&n| class.is_char_boundary(n)).map(|n| class.split_at(n)) {
            Some((name, "1D")) => (name, 1),
            Some((name, "2D")) => (name, 2),
            _ => (class, 0),
        };
    let transposed = class.strip_suffix("Transpose");
    Some(match (transposed.unwrap_or(name), axes) {
        ("Conv1D", _) => transpose::<1>(config),
        ("Conv2D", _) => transpose::<2>(config),
        (_, 1) => over::<1>(name, config)?,
        (_, 2) => over::<2>(name, config)?,
        (_, _) => normalisation(class, config)?,
    })
}

fn over<const D: usize>(name: &str, c: &Value) -> Option<Result<Made, String>>
where
    LayerConfig: From<Conv<D>>
        + From<DepthwiseConv<D>>
        + From<SeparableConv<D>>
        + From<MaxPooling<D>>
        + From<AveragePooling<D>>
        + From<GlobalMaxPooling<D>>
        + From<GlobalAveragePooling<D>>
        + From<SpatialDropout<D>>
        + From<UpSampling<D>>
        + From<ZeroPadding<D>>
        + From<Cropping<D>>,
{
    let plain = |layer: LayerConfig| Ok((layer, Vec::new()));
    let made = || match name {
        "Conv" => conv::<D>(c),
        "DepthwiseConv" => depthwise::<D>(c),
        "SeparableConv" => separable::<D>(c),
        "MaxPooling" => {
            let pool = MaxPooling::<D>::new(size(c, "pool_size")?).padding(padding(c)?);
            plain(pool.strides(size_or(c, "strides", size(c, "pool_size")?)?).into())
        }
        "AveragePooling" => {
            let pool = AveragePooling::<D>::new(size(c, "pool_size")?).padding(padding(c)?);
            plain(pool.strides(size_or(c, "strides", size(c, "pool_size")?)?).into())
        }
        "GlobalMaxPooling" => plain(GlobalMaxPooling::<D>::new().keepdims(c["keepdims"] == true).into()),
        "GlobalAveragePooling" => plain(GlobalAveragePooling::<D>::new().keepdims(c["keepdims"] == true).into()),
        "SpatialDropout" => plain(SpatialDropout::<D>::new(c["rate"].as_f64().unwrap_or(0.0)).into()),
        "UpSampling" => {
            let layer = UpSampling::<D>::new(size(c, "size")?);
            match c["interpolation"].as_str() {
                None | Some("nearest") => plain(layer.into()),
                Some("bilinear") => plain(layer.interpolation(Interpolation::Bilinear).into()),
                Some(other) => Err(format!("interpolation {other:.40}")),
            }
        }
        "ZeroPadding" => plain(ZeroPadding::<D>::new(margins::<D>(&c["padding"])?).into()),
        "Cropping" => plain(Cropping::<D>::new(margins::<D>(&c["cropping"])?).into()),
        _ => Err(String::new()),
    };
    const KNOWN: [&str; 11] = [
        "Conv",
        "DepthwiseConv",
        "SeparableConv",
        "MaxPooling",
        "AveragePooling",
        "GlobalMaxPooling",
        "GlobalAveragePooling",
        "SpatialDropout",
        "UpSampling",
        "ZeroPadding",
        "Cropping",
    ];
    KNOWN.contains(&name).then(|| channels_last(c).and_then(|()| made()))
}

fn channels_last(c: &Value) -> Result<(), String> {
    if c["data_format"] == "channels_first" { Err("channels_first".into()) } else { Ok(()) }
}

/// Calls the builder methods that all convolutions have.
macro_rules! settings {
    ($layer:expr, $c:expr) => {
        $layer
            .strides(size_or($c, "strides", 1.into())?)
            .padding(padding($c)?)
            .dilation_rate(size_or($c, "dilation_rate", 1.into())?)
            .activation(activation(&$c["activation"])?)
            .use_bias($c["use_bias"] != false)
    };
}

fn with_bias(c: &Value, mut names: Vec<&'static str>) -> Vec<&'static str> {
    if c["use_bias"] != false {
        names.push("bias");
    }
    names
}

fn conv<const D: usize>(c: &Value) -> Result<Made, String>
where
    LayerConfig: From<Conv<D>>,
{
    let layer = Conv::<D>::new(number(c, "filters")?, size(c, "kernel_size")?);
    let layer = layer.groups(c["groups"].as_u64().unwrap_or(1) as usize);
    Ok((settings!(layer, c).into(), with_bias(c, vec!["kernel"])))
}

fn transpose<const D: usize>(c: &Value) -> Result<Made, String>
where
    LayerConfig: From<ConvTranspose<D>>,
{
    channels_last(c)?;
    let layer = ConvTranspose::<D>::new(number(c, "filters")?, size(c, "kernel_size")?);
    let layer = if c["output_padding"].is_null() { layer } else { layer.output_padding(size(c, "output_padding")?) };
    Ok((settings!(layer, c).into(), with_bias(c, vec!["kernel"])))
}

fn depthwise<const D: usize>(c: &Value) -> Result<Made, String>
where
    LayerConfig: From<DepthwiseConv<D>>,
{
    let layer = DepthwiseConv::<D>::new(size(c, "kernel_size")?);
    let layer = layer.depth_multiplier(number(c, "depth_multiplier").unwrap_or(1));
    Ok((settings!(layer, c).into(), with_bias(c, vec!["kernel"])))
}

fn separable<const D: usize>(c: &Value) -> Result<Made, String>
where
    LayerConfig: From<SeparableConv<D>>,
{
    let layer = SeparableConv::<D>::new(number(c, "filters")?, size(c, "kernel_size")?);
    let layer = layer.depth_multiplier(number(c, "depth_multiplier").unwrap_or(1));
    Ok((settings!(layer, c).into(), with_bias(c, vec!["depthwise_kernel", "pointwise_kernel"])))
}

fn normalisation(class: &str, c: &Value) -> Option<Result<Made, String>> {
    let epsilon = |default: f64| c["epsilon"].as_f64().unwrap_or(default);
    let (scale, center) = (c["scale"] != false, c["center"] != false);
    let mut names = Vec::new();
    names.extend(scale.then_some("gamma"));
    names.extend(center.then_some("beta"));
    let layer = match class {
        "BatchNormalization" => {
            names.extend(["moving_mean", "moving_variance"]);
            let momentum = c["momentum"].as_f64().unwrap_or(0.99);
            LayerConfig::BatchNorm(
                BatchNorm::new().momentum(momentum).epsilon(epsilon(1e-3)).scale(scale).center(center),
            )
        }
        "LayerNormalization" => {
            LayerConfig::LayerNorm(LayerNorm::new().epsilon(epsilon(1e-3)).scale(scale).center(center))
        }
        "GroupNormalization" => {
            let groups = c["groups"].as_u64().unwrap_or(32) as usize;
            LayerConfig::GroupNorm(GroupNorm::new(groups).epsilon(epsilon(1e-3)).scale(scale).center(center))
        }
        "RMSNormalization" => {
            names = vec!["scale"];
            LayerConfig::RmsNorm(RmsNorm::new().epsilon(epsilon(1e-6)))
        }
        _ => return None,
    };
    let axis = &c["axis"];
    let last = axis.is_null() || *axis == -1 || *axis == Value::from(vec![-1]);
    Some(if last { Ok((layer, names)) } else { Err(format!("axis {axis:.40}; only the last, -1, can be had")) })
}

/// One number for all axes, or one for each.
fn size<const D: usize>(c: &Value, name: &str) -> Result<Size<D>, String> {
    let value = &c[name];
    if let Some(n) = value.as_u64() {
        return Ok(Size::from(n as usize));
    }
    let sizes: Vec<usize> = value.as_array().into_iter().flatten().filter_map(|v| Some(v.as_u64()? as usize)).collect();
    <[usize; D]>::try_from(sizes).map(Size::from).map_err(|_| format!("{name} {value:.40}"))
}

fn size_or<const D: usize>(c: &Value, name: &str, default: Size<D>) -> Result<Size<D>, String> {
    if c[name].is_null() { Ok(default) } else { size(c, name) }
}

fn padding(c: &Value) -> Result<Padding, String> {
    match c["padding"].as_str() {
        None | Some("valid") => Ok(Padding::Valid),
        Some("same") => Ok(Padding::Same),
        Some("causal") => Ok(Padding::Causal),
        Some(other) => Err(format!("padding {other:.40}")),
    }
}

/// Pairs for each axis; of a sequence the pair itself may stand there.
fn margins<const D: usize>(value: &Value) -> Result<Margins<D>, String> {
    let wrong = || format!("margins {value:.60}");
    let number = |v: &Value| v.as_u64().map(|n| n as usize);
    let pair = |v: &Value| match v.as_array().map(Vec::as_slice) {
        Some([a, b]) => Some([number(a)?, number(b)?]),
        _ => number(v).map(|n| [n; 2]),
    };
    let own = if D == 1 { pair(value).map(|p| vec![p]) } else { None };
    let pairs = own.or_else(|| value.as_array()?.iter().map(pair).collect()).ok_or_else(wrong)?;
    <[[usize; 2]; D]>::try_from(pairs).map(Margins::from).map_err(|_| wrong())
}
