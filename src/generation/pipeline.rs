//! All that happens to the logits of a row, in its order.

use super::history::History;
use super::processors::*;
use super::settings::GenerationSettings;
use super::space::Space;
use crate::error::Result;
use crate::tensor::Float;

/// A change of logits of your own: constrained decoding, a mask from a grammar.
///
/// It acts behind the processors of the settings and before temperature and what follows it. What it does has to depend on the
/// history alone, as rows change places in a beam search and come in any batch. Closures are processors too:
///
/// ```
/// use gradus::generation::{FromScratch, Generator, GenerationSettings, History};
/// let mut decoder = FromScratch::new(6, usize::MAX, |_: &[Vec<u32>], logits: &mut [f32]| {
///     logits.fill(0.0);
///     Ok(())
/// });
/// // Even and odd tokens in turn, never one twice.
/// let mask = |at: &History<'_>, logits: &mut [f32]| {
///     for (token, logit) in logits.iter_mut().enumerate() {
///         if token % 2 != at.tokens.len() % 2 || at.tokens.contains(&(token as u32)) {
///             *logit = f32::NEG_INFINITY;
///         }
///     }
///     Ok(())
/// };
/// let mut generator = Generator::new(GenerationSettings::default().max_new_tokens(4)).processor(mask);
/// assert_eq!(generator.generate(&mut decoder, &[[0]])?[0][0].tokens, [1, 2, 3, 4]);
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait LogitsProcessor<T: Float = f32> {
    /// Changes the logits (in a beam search without sampling: log-probabilities) of what follows the history.
    ///
    /// # Errors
    /// Whatever goes wrong; it ends the search.
    fn process(&mut self, at: &History<'_>, logits: &mut [T]) -> Result<()>;
}

impl<T: Float, F: FnMut(&History<'_>, &mut [T]) -> Result<()>> LogitsProcessor<T> for F {
    fn process(&mut self, at: &History<'_>, logits: &mut [T]) -> Result<()> {
        self(at, logits)
    }
}

/// The settings' processors and the caller's.
pub(super) struct Pipeline<'a, T> {
    pub settings: GenerationSettings,
    pub own: Vec<Box<dyn LogitsProcessor<T> + 'a>>,
    pub space: Space<T>,
}

impl<T: Float> Pipeline<'_, T> {
    /// Changes the logits of what follows the history.
    pub fn process(&mut self, at: &History<'_>, logits: &mut [T]) -> Result<()> {
        self.settings.process(at, logits, &mut self.space);
        for own in &mut self.own {
            own.process(at, logits)?;
        }
        if self.settings.do_sample {
            self.settings.warp(logits, &mut self.space);
        }
        Ok(())
    }
}

impl GenerationSettings {
    /// What these settings do to the logits of what follows the history, sampling or not: from the bias to the suppressed tokens.
    ///
    /// For loops of your own; [`Generator`](super::Generator) does it by itself.
    pub fn process<T: Float>(&self, at: &History<'_>, logits: &mut [T], space: &mut Space<T>) {
        let length = at.tokens.len();
        logit_bias(logits, &self.logit_bias);
        if self.repetition_penalty != 1.0 {
            repetition_penalty(logits, at.tokens, self.repetition_penalty, space);
        }
        if self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 {
            occurrence_penalties(logits, at.new_tokens(), self.presence_penalty, self.frequency_penalty, space);
        }
        no_repeat_ngram(logits, at.tokens, self.no_repeat_ngram_size);
        bad_words(logits, at.tokens, &self.bad_words, &self.end_tokens);
        min_length(logits, length, self.min_length, &self.end_tokens);
        min_length(logits, at.new_tokens().len(), self.min_new_tokens, &self.end_tokens);
        if let Some(token) = self.forced_bos
            && length == 1
        {
            forced(logits, &[token]);
        }
        if !self.forced_eos.is_empty() && at.new_tokens().len() + 1 == at.max_new_tokens {
            forced(logits, &self.forced_eos);
        }
        suppress(logits, &self.suppress_tokens);
        if length == at.prompt + usize::from(at.prompt == 1 && self.forced_bos.is_some()) {
            suppress(logits, &self.begin_suppress_tokens);
        }
    }

