//! Folders of Hugging Face's transformers: opened, used, trained on and saved again.
//!
//! A folder has `config.json`, weights (`model.safetensors`, or shards with `model.safetensors.index.json`) and, as a rule, a tokenizer. One type for each thing
//! that is done with it, named as in Python: [`CausalLm`] writes, [`Seq2SeqLm`] writes what belongs to a source, [`MaskedLm`] fills gaps, [`SequenceClassifier`] and [`TokenClassifier`] label texts and
//! their tokens, [`ImageClassifier`] pictures, [`Encoder`] gives steps, `SentenceEncoder` (feature `text`) vectors of sentences. All of them are a [`Pretrained`]: a
//! [`Model`](crate::Model) with tokenizer and settings.
//!
//! ```no_run
//! use gradus::models::hf::SequenceClassifier;
//! let classifier = SequenceClassifier::from_pretrained("models/distilbert-sst-2")?;
//! # #[cfg(feature = "text")]
//! for found in classifier.classify(&["What a film!", "I left early."])? {
//!     println!("{} {:.3}", found.label, found.score);
//! }
//! # Ok::<(), gradus::Error>(())
//! ```
//!
//! | `model_type` | opened as |
//! |---|---|
//! | `gpt2`, `gpt_neox`, `llama`, `mistral`, `qwen2`, `qwen3`, `phi3`, `gemma2`, `gemma3_text` | [`CausalLm`] |
//! | `bart`, `marian`, `t5` | [`Seq2SeqLm`] |
//! | `bert`, `roberta`, `xlm-roberta`, `distilbert`, `mpnet` | [`MaskedLm`], [`SequenceClassifier`], [`TokenClassifier`], [`Encoder`], `SentenceEncoder` |
//! | `vit` | [`ImageClassifier`], [`Encoder`] |
//!
//! GGUF files, llama.cpp's, are opened by [`CausalLm::from_gguf`] and written by [`CausalLm::save_gguf`].
//!
//! # What is checked
//! - `config.json` may be in the words of transformers 4 or 5. A key that changes what the model computes is read, or is an error that names key and value;
//!   so is a key that is not known at all, unless [`OpenOptions::ignore_key`] names it.
//! - Every tensor is asked for, is a buffer known by name, or belongs to a head that may be there without being asked for (BERT's pooler). All that is missing,
//!   too much or of another shape is one error. NaN and infinities are an error that names the tensor.
//! - Weights in F64, F32, F16 and BF16 are read straight into the model, whatever its own type is.
//!
//! # What differs from Python
//! - Arithmetic is that of the model's type throughout: transformers takes norms, angles and softmax in single precision inside models of double precision, and
//!   everything around them in half precision where weights are.
//! - Dropout stands where [`TransformerEncoderBlock`](crate::graph::TransformerEncoderBlock) has it, with the rates of the file; DistilBERT's blocks have one less.

mod causal_lm;
#[cfg(feature = "text")]
mod chat;
#[cfg(feature = "text")]
mod chat_template;
mod config;
#[cfg(feature = "text")]
mod conversation;
mod encoder;
mod face;
mod families;
mod family;
mod generation_config;
mod gguf;
mod image_classifier;
#[cfg(feature = "image")]
mod image_processor;
#[cfg(feature = "text")]
mod jinja;
mod masked_lm;
mod pack;
mod peft;
mod pretrained;
mod rope;
mod semantic_search;
#[cfg(feature = "text")]
mod sentence_encoder;
mod seq2seq_lm;
mod sequence_classifier;
mod store;
mod table;
mod token_classifier;
mod weights;
mod writer;

pub use causal_lm::CausalLm;
#[cfg(feature = "text")]
pub use chat_template::{ChatOptions, ChatTemplate, Message};
pub use config::Config;
#[cfg(feature = "text")]
pub use conversation::Conversation;
pub use encoder::Encoder;
pub use image_classifier::ImageClassifier;
#[cfg(feature = "image")]
pub use image_processor::ImageProcessor;
#[cfg(feature = "text")]
pub use masked_lm::Filled;
pub use masked_lm::MaskedLm;
pub use pretrained::{OpenOptions, Pretrained, SaveOptions};
pub use semantic_search::{Match, semantic_search};
#[cfg(feature = "text")]
pub use sentence_encoder::{Encode, Pooling, SentenceEncoder};
pub use seq2seq_lm::Seq2SeqLm;
#[cfg(any(feature = "text", feature = "image"))]
pub use sequence_classifier::Classified;
pub use sequence_classifier::SequenceClassifier;
#[cfg(feature = "text")]
pub use token_classifier::Labelled;
pub use token_classifier::TokenClassifier;

/// The `model_type`s that can be opened, in alphabetical order.
pub fn model_types() -> Vec<&'static str> {
    families::known()
}
