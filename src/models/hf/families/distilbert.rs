//! DistilBERT: BERT with fewer blocks, without kinds of sentences and pooler, and words of its own for everything.

use super::super::family::{Family, Source, Task, Wired};
use super::super::weights::Naming;
use super::encoder::{self, Heads, Names};
use crate::activations::Activation;
use crate::error::Result;
use crate::models::Bert;

pub(super) const DISTILBERT: Family = Family {
    model_type: "distilbert",
    classes: &[
        (Task::MaskedLm, "DistilBertForMaskedLM"),
        (Task::SequenceClassification, "DistilBertForSequenceClassification"),
        (Task::TokenClassification, "DistilBertForTokenClassification"),
        (Task::Base, "DistilBertModel"),
    ],
    others: &["DistilBertForQuestionAnswering", "DistilBertForMultipleChoice"],
    naming: Naming {
        prefix: "distilbert.",
        roots: &["embeddings.", "transformer."],
        buffers: &["embeddings.position_ids"],
        heads: &["vocab_", "pre_classifier.", "classifier.", "qa_outputs."],
    },
    wire,
};

const NAMES: Names = Names {
    prefix: "distilbert.",
    layer: "transformer.layer",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    hidden: "ffn.lin1",
    output: "ffn.lin2",
    norm: "output_layer_norm",
    transform: "vocab_transform",
    transform_norm: "vocab_layer_norm",
    head: "vocab_projector",
    decoder: "vocab_projector",
    pooler: "pre_classifier",
    pooler_activation: Activation::Relu,
    classifier: "classifier",
    has_pooler: false,
};

fn wire(s: &mut Source<'_>, task: Task) -> Result<Wired> {
    let blocks = s.blocks("n_layers", 6)?;
    let vocabulary = s.config.size_or("vocab_size", 30522)?;
    let padding = s.padding(Some(0), vocabulary)?;
    let c = &mut *s.config;
    c.only("is_encoder_decoder", false)?;
    c.only("pruned_heads", serde_json::Map::new())?;
    // The table is in the file, whatever filled it.
    c.flag_or("sinusoidal_pos_embds", false)?;
    // Of the head of masked tokens, which looks itself.
    c.flag_or("tie_word_embeddings", true)?;
    c.flag_or("tie_weights_", true)?;
    let settings = Bert {
        vocabulary,
        context: c.size_or("max_position_embeddings", 512)?,
        sentences: 0,
        features: c.size_or("dim", 768)?,
        blocks,
        heads: c.size_or("n_heads", 12)?,
        hidden: Some(c.size_or("hidden_dim", 4 * 768)?),
        activation: c.activation_or("activation", "gelu")?,
        epsilon: 1e-12,
        dropout: c.dropout_or("dropout", 0.1)?,
        attention_dropout: Some(c.dropout_or("attention_dropout", 0.1)?),
        padding,
        ..Bert::default()
    };
    let heads = Heads { sequence_dropout: c.dropout_or("seq_classif_dropout", 0.2)?, token_dropout: settings.dropout };
    encoder::wire(s, &settings, &NAMES, &heads, task)
}
