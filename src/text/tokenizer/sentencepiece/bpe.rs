//! Merging characters into pieces, as SentencePiece does it.

use std::collections::{BinaryHeap, HashMap};

use super::super::trie::Trie;
use super::file::{Kind, Piece};
use super::normalizer::SPACE;
use crate::error::Result;

/// Byte-pair encoding by the scores of the merged pieces: of all neighbours whose texts together are a piece, those with the highest score are
/// merged first, the leftmost of equals. User-defined pieces are cut out before, the longest at each place, and are merged with nothing.
/// Unused pieces are merged like others and in the end taken apart again.
///
/// A text is cut before each `▁` that follows something else, if no piece goes over such a place, so that it takes time in proportion to
/// its length; otherwise to n log n.
#[derive(Clone, Debug)]
pub(super) struct Bpe {
    /// Normal, user-defined and unused pieces.
    trie: Trie,
    user_defined: Trie,
    /// For each piece its score as a number that sorts as it does, and whether it is unused.
    ranks: Vec<(u32, bool)>,
    /// Whether words are cut apart first.
    by_word: bool,
}

/// Memory for [`Bpe::encode`], kept from call to call.
#[derive(Clone, Debug, Default)]
pub(super) struct BpeScratch {
    symbols: Vec<Symbol>,
    /// Pairs as numbers, see [`entry`], greatest first; some are no longer there.
    pairs: BinaryHeap<u64>,
    /// Of an unused piece, the length of the left part that it was merged from last.
    apart: HashMap<u32, u32>,
    stack: Vec<(u32, u32)>,
}

/// A part of the text: a character, a user-defined piece or what was merged.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: u32,
    length: u32,
    before: u32,
    next: u32,
    /// Where the walk along its text ends; [`NONE`] for what begins no piece.
    node: u32,
    /// What it is together with its right neighbour: the score and the node of that piece. 0 for no piece, and once it has been merged.
    rank: u32,
    pair: u32,
    frozen: bool,
}

const NONE: u32 = u32::MAX;
/// Symbols up to which memory is kept.
const KEPT: usize = 1 << 16;
/// Symbols up to which looking at all for the best pair is faster than keeping order.
const FEW: usize = 24;

/// A pair as a number: the greater the better, by score and then by place.
fn entry(rank: u32, left: u32) -> u64 {
    u64::from(rank) << 32 | u64::from(NONE - left)
}

