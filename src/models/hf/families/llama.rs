//! Llama, and what differs from it by settings alone: Mistral, Qwen 2 and 3, Phi-3, Gemma 2 and 3.

use super::super::config::{Config, Recipe};
use super::super::family::{Family, Source, Task, Wired};
use super::super::rope::{local_rotary, rotary, window, windowed};
use super::super::table::Table;
use super::super::weights::Naming;
use crate::error::Result;
use crate::graph::Graph;
use crate::models::Llama;
use crate::tensor::FREE;

const NAMING: Naming = Naming {
    prefix: "model.",
    roots: &["embed_tokens.", "layers.", "norm."],
    buffers: &[".rotary_emb.inv_freq"],
    heads: &[],
};

pub(super) const LLAMA: Family = Family {
    model_type: "llama",
    classes: &[(Task::CausalLm, "LlamaForCausalLM")],
    others: &["LLaMAForCausalLM"],
    naming: NAMING,
    wire: llama,
};

pub(super) const MISTRAL: Family = Family {
    model_type: "mistral",
    classes: &[(Task::CausalLm, "MistralForCausalLM")],
    others: &[],
    naming: NAMING,
    wire: mistral,
};

pub(super) const QWEN2: Family = Family {
    model_type: "qwen2",
    classes: &[(Task::CausalLm, "Qwen2ForCausalLM")],
    others: &[],
    naming: NAMING,
    wire: qwen2,
};

pub(super) const QWEN3: Family = Family {
    model_type: "qwen3",
    classes: &[(Task::CausalLm, "Qwen3ForCausalLM")],
    others: &[],
    naming: NAMING,
    wire: qwen3,
};

pub(super) const PHI3: Family = Family {
    model_type: "phi3",
    classes: &[(Task::CausalLm, "Phi3ForCausalLM")],
    others: &[],
    naming: NAMING,
    wire: phi3,
};

pub(super) const GEMMA2: Family = Family {
    model_type: "gemma2",
    classes: &[(Task::CausalLm, "Gemma2ForCausalLM")],
    others: &[],
    naming: NAMING,
    wire: gemma2,
};

pub(super) const GEMMA3: Family = Family {
    model_type: "gemma3_text",
    classes: &[(Task::CausalLm, "Gemma3ForCausalLM")],
    others: &[],
    naming: NAMING,
    wire: gemma3,
};

/// What the classes have where a file says nothing.
struct Defaults {
    vocabulary: usize,
    features: usize,
    blocks: usize,
    heads: usize,
    head_dim: Option<usize>,
    hidden: usize,
    activation: (&'static str, &'static str),
    positions: usize,
    key_heads: Option<usize>,
    epsilon: f64,
    theta: f64,
    padding: Option<usize>,
    tied: bool,
}

/// Those of Llama.
const DEFAULTS: Defaults = Defaults {
    vocabulary: 32000,
    features: 4096,
    blocks: 32,
    heads: 32,
    head_dim: None,
    hidden: 11008,
    activation: ("hidden_act", "silu"),
    positions: 2048,
    key_heads: None,
    epsilon: 1e-6,
    theta: 1e4,
    padding: None,
    tied: false,
};

fn llama(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let mut settings = settings(s, &DEFAULTS)?;
    let bias = s.config.flag_or("attention_bias", false)?;
    (settings.attention_bias, settings.output_bias) = (bias, bias);
    settings.feed_forward_bias = s.config.flag_or("mlp_bias", false)?;
    wire(s, settings, DEFAULTS.positions)
}

fn mistral(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let defaults = Defaults { hidden: 14336, positions: 4096 * 32, key_heads: Some(8), ..DEFAULTS };
    let mut settings = settings(s, &defaults)?;
    s.config.only("attention_bias", false)?;
    settings.window = window(s.config, Some(4096))?;
    settings.windowed = windowed(s.config, settings.blocks)?.unwrap_or_default();
    wire(s, settings, defaults.positions)
}

fn qwen2(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let defaults = Defaults { vocabulary: 151936, hidden: 22016, positions: 32768, key_heads: Some(32), ..DEFAULTS };
    let mut settings = settings(s, &defaults)?;
    settings.attention_bias = true;
    s.config.only("use_mrope", false)?;
    // The class has no such setting: queries, keys and values have biases, whatever it says.
    s.config.value("attention_bias");
    qwen_windows(s.config, &mut settings)?;
    wire(s, settings, defaults.positions)
}

