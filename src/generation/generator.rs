//! The door: a generator and what it is asked for.

use super::beam::beam_search;
use super::decoder::Decoder;
use super::output::{Generated, Sequence};
use super::pipeline::{LogitsProcessor, Pipeline};
use super::search::Search;
use super::settings::GenerationSettings;
use super::space::Space;
use super::stop::{Finish, StopCondition};
#[cfg(feature = "text")]
use super::stop_strings::{StopStrings, text_of};
use super::stream::Stream;
#[cfg(feature = "text")]
use super::text_stream::TextStream;
use crate::error::{Error, Result};
use crate::tensor::Float;
#[cfg(feature = "text")]
use crate::text::Tokenizer;

/// Writes on from prompts: settings, processors and stop conditions, and memory that is kept from call to call.
///
/// ```
/// use gradus::generation::{FromScratch, Generator, GenerationSettings};
/// // A model that likes to count, and 7 more than it should.
/// let mut decoder = FromScratch::new(8, 100, |rows: &[Vec<u32>], logits: &mut [f32]| {
///     for (row, logits) in rows.iter().zip(logits.chunks_exact_mut(8)) {
///         logits.fill(0.0);
///         logits[(row[row.len() - 1] as usize + 1) % 8] = 2.0;
///         logits[7] = 1.0;
///     }
///     Ok(())
/// });
/// let settings = GenerationSettings::default().max_new_tokens(6).end_tokens([7]);
///
/// // The most likely tokens of prompts of different lengths; the second ends early and is filled up.
/// let output = Generator::new(settings.clone().pad_token(0)).generate(&mut decoder, &[&[0, 1][..], &[5]])?;
/// assert_eq!(output.padded(), [[2, 3, 4, 5, 6, 7], [6, 7, 0, 0, 0, 0]]);
///
/// // Drawn at random, the same for the same seed.
/// let mut generator = Generator::new(settings.clone().do_sample(true).temperature(0.7).seed(3));
/// assert_eq!(generator.generate(&mut decoder, &[[0]])?, generator.generate(&mut decoder, &[[0]])?);
///
/// // One by one as they come.
/// for token in generator.stream(&mut decoder, &[[0]])? {
///     println!("{}", token?.id);
/// }
///
/// // The best of four beams.
/// let output = Generator::new(settings.num_beams(4)).generate(&mut decoder, &[[3]])?;
/// assert_eq!(output[0][0].tokens, [4, 5, 6, 7]);
/// # Ok::<(), gradus::Error>(())
/// ```
pub struct Generator<'a, T: Float = f32> {
    search: Search<'a, T>,
    #[cfg(feature = "text")]
    tokenizer: Option<&'a Tokenizer>,
}

impl<'a> Generator<'a> {
    /// A generator for decoders whose logits are `f32`. The settings are looked at when it is used.
    pub fn new(settings: GenerationSettings) -> Self {
        Self::new_as(settings)
    }
}

impl<'a, T: Float> Generator<'a, T> {
    /// A generator for decoders whose logits are of type `T`.
    pub fn new_as(settings: GenerationSettings) -> Self {
        Generator {
            search: Search {
                pipeline: Pipeline { settings, own: Vec::new(), space: Space::default() },
                stops: Vec::new(),
                logits: Vec::new(),
                scores: Vec::new(),
                reads_text: false,
            },
            #[cfg(feature = "text")]
            tokenizer: None,
        }
    }

    /// A processor of your own, behind those of the settings and of earlier calls.
    pub fn processor(mut self, processor: impl LogitsProcessor<T> + 'a) -> Self {
        self.search.pipeline.own.push(Box::new(processor));
        self
    }

    /// A stop condition of your own.
    pub fn stop_when(mut self, condition: impl StopCondition + 'a) -> Self {
        self.search.stops.push(Box::new(condition));
        self
    }

