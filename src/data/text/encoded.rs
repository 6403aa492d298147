//! Texts as token ids.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::texts::{TextSample, Texts, label};
use crate::data::idle::Idle;
use crate::data::range::check_range;
use crate::data::source::{Source, row_shape};
use crate::error::{Error, Result};
use crate::tensor::{FREE, Float, Shape};

/// Texts as token ids; made by [`Texts::encode`].
pub struct Encoded<F> {
    texts: Texts,
    f: F,
    /// How many ids each text has and one more; 0 where that is not known yet.
    lengths: Arc<[AtomicU32]>,
    idle: Idle<Work>,
}

/// A sample that was encoded.
#[derive(Default)]
struct Work {
    position: Option<usize>,
    sample: TextSample,
    ids: Vec<usize>,
    /// Where the ids of each text end.
    ends: Vec<usize>,
}

impl<F> fmt::Debug for Encoded<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({:?})", self.texts)
    }
}

impl<F: Clone> Clone for Encoded<F> {
    fn clone(&self) -> Self {
        let lengths = Arc::clone(&self.lengths);
        Encoded { texts: self.texts.clone(), f: self.f.clone(), lengths, idle: Idle::default() }
    }
}

impl Texts {
    /// A source of token ids: every text through a function that gives whole numbers, as many as it needs.
    ///
    /// A sample is `[free]` numbers, or as many inputs of that kind as it has texts; its target is the label, `[]`, or nothing. The function has
    /// to give the same ids for a text at any time. How many they are is kept once it is known, four bytes a text, so that
    /// [`bucket`](Source::bucket) encodes every text once more in the first epoch alone.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let texts = Texts::labelled(["to be", "or not"], &[0, 1])?;
    /// // Bytes as ids from 1 on; 0 is what batches are filled up with.
    /// let data = texts.encode(|text| Ok(text.bytes().map(|byte| u32::from(byte) + 1).collect::<Vec<_>>())).batch(2);
    /// let mut batch: Batch = Batch::default();
    /// data.load(0, 0, &mut batch)?;
    /// assert_eq!((batch.x.dims(), batch.x.row(0)[..2].to_vec()), ([2, 6].as_slice(), vec![117.0, 112.0]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn encode<F, I>(&self, f: F) -> Encoded<F>
    where
        F: Fn(&str) -> Result<I> + Send + Sync,
        I: IntoIterator<Item: TryInto<usize>>,
    {
        Encoded::new(self.clone(), f)
    }
}

impl<F> Encoded<F> {
    fn new(texts: Texts, f: F) -> Self {
        let lengths = (0..texts.len().saturating_mul(texts.fields())).map(|_| AtomicU32::new(0)).collect();
        Encoded { texts, f, lengths, idle: Idle::default() }
    }

    /// The texts that are encoded: their class names.
    pub fn source(&self) -> &Texts {
        &self.texts
    }
}

/// A number that stands for a token in a type of numbers.
pub(super) fn id<T: Float>(id: usize) -> Result<T> {
    let value = T::of(id as f64);
    if value.as_f64() == id as f64 && id as u64 <= 1 << 53 {
        return Ok(value);
    }
    let expected = format!("a number that {} holds exactly", T::NAME);
    Err(Error::argument("encode", "token id", expected, id, "take a smaller vocabulary, or train in f64"))
}

