//! RoBERTa and XLM-R: BERT with positions counted from the token of padding on, one kind of sentence, and heads of their own.

use super::super::family::{Family, Source, Task, Wired};
use super::super::weights::Naming;
use super::bert;
use super::encoder::{self, Names};
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

pub(super) const NAMES: Names = Names {
    prefix: "roberta.",
    transform: "lm_head.dense",
    transform_norm: "lm_head.layer_norm",
    head: "lm_head",
    decoder: "lm_head.decoder",
    pooler: "classifier.dense",
    classifier: "classifier.out_proj",
    ..bert::NAMES
};

fn wire(s: &mut Source<'_>, task: Task) -> Result<Wired> {
    let vocabulary = if s.config.model_type() == "roberta" { 50265 } else { 30522 };
    let mut settings = encoder::settings(s, Bert { vocabulary, padding: Some(1), ..Bert::default() })?;
    settings.sentences = s.config.size_or("type_vocab_size", 2)?;
    settings.one_sentence = true;
    encoder::count_tokens(s, &mut settings)?;
    encoder::head_has_gelu(s, &settings, task)?;
    let heads = encoder::heads(s, &settings)?;
    encoder::wire(s, &settings, &NAMES, &heads, task)
}
