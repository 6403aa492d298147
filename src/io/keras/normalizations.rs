//! Keras's normalisations.

use super::json::{Problem, Settings};
use super::made::Made;
use super::settings::{last_axis, of_weight, with_weight};
use crate::layers::{BatchNorm, GroupNorm, LayerNorm, RmsNorm, UnitNormalization};

/// Takes γ's and β's settings; those of one that is not there change nothing.
macro_rules! affine {
    ($layer:expr, $s:expr, $weights:expr) => {{
        let s: &mut Settings = $s;
        let (scale, center) = (s.flag_or("scale", true)?, s.flag_or("center", true)?);
        let (gamma, beta) = (of_weight(s, "gamma")?, of_weight(s, "beta")?);
        let layer = $layer.scale(scale).center(center);
        let layer = match scale {
            true => with_weight!(layer, gamma, gamma_initializer, gamma_regularizer, gamma_constraint),
            false => layer,
        };
        $weights.extend(scale.then_some("gamma"));
        $weights.extend(center.then_some("beta"));
        match center {
            true => with_weight!(layer, beta, beta_initializer, beta_regularizer, beta_constraint),
            false => layer,
        }
    }};
}

/// The layer of a class of this family; none for another.
pub(super) fn layer(class: &str, s: &mut Settings, rank: Option<usize>) -> Result<Option<Made>, Problem> {
    const KNOWN: [&str; 5] =
        ["BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization"];
    if !KNOWN.contains(&class) {
        return Ok(None);
    }
    last_axis(s, rank)?;
    let mut weights = Vec::new();
    Ok(Some(match class {
        "BatchNormalization" => {
            let python = "its statistics are not read; in inference it is the same without: new = BatchNormalization(...) in its \
                          place, new.set_weights(layer.get_weights()[:4])";
            s.only("renorm", "false", python)?;
            // Without renorm these say nothing.
            s.skip(&["renorm_clipping", "renorm_momentum"]);
            let layer =
                BatchNorm::new().momentum(s.number_or("momentum", 0.99)?).epsilon(s.number_or("epsilon", 1e-3)?);
            let layer = layer.synchronized(s.flag_or("synchronized", false)?);
            let layer = affine!(layer, s, weights);
            weights.extend(["moving_mean", "moving_variance"]);
            let (mean, _, _) = of_weight(s, "moving_mean")?;
            let (variance, _, _) = of_weight(s, "moving_variance")?;
            let layer = super::settings::set(layer, mean, BatchNorm::moving_mean_initializer);
            Made::new(super::settings::set(layer, variance, BatchNorm::moving_variance_initializer), weights)
        }
        "LayerNormalization" => {
            let python = "it divides by the deviation without taking the mean away; build keras.layers.RMSNormalization(epsilon=...) \
                          in its place and train it anew";
            s.only("rms_scaling", "false", python)?;
            Made::new(affine!(LayerNorm::new().epsilon(s.number_or("epsilon", 1e-3)?), s, weights), weights)
        }
        "GroupNormalization" => {
            let layer = GroupNorm::new(s.size("groups")?.unwrap_or(32)).epsilon(s.number_or("epsilon", 1e-3)?);
            Made::new(affine!(layer, s, weights), weights)
        }
        "RMSNormalization" => Made::new(RmsNorm::new().epsilon(s.number_or("epsilon", 1e-6)?), vec!["scale"]),
        _ => Made::new(UnitNormalization::new(), weights),
    }))
}
