//! RoBERTa and XLM-R: BERT with positions counted from the token of padding on, one kind of sentence, and heads of their own.

use super::super::family::{Family, Source, Task, Wired};
use super::super::weights::Naming;
use super::encoder::{self, Names};
use crate::activations::Activation;
use crate::error::Result;
use crate::models::Bert;

const NAMING: Naming = Naming {
    prefix: "roberta.",
    roots: &["embeddings.", "encoder.", "pooler."],
    buffers: &["embeddings.position_ids", "embeddings.token_type_ids"],
    heads: &["roberta.pooler.", "lm_head.", "classifier.", "qa_outputs."],
};

pub(super) const ROBERTA: Family = Family {
    model_type: "roberta",
    classes: &[
        (Task::MaskedLm, "RobertaForMaskedLM"),
        (Task::SequenceClassification, "RobertaForSequenceClassification"),
        (Task::TokenClassification, "RobertaForTokenClassification"),
        (Task::Base, "RobertaModel"),
    ],
    others: &["RobertaForQuestionAnswering", "RobertaForMultipleChoice"],
    naming: NAMING,
    wire,
};

pub(super) const XLM_ROBERTA: Family = Family {
    model_type: "xlm-roberta",
    classes: &[
        (Task::MaskedLm, "XLMRobertaForMaskedLM"),
        (Task::SequenceClassification, "XLMRobertaForSequenceClassification"),
        (Task::TokenClassification, "XLMRobertaForTokenClassification"),
        (Task::Base, "XLMRobertaModel"),
    ],
    others: &["XLMRobertaForQuestionAnswering", "XLMRobertaForMultipleChoice"],
    naming: NAMING,
    wire,
};

const NAMES: Names = Names {
    prefix: "roberta.",
    layer: "encoder.layer",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
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
    let vocabulary = if s.config.model_type() == "roberta" { 50265 } else { 30522 };
    let mut settings = encoder::settings(s, Bert { vocabulary, padding: Some(1), ..Bert::default() })?;
    settings.sentences = s.config.size_or("type_vocab_size", 2)?;
    settings.one_sentence = true;
    encoder::count_tokens(s, &mut settings)?;
    if task == Task::MaskedLm && settings.activation != Activation::Gelu {
        return Err(s.config.refuse("hidden_act", "gelu, which the head has whatever blocks have"));
    }
    let heads = encoder::heads(s, &settings)?;
    encoder::wire(s, &settings, &NAMES, &heads, task)
}
