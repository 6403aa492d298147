//! GPT-NeoX, and Pythia.

use super::super::config::Recipe;
use super::super::family::{Family, Source, Task, Wired};
use super::super::rope::rotary;
use super::super::table::{Layout, Table};
use super::super::weights::Naming;
use crate::error::Result;
use crate::graph::Graph;
use crate::models::GptNeoX;
use crate::tensor::FREE;

pub(super) const GPT_NEOX: Family = Family {
    model_type: "gpt_neox",
    classes: &[(Task::CausalLm, "GPTNeoXForCausalLM")],
    others: &[],
    naming: Naming {
        prefix: "gpt_neox.",
        roots: &["embed_in.", "layers.", "final_layer_norm."],
        buffers: &[".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"],
        heads: &[],
    },
    wire,
};

fn wire(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let blocks = s.blocks("num_hidden_layers", 44)?;
    let tied = s.tied("embed_out.weight", "gpt_neox.embed_in.weight", false)?;
    let c = &mut *s.config;
    c.only("is_encoder_decoder", false)?;
    c.only("is_decoder", false)?;
    let (features, heads) = (c.size_or("hidden_size", 6144)?, c.size_or("num_attention_heads", 64)?);
    if heads == 0 || !features.is_multiple_of(heads) {
        return Err(c.refuse("num_attention_heads", format!("a divisor of hidden_size, {features}")));
    }
    // The class turns a quarter of each head where the file says nothing.
    let rotary = rotary(c, features / heads, [1e4, 0.25], None)?;
    let settings = GptNeoX {
        vocabulary: c.size_or("vocab_size", 50432)?,
        features,
        blocks,
        heads,
        hidden: Some(c.size_or("intermediate_size", 24576)?),
        activation: c.activation_or("hidden_act", "gelu")?,
        rotary: Some(rotary),
        attention_bias: c.flag_or("attention_bias", true)?,
        parallel: c.flag_or("use_parallel_residual", true)?,
        epsilon: c.number_or("layer_norm_eps", 1e-5)?,
        tied,
        dropout: c.dropout_or("hidden_dropout", 0.0)?,
        attention_dropout: c.dropout_or("attention_dropout", 0.0)?,
    };
    let positions = c.size_or("max_position_embeddings", 2048)?;
    // Of token classifiers.
    c.dropout_or("classifier_dropout", 0.1)?;
    let mut table = Table::default();
    table.embedding("gpt_neox.embed_in", "tokens");
    for i in 0..blocks {
        let (file, param) = (format!("gpt_neox.layers.{i}"), format!("block_{i}"));
        table.layer_norm(&format!("{file}.input_layernorm"), &format!("{param}/attention_norm"));
        table.layer_norm(&format!("{file}.post_attention_layernorm"), &format!("{param}/feed_forward_norm"));
        for (theirs, ours, bias, layout) in [
            (
                "attention.query_key_value",
                "attention/query_key_value",
                settings.attention_bias,
                Layout::HeadByHead(heads),
            ),
            ("attention.dense", "attention/attention_output", settings.attention_bias, Layout::Transposed),
            ("mlp.dense_h_to_4h", "hidden", true, Layout::Transposed),
            ("mlp.dense_4h_to_h", "output", true, Layout::Transposed),
        ] {
            table.dense(&format!("{file}.{theirs}"), &format!("{param}/{ours}"), bias, layout);
        }
    }
    table.layer_norm("gpt_neox.final_layer_norm", "norm");
    if !tied {
        table.linear("embed_out", "head", false);
    }
    let mut graph = Graph::new();
    let tokens = graph.input("input_ids", [FREE]);
    let logits = settings.wire_with(&mut graph, tokens, None);
    let vocabulary = settings.vocabulary;
    s.config.recipe = Some(Recipe::GptNeoX(settings));
    Ok(Wired { graph, outputs: vec![logits], table, vocabulary, positions })
}
