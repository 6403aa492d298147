//! Models that label texts.

use super::face::opened_as;
use super::family::Task;
use super::pretrained::Pretrained;
use crate::error::Result;
use crate::tensor::Float;
#[cfg(feature = "text")]
use crate::tensor::Tensor;

/// A classifier of texts: token ids and their mask become logits `[classes]`.
///
/// Python's `AutoModelForSequenceClassification`.
///
/// ```no_run
/// use gradus::models::hf::SequenceClassifier;
/// let classifier = SequenceClassifier::from_pretrained("models/distilbert-sst-2")?;
/// println!("{:?}", classifier.labels()?);
/// # #[cfg(feature = "text")]
/// println!("{:?}", classifier.classify(&["What a film!"])?);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct SequenceClassifier<T: Float = f32>(Pretrained<T>);

opened_as!(SequenceClassifier, Task::SequenceClassification);

/// The most likely class of a text or a picture.
#[cfg(any(feature = "text", feature = "image"))]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Classified {
    /// Its name.
    pub label: String,
    /// Its number, from 0.
    pub class: usize,
    /// Its probability, a softmax over the classes.
    pub score: f64,
}

impl<T: Float> SequenceClassifier<T> {
    /// The names of the classes.
    ///
    /// # Errors
    /// As [`Config::labels`](super::Config::labels).
    pub fn labels(&self) -> Result<Vec<String>> {
        self.config().labels()
    }

    /// The logits `[texts, classes]`.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) without a tokenizer; those of the tokenizer, and of [`Model::predict`](crate::Model::predict) for texts of more tokens
    /// than the model has positions.
    #[cfg(feature = "text")]
    pub fn logits<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Tensor<T>> {
        self.logits_of(&self.need_tokenizer()?.encode_batch(texts)?)
    }

    /// The logits `[pairs, classes]` of pairs of texts: what a cross-encoder says of a question and each passage (one class: the higher, the better they fit),
    /// or a model of inference of premise and hypothesis.
    ///
    /// ```no_run
    /// use gradus::models::hf::SequenceClassifier;
    /// let reranker = SequenceClassifier::from_pretrained("models/ms-marco-MiniLM-L6-v2")?;
    /// let question = "How many people live in Berlin?";
    /// let scores = reranker.logits_of_pairs(&[(question, "Berlin has 3.5 million inhabitants."), (question, "Berlin has museums.")])?;
    /// assert!(scores.row(0)[0] > scores.row(1)[0]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    #[cfg(feature = "text")]
    pub fn logits_of_pairs<A: AsRef<str> + Sync, B: AsRef<str> + Sync>(&self, pairs: &[(A, B)]) -> Result<Tensor<T>> {
        self.logits_of(&self.need_tokenizer()?.encode_pairs(pairs)?)
    }

    #[cfg(feature = "text")]
    fn logits_of(&self, texts: &[crate::text::tokenizer::Encoding]) -> Result<Tensor<T>> {
        let classes = self.model().output_shape().last();
        let mut logits = Tensor::zeros([texts.len(), classes]);
        self.each(texts, super::face::TOGETHER, |i, y| {
            logits.as_mut_slice()[i * classes..][..classes].copy_from_slice(y);
            Ok(())
        })?;
        Ok(logits)
    }

    /// The most likely class of each text.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    #[cfg(feature = "text")]
    pub fn classify<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Vec<Classified>> {
        let (labels, logits) = (self.labels()?, self.logits(texts)?);
        let best = |i: usize| {
            let (class, score) = super::face::largest(&super::face::softmax(logits.row(i)));
            Classified { label: labels[class].clone(), class, score }
        };
        Ok((0..texts.len()).map(best).collect())
    }
}
