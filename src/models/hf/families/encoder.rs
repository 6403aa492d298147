//! What the families of BERT's build have in common: one recipe, names of their own.

use super::super::family::{Source, Task, Wired};
use super::super::table::{Layout, Table};
use crate::activations::Activation;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::layers::{Dense, Dropout, Slice};
use crate::models::Bert;
use crate::tensor::FREE;

/// The names of a family's tensors.
pub(super) struct Names {
    /// "bert.".
    pub prefix: &'static str,
    /// Blocks behind the prefix: "encoder.layer".
    pub layer: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub attention_output: &'static str,
    pub attention_norm: &'static str,
    pub hidden: &'static str,
    pub output: &'static str,
    pub norm: &'static str,
    /// The head of masked tokens: dense layer, norm, and what its bias and matrix begin with, under both of their names.
    pub transform: &'static str,
    pub transform_norm: &'static str,
    pub head: &'static str,
    pub decoder: &'static str,
    /// What a text's first step goes through before it is classified.
    pub pooler: &'static str,
    pub pooler_activation: Activation,
    /// The class head behind it.
    pub classifier: &'static str,
    /// Whether the model without a head has a pooler of its own, where the folder has its weights.
    pub has_pooler: bool,
}

/// The parts that are dropped in training before a classifier.
pub(super) struct Heads {
    pub sequence_dropout: f64,
    pub token_dropout: f64,
}

/// Describes a model of such a family for a task.
pub(super) fn wire(s: &mut Source<'_>, settings: &Bert, names: &Names, heads: &Heads, task: Task) -> Result<Wired> {
    let Names { prefix, .. } = names;
    let mut g = Graph::new();
    let tokens = g.input("input_ids", [FREE]);
    let kinds = (settings.sentences > 0 && !settings.one_sentence).then(|| g.input("token_type_ids", [FREE]));
    let mask = g.input("attention_mask", [FREE]);
    let steps = settings.wire_with(&mut g, tokens, kinds, Some(mask));

    let mut table = Table::default();
    table.embedding(&format!("{prefix}embeddings.word_embeddings"), "tokens");
    table.embedding(&format!("{prefix}embeddings.position_embeddings"), "positions");
    if settings.sentences > 0 {
        table.embedding(&format!("{prefix}embeddings.token_type_embeddings"), "sentences");
    }
    table.layer_norm(&format!("{prefix}embeddings.LayerNorm"), "norm");
    for i in 0..settings.blocks {
        let (file, param) = (format!("{prefix}{}.{i}", names.layer), format!("block_{i}"));
        for (theirs, ours) in [
            (names.query, "attention/query"),
            (names.key, "attention/key"),
            (names.value, "attention/value"),
            (names.attention_output, "attention/attention_output"),
        ] {
            table.linear(&format!("{file}.{theirs}"), &format!("{param}/{ours}"), true);
        }
        table.layer_norm(&format!("{file}.{}", names.attention_norm), &format!("{param}/attention_norm"));
        table.linear(&format!("{file}.{}", names.hidden), &format!("{param}/hidden"), true);
        table.linear(&format!("{file}.{}", names.output), &format!("{param}/output"), true);
        table.layer_norm(&format!("{file}.{}", names.norm), &format!("{param}/feed_forward_norm"));
    }
    if settings.relative {
        let bias = format!("{prefix}encoder.relative_attention_bias.weight");
        table.add(bias, "block_0/attention/relative_bias", Layout::AsIs);
    }

    let pooler = |g: &mut Graph, table: &mut Table, file: &str, f: Activation| {
        let first = g.add(Slice::new().at(0), steps);
        table.linear(file, "pooler", true);
        g.add_named("pooler", Dense::new(settings.features).activation(f), first)
    };
    let classify = |g: &mut Graph, table: &mut Table, s: &Source<'_>, x: Value, dropout: f64, file: &str| {
        let x = if dropout > 0.0 { g.add(Dropout::new(dropout), x) } else { x };
        table.linear(file, "classifier", true);
        Ok(g.add_named("classifier", Dense::new(s.config.labels()?.len()), x))
    };
    let outputs = match task {
        Task::MaskedLm => {
            let words = format!("{prefix}embeddings.word_embeddings.weight");
            let matrix = format!("{}.weight", names.decoder);
            if !s.tied(&matrix, &words, true)? {
                return Err(s.config.refuse("tie_word_embeddings", "a head tied to the table of tokens"));
            }
            table.linear(names.transform, "transform", true);
            table.layer_norm(names.transform_norm, "transform_norm");
            table.add(format!("{}.bias", names.head), "head/bias", Layout::AsIs);
            if names.head != names.decoder {
                table.alias(format!("{}.bias", names.decoder));
            }
            vec![settings.masked_language(&mut g, steps)]
        }
        Task::SequenceClassification => {
            let pooled = pooler(&mut g, &mut table, names.pooler, names.pooler_activation);
            vec![classify(&mut g, &mut table, s, pooled, heads.sequence_dropout, names.classifier)?]
        }
        Task::TokenClassification => {
            vec![classify(&mut g, &mut table, s, steps, heads.token_dropout, "classifier")?]
        }
        Task::Base | Task::CausalLm | Task::Seq2SeqLm | Task::ImageClassification => {
            let own = format!("{prefix}pooler.dense");
            match names.has_pooler && s.weights.has(&format!("{own}.weight")) {
                true => vec![steps, pooler(&mut g, &mut table, &own, Activation::Tanh)],
                false => vec![steps],
            }
        }
    };
    Ok(Wired { graph: g, outputs, table, vocabulary: settings.vocabulary, positions: settings.context })
}

