//! Models that write.

use std::path::Path;

use super::face::opened_as;
use super::family::Task;
use super::pretrained::{OpenOptions, Pretrained};
use super::{generation_config, gguf};
use crate::error::Result;
use crate::generation::GenerationSettings;
#[cfg(feature = "text")]
use crate::generation::Generator;
use crate::io::GgufKind;
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

impl CausalLm {
    /// Opens a GGUF file, llama.cpp's, with numbers of single precision: weights in blocks of few bits are decoded. Its tokenizer comes from it too.
    ///
    /// Architectures: `llama` (also Mistral), `qwen2`, `qwen3`, `phi3`, `gemma2`, `gemma3`, `gpt2`, `gptneox`. Kinds of tensors: see [`GgufKind`].
    ///
    /// ```no_run
    /// use gradus::models::hf::CausalLm;
    /// let lm = CausalLm::from_gguf("models/Llama-3.2-1B-Instruct-Q4_K_M.gguf")?;
    /// # #[cfg(feature = "text")]
    /// println!("{}", lm.generate_text("Once upon a time", lm.generation_settings()?.max_new_tokens(40))?);
    /// // Trained on or not, it is saved as a folder of transformers.
    /// lm.save_pretrained("models/llama-3.2")?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) and [`Error::File`](crate::Error::File) for what cannot be read, is damaged or not built, with the file and what in
    /// it: an architecture, a key that changes what the model computes (`rope.scaling.type` yarn), a type of tensors, a tokenizer.
    pub fn from_gguf(file: impl AsRef<Path>) -> Result<Self> {
        Self::open_gguf(file, &OpenOptions::default())
    }
}

impl<T: Float> CausalLm<T> {
    /// [`from_gguf`](CausalLm::from_gguf) with settings, for any type of numbers.
    ///
    /// # Errors
    /// As there.
    pub fn open_gguf(file: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        Self::open_gguf_at(file.as_ref(), options)
    }

    #[inline(never)]
    fn open_gguf_at(file: &Path, options: &OpenOptions) -> Result<Self> {
        gguf::open(file, options).map(CausalLm)
    }

    /// Writes a GGUF file that llama.cpp and [`from_gguf`](CausalLm::from_gguf) open, tokenizer and all, whole or not at all.
    ///
    /// Matrices are stored as the kind, any but F64; those whose rows are no whole number of its blocks in half precision, or for Q6_K and Q4_K, whose blocks
    /// have 256 values, in Q8_0 if that divides them. Vectors (norms, biases) and tables of positions stay in single precision. Not in the file are rates of dropout, and which white space an added token
    /// takes with it.
    ///
    /// ```no_run
    /// use gradus::io::{BlockKind, GgufKind};
    /// use gradus::models::hf::CausalLm;
    /// let lm = CausalLm::from_pretrained("models/SmolLM2-135M")?;
    /// lm.save_gguf("models/smollm2-135m-q8_0.gguf", GgufKind::Blocks(BlockKind::Q8_0))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a model or a setting that the form does not have, or a tokenizer: `set_tokenizer` takes another;
    /// [`Error::Argument`](crate::Error::Argument) for F64 and weights that it does not hold; [`Error::Write`](crate::Error::Write) where
    /// the file cannot be written.
    pub fn save_gguf(&self, file: impl AsRef<Path>, kind: GgufKind) -> Result<()> {
        self.save_gguf_at(file.as_ref(), kind)
    }

    #[inline(never)]
    fn save_gguf_at(&self, file: &Path, kind: GgufKind) -> Result<()> {
        self.model().check_numbers("save_gguf")?;
        self.model().check_merged("save_gguf")?;
        gguf::save(self, file, kind)
    }

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
