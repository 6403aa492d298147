//! ViT.

use super::super::family::{Family, Source, Task, Wired};
use super::super::table::{Layout, Table};
use super::super::weights::Naming;
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::layers::{Dense, Slice};
use crate::models::VisionTransformer;

pub(super) const VIT: Family = Family {
    model_type: "vit",
    classes: &[(Task::ImageClassification, "ViTForImageClassification"), (Task::Base, "ViTModel")],
    others: &["ViTForMaskedImageModeling"],
    naming: Naming {
        prefix: "vit.",
        roots: &["embeddings.", "encoder.", "layernorm.", "pooler."],
        buffers: &[],
        // The last two are of masked pictures.
        heads: &["classifier.", "vit.pooler.", "decoder.", "vit.embeddings.mask_token"],
    },
    wire,
};

fn wire(s: &mut Source<'_>, task: Task) -> Result<Wired> {
    let blocks = s.blocks("num_hidden_layers", 12)?;
    let c = &mut *s.config;
    c.only("pruned_heads", serde_json::Map::new())?;
    // Of the head of masked pictures.
    c.value("encoder_stride");
    let settings = VisionTransformer {
        image: c.sides_or("image_size", 224)?,
        channels: c.size_or("num_channels", 3)?,
        patch: c.sides_or("patch_size", 16)?,
        features: c.size_or("hidden_size", 768)?,
        blocks,
        heads: c.size_or("num_attention_heads", 12)?,
        hidden: Some(c.size_or("intermediate_size", 3072)?),
        activation: c.activation_or("hidden_act", "gelu")?,
        epsilon: c.number_or("layer_norm_eps", 1e-12)?,
        attention_bias: c.flag_or("qkv_bias", true)?,
        dropout: c.dropout_or("hidden_dropout_prob", 0.0)?,
        attention_dropout: Some(c.dropout_or("attention_probs_dropout_prob", 0.0)?),
    };
    let pooled = (c.size_or("pooler_output_size", settings.features)?, c.activation_or("pooler_act", "tanh")?);
    let mut graph = Graph::new();
    let [height, width] = settings.image;
    let pictures = graph.input("pixel_values", [height, width, settings.channels]);
    let steps = settings.wire_with(&mut graph, pictures);

    let mut table = Table::default();
    table.add("vit.embeddings.cls_token", "class/token", Layout::Row);
    table.convolution("vit.embeddings.patch_embeddings.projection", "patches");
    table.add("vit.embeddings.position_embeddings", "positions/embeddings", Layout::Row);
    for i in 0..blocks {
        let (file, param) = (format!("vit.encoder.layer.{i}"), format!("block_{i}"));
        table.layer_norm(&format!("{file}.layernorm_before"), &format!("{param}/attention_norm"));
        for name in ["query", "key", "value"] {
            let (file, param) = (format!("{file}.attention.attention.{name}"), format!("{param}/attention/{name}"));
            table.linear(&file, &param, settings.attention_bias);
        }
        let output = format!("{param}/attention/attention_output");
        table.linear(&format!("{file}.attention.output.dense"), &output, true);
        table.layer_norm(&format!("{file}.layernorm_after"), &format!("{param}/feed_forward_norm"));
        table.linear(&format!("{file}.intermediate.dense"), &format!("{param}/hidden"), true);
        table.linear(&format!("{file}.output.dense"), &format!("{param}/output"), true);
    }
    table.layer_norm("vit.layernorm", "norm");
    let outputs = match task {
        Task::ImageClassification => {
            table.linear("classifier", "classifier", true);
            vec![settings.classify(&mut graph, steps, s.config.labels()?.len())]
        }
        _ if s.weights.has("vit.pooler.dense.weight") => {
            table.linear("vit.pooler.dense", "pooler", true);
            vec![steps, pooler(&mut graph, steps, pooled)]
        }
        _ => vec![steps],
    };
    let positions = settings.patches().saturating_add(1);
    Ok(Wired { graph, outputs, table, vocabulary: 0, positions })
}

/// The class token through a dense layer, which no classifier has.
fn pooler(g: &mut Graph, steps: Value, (size, activation): (usize, Activation)) -> Value {
    let token = g.add(Slice::new().at(0), steps);
    g.add_named("pooler", Dense::new(size).activation(activation), token)
}