fn qwen3(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let head_dim = Some(128);
    let defaults =
        Defaults { vocabulary: 151936, hidden: 22016, positions: 32768, key_heads: Some(32), head_dim, ..DEFAULTS };
    let mut settings = settings(s, &defaults)?;
    let bias = s.config.flag_or("attention_bias", false)?;
    (settings.attention_bias, settings.output_bias) = (bias, bias);
    settings.qk_norm = true;
    qwen_windows(s.config, &mut settings)?;
    wire(s, settings, defaults.positions)
}

/// A window that is there acts only where it is said to be used, from some layer on.
fn qwen_windows(c: &mut Config, settings: &mut Llama) -> Result<()> {
    let window = window(c, Some(4096))?;
    let uses = c.flag_or("use_sliding_window", false)?;
    let first = c.size_or("max_window_layers", 28)?;
    settings.window = window.filter(|_| uses);
    let kinds = windowed(c, settings.blocks)?;
    settings.windowed = kinds.unwrap_or_else(|| (0..settings.blocks).map(|i| i >= first).collect());
    Ok(())
}

fn phi3(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let (vocabulary, padding) = (32064, Some(32000));
    let defaults =
        Defaults { vocabulary, features: 3072, hidden: 8192, positions: 4096, epsilon: 1e-5, padding, ..DEFAULTS };
    let mut settings = settings(s, &defaults)?;
    settings.fused = true;
    s.config.only("attention_bias", false)?;
    settings.window = window(s.config, None)?;
    settings.windowed = windowed(s.config, settings.blocks)?.unwrap_or_default();
    settings.dropout = s.config.dropout_or("resid_pdrop", 0.0)?;
    // Python reads it and drops nothing.
    s.config.dropout_or("embd_pdrop", 0.0)?;
    // Of use to scalings of positions that are refused.
    s.config.size("original_max_position_embeddings")?;
    wire(s, settings, defaults.positions)
}

/// Those of Gemma 2.
const GEMMA: Defaults = Defaults {
    vocabulary: 256000,
    features: 2304,
    blocks: 26,
    heads: 8,
    head_dim: Some(256),
    hidden: 9216,
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    positions: 8192,
    key_heads: Some(4),
    padding: Some(0),
    tied: true,
    ..DEFAULTS
};

fn gemma(s: &mut Source<'_>, defaults: &Defaults) -> Result<Llama> {
    let mut settings = settings(s, defaults)?;
    let c = &mut *s.config;
    // Files have both; Python reads `hidden_activation` alone.
    c.value("hidden_act");
    let bias = c.flag_or("attention_bias", false)?;
    (settings.attention_bias, settings.output_bias) = (bias, bias);
    settings.unit_offset = true;
    settings.post_norm = true;
    settings.embedding_scale = Some((settings.features as f64).sqrt());
    settings.scale = Some(c.number_or("query_pre_attn_scalar", 256.0)?.powf(-0.5));
    settings.window = window(c, Some(4096))?;
    c.only("use_bidirectional_attention", false)?;
    Ok(settings)
}

fn gemma2(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let mut settings = gemma(s, &GEMMA)?;
    settings.soft_cap = s.config.number_unless_null("attn_logit_softcapping", Some(50.0))?;
    settings.logit_cap = s.config.number_unless_null("final_logit_softcapping", Some(30.0))?;
    let kinds = windowed(s.config, settings.blocks)?;
    settings.windowed = kinds.unwrap_or_else(|| (0..settings.blocks).map(|i| i % 2 == 0).collect());
    wire(s, settings, GEMMA.positions)
}

fn gemma3(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let defaults = Defaults { vocabulary: 262208, positions: 131072, theta: 1e6, ..GEMMA };
    let mut settings = gemma(s, &defaults)?;
    settings.qk_norm = true;
    settings.soft_cap = s.config.number_unless_null("attn_logit_softcapping", None)?;
    settings.logit_cap = s.config.number_unless_null("final_logit_softcapping", None)?;
    settings.windowed_rotary = Some(local_rotary(s.config, settings.head_dim.unwrap_or(0), 1e4)?);
    let full = [s.config.size("sliding_window_pattern")?, s.config.size("_sliding_window_pattern")?];
    let full = full.into_iter().flatten().next().unwrap_or(6).max(1);
    let kinds = windowed(s.config, settings.blocks)?;
    settings.windowed = kinds.unwrap_or_else(|| (1..=settings.blocks).map(|i| i % full != 0).collect());
    wire(s, settings, defaults.positions)
}

