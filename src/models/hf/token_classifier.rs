//! Models that label tokens.

#[cfg(feature = "text")]
use std::ops::Range;

use super::face::opened_as;
use super::family::Task;
use super::pretrained::Pretrained;
use crate::error::Result;
use crate::tensor::Float;

/// A classifier of tokens: token ids and their mask become logits `[T, classes]`.
///
/// Python's `AutoModelForTokenClassification`.
///
/// ```no_run
/// use gradus::models::hf::TokenClassifier;
/// let tagger = TokenClassifier::from_pretrained("models/bert-ner")?;
/// let text = "Ada lived in London.";
/// # #[cfg(feature = "text")]
/// for token in &tagger.classify(&[text])?[0] {
///     println!("{} {}", &text[token.bytes.clone()], token.label);
/// }
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct TokenClassifier<T: Float = f32>(Pretrained<T>);

opened_as!(TokenClassifier, Task::TokenClassification);

/// A token of a text, and its most likely class.
#[cfg(feature = "text")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Labelled {
    /// The bytes of the text that the token stands for.
    pub bytes: Range<usize>,
    /// The token.
    pub token: u32,
    /// The name of the class.
    pub label: String,
    /// Its number, from 0.
    pub class: usize,
    /// Its probability, a softmax over the classes.
    pub score: f64,
}

impl<T: Float> TokenClassifier<T> {
    /// The names of the classes.
    ///
    /// # Errors
    /// As [`Config::labels`](super::Config::labels).
    pub fn labels(&self) -> Result<Vec<String>> {
        self.config().labels()
    }

    /// The tokens of each text with their most likely classes; those of the template are left out.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) without a tokenizer; those of the tokenizer, and of [`Model::predict`](crate::Model::predict) for texts of more tokens
    /// than the model has positions.
    #[cfg(feature = "text")]
    pub fn classify<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Vec<Labelled>>> {
        let (labels, texts) = (self.labels()?, self.need_tokenizer()?.encode_batch(texts)?);
        let mut all = vec![Vec::new(); texts.len()];
        self.each(&texts, super::face::TOGETHER, |i, y| {
            let text = &texts[i];
            for (at, z) in y.chunks_exact(labels.len()).take(text.len()).enumerate() {
                if text.special_tokens_mask[at] == 1 {
                    continue;
                }
                let (class, score) = super::face::largest(&super::face::softmax(z));
                let (from, to) = text.offsets[at];
                let (bytes, label) = (from as usize..to as usize, labels[class].clone());
                all[i].push(Labelled { bytes, token: text.ids[at], label, class, score });
            }
            Ok(())
        })?;
        Ok(all)
    }
}
