//! What greedy search, sampling and beam search share.

use super::decoder::Decoder;
use super::history::History;
use super::pipeline::Pipeline;
use super::probability::log_sum_exp;
use super::stop::StopCondition;
use crate::error::{Error, Result};
use crate::memory;
use crate::tensor::Float;

pub(super) const OP: &str = "generate";

/// A generator's parts, and its memory.
pub(super) struct Search<'a, T> {
    pub pipeline: Pipeline<'a, T>,
    pub stops: Vec<Box<dyn StopCondition + 'a>>,
    /// `[rows, vocabulary]`, from the decoder.
    pub logits: Vec<T>,
    /// One row, which the processors change.
    pub scores: Vec<T>,
    /// Whether the settings' stop strings can be looked for.
    pub reads_text: bool,
}

impl<T: Float> Search<'_, T> {
    /// Looks at settings and prompts, takes memory, and hands the prompts to the decoder; there are `each` sequences of every prompt.
    pub fn begin(&mut self, decoder: &mut dyn Decoder<T>, prompts: &[&[u32]], each: usize) -> Result<()> {
        let (settings, vocabulary) = (&self.pipeline.settings, decoder.vocabulary());
        if vocabulary == 0 || vocabulary > u32::MAX as usize {
            let expected = format!("a vocabulary of 1 to {} tokens", u32::MAX);
            return Err(Error::shape(OP, expected, vocabulary, "look at the decoder's `vocabulary`"));
        }
        settings.check(vocabulary)?;
        if !settings.stop_strings.is_empty() && !self.reads_text {
            let hint = "call Generator::tokenizer (feature \"text\"), or use stop_when";
            return Err(Error::argument(OP, "stop_strings", "empty without a tokenizer", "texts", hint));
        }
        if !settings.row_numbers.is_empty() && settings.row_numbers.len() != prompts.len() {
            let (expected, got) =
                (format!("a number for each of {} prompts", prompts.len()), settings.row_numbers.len());
            return Err(Error::argument(OP, "row_numbers", expected, got, "give as many numbers as prompts"));
        }
        check_prompts(prompts, vocabulary, decoder.context(), settings.max_new_tokens)?;
        let rows = prompts.len().saturating_mul(each);
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        memory::check_room::<u64>(
            OP,
            format_args!("{rows} sequences"),
            rows.saturating_mul(longest.saturating_add(32)),
        )?;
        let what = format_args!("the logits of {rows} sequences");
        memory::resize(OP, what, &mut self.logits, rows.saturating_mul(vocabulary), T::zero())?;
        memory::resize(OP, "a row of logits", &mut self.scores, vocabulary, T::zero())?;
        decoder.prompt(prompts, &mut self.logits[..prompts.len() * vocabulary])
    }

    /// ln Σ e^logit of a row of the decoder's, and the row in `scores`.
    pub fn row(&mut self, row: usize, at: &History<'_>) -> Result<f64> {
        let vocabulary = self.scores.len();
        let logits = &self.logits[row * vocabulary..][..vocabulary];
        let norm = log_sum_exp(logits);
        if !norm.is_finite() {
            return Err(unusable(logits, at, "the decoder's logits", "look at the model's weights and inputs"));
        }
        self.scores.copy_from_slice(logits);
        Ok(norm)
    }

    /// The natural logarithm of a token's probability as the decoder has it.
    pub fn log_probability(&self, row: usize, token: u32, norm: f64) -> f64 {
        self.logits[row * self.scores.len() + token as usize].as_f64() - norm
    }

    /// Why no token of `scores` can be taken.
    pub fn no_token(&self, at: &History<'_>) -> Error {
        let hint = "rule out less: look at bad words, suppressed and forced tokens, biases and masks of your own";
        unusable(&self.scores, at, "the logits behind all processors", hint)
    }

    /// The number by which the draws of a prompt are keyed.
    pub fn row_number(&self, row: usize) -> u64 {
        self.pipeline.settings.row_numbers.get(row).copied().unwrap_or(row as u64)
    }

    /// The next tokens to the decoder: row i goes on from where `parents[i]` of `before` rows stood.
    pub fn step(
        &mut self,
        decoder: &mut dyn Decoder<T>,
        before: usize,
        parents: &[usize],
        tokens: &[u32],
    ) -> Result<()> {
        if parents.len() != before || parents.iter().enumerate().any(|(i, &parent)| i != parent) {
            decoder.reorder(parents)?;
        }
        decoder.step(tokens, &mut self.logits[..tokens.len() * self.scores.len()])
    }
}

fn check_prompts(prompts: &[&[u32]], vocabulary: usize, context: usize, max_new_tokens: usize) -> Result<()> {
    if prompts.is_empty() {
        return Err(Error::Empty { op: OP, what: "prompts" });
    }
    for (row, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() {
            let hint = "begin with a token, such as the one that begins texts";
            return Err(Error::shape(OP, "prompts of one token or more", format!("none in row {row}"), hint));
        }
        if let Some(position) = prompt.iter().position(|&token| token as usize >= vocabulary) {
            let (input, got) = ("prompts".to_owned(), prompt[position].to_string());
            return Err(Error::TokenId { op: OP, input, row, position, got, count: vocabulary });
        }
        if prompt.len() > context {
            let (expected, got) = (format!("prompts of at most {context} tokens"), prompt.len());
            let hint = "shorten the prompt to the decoder's context";
            return Err(Error::shape(OP, expected, format!("{got} in row {row}"), hint));
        }
        // Nothing follows the last token, so the decoder is not given it.
        let most = (context - prompt.len()).saturating_add(1);
        if max_new_tokens > most {
            let expected = format!("at most {most} behind the {} tokens of row {row}", prompt.len());
            let hint = format!("the decoder's context holds {context} tokens; lower it, or shorten the prompt");
            return Err(Error::argument(OP, "max_new_tokens", expected, max_new_tokens, hint));
        }
    }
    Ok(())
}

/// Why no token can be taken: one is NaN or ∞, or all are −∞.
fn unusable<T: Float>(logits: &[T], at: &History<'_>, what: &str, hint: &str) -> Error {
    let bad = |v: &T| v.is_nan() || *v == T::infinity();
    let row = at.row;
    let (problem, hint) = match logits.iter().position(bad) {
        Some(token) => {
            let value = logits[token];
            let hint = "look at the model's weights and inputs, and at processors of your own";
            (format!("{what} are {value} for token {token} in row {row}, position {}", at.tokens.len()), hint)
        }
        None => (format!("no token is left for row {row}, position {}: {what} are all −∞", at.tokens.len()), hint),
    };
    Error::Config { op: OP, problem, hint: hint.to_owned() }
}