fn settings(s: &mut Source<'_>, defaults: &Defaults) -> Result<Llama> {
    let blocks = s.blocks("num_hidden_layers", defaults.blocks)?;
    let tied = s.tied("lm_head.weight", "model.embed_tokens.weight", defaults.tied)?;
    let vocabulary = s.config.size_or("vocab_size", defaults.vocabulary)?;
    let padding = s.padding(defaults.padding, vocabulary)?;
    let c = &mut *s.config;
    c.only("is_encoder_decoder", false)?;
    c.only("is_decoder", false)?;
    c.only("rope_interleaved", false)?;
    // Null is as many as heads, and nothing what the class has.
    let key_heads = if c.value("num_key_value_heads").is_some() { None } else { defaults.key_heads };
    let features = c.size_or("hidden_size", defaults.features)?;
    let heads = c.size_or("num_attention_heads", defaults.heads)?;
    let head_dim = match c.size("head_dim")?.or(defaults.head_dim) {
        Some(head_dim) => head_dim,
        None if heads > 0 && features.is_multiple_of(heads) => features / heads,
        None => return Err(c.refuse("num_attention_heads", format!("a divisor of hidden_size, {features}"))),
    };
    let (key, activation) = defaults.activation;
    Ok(Llama {
        vocabulary,
        features,
        blocks,
        heads,
        key_heads: c.size("num_key_value_heads")?.or(key_heads).unwrap_or(heads),
        head_dim: Some(head_dim),
        hidden: c.size_or("intermediate_size", defaults.hidden)?,
        activation: c.activation_or(key, activation)?,
        rotary: rotary(c, head_dim, [defaults.theta, 1.0], Some("full_attention"))?,
        epsilon: c.number_or("rms_norm_eps", defaults.epsilon)?,
        padding,
        tied,
        attention_dropout: c.dropout_or("attention_dropout", 0.0)?,
        ..Llama::default()
    })
}

fn wire(s: &mut Source<'_>, settings: Llama, positions: usize) -> Result<Wired> {
    let positions = s.config.size_or("max_position_embeddings", positions)?;
    let mut table = Table::default();
    table.embedding("model.embed_tokens", "tokens");
    for i in 0..settings.blocks {
        let (file, param) = (format!("model.layers.{i}"), format!("block_{i}"));
        table.rms_norm(&format!("{file}.input_layernorm"), &format!("{param}/attention_norm"));
        let (bias, of_output) = (settings.attention_bias, settings.output_bias);
        let of_hidden = settings.feed_forward_bias;
        let products = match settings.fused {
            true => vec![
                ("self_attn.qkv_proj", "attention/query_key_value", bias),
                ("mlp.gate_up_proj", "hidden", of_hidden),
            ],
            false => vec![
                ("self_attn.q_proj", "attention/query", bias),
                ("self_attn.k_proj", "attention/key", bias),
                ("self_attn.v_proj", "attention/value", bias),
                ("mlp.gate_proj", "hidden/gate", of_hidden),
                ("mlp.up_proj", "hidden/up", of_hidden),
            ],
        };
        let last =
            [("self_attn.o_proj", "attention/attention_output", of_output), ("mlp.down_proj", "output", of_hidden)];
        for (theirs, ours, bias) in products.into_iter().chain(last) {
            table.linear(&format!("{file}.{theirs}"), &format!("{param}/{ours}"), bias);
        }
        let mut norm =
            |theirs: &str, ours: &str| table.rms_norm(&format!("{file}.{theirs}"), &format!("{param}/{ours}"));
        if settings.qk_norm {
            norm("self_attn.q_norm", "attention/query_norm");
            norm("self_attn.k_norm", "attention/key_norm");
        }
        if settings.post_norm {
            norm("post_attention_layernorm", "attention_post_norm");
            norm("pre_feedforward_layernorm", "feed_forward_norm");
            norm("post_feedforward_layernorm", "feed_forward_post_norm");
        } else {
            norm("post_attention_layernorm", "feed_forward_norm");
        }
    }
    table.rms_norm("model.norm", "norm");
    if !settings.tied {
        table.linear("lm_head", "head", false);
    }
    let mut graph = Graph::new();
    let tokens = graph.input("input_ids", [FREE]);
    let logits = settings.wire_with(&mut graph, tokens, None);
    let vocabulary = settings.vocabulary;
    s.config.recipe = Some(Recipe::Llama(Box::new(settings)));
    Ok(Wired { graph, outputs: vec![logits], table, vocabulary, positions })
}
