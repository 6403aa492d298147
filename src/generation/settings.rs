//! How a text is generated.

use crate::error::{Error, Result};

/// When a beam search has found enough; Transformers' `early_stopping`.
///
/// A search ends at the latest where the most new tokens are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BeamStopping {
    /// As soon as there are as many finished sequences as beams (`True`).
    Full,
    /// When there are as many, and the best of the beams, scored as if it ended now, is not better than the worst of them
    /// (`False`, the default there and here).
    #[default]
    Likely,
    /// When there are as many, and no beam can become better than the worst of them: as [`Likely`](Self::Likely), but with a length
    /// penalty above 0 beams are scored as if they kept their sum up to the greatest length (`"never"`).
    Never,
}

/// How a text is generated from prompts: length, what is allowed, how tokens are picked.
///
/// By default up to 128 new tokens, each the most likely one, without an end token and with nothing penalised. The order in which
/// settings act on the logits of a step is Transformers': bias, repetition penalty, presence and frequency penalties, n-grams, bad
/// words, least lengths, forced tokens, suppressed tokens, the caller's own [`LogitsProcessor`](super::LogitsProcessor)s; then, where
/// [`do_sample`](Self::do_sample) is on, temperature, top-k, top-p, min-p, typical, epsilon, eta, each on what the last one left.
///
/// What is out of its range is an error of [`Generator::generate`](super::Generator::generate), or of [`check`](Self::check).
///
/// ```
/// use gradus::generation::GenerationSettings;
/// let settings = GenerationSettings::default().max_new_tokens(50).end_tokens([2]).do_sample(true).temperature(0.8).top_p(0.9);
/// settings.check(100)?;
/// assert!(settings.temperature(0.0).check(100).is_err());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationSettings {
    pub(super) max_new_tokens: usize,
    pub(super) min_new_tokens: usize,
    pub(super) min_length: usize,
    pub(super) end_tokens: Vec<u32>,
    pub(super) pad_token: Option<u32>,
    pub(super) stop_strings: Vec<String>,
    pub(super) do_sample: bool,
    pub(super) seed: u64,
    pub(super) row_numbers: Vec<u64>,
    pub(super) num_return_sequences: usize,
    pub(super) temperature: f64,
    pub(super) top_k: Option<usize>,
    pub(super) top_p: Option<f64>,
    pub(super) min_p: Option<f64>,
    pub(super) typical_p: Option<f64>,
    pub(super) epsilon_cutoff: Option<f64>,
    pub(super) eta_cutoff: Option<f64>,
    pub(super) logit_bias: Vec<(u32, f64)>,
    pub(super) repetition_penalty: f64,
    pub(super) presence_penalty: f64,
    pub(super) frequency_penalty: f64,
    pub(super) no_repeat_ngram_size: usize,
    pub(super) bad_words: Vec<Vec<u32>>,
    pub(super) suppress_tokens: Vec<u32>,
    pub(super) begin_suppress_tokens: Vec<u32>,
    pub(super) forced_bos: Option<u32>,
    pub(super) forced_eos: Vec<u32>,
    pub(super) num_beams: usize,
    pub(super) length_penalty: f64,
    pub(super) early_stopping: BeamStopping,
}

impl Default for GenerationSettings {
    fn default() -> Self {
        GenerationSettings {
            max_new_tokens: 128,
            min_new_tokens: 0,
            min_length: 0,
            end_tokens: Vec::new(),
            pad_token: None,
            stop_strings: Vec::new(),
            do_sample: false,
            seed: 0,
            row_numbers: Vec::new(),
            num_return_sequences: 1,
            temperature: 1.0,
            top_k: None,
            top_p: None,
            min_p: None,
            typical_p: None,
            epsilon_cutoff: None,
            eta_cutoff: None,
            logit_bias: Vec::new(),
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            no_repeat_ngram_size: 0,
            bad_words: Vec::new(),
            suppress_tokens: Vec::new(),
            begin_suppress_tokens: Vec::new(),
            forced_bos: None,
            forced_eos: Vec::new(),
            num_beams: 1,
            length_penalty: 1.0,
            early_stopping: BeamStopping::Likely,
        }
    }
}

