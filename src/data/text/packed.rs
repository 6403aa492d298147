//! Documents packed into rows, for language models.

use std::fmt;

use super::documents::Documents;
use super::encoded::id;
use crate::data::idle::Idle;
use crate::data::range::check_range;
use crate::data::source::{Source, Stretch, row_shape};
use crate::error::{Error, Result};
use crate::memory;
use crate::random::{Key, Purpose};
use crate::tensor::{FREE, Float, Shape};

/// Packs documents of token ids into rows of `length` tokens, each with the tokens that follow as its target.
///
/// - [Concatenated](Self::new), by default: documents stand one after another, behind each the [`end`](Self::end) of a document, and are cut
///   into rows wherever `length` tokens are full. With N tokens in all there are ⌊(N − 1)/length⌋ rows; the targets of a row are its tokens
///   moved by one, and the last target is the first token of the next row. What is left at the end is dropped, or a shorter row
///   ([`keep_last`](Self::keep_last)).
/// - [Whole](Self::whole): short documents share a row, best fit decreasing, and are not cut; only those of more than `length` + 1
///   tokens are, into pieces of their own. No target belongs to another document. Rows differ in length, and a batch is filled up as any of
///   [`Ragged`](crate::data::Ragged) samples: what is filled up in targets does not count.
///
/// [`boundaries`](Self::boundaries) adds to the tokens which document each belongs to, and its position in it. Which tokens are in a row
/// follows from the documents, these settings and the [seed](Self::shuffle) alone, so that rows may be shuffled, split, loaded ahead by several
/// workers and resumed as the samples of any [`Source`].
///
/// S. Raffel et al., "Exploring the Limits of Transfer Learning", JMLR 2020, section 2.1 (packing); H. Ding et al., "Fewer Truncations Improve
/// Language Modeling", ICML 2024 (best fit).
///
/// ```
/// use gradus::prelude::*;
/// let mut ids = TokenIds::new();
/// for document in [[5, 6, 7].as_slice(), &[8, 9], &[4, 4, 4, 4]] {
///     ids.push(document)?;
/// }
/// // 5 6 7 1 8 9 1 4 4 4 4 1
/// let rows = Packing::new(4).end(1).boundaries(true).build(&ids)?;
/// let mut batch: Batch = Batch::default();
/// rows.batch(2).load(0, 0, &mut batch)?;
/// assert_eq!(batch.x, Tensor::from([[5.0, 6.0, 7.0, 1.0], [8.0, 9.0, 1.0, 4.0]]));
/// assert_eq!(batch.y, Tensor::from([[6.0, 7.0, 1.0, 8.0], [9.0, 1.0, 4.0, 4.0]]));
/// // Documents within the row from 1 on, and positions within the document.
/// assert_eq!(batch.more_x[0], Tensor::from([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 2.0]]));
/// assert_eq!(batch.more_x[1], Tensor::from([[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 0.0]]));
///
/// let rows = Packing::new(5).end(1).whole(1000).build(&ids)?;
/// rows.batch(2).load(0, 0, &mut batch)?;
/// // 4 4 4 4 → 4 4 4 1; 5 6 7 → 6 7 1 and 8 9 → 9 1
/// assert_eq!(batch.x, Tensor::from([[4.0, 4.0, 4.0, 4.0, 0.0], [5.0, 6.0, 7.0, 8.0, 9.0]]));
/// assert_eq!(batch.y, Tensor::from([[4.0, 4.0, 4.0, 1.0, 0.0], [6.0, 7.0, 1.0, 9.0, 1.0]]));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    length: usize,
    end: Option<usize>,
    seed: Option<u64>,
    whole: Option<usize>,
    keep_last: bool,
    boundaries: bool,
}

impl Packing {
    /// Rows of so many tokens.
    pub fn new(length: usize) -> Self {
        Packing { length, end: None, seed: None, whole: None, keep_last: false, boundaries: false }
    }

    /// A token that is put behind every document; none by default, where what encodes texts puts it there, or none is wanted.
    pub fn end(mut self, id: usize) -> Self {
        self.end = Some(id);
        self
    }

