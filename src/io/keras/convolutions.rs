//! Keras's convolutions.

use super::json::{Problem, Settings, spelled};
use super::made::Made;
use super::settings::{activation, channels_last, lora, of_weight, regularizer, set, with_weight};
use crate::layer::Layer;
use crate::layers::{Conv, ConvTranspose, DepthwiseConv, Padding, SeparableConv, Size};

/// The layer of a class of this family; none for another.
pub(super) fn layer(class: &str, s: &mut Settings) -> Result<Option<Made>, Problem> {
    Ok(Some(match class {
        "Conv1D" => conv::<1>(s)?,
        "Conv2D" => conv::<2>(s)?,
        "Conv1DTranspose" => transpose::<1>(s)?,
        "Conv2DTranspose" => transpose::<2>(s)?,
        "DepthwiseConv1D" => depthwise::<1>(s)?,
        "DepthwiseConv2D" => depthwise::<2>(s)?,
        "SeparableConv1D" => separable::<1>(s)?,
        "SeparableConv2D" => separable::<2>(s)?,
        _ => return Ok(None),
    }))
}

/// Takes the settings that all convolutions have; adds the bias to the weights.
macro_rules! shared {
    ($layer:expr, $s:expr, $weights:expr) => {{
        let s: &mut Settings = $s;
        channels_last(s)?;
        let layer = $layer
            .strides(size_or(s, "strides", 1.into())?)
            .padding(padding(s)?)
            .dilation_rate(size_or(s, "dilation_rate", 1.into())?)
            .activation(activation(s, "activation")?);
        let layer = set(layer, regularizer(s, "activity_regularizer")?, |layer, v| layer.activity_regularizer(v));
        let (bias, use_bias) = (of_weight(s, "bias")?, s.flag_or("use_bias", true)?);
        let mut weights: Vec<&'static str> = $weights.into();
        match use_bias {
            true => {
                weights.push("bias");
                let layer = with_weight!(layer, bias, bias_initializer, bias_regularizer, bias_constraint);
                Ok(Made::new(layer, weights))
            }
            false => Ok(Made::new(layer.use_bias(false), weights)),
        }
    }};
}

fn conv<const D: usize>(s: &mut Settings) -> Result<Made, Problem>
where
    Conv<D>: Layer<f32>,
{
    lora(s)?;
    let layer =
        Conv::<D>::new(s.needed_size("filters")?, size(s, "kernel_size")?).groups(s.size("groups")?.unwrap_or(1));
    let of = of_weight(s, "kernel")?;
    shared!(with_weight!(layer, of, kernel_initializer, kernel_regularizer, kernel_constraint), s, ["kernel"])
}

fn transpose<const D: usize>(s: &mut Settings) -> Result<Made, Problem>
where
    ConvTranspose<D>: Layer<f32>,
{
    let layer = ConvTranspose::<D>::new(s.needed_size("filters")?, size(s, "kernel_size")?);
    let layer = set(layer, optional(s, "output_padding")?, ConvTranspose::output_padding);
    let of = of_weight(s, "kernel")?;
    shared!(with_weight!(layer, of, kernel_initializer, kernel_regularizer, kernel_constraint), s, ["kernel"])
}

fn depthwise<const D: usize>(s: &mut Settings) -> Result<Made, Problem>
where
    DepthwiseConv<D>: Layer<f32>,
{
    let layer = DepthwiseConv::<D>::new(size(s, "kernel_size")?);
    let layer = layer.depth_multiplier(s.size("depth_multiplier")?.unwrap_or(1));
    let of = of_weight(s, "depthwise")?;
    shared!(with_weight!(layer, of, kernel_initializer, kernel_regularizer, kernel_constraint), s, ["kernel"])
}

fn separable<const D: usize>(s: &mut Settings) -> Result<Made, Problem>
where
    SeparableConv<D>: Layer<f32>,
{
    let layer = SeparableConv::<D>::new(s.needed_size("filters")?, size(s, "kernel_size")?);
    let layer = layer.depth_multiplier(s.size("depth_multiplier")?.unwrap_or(1));
    let (depthwise, pointwise) = (of_weight(s, "depthwise")?, of_weight(s, "pointwise")?);
    let layer = with_weight!(layer, depthwise, depthwise_initializer, depthwise_regularizer, depthwise_constraint);
    let layer = with_weight!(layer, pointwise, pointwise_initializer, pointwise_regularizer, pointwise_constraint);
    shared!(layer, s, ["depthwise_kernel", "pointwise_kernel"])
}

/// One number for all axes, or one for each; none where it is left out.
pub(super) fn optional<const D: usize>(s: &mut Settings, name: &str) -> Result<Option<Size<D>>, Problem> {
    let Some(raw) = s.take(name) else { return Ok(None) };
    if let Ok(one) = super::json::parse::<usize>(raw) {
        return Ok(Some(one.into()));
    }
    let sizes: Vec<usize> = super::json::list(raw, D).unwrap_or_default();
    let wrong = |_| format!("{name}={}, where {D} sizes are expected", spelled(raw));
    <[usize; D]>::try_from(sizes).map(|sizes| Some(sizes.into())).map_err(wrong)
}

pub(super) fn size<const D: usize>(s: &mut Settings, name: &str) -> Result<Size<D>, Problem> {
    optional(s, name)?.ok_or_else(|| format!("no {name}"))
}

pub(super) fn size_or<const D: usize>(s: &mut Settings, name: &str, default: Size<D>) -> Result<Size<D>, Problem> {
    Ok(optional(s, name)?.unwrap_or(default))
}

pub(super) fn padding(s: &mut Settings) -> Result<Padding, Problem> {
    match s.text("padding")?.as_deref() {
        None | Some("valid") => Ok(Padding::Valid),
        Some("same") => Ok(Padding::Same),
        Some("causal") => Ok(Padding::Causal),
        Some(other) => Err(format!("padding=\"{other:.40}\"")),
    }
}
