//! What stands between texts and a model: the front door.

use super::encoded::{Encoded, Row, Width, check_ids, fill};
use super::hashed_ngrams::HashedNgrams;
use super::text_vectorization::TextVectorization;
use super::tokenizer::{PaddingStrategy, Side, Tokenizer};
use crate::error::{Error, Result};
use crate::tensor::{FREE, Float, Shape, Tensor};

const OP: &str = "TextFront";

/// What turns texts into the input of a model, of any kind: what a [`Model`](crate::Model) carries and is saved with, see
/// [`Model::set_text_front`](crate::Model::set_text_front).
///
/// Rows are those of the kind, but that a text without tokens has `[UNK]` (a tokenizer's unknown token, if there is one) in the place of
/// padding alone, so that a mean over its steps is a number: a program that serves is asked about empty texts, too.
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
    /// Ids of subwords, with the special tokens of the template, cut as its truncation says, filled up on the side and with the id of its padding
    /// (behind them with 0 without one; [`Embedding::mask_zero`](crate::layers::Embedding::mask_zero) takes 0 for padding). Of one length if
    /// the padding is [`PaddingStrategy::Fixed`], which truncation has to keep to. BERT's and T5's tokenizers have padding for id 0; GPT-2's
    /// and Llama 3's have a token, `!`, which `mask_zero` would hide: build the model without it.
    Tokenizer(Box<Tokenizer>),
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

impl From<Tokenizer> for TextFront {
    fn from(front: Tokenizer) -> Self {
        TextFront::Tokenizer(Box::new(front))
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
        self.check_for::<T>()?;
        fill(OP, &self.encode(texts)?, self.width(), |row, out| self.write(row, out))
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
            TextFront::Tokenizer(front) => Some(front.id_bound()),
        }
    }

    /// That it can turn texts into numbers.
    pub(crate) fn check(&self) -> Result<()> {
        let front = match self {
            TextFront::TextVectorization(front) => return front.check(),
            TextFront::HashedNgrams(front) => return front.check(),
            TextFront::Tokenizer(front) => front,
        };
        let Some(length) = fixed(front) else { return Ok(()) };
        if length == 0 {
            let hint = "set PaddingStrategy::Fixed(n) with the length that the model takes, or pad to the longest text";
            return Err(Error::argument(OP, "the tokenizer's padding", "to at least 1 token", 0, hint));
        }
        let most = front.truncation().map(|cut| cut.max_length);
        if most.is_none_or(|most| most > length) {
            let got = most.map_or("no truncation".into(), |most| format!("{most}"));
            let hint = "set with_truncation(Truncation::to(length)), or pad to the longest text";
            let expected = format!("at most {length}, the length that padding fills up to");
            return Err(Error::argument(OP, "the tokenizer's truncation", expected, got, hint));
        }
        Ok(())
    }

    /// [`check`](Self::check), and that a type of numbers holds what comes out.
    pub(crate) fn check_for<T: Float>(&self) -> Result<()> {
        self.check()?;
        check_ids::<T>(OP, self.ids())
    }

    pub(crate) fn width(&self) -> Width {
        match self {
            TextFront::TextVectorization(front) => front.width(),
            TextFront::HashedNgrams(front) => front.width(),
            TextFront::Tokenizer(front) => fixed(front).map_or(Width::Free, Width::Fixed),
        }
    }

    pub(crate) fn encode(&self, texts: &[&str]) -> Result<Encoded> {
        Ok(match self {
            TextFront::TextVectorization(front) => front.encode(texts, true),
            TextFront::HashedNgrams(front) => front.encode(texts),
            TextFront::Tokenizer(front) => {
                let mut rows = front.encode_ids_batch(texts)?;
                if let Some(unknown) = front.unknown_id() {
                    let padding = front.padding().map(|padding| padding.pad_id);
                    for row in rows.iter_mut().filter(|row| row.iter().all(|id| Some(*id) == padding)) {
                        // On the side that is not filled up.
                        match row.len() {
                            0 => row.push(unknown),
                            n => row[if filled_with(front).1 == Side::Left { n - 1 } else { 0 }] = unknown,
                        }
                    }
                }
                Encoded::of_ids(&rows)
            }
        })
    }

    /// A text's row as the model takes it; `out` has its width, or is longer and filled up.
    pub(crate) fn write<T: Float>(&self, row: Row<'_>, out: &mut [T]) {
        match self {
            TextFront::TextVectorization(front) => front.write(row, out),
            TextFront::HashedNgrams(front) => front.write(row, out),
            TextFront::Tokenizer(front) => {
                let (padding, side) = filled_with(front);
                out.fill(T::of(padding.into()));
                let before = if side == Side::Left { out.len().saturating_sub(row.ids.len()) } else { 0 };
                out[before..].iter_mut().zip(row.ids).for_each(|(v, id)| *v = T::of(f64::from(*id)));
            }
        }
    }
}

/// The length that a tokenizer fills up to.
fn fixed(tokenizer: &Tokenizer) -> Option<usize> {
    tokenizer.padding().and_then(|padding| match padding.strategy {
        PaddingStrategy::Fixed(length) => Some(padding.length(length)),
        PaddingStrategy::BatchLongest => None,
    })
}

/// The id that a tokenizer's rows are filled up with, and on which side.
fn filled_with(tokenizer: &Tokenizer) -> (u32, Side) {
    tokenizer.padding().map_or((0, Side::Right), |padding| (padding.pad_id, padding.direction))
}
