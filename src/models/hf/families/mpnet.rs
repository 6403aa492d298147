//! MPNet: RoBERTa's positions, one trained number by distance for all blocks, no kinds of sentences.

use super::super::family::{Family, Source, Task, Wired};
use super::super::weights::Naming;
use super::encoder::{self, Names};
use super::roberta;
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
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    ..roberta::NAMES
};

fn wire(s: &mut Source<'_>, task: Task) -> Result<Wired> {
    let mut settings = encoder::settings(s, Bert { vocabulary: 30527, padding: Some(1), ..Bert::default() })?;
    (settings.sentences, settings.relative) = (0, true);
    encoder::count_tokens(s, &mut settings)?;
    // Transformers reads the number of buckets for the table alone, and counts with 32.
    s.config.only("relative_attention_num_buckets", 32)?;
    encoder::head_has_gelu(s, &settings, task)?;
    let heads = encoder::heads(s, &settings)?;
    encoder::wire(s, &settings, &NAMES, &heads, task)
}
