//! The settings of a GGUF file in the words of `config.json`, so that a family is read in one way.

use serde_json::{Map, Value, json};

use super::super::config::Config;
use super::keys::Keys;
use super::names::{ARCHS, Arch};
use super::rope;
use crate::error::{Error, Result};
use crate::io::{Gguf, GgufArray, GgufValue};

/// What a file says of its model.
pub(super) struct Settings {
    pub config: Config,
    pub arch: &'static Arch,
    /// Heads of queries and of keys.
    pub heads: [usize; 2],
}

/// The settings of a file; keys of the architecture that nobody asks for are an error, unless they are to be ignored.
pub(super) fn read(file: &mut Gguf<'static>, ignored: &[String]) -> Result<Settings> {
    let known = || ARCHS.iter().map(|arch| arch.name).collect::<Vec<_>>().join(", ");
    let Some(named) = file.architecture() else {
        let hint = format!("take a file of a model; known: {}", known());
        return Err(Error::file(file.path(), "it has no general.architecture", hint));
    };
    let Some(arch) = ARCHS.iter().find(|arch| arch.name == named) else {
        let problem = format!("general.architecture is {named:?}, which is not built");
        return Err(Error::file(file.path(), problem, format!("known: {}", known())));
    };
    let factors = rope::factors(file)?;
    let keys = Keys::new(file, arch.name);
    let (values, heads) = describe(&keys, arch, factors.as_deref())?;
    keys.finish(ignored)?;
    Ok(Settings { config: Config::of(file.path(), values), arch, heads })
}

/// `config.json` of a file, and its numbers of heads.
fn describe(keys: &Keys<'_>, arch: &Arch, factors: Option<&[f32]>) -> Result<(Map<String, Value>, [usize; 2])> {
    let Some(&[vocabulary, _]) = keys.file.tensor("token_embd.weight").map(|tensor| &tensor.shape[..]) else {
        return Err(keys.wrong("it has no matrix token_embd.weight"));
    };
    let (features, blocks) = (keys.need("embedding_length")?, keys.need("block_count")?);
    let heads = keys.need("attention.head_count")?;
    let positions = keys.need("context_length")?;
    if heads == 0 {
        return Err(keys.wrong(format!("{} is 0", keys.name("attention.head_count"))));
    }
    let key_heads = keys.size("attention.head_count_kv")?.unwrap_or(heads);
    let hidden = keys.need("feed_forward_length")?;
    keys.only("expert_count", 0)?;
    if keys.flag("attention.causal")? == Some(false) {
        return Err(keys.refuse("attention.causal", true));
    }
    let mut values = Map::new();
    let mut set = |key: &str, value: Value| drop(values.insert(key.to_owned(), value));
    set("model_type", arch.model_type.into());
    set("architectures", json!([arch.class]));
    set("vocab_size", vocabulary.into());
    // Where there are two matrices that differ, both are kept.
    set("tie_word_embeddings", true.into());
    tokens(keys.file, vocabulary, &mut set);
    if matches!(arch.name, "gpt2" | "gptneox") {
        set(
            if arch.name == "gpt2" { "layer_norm_epsilon" } else { "layer_norm_eps" },
            epsilon(keys, "layer_norm_epsilon")?,
        );
    }
    if arch.name == "gpt2" {
        for (key, value) in [("n_embd", features), ("n_layer", blocks), ("n_head", heads), ("n_inner", hidden)] {
            set(key, value.into());
        }
        set("n_positions", positions.into());
        only_heads(keys, "attention.head_count_kv", key_heads, heads)?;
        return Ok((values, [heads, heads]));
    }
    for (key, value) in [
        ("hidden_size", features),
        ("num_hidden_layers", blocks),
        ("num_attention_heads", heads),
        ("intermediate_size", hidden),
        ("max_position_embeddings", positions),
    ] {
        set(key, value.into());
    }
    let turned = keys.size("rope.dimension_count")?;
    let head_dim = match keys.size("attention.key_length")? {
        Some(head_dim) => head_dim,
        None if features.is_multiple_of(heads) => features / heads,
        None => return Err(keys.wrong(format!("{heads} heads do not divide {features} features"))),
    };
    if keys.size("attention.value_length")?.is_some_and(|width| width != head_dim) {
        return Err(keys.refuse("attention.value_length", head_dim));
    }
    let (theta, scaling) = rope::read(keys, head_dim, factors)?;
    set("rope_theta", theta.into());
    if let Some(scaling) = scaling {
        set("rope_scaling", scaling);
    }
    let part = part(turned.unwrap_or(head_dim), head_dim);
    if arch.name == "gptneox" {
        only_heads(keys, "attention.head_count_kv", key_heads, heads)?;
        set("rotary_pct", part.into());
        set("use_parallel_residual", keys.flag("use_parallel_residual")?.unwrap_or(true).into());
        set("attention_bias", keys.has("blk.0.attn_qkv.bias").into());
        return Ok((values, [heads, heads]));
    }
    for (key, value) in [("num_key_value_heads", key_heads), ("head_dim", head_dim)] {
        set(key, value.into());
    }
    set("rms_norm_eps", epsilon(keys, "layer_norm_rms_epsilon")?);
    match arch.name {
        "phi3" => set("partial_rotary_factor", part.into()),
        _ if part < 1.0 => return Err(keys.refuse("rope.dimension_count", head_dim)),
        _ => {}
    }
    let window = keys.size("attention.sliding_window")?.filter(|window| *window > 0);
    let bias = keys.has("blk.0.attn_q.bias");
    match arch.name {
        "llama" => {
            set("attention_bias", bias.into());
            set("mlp_bias", keys.has("blk.0.ffn_down.bias").into());
            if let Some(window) = window.filter(|window| *window < positions) {
                // What llama.cpp calls llama is also Mistral.
                set("model_type", "mistral".into());
                set("architectures", json!(["MistralForCausalLM"]));
                set("attention_bias", Value::Null);
                set("mlp_bias", Value::Null);
                set("sliding_window", window.into());
            }
        }
        "phi3" => {
            set("original_max_position_embeddings", json!(keys.size("rope.scaling.original_context_length")?));
            set("sliding_window", json!(window));
        }
        "qwen2" | "qwen3" => {
            if window.is_some_and(|window| window < positions) {
                return Err(keys.refuse("attention.sliding_window", "none"));
            }
            if arch.name == "qwen3" {
                set("attention_bias", bias.into());
            }
        }
        _ => {
            set("attention_bias", bias.into());
            // The largest ones scale by their width.
            let largest = if arch.name == "gemma2" { 46 } else { 62 };
            let scaled = if blocks == largest { features / heads } else { head_dim };
            set("query_pre_attn_scalar", scaled.into());
            let default = |value: f64| (arch.name == "gemma2").then_some(value);
            for (key, theirs, default) in [
                ("attn_logit_softcapping", "attn_logit_softcapping", default(50.0)),
                ("final_logit_softcapping", "final_logit_softcapping", default(30.0)),
            ] {
                let cap = keys.number(key)?.or(default).filter(|cap| *cap != 0.0);
                set(theirs, json!(cap));
            }
            if window.is_some() || arch.name == "gemma2" {
                set("sliding_window", window.unwrap_or(4096).into());
                set("layer_types", json!(windowed(keys, arch, blocks)?));
            } else {
                set("sliding_window", Value::Null);
            }
            if arch.name == "gemma3" {
                set("rope_local_base_freq", keys.number("rope.freq_base_swa")?.unwrap_or(1e4).into());
            }
        }
    }
    Ok((values, [heads, key_heads]))
}