    /// Documents are packed in an order drawn at random, the same in every epoch, in the place of their own. Rows take turns anew in
    /// each epoch with [`Source::shuffle`].
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Documents are kept whole and share rows; `window` of them at a time, in their order, are put where least room is left over. 1000
    /// is usual. More waste less; memory is taken for all documents, 24 bytes each, and for each of their pieces, and 8 bytes a row.
    pub fn whole(mut self, window: usize) -> Self {
        self.whole = Some(window);
        self
    }

    /// Whether what is left at the end of concatenated documents is a shorter row; no by default, it is dropped. Rows then are of a
    /// [`FREE`] length.
    pub fn keep_last(mut self, keep: bool) -> Self {
        self.keep_last = keep;
        self
    }

    /// Whether rows have two more inputs, as long as the tokens: the number of the document within the row, from 1 on (0 is what is
    /// filled up), and the position within the document's part of the row, from 0 on; no by default. They are what attention needs to stay
    /// within a document.
    pub fn boundaries(mut self, boundaries: bool) -> Self {
        self.boundaries = boundaries;
        self
    }

    /// Packs documents. Asks each for its length once, which encodes every text that has not been yet.
    ///
    /// # Errors
    /// [`Error::Argument`] for a length or a window of 0, a length above 2²⁴, and fewer tokens than make a row;
    /// [`Error::Memory`]; those of the documents.
    pub fn build<D: Documents>(&self, documents: D) -> Result<Packed<D>> {
        Ok(Packed { plan: self.plan(&documents)?, settings: self.clone(), documents, idle: Idle::default() })
    }

    fn plan(&self, documents: &dyn Documents) -> Result<Plan> {
        const MAX_LENGTH: usize = 1 << 24;
        if !(1..=MAX_LENGTH).contains(&self.length) {
            return Err(Error::argument("Packing", "length", "from 1 to 2²⁴", self.length, "128 to 4096 is usual"));
        }
        if self.whole == Some(0) {
            return Err(Error::argument("Packing", "window", "at least 1", 0, "1000 is usual"));
        }
        let n = documents.documents();
        let what = format_args!("the order of {n} documents");
        let mut order = Vec::new();
        if let Some(seed) = self.seed {
            memory::reserve("Packing", what, &mut order, n)?;
            Key::new(seed, Purpose::Shuffle).with(STREAM).permutation(n, &mut order);
        }
        let at = |i: usize| order.get(i).copied().unwrap_or(i);
        // Behind a document without tokens there is no end of one.
        let length = |document: usize| -> Result<usize> {
            let own = documents.length(document)?;
            Ok(if own == 0 { 0 } else { own.saturating_add(usize::from(self.end.is_some())) })
        };
        let plan = match self.whole {
            None => {
                let mut ends = Vec::new();
                memory::reserve("Packing", what, &mut ends, n)?;
                let mut total = 0u64;
                for i in 0..n {
                    total = total.saturating_add(length(at(i))? as u64);
                    ends.push(total);
                }
                let (pairs, row) = (total.saturating_sub(1), self.length as u64);
                let rows = if self.keep_last { pairs.div_ceil(row) } else { pairs / row };
                Plan::Concatenated { order, ends, rows: usize::try_from(rows).unwrap_or(usize::MAX) }
            }
            Some(window) => {
                let (mut items, mut starts) = (Vec::new(), vec![0]);
                for first in (0..n).step_by(window) {
                    let mut own = Vec::new();
                    for document in (first..n.min(first.saturating_add(window))).map(at) {
                        let pairs = length(document)?.saturating_sub(1);
                        for start in (0..pairs).step_by(self.length) {
                            let (length, start) = ((pairs - start).min(self.length) as u32, start as u64);
                            own.push(Item { document, start, length });
                        }
                    }
                    self.best_fit(own, &mut items, &mut starts)?;
                }
                Plan::Whole { items, starts }
            }
        };
        if plan.rows() == 0 {
            let expected = match (self.whole, self.keep_last) {
                (Some(_), _) => "of at least 2 tokens, one of them".to_owned(),
                (None, true) => "of at least 2 tokens in all".to_owned(),
                (None, false) => format!("of at least {} tokens in all", self.length + 1),
            };
            let hint = "pass more documents, set .end(...), or make rows shorter";
            return Err(Error::argument("Packing", "documents", expected, "fewer", hint));
        }
        Ok(plan)
    }

