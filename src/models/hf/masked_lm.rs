//! Models that fill gaps.

use super::face::opened_as;
use super::family::Task;
use super::pretrained::Pretrained;
#[cfg(feature = "text")]
use crate::error::{Error, Result};
use crate::tensor::Float;

/// A language model that says which tokens stand behind masks: token ids and their mask become logits `[T, vocabulary]`.
///
/// Python's `AutoModelForMaskedLM`. `data::MaskedTokens` masks tokens for training (feature `text`).
///
/// ```no_run
/// use gradus::models::hf::MaskedLm;
/// let lm = MaskedLm::from_pretrained("models/bert-base-uncased")?;
/// # #[cfg(feature = "text")]
/// for gap in lm.fill("The capital of France is [MASK].", 3)? {
///     println!("{gap:?}");
/// }
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct MaskedLm<T: Float = f32>(Pretrained<T>);

opened_as!(MaskedLm, Task::MaskedLm);

/// A token that may stand in a gap.
#[cfg(feature = "text")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Filled {
    /// The token.
    pub token: u32,
    /// Its text.
    pub text: String,
    /// Its probability, a softmax over the vocabulary.
    pub score: f64,
}

#[cfg(feature = "text")]
impl<T: Float> MaskedLm<T> {
    /// The token that stands for a gap: `[MASK]` or `<mask>`.
    ///
    /// # Errors
    /// [`Error::File`] without a tokenizer, or one without such a token.
    pub fn mask_token(&self) -> Result<u32> {
        let tokenizer = self.need_tokenizer()?;
        ["[MASK]", "<mask>"].iter().find_map(|mask| tokenizer.id(mask)).ok_or_else(|| {
            Error::file(self.folder(), "the tokenizer has neither [MASK] nor <mask>", "take the model's own tokenizer")
        })
    }

    /// For each mask in a text the most likely tokens, so many, the likeliest first.
    ///
    /// # Errors
    /// As [`mask_token`](Self::mask_token); those of the tokenizer, and of [`Model::predict`](crate::Model::predict) for texts of more tokens than the model has
    /// positions.
    pub fn fill(&self, text: &str, count: usize) -> Result<Vec<Vec<Filled>>> {
        let (tokenizer, mask) = (self.need_tokenizer()?, self.mask_token()?);
        let text = tokenizer.encode(text)?;
        let logits = self.model().predict(&self.inputs(&[&text])?)?;
        let rows = logits.as_slice().chunks_exact(self.vocab_size()).zip(&text.ids);
        let gap = |(z, _): (&[T], &u32)| {
            let probabilities = super::face::softmax(z);
            let mut order: Vec<usize> = (0..probabilities.len()).collect();
            order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b)));
            let filled = |&token: &usize| {
                let text = tokenizer.decode(&[token as u32], false).unwrap_or_default();
                Filled { token: token as u32, text, score: probabilities[token] }
            };
            order.iter().take(count).map(filled).collect()
        };
        Ok(rows.filter(|(_, id)| **id == mask).map(gap).collect())
    }
}
