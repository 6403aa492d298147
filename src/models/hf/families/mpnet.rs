//! MPNet: RoBERTa's positions, one trained number by distance for all blocks, no kinds of sentences.

use super::super::family::{Family, Source, Task, Wired};
use super::super::weights::Naming;
use super::encoder::{self, Names};
use crate::activations::Activation;
use crate::error::Result;
use crate::models::Bert;

pub(super) const MPNET: Family = Family {
    model_type: "mpnet",
    classes: &[
        (Task::MaskedLm, "MPNetForMaskedLM"),
        (Task::SequenceClassification, "MPNetForSequenceClassification"),
        (Task::TokenClassification, "MPNetForTokenClassification"),
        (Task::Base, "MPNetModel"),
    ],
    others: &["MPNetForQuestionAnswering", "MPNetForMultipleChoice"],
    naming: Naming {
        prefix: "mpnet.",
        roots: &["embeddings.", "encoder.", "pooler."],
        buffers: &["embeddings.position_ids"],
        heads: &["mpnet.pooler.", "lm_head.", "classifier.", "qa_outputs."],
    },
    wire,
};

const NAMES: Names = Names {
    prefix: "mpnet.",
    layer: "encoder.layer",
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    hidden: "intermediate.dense",
    output: "output.dense",
    norm: "output.LayerNorm",
    transform: "lm_head.dense",
    transform_norm: "lm_head.layer_norm",
    head: "lm_head",
    decoder: "lm_head.decoder",
    pooler: "classifier.dense",
    pooler_activation: Activation::Tanh,
    classifier: "classifier.out_proj",
    has_pooler: true,
};

fn wire(s: &mut Source<'_>, task: Task) -> Result<Wired> {
    let mut settings = encoder::settings(s, Bert { vocabulary: 30527, padding: Some(1), ..Bert::default() })?;
    (settings.sentences, settings.relative) = (0, true);
    encoder::count_tokens(s, &mut settings)?;
    // Transformers reads the number of buckets for the table alone, and counts with 32.
    s.config.only("relative_attention_num_buckets", 32)?;
    if task == Task::MaskedLm && settings.activation != Activation::Gelu {
        return Err(s.config.refuse("hidden_act", "gelu, which the head has whatever blocks have"));
    }
    let heads = encoder::heads(s, &settings)?;
    encoder::wire(s, &settings, &NAMES, &heads, task)
}
