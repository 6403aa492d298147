//! What attention is told: sizes, the parts of a batch that have to do with each other, and which keys a query sees.

use std::ops::Range;

use crate::kernels::float::Float;
use crate::kernels::gemm::MADDS_PER_UPDATE;
use crate::kernels::random::Key;

/// Keys of a tile. Bits depend on it.
pub(super) const TILE: usize = 64;
/// Queries that are taken together.
pub(super) const BLOCK: usize = 64;

/// Sizes of q `[batch, queries, heads, width]`, k `[batch, keys, key_heads, width]`, v `[batch, keys, key_heads, value_width]` and y `[batch, queries,
/// heads, value_width]`. Query head h goes with key head h / (heads / key_heads).
///
/// Where a cache holds keys and values, its rows are those of k and v. Key i stands in place i modulo `keys`, so that a cache may be a ring; a ring has a
/// multiple of [`TILE`] places.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub key_heads: usize,
    pub width: usize,
    pub value_width: usize,
    /// Whether q, k and v are one slice, in which a step's heads of q, k and v stand one after the other, as one product gives them.
    pub joined: bool,
}

/// Queries and keys of a row of the batch that have to do with each other: all of it, without padding at the ends, or a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub row: usize,
    pub queries: Range<usize>,
    pub keys: Range<usize>,
    /// The position of query 0 of the row among the keys.
    pub offset: usize,
    /// The row of k and v.
    pub key_row: usize,
}

/// A problem in numbers: the row, where its queries and its keys begin and end, the position of the row's query 0 among the keys, and the row of k
/// and v.
pub type Numbers = [u32; 7];

impl From<Numbers> for Problem {
    fn from(numbers: Numbers) -> Self {
        let [row, query, end_query, key, end_key, offset, key_row] = numbers.map(|n| n as usize);
        Problem { row, queries: query..end_query, keys: key..end_key, offset, key_row }
    }
}

/// What is added to scores by distance, the key's position minus the query's: `[heads, distances]`, from the first on.
#[derive(Clone, Copy, Debug)]
pub struct Biases<'a, T> {
    pub values: &'a [T],
    pub first: isize,
    pub distances: usize,
}

/// Which keys a query sees, and what becomes of its scores.
pub struct Rules<'a, T> {
    /// What scores are multiplied by, 1/√width as a rule.
    pub scale: T,
    /// Scores s become c·tanh(s / c).
    pub soft_cap: Option<T>,
    /// How many keys before its own position a query sees, and how many behind.
    pub before: usize,
    pub behind: usize,
    /// What is added to scores.
    pub bias: Option<Biases<'a, T>>,
    /// Which queries see anything, `[batch, queries]`, and which keys are seen, by each of two, `[batch, keys]`.
    pub query_mask: Option<&'a [bool]>,
    pub key_masks: [Option<&'a [bool]>; 2],
    /// Which query sees which key, other than 0: `[batch, queries, keys]`, or with `by_head` `[batch, heads, queries, keys]`.
    pub mask: Option<&'a [T]>,
    pub by_head: bool,
    /// The part of the probabilities that is dropped, and the key of its draws for each row of the batch.
    pub dropout: Option<(f64, &'a (dyn Fn(usize) -> Key + Sync))>,
    /// Whether a query that sees no key gives the mean of all values of its row instead of zeros.
    pub even: bool,
}

impl Sizes {
    /// Values of a step of q, k and v.
    fn own(&self) -> [usize; 3] {
        [self.heads * self.width, self.key_heads * self.width, self.key_heads * self.value_width]
    }

    /// Values from one step to the next, in the slices of q, k and v.
    pub fn steps(&self) -> [usize; 3] {
        let own = self.own();
        if self.joined { [own.iter().sum(); 3] } else { own }
    }

    pub fn query(&self, row: usize, query: usize, head: usize) -> usize {
        (row * self.queries + query) * self.steps()[0] + head * self.width
    }

    pub fn key(&self, row: usize, key: usize, head: usize) -> usize {
        let before = if self.joined { self.own()[0] } else { 0 };
        self.place(row, key) * self.steps()[1] + before + head * self.width
    }

    /// Where a key of a row stands among all.
    pub fn place(&self, key_row: usize, key: usize) -> usize {
        key_row * self.keys + key % self.keys.max(1)
    }

    pub fn value(&self, row: usize, key: usize, head: usize) -> usize {
        let before = if self.joined { self.own()[0] + self.own()[1] } else { 0 };
        self.place(row, key) * self.steps()[2] + before + head * self.value_width
    }

    pub fn output(&self, row: usize, query: usize, head: usize) -> usize {
        ((row * self.queries + query) * self.heads + head) * self.value_width
    }

    pub fn group(&self) -> usize {
        self.heads / self.key_heads.max(1)
    }

    /// Where the logarithm of the sum of a query and head stands.
    pub fn sum(&self, row: usize, query: usize, head: usize) -> usize {
        (row * self.queries + query) * self.heads + head
    }

    /// How much one query of one head costs that sees so many keys, in the units of [`parallel::parts`](crate::kernels::parallel::parts).
    pub fn work(&self, keys: usize) -> usize {
        (keys * (self.width + self.value_width)).div_ceil(MADDS_PER_UPDATE) + 2 * keys
    }
}

impl<T: Float> Rules<'_, T> {
    /// The keys of a problem that a query sees by its position.
    #[inline(always)]
    pub(super) fn seen(&self, query: usize, problem: &Problem) -> Range<usize> {
        let (position, keys) = (query + problem.offset, &problem.keys);
        let first = position.saturating_sub(self.before).max(keys.start);
        let end = position.saturating_add(self.behind).saturating_add(1).min(keys.end);
        first..end.max(first)
    }

    /// The keys that queries of a block see by their positions.
    pub(super) fn seen_by(&self, queries: &Range<usize>, problem: &Problem) -> Range<usize> {
        if queries.is_empty() {
            return problem.keys.start..problem.keys.start;
        }
        self.seen(queries.start, problem).start..self.seen(queries.end - 1, problem).end
    }
}
