//! Models without a head.

use super::face::opened_as;
use super::family::Task;
use super::pretrained::Pretrained;
#[cfg(feature = "text")]
use crate::error::Result;
use crate::tensor::Float;
#[cfg(feature = "text")]
use crate::tensor::Tensor;

/// An encoder without a head: token ids and their mask become the steps of its last block `[T, features]`, and, where the folder has a pooler, a second
/// output `[features]` made from the first.
///
/// Of a vision transformer pictures become steps, see [`ImageClassifier`](super::ImageClassifier).
///
/// Python's `AutoModel`. Heads that a folder has are left out; heads of one's own stand on it with [`Model::with_head`](crate::Model::with_head).
///
/// ```no_run
/// use gradus::models::hf::Encoder;
/// let encoder = Encoder::from_pretrained("models/bert-base-uncased")?;
/// # #[cfg(feature = "text")]
/// assert_eq!(encoder.steps(&["One text."])?[0].dims()[1], 768);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Encoder<T: Float = f32>(Pretrained<T>);

opened_as!(Encoder, Task::Base);

#[cfg(feature = "text")]
impl<T: Float> Encoder<T> {
    /// The steps `[tokens, features]` of each text, special tokens among them.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) without a tokenizer; those of the tokenizer, and of [`Model::predict`](crate::Model::predict) for texts of more tokens
    /// than the model has positions.
    pub fn steps<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Tensor<T>>> {
        let texts = self.need_tokenizer()?.encode_batch(texts)?;
        let mut steps = vec![Tensor::default(); texts.len()];
        let features = self.model().output_shapes().first().map_or(0, |shape| shape.last());
        self.each(&texts, super::face::TOGETHER, |i, y| {
            let tokens = texts[i].len();
            steps[i] = Tensor::new([tokens, features], y[..tokens * features].to_vec())?;
            Ok(())
        })?;
        Ok(steps)
    }
}