    /// The tokenizer that belongs to the decoder: for stop strings, [`stream_text`](Self::stream_text) and
    /// [`generate_text`](Self::generate_text).
    #[cfg(feature = "text")]
    pub fn tokenizer(mut self, tokenizer: &'a Tokenizer) -> Self {
        let strings = &self.search.pipeline.settings.stop_strings;
        if !strings.is_empty() && !self.search.reads_text {
            self.search.stops.push(Box::new(StopStrings::new(tokenizer, strings.clone())));
        }
        self.search.reads_text = true;
        self.tokenizer = Some(tokenizer);
        self
    }

    /// The settings.
    pub fn settings(&self) -> &GenerationSettings {
        &self.search.pipeline.settings
    }

    /// Writes on from each prompt until its sequences end: the most likely tokens, drawn ones, or, with more than one beam, a beam
    /// search. No bit of a sequence depends on the other prompts, as far as the decoder's logits do not; for drawn ones see
    /// [`GenerationSettings::row_numbers`].
    ///
    /// # Errors
    /// [`Error::Argument`] for settings out of their range, and for more new tokens than the decoder's context has room for;
    /// [`Error::Empty`] for no prompts, [`Error::Shape`] for an empty one or one longer than the context, [`Error::TokenId`] for a
    /// token that the decoder does not have; [`Error::Config`] where logits are NaN or ∞, or no token is left to take;
    /// [`Error::Memory`]; and errors of decoder, processors and stop conditions.
    pub fn generate<P: AsRef<[u32]>>(&mut self, decoder: &mut dyn Decoder<T>, prompts: &[P]) -> Result<Generated> {
        let prompts: Vec<&[u32]> = prompts.iter().map(AsRef::as_ref).collect();
        self.generate_rows(decoder, &prompts)
    }

    /// [`generate`](Self::generate), compiled once.
    #[doc(hidden)]
    #[inline(never)]
    pub fn generate_rows(&mut self, decoder: &mut dyn Decoder<T>, prompts: &[&[u32]]) -> Result<Generated> {
        let pad = self.settings().pad();
        if self.settings().num_beams > 1 {
            return Ok(Generated { rows: beam_search(&mut self.search, decoder, prompts)?, pad });
        }
        let each = self.settings().num_return_sequences;
        let stream = Stream::begin(&mut self.search, decoder, prompts)?;
        let empty = Sequence { tokens: Vec::new(), log_probabilities: Vec::new(), score: 0.0, finish: Finish::Length };
        let mut rows = vec![vec![empty; each]; prompts.len()];
        for token in stream {
            let token = token?;
            let sequence = &mut rows[token.row][token.sequence];
            sequence.tokens.push(token.id);
            sequence.log_probabilities.push(token.log_probability);
            sequence.score += token.log_probability;
            sequence.finish = token.finish.unwrap_or(sequence.finish);
        }
        Ok(Generated { rows, pad })
    }