impl GenerationSettings {
    /// The most tokens that are added to a prompt, at least 1; 128 by default. Together with the prompt they have to fit into the
    /// decoder's context, where the last token needs no room, as nothing follows it.
    pub fn max_new_tokens(mut self, tokens: usize) -> Self {
        self.max_new_tokens = tokens;
        self
    }

    /// The fewest tokens that are added before an end token may come; 0 by default. It holds beside [`min_length`](Self::min_length).
    pub fn min_new_tokens(mut self, tokens: usize) -> Self {
        self.min_new_tokens = tokens;
        self
    }

    /// The fewest tokens, prompt (or a decoder's start token) and new ones together, before an end token may come; 0 by default.
    pub fn min_length(mut self, tokens: usize) -> Self {
        self.min_length = tokens;
        self
    }

    /// Tokens that end a sequence, `eos_token_id`; none by default. The end token is part of the sequence.
    pub fn end_tokens(mut self, tokens: impl IntoIterator<Item = u32>) -> Self {
        self.end_tokens = tokens.into_iter().collect();
        self
    }

    /// What sequences that ended are filled up with where rows are made equally long; the first end token by default, 0 if there is
    /// none.
    pub fn pad_token(mut self, token: u32) -> Self {
        self.pad_token = Some(token);
        self
    }

    /// Texts that end a sequence, also where they span tokens; none by default. They need the generator to have a tokenizer.
    pub fn stop_strings<S: Into<String>>(mut self, texts: impl IntoIterator<Item = S>) -> Self {
        self.stop_strings = texts.into_iter().map(Into::into).collect();
        self
    }

    /// Whether tokens are drawn at random, as likely as the model has them; no by default: then the most likely one is taken, and
    /// temperature, top-k, top-p, min-p, typical, epsilon and eta do nothing.
    pub fn do_sample(mut self, sample: bool) -> Self {
        self.do_sample = sample;
        self
    }

    /// Where random draws come from; 0 by default. Draws are keyed by seed, number of the row, number of the sequence and position in
    /// it, so that the same seed writes the same text, in one call or in several that each go on where the last one ended.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The numbers by which the draws of the prompts are keyed, one for each; 0, 1, 2 … by default. A prompt with the same number
    /// gets the same text alone and in any batch.
    pub fn row_numbers(mut self, numbers: impl IntoIterator<Item = u64>) -> Self {
        self.row_numbers = numbers.into_iter().collect();
        self
    }

    /// How many sequences there are for each prompt; 1 by default. More need sampling, or as many beams.
    pub fn num_return_sequences(mut self, sequences: usize) -> Self {
        self.num_return_sequences = sequences;
        self
    }

    /// What logits are divided by, above 0; 1 by default. See [`temperature`](super::processors::temperature).
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// How many of the most likely tokens stay, at least 1; all by default. See [`top_k`](super::processors::top_k).
    pub fn top_k(mut self, k: impl Into<Option<usize>>) -> Self {
        self.top_k = k.into();
        self
    }

    /// The probability, above 0 and at most 1, that the tokens that stay have together; all stay by default. See
    /// [`top_p`](super::processors::top_p).
    pub fn top_p(mut self, p: impl Into<Option<f64>>) -> Self {
        self.top_p = p.into();
        self
    }

    /// The part, from 0 to 1, of the largest probability below which tokens go; none by default. See
    /// [`min_p`](super::processors::min_p).
    pub fn min_p(mut self, p: impl Into<Option<f64>>) -> Self {
        self.min_p = p.into();
        self
    }

    /// The probability, above 0 and at most 1, that the typical tokens that stay have together; all stay by default. See
    /// [`typical_p`](super::processors::typical_p).
    pub fn typical_p(mut self, p: impl Into<Option<f64>>) -> Self {
        self.typical_p = p.into();
        self
    }

    /// The probability, from 0 to below 1, below which tokens go; none by default. See
    /// [`epsilon_cutoff`](super::processors::epsilon_cutoff).
    pub fn epsilon_cutoff(mut self, epsilon: impl Into<Option<f64>>) -> Self {
        self.epsilon_cutoff = epsilon.into();
        self
    }

    /// The ε, from 0 to below 1, of the probability below which tokens go; none by default. See
    /// [`eta_cutoff`](super::processors::eta_cutoff).
    pub fn eta_cutoff(mut self, epsilon: impl Into<Option<f64>>) -> Self {
        self.eta_cutoff = epsilon.into();
        self
    }

