//! The families, one file each (or one for those that are settings of one recipe).

mod bart;
mod bert;
mod distilbert;
mod encoder;
mod gpt2;
mod gpt_neox;
mod llama;
mod mpnet;
mod roberta;
mod t5;
mod vit;

use super::config::Config;
use super::family::{Family, Task};
use crate::error::Result;

const FAMILIES: [&Family; 18] = [
    &bart::BART,
    &bert::BERT,
    &distilbert::DISTILBERT,
    &llama::GEMMA2,
    &llama::GEMMA3,
    &gpt2::GPT2,
    &gpt_neox::GPT_NEOX,
    &llama::LLAMA,
    &bart::MARIAN,
    &llama::MISTRAL,
    &mpnet::MPNET,
    &llama::PHI3,
    &llama::QWEN2,
    &llama::QWEN3,
    &roberta::ROBERTA,
    &t5::T5,
    &vit::VIT,
    &roberta::XLM_ROBERTA,
];

/// The family of a folder, and the class in Python that it has for a task; a head that is made anew stands on any model of the family.
pub(super) fn find(config: &Config, task: Task, new_head: bool) -> Result<(&'static Family, &'static str)> {
    let (named, class) = (config.model_type(), config.architecture());
    let has = |family: &Family, class: &str| {
        family.classes.iter().any(|(_, own)| *own == class) || family.others.contains(&class)
    };
    let found = match (named, class) {
        ("", Some(class)) => FAMILIES.iter().find(|family| has(family, class)),
        _ => FAMILIES.iter().find(|family| family.model_type == named),
    };
    let Some(family) = found else {
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.model_type).collect();
        let class = class.map_or(String::new(), |class| format!(" ({class})"));
        let problem = format!("model_type is {named:?}{class}, which is not built");
        return Err(config.wrong(problem, format!("known: {}", known.join(", "))));
    };
    let classes = || family.classes.iter().map(|(_, class)| *class).chain(family.others.iter().copied());
    if let Some(class) = class.filter(|class| !has(family, class)) {
        let known: Vec<&str> = classes().collect();
        return Err(
            config.wrong(format!("the architecture {class} is not built"), format!("known: {}", known.join(", ")))
        );
    }
    let of_folder = family.classes.iter().find(|(_, own)| Some(*own) == class).map(|(task, _)| *task);
    let fits = new_head || task == Task::Base || of_folder.is_none_or(|of| of == task || of == Task::Base);
    match family.classes.iter().find(|(own, _)| *own == task).filter(|_| fits) {
        Some((_, class)) => Ok((family, class)),
        None => {
            let problem = format!("the model is a {}, and was opened as another ({task:?})", class.unwrap_or(named));
            Err(config.wrong(problem, "open it as what it is, or without its head, with hf::Encoder"))
        }
    }
}

/// The types that can be opened.
pub(super) fn known() -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.model_type).collect()
}
