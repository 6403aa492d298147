//! Texts as numbers, as few of them as there are tokens.

use std::ops::Range;

use super::analysis::Tokens;
use crate::error::{Error, Result};
use crate::kernels::parallel;
use crate::memory;
use crate::tensor::{Float, Tensor, whole_numbers};

/// Into how many parts texts are cut at most: enough for many threads to be done at about the same time.
const PARTS: usize = 64;

/// What a byte of text costs, in element updates.
const BYTE: usize = 8;

/// What texts became: for each a row of ids, in the order of its tokens, or of features by their place, each with its count.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Encoded {
    /// Where each text's row ends.
    ends: Vec<usize>,
    ids: Vec<u32>,
    /// As many as ids, or none where ids stand for themselves.
    counts: Vec<i32>,
}

/// The size of a text's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Fixed(usize),
    /// That of its tokens.
    Free,
}

/// The row of one text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub ids: &'a [u32],
    pub counts: &'a [i32],
}

impl Width {
    /// The values of a row by itself; one at least.
    pub fn of(self, row: Row<'_>) -> usize {
        match self {
            Width::Fixed(width) => width,
            Width::Free => row.ids.len().max(1),
        }
    }
}

impl Encoded {
    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn row(&self, i: usize) -> Row<'_> {
        let range = if i == 0 { 0 } else { self.ends[i - 1] }..self.ends[i];
        Row { ids: &self.ids[range.clone()], counts: self.counts.get(range).unwrap_or_default() }
    }

    /// The most ids of a text.
    pub fn longest(&self) -> usize {
        (0..self.len()).map(|i| self.row(i).ids.len()).max().unwrap_or(0)
    }

    /// Ends a row of ids.
    fn end_row(&mut self) {
        self.ends.push(self.ids.len());
    }

    fn append(&mut self, other: &Encoded) {
        let before = self.ids.len();
        self.ends.extend(other.ends.iter().map(|end| before + end));
        self.ids.extend_from_slice(&other.ids);
        self.counts.extend_from_slice(&other.counts);
    }
}

/// Memory that is kept from text to text.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub tokens: Tokens,
    /// Tokens with a space between them, and where they stand.
    pub joined: String,
    pub spans: Vec<(usize, usize)>,
    /// Features as they came, each with what it adds.
    pub features: Vec<(u32, i32)>,
}

/// At most so many parts of texts and what is made of each, by all threads; in order.
pub(super) fn in_parts<R: Default + Send>(
    texts: &[&str],
    most: usize,
    f: impl Fn(Range<usize>, &mut R) + Sync,
) -> Vec<R> {
    let bytes: usize = texts.iter().map(|text| text.len() + BYTE).sum();
    let parts = most.min(texts.len()).max(1);
    let mut out: Vec<R> = (0..parts).map(|_| R::default()).collect();
    parallel::enter(bytes.saturating_mul(BYTE), || {
        parallel::rows(&mut out, 1, bytes.saturating_mul(BYTE) / parts, |first, out| {
            for (part, out) in (first..).zip(out) {
                f(part * texts.len() / parts..(part + 1) * texts.len() / parts, out);
            }
        });
    });
    out
}

/// The texts as `row` encodes each: it appends the ids of a text, and, if `counted`, the counts of as many.
pub(super) fn encode(texts: &[&str], row: impl Fn(&str, &mut Scratch, &mut Vec<u32>, &mut Vec<i32>) + Sync) -> Encoded {
    let parts = in_parts(texts, PARTS, |range, out: &mut Encoded| {
        let mut scratch = Scratch::default();
        for text in &texts[range] {
            row(text, &mut scratch, &mut out.ids, &mut out.counts);
            out.end_row();
        }
    });
    let mut all = Encoded::default();
    all.ends.reserve(texts.len());
    all.ids.reserve(parts.iter().map(|part| part.ids.len()).sum());
    all.counts.reserve(parts.iter().map(|part| part.counts.len()).sum());
    parts.iter().for_each(|part| all.append(part));
    all
}

impl Encoded {
    /// From rows of ids.
    pub(super) fn of_ids(rows: &[Vec<u32>]) -> Self {
        let mut all = Self::default();
        for row in rows {
            all.ids.extend_from_slice(row);
            all.end_row();
        }
        all
    }
}

/// Appends features by their place, each once with all that it adds.
pub(super) fn sum_up(features: &mut [(u32, i32)], ids: &mut Vec<u32>, counts: &mut Vec<i32>) {
    features.sort_unstable();
    for same in features.chunk_by(|a, b| a.0 == b.0) {
        ids.push(same[0].0);
        counts.push(same.iter().fold(0, |sum: i32, (_, count)| sum.saturating_add(*count)));
    }
}

/// The most values of a text's row that a setting may ask for.
pub(super) const MAX_WIDTH: usize = 1 << 31;

/// That a type of numbers tells so many ids apart.
pub(super) fn check_ids<T: Float>(op: &'static str, ids: Option<usize>) -> Result<()> {
    let most = whole_numbers::<T>();
    match ids.filter(|ids| *ids as u64 > most) {
        None => Ok(()),
        Some(ids) => {
            let expected = format!("at most {most}, which {} tells apart", T::NAME);
            Err(Error::argument(op, "the number of ids", expected, ids, "take fewer, or f64"))
        }
    }
}

/// The tensor of all rows, of the longest where they differ, and of one value at least.
pub(super) fn fill<T: Float>(
    op: &'static str,
    encoded: &Encoded,
    width: Width,
    write: impl Fn(Row<'_>, &mut [T]) + Sync,
) -> Result<Tensor<T>> {
    let width = match width {
        Width::Fixed(width) => width,
        Width::Free => encoded.longest().max(1),
    };
    let n = encoded.len();
    let what = format_args!("{n} texts of {width} values (with TextSource a batch at a time)");
    let mut values = memory::filled(op, what, n.saturating_mul(width), T::zero())?;
    parallel::rows(&mut values, width, width, |first, rows| {
        for (i, row) in (first..).zip(rows.chunks_exact_mut(width)) {
            write(encoded.row(i), row);
        }
    });
    Tensor::new([n, width], values)
}
