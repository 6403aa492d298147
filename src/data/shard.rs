//! A part of a batch.

use std::ops::Range;

/// A logical shard: number `number` of `of` parts into which every batch is cut, consecutive rows, as many as in the others or one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl Shard {
    /// The rows of a batch of `n` that belong to it; none where there are fewer rows than shards.
    ///
    /// ```
    /// use gradus::data::Shard;
    /// assert_eq!(Shard { number: 0, of: 3 }.rows(10), 0..3);
    /// assert_eq!(Shard { number: 2, of: 3 }.rows(10), 6..10);
    /// ```
    pub fn rows(self, n: usize) -> Range<usize> {
        let place = |i: usize| (n as u128 * i as u128 / self.of.max(1) as u128) as usize;
        place(self.number)..place(self.number + 1)
    }
}
