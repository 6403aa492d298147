//! What short words were encoded to, so that a word that comes again is looked up.

use super::tokens::{Piece, ROOM, Tokens};
use crate::error::Result;

/// Longer words are not kept, in bytes.
const MAX_WORD: usize = 15;
/// Words of more tokens are not kept.
const MAX_TOKENS: usize = 3;
/// Ids of longer words have so many bits each; words with larger ones are not kept.
const BITS: u32 = 21;
const SETS: usize = 1 << 13;
const WAYS: usize = 4;
/// Words of so many bytes stand in a table of their own, as their bytes and length are one number.
const SHORT: usize = 7;
/// No second token.
const NONE: u32 = u32::MAX;

/// Four words for each hash in one cache line: bytes with the length on top, and one token or two.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct ShortSet {
    keys: [u64; WAYS],
    ids: [[u32; 2]; WAYS],
}

/// Four longer words for each hash: bytes with the length on top, and tokens as [`pack`] has them.
#[derive(Clone, Copy, Debug)]
struct LongSet {
    keys: [u128; WAYS],
    ids: [u64; WAYS],
}

/// Bytes of a window whose pieces are looked up, and of the longest word that begins at its end.
pub(super) const WINDOW: usize = 64 + 16;

/// Longer pieces, and words of many tokens.
#[derive(Clone, Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    ids: Vec<u32>,
}

/// Places for those, and how long they may be, in bytes.
const PIECES: usize = 1 << 11;
const MAX_PIECE: usize = 160;

/// What is in it changes no result.
#[derive(Debug)]
pub(in super::super) struct WordCache {
    short: Box<[ShortSet; SETS]>,
    long: Box<[LongSet; SETS]>,
    pieces: Vec<Kept>,
    /// The way that the next new word takes.
    next: usize,
}

fn sets<S: Copy + std::fmt::Debug>(empty: S) -> Box<[S; SETS]> {
    vec![empty; SETS].into_boxed_slice().try_into().expect("a slice of this length")
}

impl Default for WordCache {
    fn default() -> Self {
        // No word has length 0, so nothing is found in an empty entry.
        let (short, long) =
            (ShortSet { keys: [0; WAYS], ids: [[0; 2]; WAYS] }, LongSet { keys: [0; WAYS], ids: [0; WAYS] });
        Self { short: sets(short), long: sets(long), pieces: vec![Kept::default(); PIECES], next: 0 }
    }
}

/// Masks of the lowest bytes.
const LOWEST: [u64; SHORT + 1] = {
    let mut masks = [0; SHORT + 1];
    let mut n = 1;
    while n <= SHORT {
        masks[n] = u64::MAX >> (64 - 8 * n);
        n += 1;
    }
    masks
};

/// A word of 1 to [`SHORT`] bytes that begins at a byte of a text.
#[inline(always)]
fn short_key(text: &[u8], at: usize, length: usize) -> u64 {
    let all = match text.get(at..).and_then(|bytes| bytes.first_chunk::<8>()) {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => near_end(text, at) as u64,
    };
    all & LOWEST[length] | (length as u64) << 56
}

/// A word of 1 to [`MAX_WORD`] bytes that begins at a byte of a text.
#[inline(always)]
fn long_key(text: &[u8], at: usize, length: usize) -> u128 {
    let all = match text.get(at..).and_then(|bytes| bytes.first_chunk::<16>()) {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => near_end(text, at),
    };
    long_key_of(all, length)
}

/// The lowest bytes, with their number on top.
#[inline(always)]
fn long_key_of(all: u128, length: usize) -> u128 {
    all & (u128::MAX >> (128 - 8 * length)) | (length as u128) << 120
}

#[cold]
fn near_end(text: &[u8], at: usize) -> u128 {
    let (mut bytes, rest) = ([0; 16], &text[at..]);
    let length = rest.len().min(16);
    bytes[..length].copy_from_slice(&rest[..length]);
    u128::from_le_bytes(bytes)
}

#[inline(always)]
fn set_of(bits: u64) -> usize {
    (bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SETS.trailing_zeros())) as usize & (SETS - 1)
}

#[inline(always)]
fn long_set_of(key: u128) -> usize {
    set_of(key as u64 ^ ((key >> 64) as u64).rotate_left(29))
}

/// Where a key stands. Which of the ways it is cannot be foreseen, so there is no branch for it.
#[inline(always)]
fn way_of<K: Copy + PartialEq>(keys: &[K; WAYS], key: K) -> Option<usize> {
    let found = (0..WAYS).fold(0, |found, way| found | u32::from(keys[way] == key) << way);
    (found != 0).then(|| found.trailing_zeros() as usize % WAYS)
}

impl WordCache {
    /// Appends the tokens of a piece, from the cache or by `encode`. `lengths` says for how many bytes of a word each token stands; none for
    /// one that stands for others than its own.
    #[inline(always)]
    pub(super) fn or_encode(
        &mut self,
        piece: Piece<'_>,
        lengths: &[u32],
        out: &mut Tokens,
        encode: impl FnOnce(&mut Self, &mut Tokens) -> Result<()>,
    ) -> Result<()> {
        if let Some(ids) = self.short(piece) {
            push_pair(ids, piece.start, lengths, out);
            return Ok(());
        }
        self.long_or_encode(piece, lengths, out, encode)
    }

