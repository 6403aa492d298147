//! Rotary positions and windows, in the words of transformers 4 and 5.

use serde_json::{Map, Value};

use super::config::Config;
use crate::error::Result;
use crate::layers::{Rotary, RotaryScaling};

/// How the heads of a layer turn. Version 5 has all in `rope_parameters`, for each kind of layer where `kind` ("full_attention" …) is one of its keys; version
/// 4 has `rope_theta`, `rope_scaling` and `partial_rotary_factor` beside each other (GPT-NeoX: `rotary_emb_base`, `rotary_pct`).
pub(super) fn rotary(c: &mut Config, head_dim: usize, [theta, part]: [f64; 2], kind: Option<&str>) -> Result<Rotary> {
    let mut all = object(c, "rope_parameters")?;
    let key = if all.is_empty() { "rope_scaling" } else { "rope_parameters" };
    if let Some(own) = kind.and_then(|kind| all.remove(kind)) {
        all = match own {
            Value::Object(own) => own,
            _ => return Err(c.refuse(key, "an object for each kind of layer")),
        };
    }
    if key == "rope_scaling" {
        all = object(c, key)?;
    }
    let of = |c: &mut Config, names: &[&str], default: f64| {
        names.iter().try_fold(default, |before, name| c.number_or(name, before))
    };
    let theta = of(c, &["rotary_emb_base", "rope_theta"], theta)?;
    let part = of(c, &["rotary_pct", "partial_rotary_factor"], part)?;
    let mut number = |name: &str| match all.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| c.refuse(key, format!("a number for {name}"))),
    };
    let theta = number("rope_theta")?.unwrap_or(theta);
    let part = number("partial_rotary_factor")?.unwrap_or(part);
    let [factor, low, high, original] = [
        number("factor")?,
        number("low_freq_factor")?,
        number("high_freq_factor")?,
        number("original_max_position_embeddings")?,
    ];
    let names = ["rope_type", "type"].map(|name| all.remove(name)).into_iter().flatten();
    let named = names.into_iter().find(|name| !name.is_null());
    let name = match &named {
        Some(Value::String(name)) => name.as_str(),
        Some(_) => "",
        // Numbers of a scaling that has no name.
        None if [factor, low, high].iter().any(Option::is_some) => "",
        None => "default",
    };
    let known = "rope_type default, linear with factor, llama3 with factor, low_freq_factor, high_freq_factor and \
                 original_max_position_embeddings";
    let scaling = match (name, factor, low, high, original) {
        ("default", ..) => RotaryScaling::None,
        ("linear", Some(factor), ..) => RotaryScaling::Linear { factor },
        ("llama3", Some(factor), Some(low_freq_factor), Some(high_freq_factor), Some(original)) => {
            RotaryScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original as usize,
            }
        }
        _ => return Err(c.refuse(key, known)),
    };
    if !(all.is_empty() && part > 0.0 && part <= 1.0) {
        return Err(c.refuse(key, known));
    }
    let rotary = Rotary::new().theta(theta).scaling(scaling);
    // As transformers rounds.
    Ok(if part < 1.0 { rotary.turned((head_dim as f64 * part) as usize) } else { rotary })
}

/// How the heads of layers with a window turn, where they do so in their own way (Gemma 3): `rope_parameters` of `sliding_attention`, or with
/// `rope_local_base_freq` and without scaling.
pub(super) fn local_rotary(c: &mut Config, head_dim: usize, theta: f64) -> Result<Rotary> {
    let theta = c.number_or("rope_local_base_freq", theta)?;
    match object(c, "rope_parameters")?.contains_key("sliding_attention") {
        true => {
            // What stands at the top is of the others.
            let top = ["rope_theta", "rotary_emb_base"].map(|key| c.hide(key));
            let local = rotary(c, head_dim, [theta, 1.0], Some("sliding_attention"));
            top.into_iter().flatten().for_each(|(key, value)| c.set(&key, value));
            local
        }
        false => Ok(Rotary::new().theta(theta)),
    }
}

fn object(c: &mut Config, key: &str) -> Result<Map<String, Value>> {
    match c.value(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(values)) => Ok(values.clone()),
        Some(_) => Err(c.refuse(key, "an object, or null")),
    }
}

/// Which layers have a window, from `layer_types`; none where the file does not say.
pub(super) fn windowed(c: &mut Config, blocks: usize) -> Result<Option<Vec<bool>>> {
    let kinds = match c.value("layer_types") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(kinds)) => kinds.iter().map(|kind| match kind.as_str() {
            Some("full_attention") => Some(false),
            Some("sliding_attention") => Some(true),
            _ => None,
        }),
        Some(_) => return Err(c.refuse("layer_types", "a list of full_attention and sliding_attention")),
    };
    match kinds.collect::<Option<Vec<bool>>>().filter(|kinds| kinds.len() == blocks) {
        Some(kinds) => Ok(Some(kinds)),
        None => {
            Err(c.refuse("layer_types", format!("full_attention or sliding_attention for each of {blocks} layers")))
        }
    }
}

/// How many steps a layer with a window sees: null is no window, and where the file says nothing the class's own number counts.
pub(super) fn window(c: &mut Config, default: Option<usize>) -> Result<Option<usize>> {
    match c.value("sliding_window") {
        None => Ok(default),
        _ => c.size("sliding_window"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(name: &str, values: serde_json::Value) -> Config {
        let folder = std::env::temp_dir().join(format!("gradus-rope-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), values.to_string()).unwrap();
        let config = Config::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        config
    }

    /// GPT-NeoX turns a quarter where its file says nothing of that, in whatever words.
    #[test]
    fn parts_that_turn() {
        let quarter = Rotary::new().turned(4);
        for values in [
            json!({}),
            json!({"rotary_pct": null}),
            json!({"rope_parameters": null}),
            json!({"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
        ] {
            let mut c = config("quarter", values.clone());
            assert_eq!(rotary(&mut c, 16, [1e4, 0.25], None).unwrap(), quarter, "{values}");
        }
        let mut c = config("half", json!({"rotary_pct": 0.5}));
        assert_eq!(rotary(&mut c, 16, [1e4, 0.25], None).unwrap(), Rotary::new().turned(8));
    }

    /// What stands at the top is of layers that see all.
    #[test]
    fn layers_with_a_window_have_their_own() {
        let own = |values| local_rotary(&mut config("local", values), 8, 1e4).unwrap();
        assert_eq!(own(json!({"rope_theta": 1e6})), Rotary::new());
        assert_eq!(own(json!({"rope_theta": 1e6, "rope_local_base_freq": 500.0})), Rotary::new().theta(500.0));
        let nested = json!({"sliding_attention": {"rope_type": "default"}, "full_attention": {"rope_type": "linear", "factor": 8.0}});
        assert_eq!(own(json!({"rope_theta": 1e6, "rope_parameters": nested})), Rotary::new());
        let nested = json!({"sliding_attention": {"rope_type": "default", "rope_theta": 700.0}});
        assert_eq!(own(json!({"rope_parameters": nested})), Rotary::new().theta(700.0));
    }
}