impl Bpe {
    pub(super) fn new(pieces: &[Piece]) -> Result<Self> {
        let of = |kinds: &'static [Kind]| {
            let found = (0..).zip(pieces).filter(|(_, piece)| kinds.contains(&piece.kind));
            Trie::new(found.map(|(id, piece)| (piece.text.as_bytes(), id)))
        };
        let rank = |piece: &Piece| {
            let bits = piece.score.to_bits(); // -0 comes before 0, as in SentencePiece.
            let rank = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }; // Above 0, as the score is finite.
            (rank, piece.kind == Kind::Unused)
        };
        let over_words =
            |piece: &Piece| piece.text.trim_start_matches(SPACE).contains(SPACE) || piece.kind == Kind::Unused;
        let merged = |piece: &&Piece| matches!(piece.kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
        Ok(Bpe {
            trie: of(&[Kind::Normal, Kind::UserDefined, Kind::Unused])?,
            user_defined: of(&[Kind::UserDefined])?,
            ranks: pieces.iter().map(rank).collect(),
            by_word: !pieces.iter().filter(merged).any(over_words),
        })
    }

    /// Calls `emit` with each part of the text from left to right: its place, from and to, and its number if it is a piece.
    pub(super) fn encode(
        &self,
        text: &str,
        scratch: &mut BpeScratch,
        emit: &mut impl FnMut(usize, usize, Option<u32>),
    ) {
        scratch.apart.clear();
        let mut start = 0;
        while start < text.len() {
            let end = if self.by_word { start + word(&text[start..]) } else { text.len() };
            self.merge(text, start, end, scratch, emit);
            start = end;
        }
        scratch.symbols.truncate(KEPT);
        scratch.symbols.shrink_to(KEPT);
        scratch.pairs.clear();
        scratch.pairs.shrink_to(KEPT);
    }

    fn merge(
        &self,
        text: &str,
        start: usize,
        end: usize,
        scratch: &mut BpeScratch,
        emit: &mut impl FnMut(usize, usize, Option<u32>),
    ) {
        let BpeScratch { symbols, pairs, apart, stack } = scratch;
        self.split(text, start, end, symbols);
        for left in 0..symbols.len() as u32 {
            self.look(text, symbols, left, apart);
        }
        if symbols.len() <= FEW {
            while let Some((left, _)) = best(symbols) {
                self.join(text, symbols, left, apart);
            }
        } else {
            pairs.clear();
            pairs.extend((0..).zip(&*symbols).filter(|(_, s)| s.rank > 0).map(|(left, s)| entry(s.rank, left)));
            while let Some(pair) = pairs.pop() {
                let (rank, left) = ((pair >> 32) as u32, NONE - pair as u32);
                if symbols[left as usize].rank != rank {
                    continue; // One of the two has been merged with another one.
                }
                for left in self.join(text, symbols, left, apart).into_iter().flatten() {
                    let rank = symbols[left as usize].rank;
                    if rank > 0 {
                        pairs.push(entry(rank, left));
                    }
                }
            }
        }
        let mut at = 0;
        while let Some(symbol) = symbols.get(at as usize) {
            self.emit(text, *symbol, apart, stack, emit);
            at = symbol.next;
        }
    }

    /// Merges a symbol with its right neighbour. Gives the symbols whose pairs are others now.
    #[inline]
    fn join(&self, text: &str, symbols: &mut [Symbol], left: u32, apart: &mut HashMap<u32, u32>) -> [Option<u32>; 2] {
        let l = symbols[left as usize];
        let r = &mut symbols[l.next as usize];
        r.rank = 0;
        let (length, next) = (l.length + r.length, r.next);
        symbols[left as usize] = Symbol { length, next, node: l.pair, ..l };
        if let Some(next) = symbols.get_mut(next as usize) {
            next.before = left;
        }
        self.look(text, symbols, left, apart);
        let before = (l.before != NONE).then_some(l.before);
        if let Some(before) = before {
            self.look(text, symbols, before, apart);
        }
        [before, Some(left)]
    }

    /// Cuts a word into characters and user-defined pieces.
    fn split(&self, text: &str, start: usize, end: usize, symbols: &mut Vec<Symbol>) {
        symbols.clear();
        let bytes = text.as_bytes();
        let mut at = start;
        while at < end {
            let found = self.user_defined.longest_prefix(&bytes[at..end]).map(|(length, _)| length);
            let length = found.or_else(|| text[at..].chars().next().map(char::len_utf8)).unwrap_or(1);
            let place = symbols.len() as u32;
            symbols.push(Symbol {
                start: at as u32,
                length: length as u32,
                before: place.wrapping_sub(1),
                next: if at + length < end { place + 1 } else { NONE },
                node: self.trie.walk(Trie::ROOT, &bytes[at..at + length]).unwrap_or(NONE),
                rank: 0,
                pair: NONE,
                frozen: found.is_some(),
            });
            at += length;
        }
    }

    /// Looks whether a symbol and its right neighbour together are a piece.
    #[inline]
    fn look(&self, text: &str, symbols: &mut [Symbol], left: u32, apart: &mut HashMap<u32, u32>) {
        let l = symbols[left as usize];
        let found = symbols.get(l.next as usize).filter(|r| !l.frozen && !r.frozen && l.node != NONE).and_then(|r| {
            let part = &text.as_bytes()[r.start as usize..(r.start + r.length) as usize];
            let node = self.trie.walk(l.node, part)?;
            Some((node, self.trie.value(node)?))
        });
        let (mut rank, mut pair) = (0, NONE);
        if let Some((node, id)) = found {
            let unused;
            (rank, unused) = self.ranks[id as usize];
            pair = node;
            if unused {
                apart.insert(id, l.length);
            }
        }
        (symbols[left as usize].rank, symbols[left as usize].pair) = (rank, pair);
    }

    /// Hands a symbol on, an unused piece as the parts that it was merged from.
    #[inline]
    fn emit(
        &self,
        text: &str,
        symbol: Symbol,
        apart: &HashMap<u32, u32>,
        stack: &mut Vec<(u32, u32)>,
        emit: &mut impl FnMut(usize, usize, Option<u32>),
    ) {
        let id = (symbol.node != NONE).then(|| self.trie.value(symbol.node)).flatten();
        if !id.is_some_and(|id| self.ranks[id as usize].1) {
            return emit(symbol.start as usize, (symbol.start + symbol.length) as usize, id);
        }
        stack.clear();
        stack.push((symbol.start, symbol.length));
        while let Some((start, length)) = stack.pop() {
            let (from, to) = (start as usize, (start + length) as usize);
            let id = self.trie.get(&text.as_bytes()[from..to]);
            match id.filter(|&id| self.ranks[id as usize].1).map(|id| apart.get(&id)) {
                Some(Some(&left)) => stack.extend([(start + left, length - left), (start, left)]),
                Some(None) => emit(from, to, None), // A single character.
                None => emit(from, to, id),
            }
        }
    }
}

/// The pair with the highest score, the leftmost of equals: its left symbol and the score.
fn best(symbols: &[Symbol]) -> Option<(u32, u32)> {
    let mut best = None;
    for (left, symbol) in (0..).zip(symbols) {
        if symbol.rank > best.map_or(0, |(_, rank)| rank) {
            best = Some((left, symbol.rank));
        }
    }
    best
}

/// How long the first word is: up to a `▁` that follows something else.
fn word(text: &str) -> usize {
    let spaces = text.len() - text.trim_start_matches(SPACE).len();
    text[spaces..].find(SPACE).map_or(text.len(), |length| spaces + length)
}
