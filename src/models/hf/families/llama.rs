//! Llama, and what differs from it by settings alone: Mistral, Qwen 2.

use super::super::family::{Family, Source, Task, Wired};
use super::super::rope::{rotary, window, windowed};
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

/// What the classes have where a file says nothing.
struct Defaults {
    vocabulary: usize,
    hidden: usize,
    positions: usize,
    key_heads: Option<usize>,
    epsilon: f64,
    padding: Option<usize>,
}

fn llama(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let defaults =
        Defaults { vocabulary: 32000, hidden: 11008, positions: 2048, key_heads: None, epsilon: 1e-6, padding: None };
    let mut settings = settings(s, &defaults)?;
    let bias = s.config.flag_or("attention_bias", false)?;
    (settings.attention_bias, settings.output_bias) = (bias, bias);
    settings.feed_forward_bias = s.config.flag_or("mlp_bias", false)?;
    wire(s, settings, defaults.positions)
}

fn mistral(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let defaults = Defaults {
        vocabulary: 32000,
        hidden: 14336,
        positions: 4096 * 32,
        key_heads: Some(8),
        epsilon: 1e-6,
        padding: None,
    };
    let mut settings = settings(s, &defaults)?;
    settings.window = window(s.config, Some(4096))?;
    settings.windowed = windowed(s.config, settings.blocks)?.unwrap_or_default();
    wire(s, settings, defaults.positions)
}

fn qwen2(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let defaults = Defaults {
        vocabulary: 151936,
        hidden: 22016,
        positions: 32768,
        key_heads: Some(32),
        epsilon: 1e-6,
        padding: None,
    };
    let mut settings = settings(s, &defaults)?;
    settings.attention_bias = true;
    s.config.only("use_mrope", false)?;
    let window = window(s.config, Some(4096))?;
    let uses = s.config.flag_or("use_sliding_window", false)?;
    let first = s.config.size_or("max_window_layers", 28)?;
    settings.window = window.filter(|_| uses);
    let kinds = windowed(s.config, settings.blocks)?;
    settings.windowed = kinds.unwrap_or_else(|| (0..settings.blocks).map(|i| i >= first).collect());
    wire(s, settings, defaults.positions)
}

fn settings(s: &mut Source<'_>, defaults: &Defaults) -> Result<Llama> {
    let blocks = s.blocks("num_hidden_layers", 32)?;
    let tied = s.tied("lm_head.weight", "model.embed_tokens.weight", false)?;
    let vocabulary = s.config.size_or("vocab_size", defaults.vocabulary)?;
    let padding = s.padding(defaults.padding, vocabulary)?;
    let c = &mut *s.config;
    c.only("is_encoder_decoder", false)?;
    c.only("is_decoder", false)?;
    let (features, heads) = (c.size_or("hidden_size", 4096)?, c.size_or("num_attention_heads", 32)?);
    let head_dim = c.size("head_dim")?.unwrap_or(features / heads.max(1));
    Ok(Llama {
        vocabulary,
        features,
        blocks,
        heads,
        key_heads: c.size("num_key_value_heads")?.or(defaults.key_heads).unwrap_or(heads),
        head_dim: Some(head_dim),
        hidden: c.size_or("intermediate_size", defaults.hidden)?,
        activation: c.activation_or("hidden_act", "silu")?,
        rotary: rotary(c, head_dim, 1e4, Some("full_attention"))?,
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
        for (theirs, ours, bias) in [
            ("self_attn.q_proj", "attention/query", settings.attention_bias),
            ("self_attn.k_proj", "attention/key", settings.attention_bias),
            ("self_attn.v_proj", "attention/value", settings.attention_bias),
            ("self_attn.o_proj", "attention/attention_output", settings.output_bias),
            ("mlp.gate_proj", "hidden/gate", settings.feed_forward_bias),
            ("mlp.up_proj", "hidden/up", settings.feed_forward_bias),
            ("mlp.down_proj", "output", settings.feed_forward_bias),
        ] {
            table.linear(&format!("{file}.{theirs}"), &format!("{param}/{ours}"), bias);
        }
        table.rms_norm(&format!("{file}.post_attention_layernorm"), &format!("{param}/feed_forward_norm"));
    }
    table.rms_norm("model.norm", "norm");
    if !settings.tied {
        table.linear("lm_head", "head", false);
    }
    let mut graph = Graph::new();
    let tokens = graph.input("input_ids", [FREE]);
    let logits = settings.wire_with(&mut graph, tokens, None);
    Ok(Wired { graph, outputs: vec![logits], table, vocabulary: settings.vocabulary, positions })
}
