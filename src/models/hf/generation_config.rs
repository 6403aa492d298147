//! `generation_config.json`: how texts are generated.

use std::path::Path;

use serde_json::{Map, Value};

use super::config::{Config, read_object, tokens};
use crate::error::{Error, Result};
use crate::generation::{BeamStopping, GenerationSettings};

/// Keys that change no text, or that the caller says.
const HARMLESS: [&str; 18] = [
    "_from_model_config",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "decoder_start_token_id",
    "is_assistant",
    "max_length",
    "max_time",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "prefill_chunk_size",
    "remove_invalid_values",
    "return_dict_in_generate",
    "return_legacy_cache",
    "transformers_version",
    "use_cache",
];

/// Keys of generation that folders without a file for it have in `config.json`.
const IN_CONFIG: [&str; 24] = [
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "epsilon_cutoff",
    "eta_cutoff",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "min_length",
    "min_new_tokens",
    "min_p",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "repetition_penalty",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
];

/// The settings of a folder.
pub(super) fn read(folder: &Path, config: &Config) -> Result<GenerationSettings> {
    let file = folder.join("generation_config.json");
    if !file.exists() {
        return of_config(config);
    }
    let mut settings = GenerationSettings::default();
    for (key, value) in read_object(&file, 1 << 20)? {
        if value.is_null() || HARMLESS.contains(&key.as_str()) {
            continue;
        }
        settings = set(settings.clone(), &key, &value).ok_or_else(|| {
            let problem = format!("{key} is {value}, which is not built, or no value of it");
            Error::file(&file, problem, "take it out of the file, or make settings of your own")
        })?;
    }
    Ok(settings)
}

/// What `config.json` says of generation: folders before there was a file for it.
fn of_config(config: &Config) -> Result<GenerationSettings> {
    let mut settings = GenerationSettings::default().end_tokens(config.tokens("eos_token_id")?);
    if let Some(pad) = config.padding()? {
        settings = settings.pad_token(pad);
    }
    for key in IN_CONFIG {
        let Some(value) = config.get(key) else { continue };
        settings = set(settings, key, value).ok_or_else(|| {
            let problem = format!("{key} is {value}, which is not built, or no value of it");
            config.wrong(problem, "take it out of the file, or make settings of your own")
        })?;
    }
    if config.get("force_bos_token_to_be_generated") == Some(&Value::Bool(true))
        && config.get("forced_bos_token_id").is_none()
    {
        settings = settings.forced_bos(config.tokens("bos_token_id")?.first().copied());
    }
    Ok(settings)
}

/// The token with which a decoder begins.
pub(super) fn start_token(folder: &Path, config: &Config) -> Result<u32> {
    let file = folder.join("generation_config.json");
    let own = if file.exists() { read_object(&file, 1 << 20)? } else { Map::new() };
    for key in ["decoder_start_token_id", "bos_token_id"] {
        let of_file = tokens(own.get(key)).and_then(|tokens| tokens.first().copied());
        if let Some(token) = of_file.or(config.tokens(key)?.first().copied()) {
            return Ok(token);
        }
    }
    Err(config.wrong("there is no decoder_start_token_id", "name the token with which a decoder begins"))
}

/// The settings with one more; none for what is not known.
fn set(settings: GenerationSettings, key: &str, value: &Value) -> Option<GenerationSettings> {
    let size = || value.as_u64().map(|n| n as usize);
    let list = || tokens(Some(value));
    Some(match key {
        "max_new_tokens" => settings.max_new_tokens(size()?),
        "min_new_tokens" => settings.min_new_tokens(size()?),
        "min_length" => settings.min_length(size()?),
        "eos_token_id" => settings.end_tokens(list()?),
        "pad_token_id" => match list()?[..] {
            [pad] => settings.pad_token(pad),
            _ => return None,
        },
        "do_sample" => settings.do_sample(value.as_bool()?),
        "temperature" => settings.temperature(value.as_f64()?),
        // None of them, and all probability, is all tokens.
        "top_k" => settings.top_k(Some(size()?).filter(|k| *k > 0)),
        "top_p" => settings.top_p(Some(value.as_f64()?).filter(|p| *p != 1.0)),
        "min_p" => settings.min_p(value.as_f64()?),
        "typical_p" => settings.typical_p(Some(value.as_f64()?).filter(|p| *p != 1.0)),
        "epsilon_cutoff" => settings.epsilon_cutoff(Some(value.as_f64()?).filter(|p| *p != 0.0)),
        "eta_cutoff" => settings.eta_cutoff(Some(value.as_f64()?).filter(|p| *p != 0.0)),
        "repetition_penalty" => settings.repetition_penalty(value.as_f64()?),
        "no_repeat_ngram_size" => settings.no_repeat_ngram_size(size()?),
        "bad_words_ids" => {
            let words = value.as_array()?.iter().map(|word| tokens(Some(word))).collect::<Option<Vec<_>>>()?;
            settings.bad_words(words)
        }
        "suppress_tokens" => settings.suppress_tokens(list()?),
        "begin_suppress_tokens" => settings.begin_suppress_tokens(list()?),
        "forced_bos_token_id" => settings.forced_bos(value.as_u64().and_then(|id| u32::try_from(id).ok())?),
        "forced_eos_token_id" => settings.forced_eos(list()?),
        "num_beams" => settings.num_beams(size()?),
        "num_beam_groups" if value.as_u64() == Some(1) => settings,
        "num_return_sequences" => settings.num_return_sequences(size()?),
        "length_penalty" => settings.length_penalty(value.as_f64()?),
        "early_stopping" => settings.early_stopping(match value {
            Value::Bool(true) => BeamStopping::Full,
            Value::Bool(false) => BeamStopping::Likely,
            Value::String(never) if never == "never" => BeamStopping::Never,
            _ => return None,
        }),
        "diversity_penalty" | "encoder_no_repeat_ngram_size" | "guidance_scale" if is_off(value) => settings,
        "encoder_repetition_penalty" if value.as_f64() == Some(1.0) => settings,
        _ => return None,
    })
}

fn is_off(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_of_files() {
        let of = |key: &str, value: Value| set(GenerationSettings::default(), key, &value);
        let default = GenerationSettings::default;
        assert_eq!(of("eos_token_id", json!([1, 2])), Some(default().end_tokens([1, 2])));
        assert_eq!(of("eos_token_id", json!(3)), Some(default().end_tokens([3])));
        assert_eq!(of("top_k", json!(0)), Some(default()));
        assert_eq!(of("top_k", json!(50)), Some(default().top_k(50)));
        assert_eq!(of("early_stopping", json!("never")), Some(default().early_stopping(BeamStopping::Never)));
        assert_eq!(of("penalty_alpha", json!(0.6)), None);
        assert_eq!(of("temperature", json!("hot")), None);
    }
}