    /// Best fit decreasing: the longest first, each where least room is left, of equals where room was found first.
    fn best_fit(&self, mut own: Vec<Item>, items: &mut Vec<Item>, starts: &mut Vec<usize>) -> Result<()> {
        own.sort_by_key(|item| std::cmp::Reverse(item.length));
        let mut rows: Vec<Vec<Item>> = Vec::new();
        let mut room = std::collections::BTreeSet::new();
        if items.capacity() - items.len() < own.len() {
            let more = own.len().max(items.len() / 2);
            memory::reserve("Packing", "the parts of documents in rows", items, more)?;
        }
        for item in own {
            let found = room.range((item.length, 0)..).next().copied();
            let (left, row) = found.unwrap_or((self.length as u32, rows.len()));
            match found {
                Some(place) => drop(room.remove(&place)),
                None => rows.push(Vec::new()),
            }
            rows[row].push(item);
            if left > item.length {
                room.insert((left - item.length, row));
            }
        }
        for row in rows {
            items.extend(row);
            starts.push(items.len());
        }
        Ok(())
    }
}

/// Sets the draws apart from those of other steps.
const STREAM: u64 = 0x7061_636B;

/// Tokens of a document that stand in a row; each with the next one as its target.
#[derive(Clone, Copy, Debug)]
struct Item {
    document: usize,
    start: u64,
    length: u32,
}

/// Which tokens make which row.
enum Plan {
    /// The documents' order, if it is not their own, where each ends in it, and how many rows there are.
    Concatenated { order: Vec<usize>, ends: Vec<u64>, rows: usize },
    /// The parts of documents row by row, and where each row begins.
    Whole { items: Vec<Item>, starts: Vec<usize> },
}

impl Plan {
    fn rows(&self) -> usize {
        match self {
            Plan::Concatenated { rows, .. } => *rows,
            Plan::Whole { starts, .. } => starts.len() - 1,
        }
    }
}

/// Documents packed into rows; made by [`Packing::build`].
pub struct Packed<D> {
    documents: D,
    settings: Packing,
    plan: Plan,
    idle: Idle<Row>,
}

/// A row on its way out.
#[derive(Default)]
struct Row {
    tokens: Vec<usize>,
    targets: Vec<usize>,
    segments: Vec<usize>,
    positions: Vec<usize>,
}

impl<D: fmt::Debug> fmt::Debug for Packed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} rows of {} tokens of {:?})", self.rows(), self.settings.length, self.documents)
    }
}

impl<D> Packed<D> {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.plan.rows()
    }

    /// What the rows are made of.
    pub fn documents(&self) -> &D {
        &self.documents
    }

    /// The tokens of a row that stand in it with a target.
    fn length(&self, row: usize) -> usize {
        match &self.plan {
            Plan::Concatenated { ends, .. } => {
                let pairs = ends.last().copied().unwrap_or(0).saturating_sub(1);
                let before = row as u64 * self.settings.length as u64;
                pairs.saturating_sub(before).min(self.settings.length as u64) as usize
            }
            Plan::Whole { items, starts } => {
                items[starts[row]..starts[row + 1]].iter().map(|item| item.length as usize).sum()
            }
        }
    }

    fn is_free(&self) -> bool {
        self.settings.whole.is_some() || self.settings.keep_last
    }

    fn inputs(&self, length: usize) -> Vec<Shape> {
        vec![Shape::from([length]); if self.settings.boundaries { 3 } else { 1 }]
    }

    fn open_length(&self) -> usize {
        if self.is_free() { FREE } else { self.settings.length }
    }
}

