//! Symbols of a piece, and their merges.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::pair_table::{NONE, PairTable};

/// Up to so many symbols the smallest rank is found by looking at all of them, which needs nothing set up.
const MAX_SCAN: usize = 192;
/// Ranks that leave room for a place beside them.
const MAX_RANKS: usize = (1 << 24) - 1;

/// Symbols beside each other.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    pub ids: Vec<u32>,
    /// Where each ends in the piece.
    pub ends: Vec<u32>,
    /// The rank of each with the next one.
    pub ranks: Vec<u32>,
    before: Vec<u32>,
    after: Vec<u32>,
    /// For each rank the beginnings of pairs that may have it.
    waiting: Vec<Vec<u32>>,
    /// The ranks that something waits for.
    heap: BinaryHeap<Reverse<u32>>,
}

impl Symbols {
    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.ends.clear();
        self.ranks.clear();
    }

    /// Does all merges: `pairs` knows their ranks, `results` what the merge of each rank gives.
    pub(super) fn merge(&mut self, pairs: &PairTable, results: &[u32]) {
        if self.ids.len() <= MAX_SCAN && results.len() < MAX_RANKS {
            self.merge_by_scan(pairs, results);
        } else {
            self.merge_by_rank(pairs, results);
        }
    }

    /// Merges the pair of the smallest rank, the leftmost of them, until there is none. Rank and place are one number, so that the
    /// smallest is found in one pass; symbols that are merged into another stay where they are and are passed over.
    fn merge_by_scan(&mut self, pairs: &PairTable, results: &[u32]) {
        let Self { ids, ends, ranks, before, after, .. } = self;
        let n = ids.len();
        for (i, rank) in ranks.iter_mut().enumerate() {
            *rank = waiting_at(*rank, i);
        }
        before.clear();
        before.extend((0..n as u32).map(|i| i.wrapping_sub(1)));
        after.clear();
        after.extend(1..=n as u32);
        loop {
            let least = ranks.iter().fold(NONE, |least, &rank| least.min(rank));
            if least == NONE {
                break;
            }
            let (rank, i) = (least >> 8, (least & 0xFF) as usize);
            let next = after[i] as usize;
            let id = results[rank as usize];
            (ids[i], ends[i], after[i]) = (id, ends[next], after[next]);
            (ids[next], ranks[next]) = (NONE, NONE);
            let (left, right) = (before[i] as usize, after[i] as usize);
            ranks[i] = match ids.get(right) {
                Some(&other) => {
                    before[right] = i as u32;
                    waiting_at(pairs.rank(id, other), i)
                }
                None => NONE,
            };
            if left < n {
                ranks[left] = waiting_at(pairs.rank(ids[left], id), left);
            }
        }
        keep_symbols(ids, ends);
    }

    /// The same for long pieces: symbols in a list, and for each rank the places where it waits.
    fn merge_by_rank(&mut self, pairs: &PairTable, results: &[u32]) {
        let Self { ids, ends, ranks, before, after, waiting, heap } = self;
        let n = ids.len();
        before.clear();
        before.extend((0..n as u32).map(|i| i.wrapping_sub(1)));
        after.clear();
        after.extend(1..=n as u32);
        heap.clear();
        waiting.resize_with(results.len(), Vec::new);
        let wait = |waiting: &mut Vec<Vec<u32>>, heap: &mut BinaryHeap<Reverse<u32>>, rank: u32, i: usize| {
            let places = &mut waiting[rank as usize];
            if places.is_empty() {
                heap.push(Reverse(rank));
            }
            places.push(i as u32);
        };
        for (i, &rank) in ranks.iter().enumerate().filter(|(_, rank)| **rank != NONE) {
            wait(waiting, heap, rank, i);
        }
        while let Some(Reverse(rank)) = heap.pop() {
            let mut places = std::mem::take(&mut waiting[rank as usize]);
            if !places.is_sorted() {
                places.sort_unstable();
            }
            let (id, mut done) = (results[rank as usize], 0);
            while let Some(&i) = places.get(done) {
                done += 1;
                let i = i as usize;
                if ranks[i] != rank {
                    // Of a pair that is no more.
                    continue;
                }
                let next = after[i] as usize;
                (ids[i], ends[i], after[i]) = (id, ends[next], after[next]);
                (ids[next], ranks[next], ranks[i]) = (NONE, NONE, NONE);
                let (right, left) = (after[i] as usize, before[i] as usize);
                let mut lower = false;
                if right < n {
                    before[right] = i as u32;
                    ranks[i] = pairs.rank(id, ids[right]);
                    if ranks[i] != NONE {
                        wait(waiting, heap, ranks[i], i);
                        lower = ranks[i] < rank;
                    }
                }
                if left < n {
                    ranks[left] = pairs.rank(ids[left], id);
                    if ranks[left] != NONE {
                        wait(waiting, heap, ranks[left], left);
                        lower |= ranks[left] < rank;
                    }
                }
                if lower {
                    // Only in vocabularies where a token comes from tokens that rank behind it.
                    break;
                }
            }
            places.drain(..done);
            if !places.is_empty() {
                if waiting[rank as usize].is_empty() {
                    heap.push(Reverse(rank));
                }
                waiting[rank as usize].append(&mut places);
            } else if waiting[rank as usize].is_empty() {
                // The memory of a short list is kept for the next text.
                places.shrink_to(16);
                waiting[rank as usize] = places;
            }
        }
        keep_symbols(ids, ends);
    }
}

/// A rank and the place where it waits as one number.
#[inline(always)]
fn waiting_at(rank: u32, at: usize) -> u32 {
    if rank == NONE { NONE } else { rank << 8 | at as u32 }
}

/// Takes out what was merged into others.
fn keep_symbols(ids: &mut Vec<u32>, ends: &mut Vec<u32>) {
    let mut kept = 0;
    for i in 0..ids.len() {
        if ids[i] != NONE {
            (ids[kept], ends[kept]) = (ids[i], ends[i]);
            kept += 1;
        }
    }
    ids.truncate(kept);
    ends.truncate(kept);
}