    /// The tokens of a word of up to [`SHORT`] bytes: the first, and the second or [`NONE`].
    #[inline(always)]
    pub(super) fn short(&self, piece: Piece<'_>) -> Option<[u32; 2]> {
        let length = piece.end - piece.start;
        if length.wrapping_sub(1) >= SHORT {
            return None;
        }
        self.short_of(short_key(piece.text.as_bytes(), piece.start, length))
    }

    #[inline(always)]
    fn short_of(&self, key: u64) -> Option<[u32; 2]> {
        let set = &self.short[set_of(key)];
        Some(set.ids[way_of(&set.keys, key)?])
    }

    #[inline(always)]
    fn long_of(&self, key: u128) -> Option<u64> {
        let set = &self.long[long_set_of(key)];
        Some(set.ids[way_of(&set.keys, key)?])
    }

    /// Writes the ids of piece after piece of a window while they are known, the next of which lies from `from` up to the lowest of `ends`:
    /// how many. A token stands for a byte at least, so there is room for those of all 64.
    #[inline(always)]
    pub(super) fn known(
        &self,
        window: &[u8; WINDOW],
        from: &mut usize,
        ends: &mut u64,
        room: &mut [u32; ROOM],
    ) -> usize {
        let mut used = 0;
        while *ends != 0 {
            let to = ends.trailing_zeros() as usize % 64;
            let length = to - *from;
            let bytes = &window[*from % 64..];
            if length <= SHORT {
                let eight = bytes.first_chunk().expect("the window is longer");
                let key = u64::from_le_bytes(*eight) & LOWEST[length] | (length as u64) << 56;
                let Some([first, second]) = self.short_of(key) else { break };
                (room[used % ROOM], room[(used + 1) % ROOM]) = (first, second);
                used += 1 + usize::from(second != NONE);
            } else {
                let Some(packed) = self.long_in(bytes.first_chunk().expect("the window is longer"), length) else {
                    break;
                };
                let (ids, count) = unpack(packed);
                (0..MAX_TOKENS).for_each(|i| room[(used + i) % ROOM] = ids[i]);
                used += count;
            }
            *ends &= *ends - 1;
            *from = to;
        }
        used
    }

    #[inline(never)]
    fn long_in(&self, bytes: &[u8; 16], length: usize) -> Option<u64> {
        if length > MAX_WORD {
            return None;
        }
        self.long_of(long_key_of(u128::from_le_bytes(*bytes), length))
    }

    #[inline(never)]
    fn long_or_encode(
        &mut self,
        piece: Piece<'_>,
        lengths: &[u32],
        out: &mut Tokens,
        encode: impl FnOnce(&mut Self, &mut Tokens) -> Result<()>,
    ) -> Result<()> {
        let (start, length) = (piece.start, piece.end - piece.start);
        if length > MAX_WORD || length == 0 {
            return self.piece_or_encode(piece.as_bytes(), start, lengths, out, encode);
        }
        let key = long_key(piece.text.as_bytes(), start, length);
        if let Some(packed) = self.long_of(key) {
            push(packed, start, lengths, out);
            return Ok(());
        }
        let before = out.len();
        self.piece_or_encode(piece.as_bytes(), start, lengths, out, encode)?;
        let found = &out.ids()[before..];
        let Some(packed) = pack(found, length, lengths) else { return Ok(()) };
        self.next = (self.next + 1) % WAYS;
        match *found {
            [first, ref second @ ..] if length <= SHORT && second.len() < 2 => {
                let key = short_key(piece.text.as_bytes(), start, length);
                let set = &mut self.short[set_of(key)];
                (set.keys[self.next], set.ids[self.next]) = (key, [first, second.first().copied().unwrap_or(NONE)]);
            }
            _ => {
                let set = &mut self.long[long_set_of(key)];
                (set.keys[self.next], set.ids[self.next]) = (key, packed);
            }
        }
        Ok(())
    }

    fn piece_or_encode(
        &mut self,
        bytes: &[u8],
        start: usize,
        lengths: &[u32],
        out: &mut Tokens,
        encode: impl FnOnce(&mut Self, &mut Tokens) -> Result<()>,
    ) -> Result<()> {
        if bytes.len() > MAX_PIECE || bytes.is_empty() {
            return encode(self, out);
        }
        let mixed = bytes.chunks(8).fold(bytes.len() as u64, |all, part| {
            let mut eight = [0; 8];
            eight[..part.len()].copy_from_slice(part);
            (all ^ u64::from_le_bytes(eight)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
        });
        let place = (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - PIECES.trailing_zeros())) as usize;
        let piece = &self.pieces[place];
        if piece.bytes == bytes {
            let mut at = start as u32;
            for &id in &piece.ids {
                let end = at + lengths[id as usize];
                out.push(id, at, end);
                at = end;
            }
            return Ok(());
        }
        let before = out.len();
        encode(self, out)?;
        let found = &out.ids()[before..];
        // Few that fit three go to the tables above, so that what stands here is worth it.
        let stands = bytes.len() > MAX_WORD || found.len() > MAX_TOKENS;
        if stands && found.iter().map(|&id| lengths[id as usize] as usize).sum::<usize>() == bytes.len() {
            let piece = &mut self.pieces[place];
            piece.bytes.clear();
            piece.bytes.extend_from_slice(bytes);
            piece.ids.clear();
            piece.ids.extend_from_slice(found);
        }
        Ok(())
    }
}