    /// Numbers added to the logits of tokens, −∞ for never; none by default. See [`logit_bias`](super::processors::logit_bias).
    pub fn logit_bias(mut self, bias: impl IntoIterator<Item = (u32, f64)>) -> Self {
        self.logit_bias = bias.into_iter().collect();
        self
    }

    /// The penalty, above 0, on tokens that the prompt or the text has; 1, none, by default. See
    /// [`repetition_penalty`](super::processors::repetition_penalty).
    pub fn repetition_penalty(mut self, penalty: f64) -> Self {
        self.repetition_penalty = penalty;
        self
    }

    /// What is taken from the logits of tokens that the text has; 0 by default. See
    /// [`occurrence_penalties`](super::processors::occurrence_penalties).
    pub fn presence_penalty(mut self, penalty: f64) -> Self {
        self.presence_penalty = penalty;
        self
    }

    /// What is taken from the logits of tokens for each time that the text has them; 0 by default. See
    /// [`occurrence_penalties`](super::processors::occurrence_penalties).
    pub fn frequency_penalty(mut self, penalty: f64) -> Self {
        self.frequency_penalty = penalty;
        self
    }

    /// How many tokens in a row may not occur twice, prompt included; 0, no limit, by default. See
    /// [`no_repeat_ngram`](super::processors::no_repeat_ngram).
    pub fn no_repeat_ngram_size(mut self, tokens: usize) -> Self {
        self.no_repeat_ngram_size = tokens;
        self
    }

