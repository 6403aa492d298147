//! BART and Marian, which differ by positions and norms of embeddings.

use super::super::family::{Family, Source, Task, Wired};
use super::super::table::{Layout, Table};
use super::super::weights::Naming;
use crate::error::Result;
use crate::graph::Graph;
use crate::models::{Transformer, TransformerPositions};
use crate::tensor::FREE;

const NAMING: Naming = Naming {
    prefix: "model.",
    roots: &["shared.", "encoder.", "decoder."],
    buffers: &[],
    heads: &["classification_head.", "qa_outputs."],
};

pub(super) const BART: Family = Family {
    model_type: "bart",
    classes: &[(Task::Seq2SeqLm, "BartForConditionalGeneration")],
    others: &["BartModel"],
    naming: NAMING,
    wire: bart,
};

pub(super) const MARIAN: Family = Family {
    model_type: "marian",
    classes: &[(Task::Seq2SeqLm, "MarianMTModel")],
    others: &["MarianModel"],
    naming: NAMING,
    wire: marian,
};

/// Rows of BART's tables of positions that are nobody's.
const OFFSET: usize = 2;
const TABLE: &str = "model.shared.weight";

fn bart(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let context = s.config.size_or("max_position_embeddings", 1024)?;
    s.config.only("normalize_embedding", true)?;
    s.config.only("static_position_embeddings", false)?;
    s.config.only("extra_pos_embeddings", OFFSET)?;
    let settings = Transformer {
        vocabulary: s.config.size_or("vocab_size", 50265)?,
        positions: TransformerPositions::Learned { context, offset: OFFSET },
        embedding_norm: true,
        ..Transformer::default()
    };
    wire(s, settings, 1, context)
}

fn marian(s: &mut Source<'_>, _: Task) -> Result<Wired> {
    let context = s.config.size_or("max_position_embeddings", 1024)?;
    s.config.only("normalize_embedding", false)?;
    s.config.only("static_position_embeddings", true)?;
    s.config.only("share_encoder_decoder_embeddings", true)?;
    let vocabulary = s.config.size_or("vocab_size", 58101)?;
    if s.config.size_or("decoder_vocab_size", vocabulary)? != vocabulary {
        return Err(s
            .config
            .refuse("decoder_vocab_size", format!("{vocabulary}, as vocab_size, of which one table is")));
    }
    sinusoids(s, context)?;
    let positions = TransformerPositions::SinusoidalHalves;
    wire(s, Transformer { vocabulary, positions, ..Transformer::default() }, 58100, context)
}

/// Leaves out tables of sines and cosines that older folders of Marian have: they hold what is computed here, rounded.
fn sinusoids(s: &mut Source<'_>, context: usize) -> Result<()> {
    let features = s.config.size_or("d_model", 1024)?;
    let half = features.div_ceil(2);
    for side in ["encoder", "decoder"] {
        let name = format!("model.{side}.embed_positions.weight");
        if !s.weights.has(&name) {
            continue;
        }
        let wave = |i: usize| {
            let (position, column) = ((i / features.max(1)) as f64, i % features.max(1));
            let angle = |pair: usize| position / 1e4f64.powf(2.0 * pair as f64 / features as f64);
            if column < half { angle(column).sin() } else { angle(column - half).cos() }
        };
        // Half precision rounds numbers up to 1 by 0.002 (bf16), and angles are of single precision.
        if !s.weights.near(&name, &[context, features], 4e-3, wave)? {
            let problem = format!("{name} is not [{context}, {features}], or holds no sines and cosines by halves");
            return Err(s.config.wrong(problem, "tables of other positions are not built for Marian"));
        }
        s.weights.remove(&name);
    }
    Ok(())
}

