//! What short words were encoded to, so that a word that comes again is looked up.

use super::Tokens;
use crate::error::Result;

/// Words longer than this are not kept.
const MAX_WORD: usize = 16;
/// Words of more tokens are not kept.
const MAX_TOKENS: usize = 3;
const SETS: usize = 1 << 14;

/// A word's bytes, filled up with zeros.
type Key = [u64; 2];

#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Entry {
    key: Key,
    ids: [u32; MAX_TOKENS],
    /// Bytes of the word; 0 where there is none.
    length: u8,
    count: u8,
}

/// Two words for each hash, in one cache line; the one used longer ago gives way. What is in it changes no result.
pub(in super::super) struct WordCache {
    sets: Vec<[Entry; 2]>,
}

impl std::fmt::Debug for WordCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WordCache").finish_non_exhaustive()
    }
}

impl Default for WordCache {
    fn default() -> Self {
        Self { sets: vec![Default::default(); SETS] }
    }
}

/// The key of a word of 1 to [`MAX_WORD`] bytes that begins at a byte of a text.
#[inline(always)]
fn key(text: &[u8], at: usize, length: usize) -> Key {
    debug_assert!((1..=MAX_WORD).contains(&length));
    match text.get(at..at + 16).and_then(|bytes| bytes.first_chunk::<16>()) {
        Some(bytes) => {
            let all = u128::from_le_bytes(*bytes) & (u128::MAX >> (128 - 8 * length));
            [all as u64, (all >> 64) as u64]
        }
        None => {
            let mut bytes = [0; 16];
            bytes[..length].copy_from_slice(&text[at..at + length]);
            let all = u128::from_le_bytes(bytes);
            [all as u64, (all >> 64) as u64]
        }
    }
}

#[inline(always)]
fn set_of(key: Key, length: usize) -> usize {
    let mixed = (key[0] ^ key[1].rotate_left(29) ^ length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (64 - SETS.trailing_zeros())) as usize
}

impl WordCache {
    /// The tokens of a word, if it is known.
    #[inline(always)]
    fn get(&mut self, key: Key, length: usize) -> Option<&[u32]> {
        let set = &mut self.sets[set_of(key, length)];
        let is = |entry: &Entry| entry.key == key && entry.length as usize == length;
        if !is(&set[0]) {
            if !is(&set[1]) {
                return None;
            }
            set.swap(0, 1);
        }
        Some(&set[0].ids[..(set[0].count as usize).min(MAX_TOKENS)])
    }

    /// Keeps a word.
    fn put(&mut self, key: Key, length: usize, tokens: &[u32]) {
        if tokens.len() > MAX_TOKENS || tokens.is_empty() {
            return;
        }
        let set = &mut self.sets[set_of(key, length)];
        set[1] = set[0];
        let mut ids = [0; MAX_TOKENS];
        ids[..tokens.len()].copy_from_slice(tokens);
        set[0] = Entry { key, ids, length: length as u8, count: tokens.len() as u8 };
    }

    /// Appends the tokens of the word that lies in a text from byte to byte, from the cache or by `encode`. `lengths` says for how many
    /// bytes of a word each token stands; none for one that stands for others than its own.
    #[inline(always)]
    pub(super) fn or_encode(
        &mut self,
        text: &str,
        start: usize,
        end: usize,
        lengths: &[u32],
        out: &mut Tokens,
        encode: impl FnOnce(&mut Tokens) -> Result<()>,
    ) -> Result<()> {
        let length = end - start;
        if length > MAX_WORD {
            return encode(out);
        }
        let key = key(text.as_bytes(), start, length);
        if let Some(ids) = self.get(key, length) {
            let mut at = start as u32;
            for &id in ids {
                out.ids.push(id);
                if out.wants_spans {
                    let end = at + lengths[id as usize];
                    out.spans.push((at, end));
                    at = end;
                }
            }
            return Ok(());
        }
        let before = out.ids.len();
        encode(out)?;
        let found = &out.ids[before..];
        if found.iter().map(|&id| lengths[id as usize] as usize).sum::<usize>() == length {
            self.put(key, length, found);
        }
        Ok(())
    }
}