    /// Runs of tokens that never come, `bad_words_ids`; none by default. See [`bad_words`](super::processors::bad_words).
    pub fn bad_words<W: Into<Vec<u32>>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.bad_words = words.into_iter().map(Into::into).collect();
        self
    }

    /// Tokens that never come; none by default.
    pub fn suppress_tokens(mut self, tokens: impl IntoIterator<Item = u32>) -> Self {
        self.suppress_tokens = tokens.into_iter().collect();
        self
    }

    /// Tokens that are not the first new one (behind a forced first one: the second); none by default.
    pub fn begin_suppress_tokens(mut self, tokens: impl IntoIterator<Item = u32>) -> Self {
        self.begin_suppress_tokens = tokens.into_iter().collect();
        self
    }

    /// The token that comes behind a prompt of one token, `forced_bos_token_id`; none by default.
    pub fn forced_bos(mut self, token: impl Into<Option<u32>>) -> Self {
        self.forced_bos = token.into();
        self
    }

    /// The tokens one of which comes where there is room for one more, `forced_eos_token_id`; none by default.
    pub fn forced_eos(mut self, tokens: impl IntoIterator<Item = u32>) -> Self {
        self.forced_eos = tokens.into_iter().collect();
        self
    }

    /// How many beginnings are followed at once; 1, no beam search, by default. With [`do_sample`](Self::do_sample) the next beginnings
    /// are drawn without putting back.
    pub fn num_beams(mut self, beams: usize) -> Self {
        self.num_beams = beams;
        self
    }

    /// The power of the number of new tokens that a sum of log-probabilities is divided by, to compare sequences of a beam search;
    /// 1 by default. Above 0 it is in favour of long ones, below 0 of short ones.
    pub fn length_penalty(mut self, penalty: f64) -> Self {
        self.length_penalty = penalty;
        self
    }

    /// When a beam search ends; [`BeamStopping::Likely`] by default.
    pub fn early_stopping(mut self, stopping: BeamStopping) -> Self {
        self.early_stopping = stopping;
        self
    }

    /// Looks at every setting, for a decoder with so many tokens.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first one that is out of its range, and for tokens that are not in the vocabulary.
    pub fn check(&self, vocabulary: usize) -> Result<()> {
        let at_least_one = [
            ("max_new_tokens", self.max_new_tokens),
            ("num_return_sequences", self.num_return_sequences),
            ("num_beams", self.num_beams),
            ("top_k", self.top_k.unwrap_or(1)),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                let hint = if name == "top_k" { "leave it out to keep all tokens" } else { "ask for one or more" };
                return argument(name, "at least 1", value, hint);
            }
        }
        if self.min_new_tokens > self.max_new_tokens {
            let expected = format!("at most max_new_tokens, {}", self.max_new_tokens);
            return argument("min_new_tokens", expected, self.min_new_tokens, "lower it, or allow more tokens");
        }
        self.check_numbers()?;
        self.check_sequences()?;
        self.check_tokens(vocabulary)
    }

    fn check_numbers(&self) -> Result<()> {
        let above_zero = [
            ("temperature", self.temperature, "leave do_sample off for the most likely token"),
            ("repetition_penalty", self.repetition_penalty, "1 is no penalty"),
        ];
        for (name, value, hint) in above_zero {
            // As f32 too: logits are divided by it.
            if !(value > 0.0 && value.is_finite() && (value as f32) > 0.0 && (value as f32).is_finite()) {
                return argument(name, "above 0 and finite", value, hint);
            }
        }
        for (name, value) in [("top_p", self.top_p), ("typical_p", self.typical_p)] {
            if let Some(value) = value
                && !(value > 0.0 && value <= 1.0)
            {
                return argument(name, "above 0 and at most 1", value, "1 keeps all tokens");
            }
        }
        if let Some(value) = self.min_p
            && !(0.0..=1.0).contains(&value)
        {
            return argument("min_p", "from 0 to 1", value, "0 keeps all tokens");
        }
        for (name, value) in [("epsilon_cutoff", self.epsilon_cutoff), ("eta_cutoff", self.eta_cutoff)] {
            if let Some(value) = value
                && !(0.0..1.0).contains(&value)
            {
                return argument(name, "at least 0 and below 1", value, "0 keeps all tokens");
            }
        }
        for (name, value) in [
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
            ("length_penalty", self.length_penalty),
        ] {
            if !(value as f32).is_finite() {
                return argument(name, "finite", value, "leave it at its default");
            }
        }
        match self.logit_bias.iter().find(|(_, bias)| !(*bias as f32).is_finite() && *bias != f64::NEG_INFINITY) {
            Some((token, bias)) => {
                let got = format!("{bias} for token {token}");
                argument("logit_bias", "finite, or −∞ for a token that never comes", got, "correct the bias")
            }
            None => Ok(()),
        }
    }

    fn check_sequences(&self) -> Result<()> {
        let (sequences, beams) = (self.num_return_sequences, self.num_beams);
        if beams > 1 && sequences > beams {
            let expected = format!("at most num_beams, {beams}");
            return argument("num_return_sequences", expected, sequences, "take more beams");
        }
        if beams == 1 && sequences > 1 && !self.do_sample {
            let hint = "set do_sample, or take as many beams";
            return argument("num_return_sequences", "1 where the most likely token is taken", sequences, hint);
        }
        if let Some(i) = self.stop_strings.iter().position(String::is_empty) {
            return argument("stop_strings", "texts of one character or more", format!("\"\" at {i}"), "leave it out");
        }
        match self.bad_words.iter().position(Vec::is_empty) {
            Some(i) => argument("bad_words", "runs of one token or more", format!("[] at {i}"), "leave it out"),
            None => Ok(()),
        }
    }

    fn check_tokens(&self, vocabulary: usize) -> Result<()> {
        let bias: Vec<u32> = self.logit_bias.iter().map(|(token, _)| *token).collect();
        let all = [
            ("end_tokens", &self.end_tokens[..]),
            ("pad_token", self.pad_token.as_slice()),
            ("logit_bias", &bias),
            ("suppress_tokens", &self.suppress_tokens),
            ("begin_suppress_tokens", &self.begin_suppress_tokens),
            ("forced_bos", self.forced_bos.as_slice()),
            ("forced_eos", &self.forced_eos),
        ];
        let words = self.bad_words.iter().map(|word| ("bad_words", &word[..]));
        for (name, tokens) in all.into_iter().chain(words) {
            if let Some(token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
                let expected = format!("tokens of the decoder's vocabulary, below {vocabulary}");
                return argument(name, expected, token, "take the settings that belong to the model");
            }
        }
        Ok(())
    }

    /// The tokens that end a sequence.
    #[cfg(all(feature = "text", feature = "files"))]
    pub(crate) fn ends(&self) -> &[u32] {
        &self.end_tokens
    }

    /// The most tokens that are added.
    #[cfg(all(feature = "text", feature = "files"))]
    pub(crate) fn most_new_tokens(&self) -> usize {
        self.max_new_tokens
    }

    /// What rows that ended are filled up with.
    pub(super) fn pad(&self) -> u32 {
        self.pad_token.or(self.end_tokens.first().copied()).unwrap_or(0)
    }
}

