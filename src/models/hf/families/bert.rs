//! BERT.

use super::super::family::{Family, Source, Task, Wired};
use super::super::weights::Naming;
use super::encoder::{self, Names};
use crate::activations::Activation;
use crate::error::Result;
use crate::models::Bert;

pub(super) const BERT: Family = Family {
    model_type: "bert",
    classes: &[
        (Task::MaskedLm, "BertForMaskedLM"),
        (Task::SequenceClassification, "BertForSequenceClassification"),
        (Task::TokenClassification, "BertForTokenClassification"),
        (Task::Base, "BertModel"),
    ],
    others: &[
        "BertForPreTraining",
        "BertForNextSentencePrediction",
        "BertForQuestionAnswering",
        "BertForMultipleChoice",
    ],
    naming: Naming {
        prefix: "bert.",
        roots: &["embeddings.", "encoder.", "pooler."],
        buffers: &["embeddings.position_ids", "embeddings.token_type_ids"],
        heads: &["bert.pooler.", "cls.", "classifier.", "qa_outputs."],
    },
    wire,
};

pub(super) const NAMES: Names = Names {
    prefix: "bert.",
    layer: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    hidden: "intermediate.dense",
    output: "output.dense",
    norm: "output.LayerNorm",
    transform: "cls.predictions.transform.dense",
    transform_norm: "cls.predictions.transform.LayerNorm",
    head: "cls.predictions",
    decoder: "cls.predictions.decoder",
    pooler: "bert.pooler.dense",
    pooler_activation: Activation::Tanh,
    classifier: "classifier",
    has_pooler: true,
};

fn wire(s: &mut Source<'_>, task: Task) -> Result<Wired> {
    let mut settings = encoder::settings(s, Bert { padding: Some(0), ..Bert::default() })?;
    settings.sentences = s.config.size_or("type_vocab_size", 2)?;
    let heads = encoder::heads(s, &settings)?;
    encoder::wire(s, &settings, &NAMES, &heads, task)
}