impl<D: Documents> Packed<D> {
    /// Appends tokens of a document, with the end behind it.
    fn tokens(&self, document: usize, first: usize, n: usize, tokens: &mut Vec<usize>) -> Result<()> {
        let before = tokens.len();
        self.documents.ids(document, first, n, tokens)?;
        if let Some(end) = self.settings.end.filter(|_| tokens.len() - before < n) {
            tokens.push(end);
        }
        if tokens.len() - before == n {
            return Ok(());
        }
        let problem = format!("document {document} does not have the ids that its length promised");
        let hint = "let documents be the same at any time";
        Err(Error::Config { op: "Packing", problem, hint: hint.to_owned() })
    }

    /// Fills in a row.
    fn row(&self, number: usize, row: &mut Row) -> Result<()> {
        let Row { tokens, targets, segments, positions } = row;
        [&mut *tokens, targets, segments, positions].into_iter().for_each(Vec::clear);
        match &self.plan {
            Plan::Whole { items, starts } => {
                for (segment, item) in (1..).zip(&items[starts[number]..starts[number + 1]]) {
                    let (n, before) = (item.length as usize, tokens.len());
                    self.tokens(item.document, item.start as usize, n + 1, tokens)?;
                    targets.extend_from_slice(&tokens[before + 1..]);
                    tokens.pop();
                    segments.extend(std::iter::repeat_n(segment, n));
                    positions.extend(0..n);
                }
            }
            Plan::Concatenated { order, ends, .. } => {
                let n = self.length(number);
                let mut at = number as u64 * self.settings.length as u64;
                let mut place = ends.partition_point(|end| *end <= at);
                let mut segment = 0;
                // One more than the row has, for the last target.
                while tokens.len() <= n {
                    let start = place.checked_sub(1).map_or(0, |before| ends[before]);
                    let own = ((ends[place] - at) as usize).min(n + 1 - tokens.len());
                    if own > 0 {
                        let document = order.get(place).copied().unwrap_or(place);
                        self.tokens(document, (at - start) as usize, own, tokens)?;
                        segment += 1;
                        segments.extend(std::iter::repeat_n(segment, own));
                        positions.extend(0..own);
                    }
                    at += own as u64;
                    place += 1;
                }
                targets.extend_from_slice(&tokens[1..]);
                [tokens, segments, positions].into_iter().for_each(|values| values.truncate(n));
            }
        }
        Ok(())
    }
}

impl<T: Float, D: Documents> Source<T> for Packed<D> {
    fn shapes(&self) -> (Shape, Shape) {
        let length = self.open_length();
        (row_shape(&self.inputs(length)), Shape::from([length]))
    }

    fn all_shapes(&self) -> (Vec<Shape>, Vec<Shape>) {
        let length = self.open_length();
        (self.inputs(length), vec![Shape::from([length])])
    }

    fn shapes_at(&self, _: usize, position: usize, shapes: &mut Vec<Shape>) -> Result<()> {
        check_range("Packed", position, 1, Some(self.rows()))?;
        let length = self.length(position);
        shapes.extend(self.inputs(length));
        shapes.push(Shape::from([length]));
        Ok(())
    }

    fn samples(&self) -> Option<usize> {
        Some(self.rows())
    }

    fn read(&self, _: usize, first: usize, x: &mut [T], y: &mut [T]) -> Result<()> {
        let stretch = Stretch::new(Source::<T>::shapes(self), x.len(), y.len());
        check_range("Packed", first, stretch.n, Some(self.rows()))?;
        self.idle.with(
            || Ok(Row::default()),
            |row| {
                stretch.each(x, y).try_for_each(|(i, x, y)| {
                    self.row(first + i, row)?;
                    let inputs = if self.settings.boundaries { 3 } else { 1 };
                    let n = row.tokens.len();
                    if x.len() != n * inputs || y.len() != n {
                        let expected = format!("room for the {n} tokens of row {}", first + i);
                        return Err(Error::shape("Packed", expected, y.len(), "ask Source::shapes_at for the sizes"));
                    }
                    let values = [&row.tokens, &row.segments, &row.positions].into_iter().take(inputs).flatten();
                    x.iter_mut().zip(values).try_for_each(|(x, &value)| id(value).map(|value| *x = value))?;
                    y.iter_mut().zip(&row.targets).try_for_each(|(y, &value)| id(value).map(|value| *y = value))
                })
            },
        )
    }
}
