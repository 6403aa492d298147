//! From a pair of tokens to the rank of its merge.

use std::hash::{BuildHasher, RandomState};

/// No merge.
pub(super) const NONE: u32 = u32::MAX;

/// Open addressing over pairs of ids. The hash is keyed anew in every process, so that a hostile file cannot prepare collisions.
#[derive(Clone, Debug)]
pub(super) struct PairTable {
    slots: Vec<(u64, u32)>,
    /// A bit for each hash: most pairs that are asked for do not merge, and this says so from the second-level cache.
    filter: Vec<u64>,
    multiplier: u64,
    shift: u32,
}

/// No pair: ids stay below 2³².
const EMPTY: u64 = u64::MAX;

#[inline(always)]
fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl PairTable {
    /// From pairs and their ranks; of the same pair the last counts, as everywhere.
    pub(super) fn new(pairs: &[(u32, u32)], ranks: impl Fn(usize) -> u32) -> Self {
        let size = (pairs.len() * 2).next_power_of_two().max(64);
        let multiplier = RandomState::new().hash_one(size) | 1;
        let (slots, filter) = (vec![(EMPTY, NONE); size], vec![0; size / 8]);
        let mut table = Self { slots, filter, multiplier, shift: 64 - size.trailing_zeros() };
        for (i, &(left, right)) in pairs.iter().enumerate() {
            let key = key(left, right);
            let hash = table.hash(key);
            let mut slot = (hash >> table.shift) as usize;
            while table.slots[slot].0 != EMPTY && table.slots[slot].0 != key {
                slot = (slot + 1) & (size - 1);
            }
            table.slots[slot] = (key, ranks(i));
            let (word, bit) = table.bit(hash);
            table.filter[word] |= bit;
        }
        table
    }

    #[inline(always)]
    fn hash(&self, key: u64) -> u64 {
        let mixed = (key ^ key >> 32).wrapping_mul(self.multiplier);
        (mixed ^ mixed >> 29).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[inline(always)]
    fn bit(&self, hash: u64) -> (usize, u64) {
        // Eight bits a slot.
        ((hash >> (self.shift + 3)) as usize & (self.filter.len() - 1), 1 << (hash & 63))
    }

    /// The rank of a pair's merge, or [`NONE`].
    #[inline(always)]
    pub(super) fn rank(&self, left: u32, right: u32) -> u32 {
        let key = key(left, right);
        let hash = self.hash(key);
        let (word, bit) = self.bit(hash);
        if self.filter[word] & bit == 0 { NONE } else { self.look_up(key, hash) }
    }

    #[inline(always)]
    fn look_up(&self, key: u64, hash: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut slot = (hash >> self.shift) as usize & mask;
        loop {
            let (found, rank) = self.slots[slot];
            if found == key {
                return rank;
            }
            if found == EMPTY {
                return NONE;
            }
            slot = (slot + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_and_others_are_not() {
        let pairs: Vec<(u32, u32)> = (0..1000).map(|i| (i * 7919 % 503, i / 3)).collect();
        let table = PairTable::new(&pairs, |rank| rank as u32);
        for (rank, &(left, right)) in pairs.iter().enumerate() {
            let last = pairs.iter().rposition(|pair| *pair == (left, right)).unwrap();
            assert!(last >= rank);
            assert_eq!(table.rank(left, right), last as u32);
        }
        assert_eq!((table.rank(600, 0), table.rank(0, 600)), (NONE, NONE));
        assert_eq!(PairTable::new(&[], |rank| rank as u32).rank(0, 0), NONE);
    }
}
