//! What a family of models is: how its folders are named, read and wired.

use super::config::Config;
use super::table::Table;
use super::weights::{Naming, Weights};
use crate::error::Result;
use crate::graph::{Graph, Value};

/// The fewest tensors that a block has, and the most blocks that a model may have: what a damaged file asks for is not described first.
const FEWEST: usize = 5;
const MAX_BLOCKS: usize = 1 << 12;

/// What a model is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    CausalLm,
    Seq2SeqLm,
    MaskedLm,
    SequenceClassification,
    TokenClassification,
    ImageClassification,
    /// The model without a head.
    Base,
}

/// Models that are described alike.
pub(super) struct Family {
    /// Their `model_type`.
    pub model_type: &'static str,
    /// The class in Python for each thing that can be done with them.
    pub classes: &'static [(Task, &'static str)],
    /// Further classes, whose parts that are asked for can be read.
    pub others: &'static [&'static str],
    pub naming: Naming,
    /// Describes the model for a task.
    pub wire: fn(&mut Source<'_>, Task) -> Result<Wired>,
}

/// What a folder holds, for a family to read.
pub(super) struct Source<'a> {
    pub config: &'a mut Config,
    pub weights: &'a mut Weights,
}

/// A model that is described.
pub(super) struct Wired {
    pub graph: Graph,
    pub outputs: Vec<Value>,
    pub table: Table,
    /// Tokens; none of models of pictures.
    pub vocabulary: usize,
    /// The most steps of a sequence.
    pub positions: usize,
}

impl Source<'_> {
    /// The number of blocks, each of which has tensors.
    pub fn blocks(&mut self, key: &str, default: usize) -> Result<usize> {
        let (blocks, tensors) = (self.config.size_or(key, default)?, self.weights.len());
        if (blocks > tensors / FEWEST && !self.weights.are_drawn()) || blocks > MAX_BLOCKS {
            let problem = format!("{key} is {blocks}, and the folder has {tensors} tensors");
            return Err(self.config.wrong(problem, "fetch config.json and weights of one model"));
        }
        Ok(blocks)
    }

    /// Whether a head is tied to the table of tokens. Said to be tied, it is where there is one of both matrices, or both are equal; two that differ
    /// are both kept, as transformers 5 does.
    pub fn tied(&mut self, head: &str, table: &str, default: bool) -> Result<bool> {
        if !self.config.flag_or("tie_word_embeddings", default)? {
            return Ok(false);
        }
        match (self.weights.has(head), self.weights.has(table)) {
            (true, true) if !self.weights.same(head, table)? => {
                self.config.set("tie_word_embeddings", false);
                return Ok(false);
            }
            (true, true) => self.weights.remove(head),
            (true, false) => self.weights.rename(head, table),
            (false, _) => {}
        }
        Ok(true)
    }

    /// One tensor that stands in some folders under further names too: those are left out where they are equal, and one has the name where it is missing.
    pub fn one_tensor(&mut self, name: &str, others: &[&str]) -> Result<()> {
        for other in others.iter().filter(|other| self.weights.has(other)).copied().collect::<Vec<_>>() {
            if !self.weights.has(name) {
                self.weights.rename(other, name);
            } else if self.weights.same(name, other)? {
                self.weights.remove(other);
            } else {
                let problem = format!("{other} and {name} are one tensor, and differ");
                return Err(self.config.wrong(problem, "tables of tokens of the two sides apart are not built"));
            }
        }
        Ok(())
    }

    /// The token of padding, if it is one of the vocabulary: −1 and the like stand for none in some files.
    pub fn padding(&mut self, default: Option<usize>, vocabulary: usize) -> Result<Option<usize>> {
        if self.config.value("pad_token_id").is_none() {
            return Ok(default);
        }
        let padding = self.config.padding()?.map(|token| token as usize);
        match padding.filter(|padding| *padding >= vocabulary) {
            Some(_) => Err(self
                .config
                .wrong(format!("pad_token_id is none of {vocabulary} tokens"), "correct the file: null, or a token")),
            None => Ok(padding),
        }
    }
}