    /// The tokens of [`generate`](Self::generate) as they come; not from a beam search, whose tokens are known at its end only.
    ///
    /// # Errors
    /// As for [`generate`](Self::generate), also while iterating; [`Error::Argument`] for more than one beam.
    pub fn stream<'s, P: AsRef<[u32]>>(
        &'s mut self,
        decoder: &'s mut dyn Decoder<T>,
        prompts: &[P],
    ) -> Result<Stream<'s, 'a, T>> {
        let prompts: Vec<&[u32]> = prompts.iter().map(AsRef::as_ref).collect();
        self.stream_rows(decoder, &prompts)
    }

    /// [`stream`](Self::stream), compiled once.
    #[doc(hidden)]
    #[inline(never)]
    pub fn stream_rows<'s>(
        &'s mut self,
        decoder: &'s mut dyn Decoder<T>,
        prompts: &[&[u32]],
    ) -> Result<Stream<'s, 'a, T>> {
        let beams = self.settings().num_beams;
        if beams > 1 {
            let hint = "use generate, or set num_beams to 1";
            return Err(Error::argument("stream", "num_beams", "1", beams, hint));
        }
        Stream::begin(&mut self.search, decoder, prompts)
    }

    /// The text that follows a prompt, as it comes: pieces that hold whole characters, up to a stop string, without it and without
    /// the end token.
    ///
    /// ```no_run
    /// # use gradus::{generation::{Decoder, Generator, GenerationSettings}, text::Tokenizer};
    /// # fn show(model: &mut dyn Decoder, tokenizer: &Tokenizer) -> gradus::Result<()> {
    /// let settings = GenerationSettings::default().stop_strings(["\nQuestion:"]);
    /// let mut generator = Generator::new(settings).tokenizer(tokenizer);
    /// for piece in generator.stream_text(model, "Question: why?\nAnswer:")? {
    ///     print!("{}", piece?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`stream`](Self::stream); [`Error::Argument`] without a tokenizer, for more than one sequence, and, while iterating,
    /// for a token that the tokenizer does not have.
    #[cfg(feature = "text")]
    #[inline(never)]
    pub fn stream_text<'s>(
        &'s mut self,
        decoder: &'s mut dyn Decoder<T>,
        prompt: &str,
    ) -> Result<TextStream<'s, 'a, T>> {
        let prompt = self.needed_tokenizer("stream_text")?.encode_ids(prompt)?;
        self.stream_text_of(decoder, &prompt)
    }

    /// [`stream_text`](Self::stream_text) behind a prompt of tokens, such as those of a chat.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "text")]
    #[inline(never)]
    pub fn stream_text_of<'s>(
        &'s mut self,
        decoder: &'s mut dyn Decoder<T>,
        prompt: &[u32],
    ) -> Result<TextStream<'s, 'a, T>> {
        let tokenizer = self.needed_tokenizer("stream_text")?;
        let sequences = self.settings().num_return_sequences;
        if sequences > 1 {
            let hint = "use generate, or ask for one sequence";
            return Err(Error::argument("stream_text", "num_return_sequences", "1", sequences, hint));
        }
        let strings = self.settings().stop_strings.clone();
        TextStream::new(self.stream_rows(decoder, &[prompt])?, tokenizer, strings, prompt)
    }

    /// The text that follows a prompt, up to a stop string: that of the first sequence, of a beam search the best.
    ///
    /// # Errors
    /// As for [`generate`](Self::generate); [`Error::Argument`] without a tokenizer, and for a token that the tokenizer does not have.
    #[cfg(feature = "text")]
    #[inline(never)]
    pub fn generate_text(&mut self, decoder: &mut dyn Decoder<T>, prompt: &str) -> Result<String> {
        let prompt = self.needed_tokenizer("generate_text")?.encode_ids(prompt)?;
        self.generate_text_of(decoder, &prompt)
    }

    /// [`generate_text`](Self::generate_text) behind a prompt of tokens, such as those of a chat.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "text")]
    #[inline(never)]
    pub fn generate_text_of(&mut self, decoder: &mut dyn Decoder<T>, prompt: &[u32]) -> Result<String> {
        let tokenizer = self.needed_tokenizer("generate_text")?;
        let output = self.generate_rows(decoder, &[prompt])?;
        match output.rows()[0].first() {
            Some(sequence) => text_of(tokenizer, prompt, sequence, &self.settings().stop_strings),
            None => Ok(String::new()),
        }
    }

    #[cfg(feature = "text")]
    fn needed_tokenizer(&self, op: &'static str) -> Result<&'a Tokenizer> {
        let hint = "call Generator::tokenizer first";
        self.tokenizer
            .ok_or_else(|| Error::argument(op, "tokenizer", "the one that belongs to the decoder", "none", hint))
    }
}

impl<T: Float> std::fmt::Debug for Generator<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Search { pipeline, stops, .. } = &self.search;
        f.debug_struct("Generator")
            .field("settings", &pipeline.settings)
            .field("processors", &pipeline.own.len())
            .field("stops", &stops.len())
            .finish()
    }
}
