//! Documents of token ids.

use std::fmt::Debug;
use std::sync::Arc;

use super::encoded::Encoded;
use crate::data::range::check_range;
use crate::error::{Error, Result};
use crate::memory;

/// Documents of token ids, by position: what [`Packing`](super::Packing) makes rows of.
///
/// [`Encoded`] gives those of texts, encoding a text whenever its ids are asked for; [`TokenIds`] keeps ids in memory, four bytes each.
pub trait Documents: Send + Sync + Debug {
    /// How many documents there are.
    fn documents(&self) -> usize;

    /// How many ids a document has.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn length(&self, document: usize) -> Result<usize>;

    /// Appends the ids of a document from `first` on, `n` at most: always the same ones.
    ///
    /// # Errors
    /// Whatever goes wrong.
    fn ids(&self, document: usize, first: usize, n: usize, ids: &mut Vec<usize>) -> Result<()>;
}

macro_rules! delegate {
    ($($pointer:ty),+) => {$(
        impl<D: Documents + ?Sized> Documents for $pointer {
            fn documents(&self) -> usize {
                (**self).documents()
            }

            fn length(&self, document: usize) -> Result<usize> {
                (**self).length(document)
            }

            fn ids(&self, document: usize, first: usize, n: usize, ids: &mut Vec<usize>) -> Result<()> {
                (**self).ids(document, first, n, ids)
            }
        }
    )+};
}

delegate!(&D, Box<D>, Arc<D>);

impl<F, I> Documents for Encoded<F>
where
    F: Fn(&str) -> Result<I> + Send + Sync,
    I: IntoIterator<Item: TryInto<usize>>,
{
    fn documents(&self) -> usize {
        self.source().len()
    }

    fn length(&self, document: usize) -> Result<usize> {
        self.count(document)
    }

    fn ids(&self, document: usize, first: usize, n: usize, ids: &mut Vec<usize>) -> Result<()> {
        self.part(document, first, n, ids)
    }
}

/// Documents of token ids in memory, four bytes an id.
///
/// ```
/// use gradus::prelude::*;
/// let texts = Texts::new(["to be", "or not"])?;
/// let encoded = texts.encode(|text| Ok(text.bytes().collect::<Vec<u8>>()));
/// let ids = TokenIds::of(&encoded)?;
/// assert_eq!((ids.documents(), ids.total()), (2, 11));
/// assert_eq!(ids.document(1)?, [111, 114, 32, 110, 111, 116]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TokenIds {
    ids: Vec<u32>,
    /// Where each document ends.
    ends: Vec<usize>,
}

impl std::fmt::Debug for TokenIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenIds({} documents, {} ids)", self.ends.len(), self.ids.len())
    }
}

impl TokenIds {
    /// No documents yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All documents of another kind: every text of a source that is encoded, once.
    ///
    /// # Errors
    /// Those of the documents; as [`push`](Self::push).
    pub fn of(documents: &(impl Documents + ?Sized)) -> Result<Self> {
        let (mut all, mut ids) = (Self::new(), Vec::new());
        for document in 0..documents.documents() {
            ids.clear();
            documents.ids(document, 0, usize::MAX, &mut ids)?;
            all.push(&ids)?;
        }
        Ok(all)
    }

    /// One more document.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id of 2³² or more; [`Error::Memory`].
    pub fn push(&mut self, ids: &[usize]) -> Result<()> {
        if let Some(id) = ids.iter().find(|&&id| u32::try_from(id).is_err()) {
            let hint = "take a smaller vocabulary";
            return Err(Error::argument("TokenIds", "token id", "below 2³²", id, hint));
        }
        if self.ids.capacity() - self.ids.len() < ids.len() {
            let more = ids.len().max(self.ids.len() / 2).max(1 << 10);
            memory::reserve("TokenIds", format_args!("{} token ids", self.ids.len() + more), &mut self.ids, more)?;
        }
        self.ids.extend(ids.iter().map(|&id| id as u32));
        self.ends.push(self.ids.len());
        Ok(())
    }

    /// How many ids all documents have together.
    pub fn total(&self) -> usize {
        self.ids.len()
    }

    /// The ids of a document.
    ///
    /// # Errors
    /// [`Error::Shape`] for a document that there is not.
    pub fn document(&self, document: usize) -> Result<&[u32]> {
        check_range("TokenIds", document, 1, Some(self.ends.len()))?;
        let start = document.checked_sub(1).map_or(0, |before| self.ends[before]);
        Ok(&self.ids[start..self.ends[document]])
    }
}

impl Documents for TokenIds {
    fn documents(&self) -> usize {
        self.ends.len()
    }

    fn length(&self, document: usize) -> Result<usize> {
        self.document(document).map(<[u32]>::len)
    }

    fn ids(&self, document: usize, first: usize, n: usize, ids: &mut Vec<usize>) -> Result<()> {
        let own = self.document(document)?;
        ids.extend(own.iter().skip(first).take(n).map(|&id| id as usize));
        Ok(())
    }
}
