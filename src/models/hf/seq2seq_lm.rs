//! Models that write what belongs to a source.

use super::face::opened_as;
use super::family::Task;
use super::generation_config;
use super::pretrained::Pretrained;
use crate::error::{Error, Result};
use crate::generation::{Generated, GenerationSettings, Generator};
use crate::model::ModelDecoder;
use crate::tensor::{Float, Tensor};

/// An encoder–decoder that writes what belongs to a source, a translation or a summary: the source's token ids `[S]` and their mask `[S]`, and the ids so far
/// `[T]`, become logits `[T, vocabulary]` of what follows each.
///
/// Python's `AutoModelForSeq2SeqLM`. Its inputs are `input_ids`, `attention_mask` and `decoder_input_ids`. Trained as any model: targets are the ids to be
/// written, and `decoder_input_ids` the same one step later, behind [`start_token`](Self::start_token), with
/// [`SparseCategoricalCrossentropy`](crate::losses::SparseCategoricalCrossentropy) from logits.
///
/// ```no_run
/// use gradus::models::hf::Seq2SeqLm;
/// let lm = Seq2SeqLm::from_pretrained("models/opus-mt-en-de")?;
/// # #[cfg(feature = "text")]
/// println!("{:?}", lm.generate_text(&["The weather is fine."], lm.generation_settings()?.max_new_tokens(40))?);
/// // From token ids.
/// let written = lm.generate(&[[8, 20, 0]], lm.generation_settings()?.max_new_tokens(40))?;
/// println!("{:?}", written[0][0].tokens);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Seq2SeqLm<T: Float = f32>(Pretrained<T>);

opened_as!(Seq2SeqLm, Task::Seq2SeqLm);

impl<T: Float> Seq2SeqLm<T> {
    /// A decoder with a cache of its own that writes for these sources, token ids of each, for a [`Generator`] whose prompts begin with
    /// [`start_token`](Self::start_token), one for each source. Each source is encoded once, as if it were alone.
    ///
    /// # Errors
    /// As [`Model::decoder`](crate::Model::decoder) and [`ModelDecoder::set_sources`].
    pub fn decoder<S: AsRef<[u32]>>(&self, sources: &[S]) -> Result<ModelDecoder<'_, T>> {
        let mut decoder = self.model().decoder()?;
        if self.max_positions() < usize::MAX {
            decoder = decoder.context_length(self.max_positions());
        }
        let mut all = Vec::with_capacity(2 * sources.len());
        for (i, source) in sources.iter().enumerate() {
            let ids = source.as_ref();
            if ids.is_empty() {
                let hint = "end each with the end token, at least";
                return Err(Error::shape("decoder", "sources of one token or more", format!("none in row {i}"), hint));
            }
            all.push(Tensor::from_fn([1, ids.len()], |i| T::of(f64::from(ids[i]))));
            all.push(Tensor::full([1, ids.len()], T::one()));
        }
        decoder.set_sources(all)?;
        Ok(decoder)
    }

    /// The token with which what is written begins: `decoder_start_token_id` of `generation_config.json` or `config.json`, else `bos_token_id`.
    ///
    /// # Errors
    /// [`Error::File`] for files that cannot be read, or say none.
    pub fn start_token(&self) -> Result<u32> {
        generation_config::start_token(self.folder(), self.config())
    }

    /// How the folder says that texts are generated: `generation_config.json`, or where there is none what `config.json` says of it. The greatest length that
    /// such files have is not taken over: see [`GenerationSettings::max_new_tokens`].
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read, or with a key that changes what is generated and is not built.
    pub fn generation_settings(&self) -> Result<GenerationSettings> {
        generation_config::read(self.folder(), self.config())
    }

    /// What belongs to sources of token ids: for each the sequences, the best first, without the start token.
    ///
    /// # Errors
    /// As [`decoder`](Self::decoder), [`start_token`](Self::start_token) and [`Generator::generate`].
    pub fn generate<S: AsRef<[u32]>>(&self, sources: &[S], settings: GenerationSettings) -> Result<Generated> {
        let prompts = vec![[self.start_token()?]; sources.len()];
        Generator::<T>::new_as(settings).generate(&mut self.decoder(sources)?, &prompts)
    }

    /// What belongs to texts, the best for each: translations, summaries, or what else the model was trained for (T5 is told by the text's beginning).
    ///
    /// # Errors
    /// [`Error::File`] without a tokenizer; those of the tokenizer; else as [`generate`](Self::generate).
    #[cfg(feature = "text")]
    pub fn generate_text<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        settings: GenerationSettings,
    ) -> Result<Vec<String>> {
        let tokenizer = self.need_tokenizer()?;
        let sources: Vec<Vec<u32>> = tokenizer.encode_batch(texts)?.into_iter().map(|text| text.ids).collect();
        let written = self.generate(&sources, settings)?;
        let best = |row: &Vec<crate::generation::Sequence>| {
            row.first().map_or(Ok(String::new()), |best| tokenizer.decode(&best.tokens, true))
        };
        written.rows().iter().map(best).collect()
    }
}
