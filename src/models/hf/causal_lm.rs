//! Models that write.

use super::face::opened_as;
use super::family::Task;
use super::generation_config;
use super::pretrained::Pretrained;
use crate::error::Result;
use crate::generation::GenerationSettings;
#[cfg(feature = "text")]
use crate::generation::Generator;
use crate::model::ModelDecoder;
use crate::tensor::Float;

/// A language model that writes on from what it is given: token ids `[T]` become logits `[T, vocabulary]` of what follows each.
///
/// Python's `AutoModelForCausalLM`. Trained as any model: targets are the ids, one step further on, with
/// [`SparseCategoricalCrossentropy`](crate::losses::SparseCategoricalCrossentropy) from logits.
///
/// ```no_run
/// use gradus::models::hf::CausalLm;
/// let lm = CausalLm::from_pretrained("models/gpt2")?;
/// # #[cfg(feature = "text")]
/// println!("{}", lm.generate_text("Once upon a time", lm.generation_settings()?.max_new_tokens(40))?);
/// // In double precision.
/// let lm = CausalLm::<f64>::open("models/gpt2", &Default::default())?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct CausalLm<T: Float = f32>(Pretrained<T>);

opened_as!(CausalLm, Task::CausalLm);

impl<T: Float> CausalLm<T> {
    /// A decoder with a cache of its own, for a [`Generator`](crate::generation::Generator): as [`Model::decoder`](crate::Model::decoder), for as many tokens
    /// as the model was made for.
    ///
    /// # Errors
    /// As there.
    pub fn decoder(&self) -> Result<ModelDecoder<'_, T>> {
        Ok(self.model().decoder()?.context_length(self.max_positions()))
    }

    /// How the folder says that texts are generated: `generation_config.json`, or the end token of `config.json` where there is none. The greatest length that
    /// such files have counts prompts, and is not taken over: see [`GenerationSettings::max_new_tokens`].
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for a file that cannot be read, or with a key that changes what is generated and is not built.
    pub fn generation_settings(&self) -> Result<GenerationSettings> {
        generation_config::read(self.folder(), self.config())
    }

    /// The text that follows a prompt.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) without a tokenizer; else as [`Generator::generate_text`].
    #[cfg(feature = "text")]
    pub fn generate_text(&self, prompt: &str, settings: GenerationSettings) -> Result<String> {
        let mut decoder = self.decoder()?;
        Generator::<T>::new_as(settings).tokenizer(self.need_tokenizer()?).generate_text(&mut decoder, prompt)
    }
}