fn epsilon(keys: &Keys<'_>, key: &str) -> Result<Value> {
    let key = format!("attention.{key}");
    match keys.number(&key)? {
        Some(epsilon) => Ok(epsilon.into()),
        None => Err(keys.wrong(format!("it has no {}", keys.name(&key)))),
    }
}

fn only_heads(keys: &Keys<'_>, key: &str, got: usize, heads: usize) -> Result<()> {
    if got == heads { Ok(()) } else { Err(keys.refuse(key, heads)) }
}

/// The part of a head that turns, of which transformers makes so many values again.
fn part(turned: usize, head_dim: usize) -> f64 {
    let part = turned as f64 / head_dim.max(1) as f64;
    if (head_dim as f64 * part) as usize == turned { part } else { part.next_up() }
}

/// Which blocks have a window, in transformers' words: every second one (Gemma 2), or all but every sixth, unless the file says otherwise.
fn windowed(keys: &Keys<'_>, arch: &Arch, blocks: usize) -> Result<Vec<&'static str>> {
    let key = "attention.sliding_window_pattern";
    let kind = |windowed: bool| if windowed { "sliding_attention" } else { "full_attention" };
    if blocks > 1 << 12 {
        return Err(keys.wrong(format!("{} is {blocks}", keys.name("block_count"))));
    }
    if let Some(GgufValue::Array(GgufArray::Bool(pattern))) = keys.value(key) {
        if pattern.len() != blocks {
            return Err(keys.wrong(format!("{} has {} values for {blocks} blocks", keys.name(key), pattern.len())));
        }
        return Ok(pattern.iter().map(|windowed| kind(*windowed)).collect());
    }
    let period = keys.size(key)?.unwrap_or(if arch.name == "gemma2" { 2 } else { 6 });
    Ok((1..=blocks).map(|i| kind(period != 0 && !i.is_multiple_of(period))).collect())
}

/// Tokens with a meaning.
fn tokens(file: &Gguf<'_>, vocabulary: usize, set: &mut impl FnMut(&str, Value)) {
    let token = |key: &str| {
        let value = file.get(&format!("tokenizer.ggml.{key}_token_id")).and_then(GgufValue::as_u64);
        value.filter(|token| *token < vocabulary as u64)
    };
    set("bos_token_id", json!(token("bos")));
    set("pad_token_id", json!(token("padding")));
    // Generation ends with each of them.
    let mut ends = Vec::new();
    for end in ["eos", "eot", "eom"].into_iter().filter_map(token) {
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    set(
        "eos_token_id",
        if let [end] = ends[..] {
            end.into()
        } else if ends.is_empty() {
            Value::Null
        } else {
            json!(ends)
        },
    );
}