/// Settings under the keys that BERT, RoBERTa and MPNet have in common.
pub(super) fn settings(s: &mut Source<'_>, defaults: Bert) -> Result<Bert> {
    let blocks = s.blocks("num_hidden_layers", 12)?;
    let c = &mut *s.config;
    for (key, only) in [("is_decoder", false), ("add_cross_attention", false), ("is_encoder_decoder", false)] {
        c.only(key, only)?;
    }
    // Of the head of masked tokens, which looks itself.
    c.flag_or("tie_word_embeddings", true)?;
    c.only("position_embedding_type", "absolute")?;
    c.only("pruned_heads", serde_json::Map::new())?;
    let vocabulary = c.size_or("vocab_size", defaults.vocabulary)?;
    let padding = s.padding(defaults.padding, vocabulary)?;
    let c = &mut *s.config;
    Ok(Bert {
        vocabulary,
        context: c.size_or("max_position_embeddings", defaults.context)?,
        features: c.size_or("hidden_size", 768)?,
        blocks,
        heads: c.size_or("num_attention_heads", 12)?,
        hidden: Some(c.size_or("intermediate_size", 3072)?),
        activation: c.activation_or("hidden_act", "gelu")?,
        epsilon: c.number_or("layer_norm_eps", 1e-12)?,
        dropout: c.dropout_or("hidden_dropout_prob", 0.1)?,
        attention_dropout: Some(c.dropout_or("attention_probs_dropout_prob", 0.1)?),
        padding,
        ..defaults
    })
}

/// Positions counted over tokens that are no padding, whose table has as many rows more as the token of padding is large, and one.
pub(super) fn count_tokens(s: &Source<'_>, settings: &mut Bert) -> Result<()> {
    let Some(padding) = settings.padding else {
        return Err(s.config.refuse("pad_token_id", "a token, from which positions are counted"));
    };
    let Some(context) = settings.context.checked_sub(padding + 1).filter(|context| *context > 0) else {
        return Err(s.config.refuse("max_position_embeddings", format!("more than {} rows", padding + 1)));
    };
    (settings.context, settings.counts_tokens) = (context, true);
    Ok(())
}

/// Checks what the head for hidden tokens of RoBERTa and MPNet needs.
pub(super) fn head_has_gelu(s: &Source<'_>, settings: &Bert, task: Task) -> Result<()> {
    if task == Task::MaskedLm && settings.activation != Activation::Gelu {
        return Err(s.config.refuse("hidden_act", "gelu, which the head has whatever blocks have"));
    }
    Ok(())
}

/// The dropout of class heads: `classifier_dropout`, or that of hidden steps where it is null.
pub(super) fn heads(s: &mut Source<'_>, settings: &Bert) -> Result<Heads> {
    let rate = s.config.dropout_or("classifier_dropout", settings.dropout)?;
    Ok(Heads { sequence_dropout: rate, token_dropout: rate })
}
