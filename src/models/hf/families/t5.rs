//! T5, 1.0 and 1.1, and Flan-T5.

use super::super::config::activation;
use super::super::family::{Family, Source, Task, Wired};
use super::super::table::{Layout, Table};
use super::super::weights::Naming;
use super::bart::finish;
use crate::error::Result;
use crate::graph::BlockNorm;
use crate::models::{Transformer, TransformerPositions};

pub(super) const T5: Family = Family {
    model_type: "t5",
    classes: &[(Task::Seq2SeqLm, "T5ForConditionalGeneration")],
    others: &["T5Model", "T5WithLMHeadModel"],
    naming: Naming {
        prefix: "",
        roots: &[],
        // In the first published files; no code reads it.
        buffers: &[".EncDecAttention.relative_attention_bias.weight"],
        heads: &[],
    },
    wire,
};

const TABLE: &str = "shared.weight";

fn wire(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let blocks = s.blocks("num_layers", 6)?;
    let decoder_blocks = s.blocks("num_decoder_layers", blocks)?;
    s.one_tensor(TABLE, &["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"])?;
    // Transformers 4 says both by one word: a head of its own, and steps that are not scaled before it.
    let one_word = s.config.flag_or("tie_word_embeddings", true)?;
    let scaled = s.config.flag_or("scale_decoder_outputs", one_word)?;
    let tied = s.tied("lm_head.weight", TABLE, true)?;
    if tied != one_word {
        s.config.set("scale_decoder_outputs", scaled);
    }
    let c = &mut *s.config;
    c.only("is_decoder", false)?;
    c.only("is_encoder_decoder", true)?;
    c.only("add_cross_attention", false)?;
    let features = c.size_or("d_model", 512)?;
    let word = c.word_or("feed_forward_proj", "relu")?;
    let (gated, name) = match word.strip_prefix("gated-") {
        Some("gelu") => (true, "gelu_new"),
        Some(name) => (true, name),
        None => (false, &*word),
    };
    let Some(activation) = activation(name) else {
        return Err(c.refuse("feed_forward_proj", "relu, gated-gelu, and other activations, gated or not"));
    };
    // Made of feed_forward_proj; a table that is not there; and a classifier's.
    for key in ["dense_act_fn", "is_gated_act", "n_positions", "classifier_dropout"] {
        c.value(key);
    }
    let dropout = c.dropout_or("dropout_rate", 0.1)?;
    let settings = Transformer {
        vocabulary: c.size_or("vocab_size", 32128)?,
        features,
        blocks,
        decoder_blocks: Some(decoder_blocks),
        heads: c.size_or("num_heads", 8)?,
        head_dim: Some(c.size_or("d_kv", 64)?),
        hidden: c.size_or("d_ff", 2048)?,
        activation,
        gated,
        use_bias: false,
        scale: Some(1.0),
        norm: BlockNorm::Rms(c.number_or("layer_norm_epsilon", 1e-6)?),
        pre_norm: true,
        positions: TransformerPositions::Relative {
            buckets: c.size_or("relative_attention_num_buckets", 32)?,
            max_distance: c.size_or("relative_attention_max_distance", 128)?,
        },
        scales_embeddings: false,
        mask_zero: false,
        tied,
        head_scale: scaled.then(|| 1.0 / (features.max(1) as f64).sqrt()),
        dropout,
        attention_dropout: dropout,
        activation_dropout: dropout,
        end_dropout: dropout,
        ..Transformer::default()
    };

    let mut table = Table::default();
    table.embedding("shared", "tokens/embedding");
    for (side, blocks) in [("encoder", blocks), ("decoder", decoder_blocks)] {
        for i in 0..blocks {
            let (file, param) = (format!("{side}.block.{i}.layer"), format!("{side}_{i}"));
            let attentions = [("SelfAttention", "attention"), ("EncDecAttention", "cross_attention")];
            let count = if side == "encoder" { 1 } else { 2 };
            for (number, (theirs, ours)) in attentions[..count].iter().enumerate() {
                for (of_theirs, of_ours) in [("q", "query"), ("k", "key"), ("v", "value"), ("o", "attention_output")] {
                    let file = format!("{file}.{number}.{theirs}.{of_theirs}");
                    table.linear(&file, &format!("{param}/{ours}/{of_ours}"), false);
                }
                if i == 0 && number == 0 {
                    let bias = format!("{file}.0.SelfAttention.relative_attention_bias.weight");
                    table.add(bias, format!("{param}/attention/relative_bias"), Layout::AsIs);
                }
                table.rms_norm(&format!("{file}.{number}.layer_norm"), &format!("{param}/{ours}_norm"));
            }
            let hidden: &[_] = match gated {
                true => &[("wi_0", "hidden/gate"), ("wi_1", "hidden/up"), ("wo", "output")],
                false => &[("wi", "hidden"), ("wo", "output")],
            };
            for (theirs, ours) in hidden {
                let file = format!("{file}.{count}.DenseReluDense.{theirs}");
                table.linear(&file, &format!("{param}/{ours}"), false);
            }
            table.rms_norm(&format!("{file}.{count}.layer_norm"), &format!("{param}/feed_forward_norm"));
        }
        table.rms_norm(&format!("{side}.final_layer_norm"), &format!("{side}_norm"));
    }
    if !tied {
        table.linear("lm_head", "head", false);
    }
    // Distances have no end.
    Ok(finish(&settings, table, usize::MAX))
}