/// Appends one token or two.
#[inline(always)]
pub(super) fn push_pair([first, second]: [u32; 2], start: usize, lengths: &[u32], out: &mut Tokens) {
    let count = 1 + usize::from(second != NONE);
    out.push_some([first, second, 0, 0], count);
    if out.wants_spans {
        let middle = start as u32 + lengths[first as usize];
        out.spans.push((start as u32, middle));
        if second != NONE {
            out.spans.push((middle, middle + lengths[second as usize]));
        }
    }
}

/// A few ids as one number: from the lowest bits on, each plus one. `None` for too many or too large ones, and for those that do not stand
/// for all bytes of the word.
pub(super) fn pack(tokens: &[u32], length: usize, lengths: &[u32]) -> Option<u64> {
    let fits = tokens.iter().all(|&id| id + 1 < 1 << BITS);
    let bytes: usize = tokens.iter().map(|&id| lengths[id as usize] as usize).sum();
    let packs = !tokens.is_empty() && tokens.len() <= MAX_TOKENS && fits && bytes == length;
    packs.then(|| tokens.iter().rev().fold(0, |ids, &id| ids << BITS | u64::from(id + 1)))
}

/// The ids of such a number, and how many they are.
#[inline(always)]
fn unpack(packed: u64) -> ([u32; MAX_TOKENS], usize) {
    let id = |place: u32| (packed >> (place * BITS) & ((1 << BITS) - 1)) as u32;
    let count = 1 + usize::from(packed >> BITS != 0) + usize::from(packed >> (2 * BITS) != 0);
    ([id(0).wrapping_sub(1), id(1).wrapping_sub(1), id(2).wrapping_sub(1)], count)
}

/// Appends the ids of such a number.
#[inline(always)]
pub(super) fn push(packed: u64, start: usize, lengths: &[u32], out: &mut Tokens) {
    let (ids, count) = unpack(packed);
    out.push_some([ids[0], ids[1], ids[2], 0], count);
    if out.wants_spans {
        let mut at = start as u32;
        for &id in &ids[..count] {
            let end = at + lengths[id as usize];
            out.spans.push((at, end));
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_what_came_first() {
        // Token n stands for n bytes, except for 0, which stands for any.
        let lengths: Vec<u32> = (0..20).collect();
        let mut cache = WordCache::default();
        let words: [(usize, &[u32]); 12] = [
            (1, &[1]),
            (5, &[2, 3]),
            (7, &[7]),
            (7, &[1, 2, 4]),
            (8, &[8]),
            (12, &[3, 4, 5]),
            (15, &[15]),
            (16, &[16]),
            (10, &[1, 2, 3, 4]),
            (6, &[0]),
            (160, &[10; 16]),
            (170, &[10; 17]),
        ];
        for (n, (length, ids)) in words.into_iter().enumerate() {
            let text = char::from(b'a' + n as u8).to_string().repeat(200);
            // At the end of the text too, where fewer than 16 bytes are left.
            for start in [0, text.len() - length] {
                let mut called = 0;
                for _ in 0..3 {
                    let mut out = Tokens::default();
                    out.clear(true);
                    cache
                        .or_encode(Piece { text: &text, start, end: start + length }, &lengths, &mut out, |_, out| {
                            called += 1;
                            let mut at = start as u32;
                            for &id in ids {
                                let end = if id == 0 { (start + length) as u32 } else { at + id };
                                out.push(id, at, end);
                                at = end;
                            }
                            Ok(())
                        })
                        .unwrap();
                    assert_eq!(out.ids(), ids);
                    assert_eq!(out.spans_mut().last().unwrap().1 as usize, start + length);
                }
                let kept = length <= MAX_PIECE && ids != [0];
                assert!(called == 3 || (kept && called <= 1), "{length} {ids:?}: {called}");
            }
        }
    }

    #[test]
    fn packed_ids_come_back() {
        let lengths = vec![1; 1 << BITS];
        let most = (1 << BITS) - 2;
        for ids in [&[0][..], &[most], &[0, most], &[most, 0, most]] {
            let mut out = Tokens::default();
            push(pack(ids, ids.len(), &lengths).unwrap(), 0, &lengths, &mut out);
            assert_eq!(out.ids(), ids);
        }
        assert_eq!(
            (pack(&[most + 1], 1, &lengths), pack(&[0; 4], 4, &lengths), pack(&[0], 2, &lengths)),
            (None, None, None)
        );
    }
}
