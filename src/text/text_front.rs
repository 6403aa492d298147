//! What stands between texts and a model: the front door.

use super::encoded::{Encoded, Row, Width, fill};
use super::hashed_ngrams::HashedNgrams;
use super::text_vectorization::TextVectorization;
use crate::error::Result;
use crate::tensor::{FREE, Float, Shape, Tensor};

/// What turns texts into the input of a model, of any kind: what a [`Model`](crate::Model) carries and is saved with, see
/// [`Model::set_text_front`](crate::Model::set_text_front).
///
/// Rows are those of the kind, but that a text without tokens has `[UNK]` in the place of padding alone, so that a mean over its steps is a
/// number: a program that serves is asked about empty texts, too.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::text::{HashedNgrams, TextFront};
/// let front: TextFront = HashedNgrams::new(256).into();
/// let x: Tensor = front.transform(&["to be", "or not to be"])?;
/// assert_eq!((x.dims(), front.output_shape()), (&[2, 256][..], Shape::from([256])));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "class", content = "config"))]
#[non_exhaustive]
pub enum TextFront {
    /// Ids or features by a vocabulary.
    TextVectorization(TextVectorization),
    /// Features by hashes.
    HashedNgrams(HashedNgrams),
}

impl From<TextVectorization> for TextFront {
    fn from(front: TextVectorization) -> Self {
        TextFront::TextVectorization(front)
    }
}

impl From<HashedNgrams> for TextFront {
    fn from(front: HashedNgrams) -> Self {
        TextFront::HashedNgrams(front)
    }
}

impl TextFront {
    /// The texts as a model takes them.
    ///
    /// # Errors
    /// Those of the kind.
    pub fn transform<T: Float>(&self, texts: &[impl AsRef<str>]) -> Result<Tensor<T>> {
        self.transform_texts(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    #[inline(never)]
    pub(crate) fn transform_texts<T: Float>(&self, texts: &[&str]) -> Result<Tensor<T>> {
        self.check()?;
        fill("TextFront", &self.encode(texts), self.width(), |row, out| self.write(row, out))
    }

    /// The shape of a text's row, which a model's input has to have; [`FREE`] for ids of any number.
    pub fn output_shape(&self) -> Shape {
        match self.width() {
            Width::Fixed(width) => Shape::from([width]),
            Width::Free => Shape::from([FREE]),
        }
    }

    /// How many ids there are, which is what [`Embedding::new`](crate::layers::Embedding::new) takes; none where features come out.
    pub fn ids(&self) -> Option<usize> {
        match self {
            TextFront::TextVectorization(front) => front.ids(),
            TextFront::HashedNgrams(front) => front.id_count(),
        }
    }

    /// That it can turn texts into numbers.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            TextFront::TextVectorization(front) => front.check(),
            TextFront::HashedNgrams(front) => front.check(),
        }
    }

    pub(crate) fn width(&self) -> Width {
        match self {
            TextFront::TextVectorization(front) => front.width(),
            TextFront::HashedNgrams(front) => front.width(),
        }
    }

    pub(crate) fn encode(&self, texts: &[&str]) -> Encoded {
        match self {
            TextFront::TextVectorization(front) => front.encode(texts, true),
            TextFront::HashedNgrams(front) => front.encode(texts),
        }
    }

    /// A text's row as the model takes it; `out` has its width, or is longer and filled up.
    pub(crate) fn write<T: Float>(&self, row: Row<'_>, out: &mut [T]) {
        match self {
            TextFront::TextVectorization(front) => front.write(row, out),
            TextFront::HashedNgrams(front) => front.write(row, out),
        }
    }
}
