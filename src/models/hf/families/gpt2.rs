//! GPT-2.

use super::super::config::Recipe;
use super::super::family::{Family, Source, Task, Wired};
use super::super::table::{Layout, Table};
use super::super::weights::Naming;
use crate::error::Result;
use crate::graph::Graph;
use crate::models::Gpt2;
use crate::tensor::FREE;

pub(super) const GPT2: Family = Family {
    model_type: "gpt2",
    classes: &[(Task::CausalLm, "GPT2LMHeadModel")],
    others: &["GPT2Model", "GPT2DoubleHeadsModel"],
    naming: Naming {
        prefix: "transformer.",
        roots: &["wte.", "wpe.", "h.", "ln_f."],
        buffers: &[".attn.bias", ".attn.masked_bias"],
        heads: &["multiple_choice_head."],
    },
    wire,
};

fn wire(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let blocks = s.blocks("n_layer", 12)?;
    let tied = s.tied("lm_head.weight", "transformer.wte.weight", true)?;
    let c = &mut *s.config;
    for (key, only) in [
        ("scale_attn_weights", true),
        ("scale_attn_by_inverse_layer_idx", false),
        ("reorder_and_upcast_attn", false),
        ("add_cross_attention", false),
        ("is_encoder_decoder", false),
    ] {
        // Upcasting changes the precision of a step, and no number here.
        if key == "reorder_and_upcast_attn" { c.flag_or(key, only).map(drop)? } else { c.only(key, only)? }
    }
    let settings = Gpt2 {
        vocabulary: c.size_or("vocab_size", 50257)?,
        context: c.size_or("n_positions", 1024)?,
        features: c.size_or("n_embd", 768)?,
        blocks,
        heads: c.size_or("n_head", 12)?,
        hidden: c.size("n_inner")?,
        activation: c.activation_or("activation_function", "gelu_new")?,
        epsilon: c.number_or("layer_norm_epsilon", 1e-5)?,
        tied,
        dropout: c.dropout_or("resid_pdrop", 0.1)?,
        embedding_dropout: Some(c.dropout_or("embd_pdrop", 0.1)?),
        attention_dropout: Some(c.dropout_or("attn_pdrop", 0.1)?),
    };
    let mut table = Table::default();
    table.embedding("transformer.wte", "tokens");
    table.embedding("transformer.wpe", "positions");
    for i in 0..blocks {
        let (file, param) = (format!("transformer.h.{i}"), format!("block_{i}"));
        table.layer_norm(&format!("{file}.ln_1"), &format!("{param}/attention_norm"));
        table.layer_norm(&format!("{file}.ln_2"), &format!("{param}/feed_forward_norm"));
        // Conv1D's weights are [inputs, outputs].
        for (theirs, ours) in [
            ("attn.c_attn", "attention/query_key_value"),
            ("attn.c_proj", "attention/attention_output"),
            ("mlp.c_fc", "hidden"),
            ("mlp.c_proj", "output"),
        ] {
            table.dense(&format!("{file}.{theirs}"), &format!("{param}/{ours}"), true, Layout::AsIs);
        }
    }
    table.layer_norm("transformer.ln_f", "norm");
    if !tied {
        table.linear("lm_head", "head", false);
    }
    let mut graph = Graph::new();
    let tokens = graph.input("input_ids", [FREE]);
    let logits = settings.wire_with(&mut graph, tokens, None);
    let (vocabulary, positions) = (settings.vocabulary, settings.context);
    s.config.recipe = Some(Recipe::Gpt2(settings));
    Ok(Wired { graph, outputs: vec![logits], table, vocabulary, positions })
}
