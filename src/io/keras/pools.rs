//! Keras's pools, and what else works along one or two axes without weights.

use super::convolutions::{padding, size, size_or};
use super::json::{Problem, Raw, Settings, list, parse, spelled};
use super::made::Made;
use super::settings::channels_last;
use crate::layers::{
    AveragePooling, Cropping, GlobalAveragePooling, GlobalMaxPooling, Interpolation, LayerConfig, Margins, MaxPooling,
    SpatialDropout, UpSampling, ZeroPadding,
};

/// The layer of a class of this family; none for another.
pub(super) fn layer(class: &str, s: &mut Settings) -> Result<Option<Made>, Problem> {
    let along = |name: &str| {
        const KNOWN: [&str; 8] = [
            "MaxPooling",
            "AveragePooling",
            "GlobalMaxPooling",
            "GlobalAveragePooling",
            "SpatialDropout",
            "UpSampling",
            "ZeroPadding",
            "Cropping",
        ];
        KNOWN.into_iter().find(|known| *known == name)
    };
    // The number of axes ends the name.
    if let Some(name) = class.strip_suffix("1D").and_then(along) {
        return over::<1>(name, s).map(|layer| Some(Made::plain(layer)));
    }
    if let Some(name) = class.strip_suffix("2D").and_then(along) {
        return over::<2>(name, s).map(|layer| Some(Made::plain(layer)));
    }
    Ok(None)
}

fn over<const D: usize>(name: &str, s: &mut Settings) -> Result<LayerConfig, Problem>
where
    LayerConfig: From<MaxPooling<D>>
        + From<AveragePooling<D>>
        + From<GlobalMaxPooling<D>>
        + From<GlobalAveragePooling<D>>
        + From<SpatialDropout<D>>
        + From<UpSampling<D>>
        + From<ZeroPadding<D>>
        + From<Cropping<D>>,
{
    channels_last(s)?;
    Ok(match name {
        "MaxPooling" => {
            let pool = size(s, "pool_size")?;
            MaxPooling::<D>::new(pool).padding(padding(s)?).strides(size_or(s, "strides", pool)?).into()
        }
        "AveragePooling" => {
            let pool = size(s, "pool_size")?;
            AveragePooling::<D>::new(pool).padding(padding(s)?).strides(size_or(s, "strides", pool)?).into()
        }
        "GlobalMaxPooling" => GlobalMaxPooling::<D>::new().keepdims(s.flag_or("keepdims", false)?).into(),
        "GlobalAveragePooling" => GlobalAveragePooling::<D>::new().keepdims(s.flag_or("keepdims", false)?).into(),
        "SpatialDropout" => {
            s.skip(&["seed"]);
            SpatialDropout::<D>::new(s.needed_number("rate")?).into()
        }
        "UpSampling" => {
            let layer = UpSampling::<D>::new(size(s, "size")?);
            match s.text("interpolation")?.as_deref() {
                None | Some("nearest") => layer.into(),
                Some("bilinear") => layer.interpolation(Interpolation::Bilinear).into(),
                Some(other) => return Err(format!("interpolation=\"{other:.40}\": nearest and bilinear can be had")),
            }
        }
        "ZeroPadding" => ZeroPadding::<D>::new(margins::<D>(s, "padding")?).into(),
        _ => Cropping::<D>::new(margins::<D>(s, "cropping")?).into(),
    })
}

/// Pairs for each axis; of a sequence the pair itself may stand there.
fn margins<const D: usize>(s: &mut Settings, name: &str) -> Result<Margins<D>, Problem> {
    let raw = s.take(name).ok_or_else(|| format!("no {name}"))?;
    let pair = |raw: Raw| match list::<usize>(raw, 2).as_deref() {
        Ok(&[a, b]) => Some([a, b]),
        _ => parse::<usize>(raw).ok().map(|n| [n; 2]),
    };
    let own = if D == 1 { pair(raw).map(|p| vec![p]) } else { None };
    let pairs = own.or_else(|| list::<Raw>(raw, D).ok()?.into_iter().map(pair).collect());
    let wrong = || format!("{name}={}, where {D} pairs are expected", spelled(raw));
    <[[usize; 2]; D]>::try_from(pairs.ok_or_else(wrong)?).map(Margins::from).map_err(|_| wrong())
}