/// The keys, names and parts that both have.
fn wire(s: &mut Source<'_>, settings: Transformer, padding: usize, positions: usize) -> Result<Wired> {
    let (blocks, decoder_blocks) = (s.blocks("encoder_layers", 12)?, s.blocks("decoder_layers", 12)?);
    s.one_tensor(TABLE, &["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"])?;
    if !s.tied("lm_head.weight", TABLE, true)? {
        return Err(s.config.refuse("tie_word_embeddings", "a head tied to the table of tokens"));
    }
    let padding = s.padding(Some(padding), settings.vocabulary)?;
    let head_bias = s.weights.has("final_logits_bias") || s.weights.are_drawn();
    let c = &mut *s.config;
    for (key, only) in [
        ("is_decoder", false),
        ("is_encoder_decoder", true),
        ("add_cross_attention", false),
        ("normalize_before", false),
        ("add_final_layer_norm", false),
        ("add_bias_logits", false),
    ] {
        c.only(key, only)?;
    }
    for key in ["encoder_layerdrop", "decoder_layerdrop"] {
        if c.number_or(key, 0.0)? != 0.0 {
            return Err(c.refuse(key, 0));
        }
    }
    // How weights were drawn, other names of sizes, a classifier's, and what generation reads.
    for key in ["init_std", "num_hidden_layers", "classif_dropout", "classifier_dropout", "save_step"] {
        c.value(key);
    }
    c.value("force_bos_token_to_be_generated");
    let settings = Transformer {
        features: c.size_or("d_model", 1024)?,
        blocks,
        decoder_blocks: Some(decoder_blocks),
        heads: c.size_or("encoder_attention_heads", 16)?,
        decoder_heads: Some(c.size_or("decoder_attention_heads", 16)?),
        hidden: c.size_or("encoder_ffn_dim", 4096)?,
        decoder_hidden: Some(c.size_or("decoder_ffn_dim", 4096)?),
        activation: c.activation_or("activation_function", "gelu")?,
        scales_embeddings: c.flag_or("scale_embedding", false)?,
        mask_zero: false,
        padding,
        head_bias,
        dropout: c.dropout_or("dropout", 0.1)?,
        attention_dropout: c.dropout_or("attention_dropout", 0.0)?,
        activation_dropout: c.dropout_or("activation_dropout", 0.0)?,
        ..settings
    };

    let mut table = Table::default();
    table.embedding("model.shared", "tokens/embedding");
    for (side, blocks) in [("encoder", blocks), ("decoder", decoder_blocks)] {
        if matches!(settings.positions, TransformerPositions::Learned { .. }) {
            table.embedding(&format!("model.{side}.embed_positions"), &format!("{side}_positions"));
        }
        if settings.embedding_norm {
            table.layer_norm(&format!("model.{side}.layernorm_embedding"), &format!("{side}_embedding_norm"));
        }
        for i in 0..blocks {
            let (file, param) = (format!("model.{side}.layers.{i}"), format!("{side}_{i}"));
            let attentions = [("self_attn", "attention"), ("encoder_attn", "cross_attention")];
            let count = if side == "encoder" { 1 } else { 2 };
            for (theirs, ours) in &attentions[..count] {
                for (of_theirs, of_ours) in
                    [("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "attention_output")]
                {
                    table.linear(&format!("{file}.{theirs}.{of_theirs}"), &format!("{param}/{ours}/{of_ours}"), true);
                }
                table.layer_norm(&format!("{file}.{theirs}_layer_norm"), &format!("{param}/{ours}_norm"));
            }
            table.linear(&format!("{file}.fc1"), &format!("{param}/hidden"), true);
            table.linear(&format!("{file}.fc2"), &format!("{param}/output"), true);
            table.layer_norm(&format!("{file}.final_layer_norm"), &format!("{param}/feed_forward_norm"));
        }
    }
    if head_bias {
        table.add("final_logits_bias", "head/bias", Layout::Row);
    }
    Ok(finish(&settings, table, positions))
}

/// The model of inputs as Python's classes have them.
pub(super) fn finish(settings: &Transformer, table: Table, positions: usize) -> Wired {
    let mut graph = Graph::new();
    let [source, mask, target] =
        ["input_ids", "attention_mask", "decoder_input_ids"].map(|name| graph.input(name, [FREE]));
    let logits = settings.wire_masked(&mut graph, source, Some(mask), target);
    Wired { graph, outputs: vec![logits], table, vocabulary: settings.vocabulary, positions }
}