    /// What these settings do to logits from which a token is drawn: from the temperature to eta.
    ///
    /// For loops of your own; [`Generator`](super::Generator) does it by itself where it samples.
    pub fn warp<T: Float>(&self, logits: &mut [T], space: &mut Space<T>) {
        // Beams need something to go on with besides the ends.
        let at_least = if self.num_beams > 1 { self.end_tokens.len().max(1) + 1 } else { 1 };
        if self.temperature != 1.0 {
            temperature(logits, self.temperature);
        }
        if let Some(k) = self.top_k {
            top_k(logits, k, at_least, space);
        }
        if let Some(p) = self.top_p {
            top_p(logits, p, at_least, space);
        }
        if let Some(p) = self.min_p {
            min_p(logits, p, at_least, space);
        }
        if let Some(p) = self.typical_p.filter(|p| *p < 1.0) {
            typical_p(logits, p, at_least, space);
        }
        if let Some(epsilon) = self.epsilon_cutoff {
            epsilon_cutoff(logits, epsilon, at_least, space);
        }
        if let Some(epsilon) = self.eta_cutoff {
            eta_cutoff(logits, epsilon, at_least, space);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(settings: GenerationSettings, tokens: &[u32], prompt: usize, max_new_tokens: usize) -> Vec<f64> {
        let mut logits = vec![1.0, 2.0, 3.0, 4.0];
        let mut pipeline = Pipeline { settings, own: Vec::new(), space: Space::default() };
        pipeline.process(&History { row: 0, sequence: 0, tokens, prompt, max_new_tokens }, &mut logits).unwrap();
        logits
    }

    const OUT: f64 = f64::NEG_INFINITY;

    #[test]
    fn when_each_acts() {
        let s = GenerationSettings::default;
        // A forced first token comes behind one token only, a forced end where there is room for one more.
        assert_eq!(after(s().forced_bos(1), &[3], 1, 5), [OUT, 0.0, OUT, OUT]);
        assert_eq!(after(s().forced_bos(1), &[3, 3], 2, 5), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(after(s().forced_eos([1]), &[3, 0, 0], 1, 3), [OUT, 0.0, OUT, OUT]);
        assert_eq!(after(s().forced_eos([1]), &[3, 0], 1, 3), [1.0, 2.0, 3.0, 4.0]);
        // What may not come first: behind a forced first token, the second.
        assert_eq!(after(s().begin_suppress_tokens([3]), &[0, 0], 2, 5), [1.0, 2.0, 3.0, OUT]);
        assert_eq!(after(s().begin_suppress_tokens([3]), &[0, 0, 0], 2, 5), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(after(s().begin_suppress_tokens([3]).forced_bos(3), &[0], 1, 5), [OUT, OUT, OUT, 0.0]);
        assert_eq!(after(s().begin_suppress_tokens([3]).forced_bos(3), &[0, 3], 1, 5), [1.0, 2.0, 3.0, OUT]);
        // A forced token comes after what rules out, and before what is suppressed.
        assert_eq!(after(s().forced_bos(1).bad_words([[1]]).min_length(9).end_tokens([1]), &[3], 1, 5)[1], 0.0);
        assert_eq!(after(s().forced_bos(1).suppress_tokens([1]), &[3], 1, 5), [OUT; 4]);
        // Least lengths: with the prompt, and without.
        assert_eq!(after(s().min_length(3).end_tokens([0]), &[1, 1], 2, 5)[0], OUT);
        assert_eq!(after(s().min_length(2).end_tokens([0]), &[1, 1], 2, 5)[0], 1.0);
        assert_eq!(after(s().min_new_tokens(1).end_tokens([0]), &[1, 1], 2, 5)[0], OUT);
        assert_eq!(after(s().min_new_tokens(1).end_tokens([0]), &[1, 1, 1], 2, 5)[0], 1.0);
        // The bias is penalised with the rest; presence knows no prompt.
        assert_eq!(after(s().logit_bias([(0, 5.0)]).repetition_penalty(2.0), &[0], 1, 5)[0], 3.0);
        assert_eq!(after(s().presence_penalty(0.5), &[0, 1], 1, 5), [1.0, 1.5, 3.0, 4.0]);
        // What only acts on draws.
        assert_eq!(after(s().temperature(0.5).top_k(1), &[0], 1, 5), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(after(s().temperature(0.5).top_k(1).do_sample(true), &[0], 1, 5), [OUT, OUT, OUT, 8.0]);
        assert_eq!(after(s().top_k(1).do_sample(true).num_beams(2), &[0], 1, 5), [OUT, OUT, 3.0, 4.0]);
        let ends = s().top_k(1).do_sample(true).num_beams(2).end_tokens([0, 1]);
        assert_eq!(after(ends, &[0], 1, 5), [OUT, 2.0, 3.0, 4.0]);
    }
}