fn argument(name: &'static str, expected: impl ToString, got: impl ToString, hint: &str) -> Result<()> {
    Err(Error::argument("GenerationSettings", name, expected, got, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(GenerationSettings) -> GenerationSettings) -> String {
        change(GenerationSettings::default()).check(10).unwrap_err().to_string()
    }

    #[test]
    fn every_setting_is_looked_at() {
        GenerationSettings::default().check(1).unwrap();
        assert_eq!(
            problem(|s| s.temperature(0.0)),
            "GenerationSettings: temperature must be above 0 and finite, got 0; leave do_sample off for the most likely token"
        );
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e-50, 1e50] {
            assert!(problem(|s| s.temperature(bad)).contains("temperature must"), "{bad}");
            assert!(problem(|s| s.repetition_penalty(bad)).contains("repetition_penalty must"), "{bad}");
        }
        for bad in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(problem(|s| s.top_p(bad)).contains("top_p must be above 0 and at most 1, got"), "{bad}");
            assert!(problem(|s| s.typical_p(bad)).contains("typical_p must"), "{bad}");
        }
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(problem(|s| s.min_p(bad)).contains("min_p must"), "{bad}");
            assert!(problem(|s| s.epsilon_cutoff(bad)).contains("epsilon_cutoff must"), "{bad}");
            assert!(problem(|s| s.eta_cutoff(bad)).contains("eta_cutoff must"), "{bad}");
        }
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert!(problem(|s| s.presence_penalty(bad)).contains("presence_penalty must"), "{bad}");
            assert!(problem(|s| s.frequency_penalty(bad)).contains("frequency_penalty must"), "{bad}");
            assert!(problem(|s| s.length_penalty(bad)).contains("length_penalty must"), "{bad}");
        }
        assert!(problem(|s| s.logit_bias([(1, f64::NAN)])).contains("NaN for token 1"));
        assert!(problem(|s| s.logit_bias([(1, f64::INFINITY)])).contains("inf for token 1"));
        assert!(problem(|s| s.max_new_tokens(0)).contains("max_new_tokens must be at least 1"));
        assert!(problem(|s| s.top_k(0)).contains("top_k must be at least 1"));
        assert!(problem(|s| s.num_beams(0)).contains("num_beams must"));
        assert!(problem(|s| s.num_return_sequences(0)).contains("num_return_sequences must"));
        assert!(problem(|s| s.num_return_sequences(2)).contains("set do_sample"));
        assert!(problem(|s| s.num_return_sequences(3).num_beams(2)).contains("at most num_beams, 2"));
        assert!(problem(|s| s.max_new_tokens(3).min_new_tokens(4)).contains("at most max_new_tokens, 3"));
        assert!(problem(|s| s.stop_strings(["a", ""])).contains("stop_strings"));
        assert!(problem(|s| s.bad_words([vec![1], vec![]])).contains("[] at 1"));
        for (name, settings) in [
            ("end_tokens", GenerationSettings::default().end_tokens([1, 10])),
            ("pad_token", GenerationSettings::default().pad_token(10)),
            ("logit_bias", GenerationSettings::default().logit_bias([(10, 0.0)])),
            ("bad_words", GenerationSettings::default().bad_words([vec![1, 10]])),
            ("suppress_tokens", GenerationSettings::default().suppress_tokens([10])),
            ("begin_suppress_tokens", GenerationSettings::default().begin_suppress_tokens([10])),
            ("forced_bos", GenerationSettings::default().forced_bos(10)),
            ("forced_eos", GenerationSettings::default().forced_eos([10])),
        ] {
            let problem = settings.check(10).unwrap_err().to_string();
            assert!(problem.contains(&format!("{name} must be tokens of the decoder's vocabulary, below 10, got 10")));
            settings.check(11).unwrap();
        }
    }
}