impl<F, I> Encoded<F>
where
    F: Fn(&str) -> Result<I> + Send + Sync,
    I: IntoIterator<Item: TryInto<usize>>,
{
    /// Encodes the sample at a position, unless that is what was done last.
    fn work(&self, position: usize, work: &mut Work) -> Result<()> {
        if work.position == Some(position) {
            return Ok(());
        }
        let Work { position: done, sample, ids, ends } = work;
        *done = None;
        self.texts.read(position, sample)?;
        ids.clear();
        ends.clear();
        for text in &sample.texts {
            for id in (self.f)(text)? {
                ids.push(id.try_into().map_err(|_| {
                    let got =
                        format!("another in sample {position}, at place {}", ids.len() - ends.last().unwrap_or(&0));
                    Error::argument(
                        "encode",
                        "token id",
                        "a whole number from 0",
                        got,
                        "correct what makes ids of texts",
                    )
                })?);
            }
            let length = ids.len() - ends.last().unwrap_or(&0);
            let own = &self.lengths[position * self.texts.fields() + ends.len()];
            ends.push(ids.len());
            let length = u32::try_from(length).ok().filter(|&length| length < u32::MAX).ok_or_else(|| {
                let got = format!("{length} of sample {position}");
                Error::argument("encode", "number of ids", "below 2³² − 1", got, "cut the text into pieces")
            })?;
            let before = own.swap(length + 1, Ordering::Relaxed);
            if before != 0 && before != length + 1 {
                let problem = format!("the text of sample {position} has {length} ids, and had {} before", before - 1);
                let hint = "let the ids depend on the text alone: no random choices, no state";
                return Err(Error::Config { op: "encode", problem, hint: hint.to_owned() });
            }
        }
        *done = Some(position);
        Ok(())
    }

    /// How many ids a text of a sample has.
    fn length(&self, position: usize, field: usize) -> Result<usize> {
        let known = || self.lengths[position * self.texts.fields() + field].load(Ordering::Relaxed).checked_sub(1);
        if known().is_none() {
            self.idle.with(|| Ok(Work::default()), |work| self.work(position, work))?;
        }
        Ok(known().unwrap_or(0) as usize)
    }

    /// The ids of a sample's texts, one text after another.
    ///
    /// # Errors
    /// As [`Texts::get`], and those of the function.
    pub fn ids(&self, position: usize, ids: &mut Vec<usize>) -> Result<()> {
        check_range("encode", position, 1, Some(self.texts.len()))?;
        self.idle.with(
            || Ok(Work::default()),
            |work| {
                self.work(position, work)?;
                ids.clone_from(&work.ids);
                Ok(())
            },
        )
    }

    /// Appends some of a sample's ids.
    pub(super) fn part(&self, position: usize, first: usize, n: usize, ids: &mut Vec<usize>) -> Result<()> {
        check_range("encode", position, 1, Some(self.texts.len()))?;
        self.idle.with(
            || Ok(Work::default()),
            |work| {
                self.work(position, work)?;
                ids.extend(work.ids.iter().skip(first).take(n));
                Ok(())
            },
        )
    }

    /// How many ids a sample has.
    ///
    /// # Errors
    /// As [`ids`](Self::ids).
    pub fn count(&self, position: usize) -> Result<usize> {
        check_range("encode", position, 1, Some(self.texts.len()))?;
        (0..self.texts.fields()).try_fold(0, |sum, field| Ok(sum + self.length(position, field)?))
    }
}

impl<T, F, I> Source<T> for Encoded<F>
where
    T: Float,
    F: Fn(&str) -> Result<I> + Send + Sync,
    I: IntoIterator<Item: TryInto<usize>>,
{
    fn shapes(&self) -> (Shape, Shape) {
        (row_shape(&vec![Shape::from([FREE]); self.texts.fields()]), self.texts.target())
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        (vec![Shape::from([FREE]); self.texts.fields()], vec![self.texts.target()])
    }

    fn shapes_at(&self, _: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        check_range("encode", position, 1, Some(self.texts.len()))?;
        for field in 0..self.texts.fields() {
            shapes.push(Shape::from([self.length(position, field)?]));
        }
        shapes.push(self.texts.target());
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.texts.len())
    }

    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        check_range("encode", first, 1, Some(self.texts.len()))?;
        self.idle.with(
            || Ok(Work::default()),
            |work| {
                self.work(first, work)?;
                if x.len() != work.ids.len() || y.len() > 1 {
                    let expected = format!("room for {} ids of sample {first}", work.ids.len());
                    return Err(Error::shape("encode", expected, x.len(), "ask Source::shapes_at for the sizes"));
                }
                for (x, &own) in x.iter_mut().zip(&work.ids) {
                    *x = id(own)?;
                }
                if let Some(y) = y.first_mut() {
                    *y = label(&work.sample, first)?;
                }
                Ok(())
            },
        )
    }

    fn read_targets(&self, first: usize, y: &mut [T]) -> Result<()> {
        self.texts.labels(first, y)
    }
}
