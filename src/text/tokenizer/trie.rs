//! Byte strings and their numbers, found while walking through a text.

use crate::error::{Error, Result};

/// A set of byte strings (keys), each with a number, as a tree that is walked byte by byte: `step` follows one byte in constant time,
/// `value` says whether a key ends there.
///
/// A double array (J. Aoe, "An efficient digital search algorithm by using a double-array structure", 1989) with the exclusive or of base and
/// byte as a child's place, so that the children of a node lie in one block of 256.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    units: Vec<Unit>,
    /// The number of the key that ends at a node, [`NONE`] elsewhere.
    values: Vec<u32>,
}

/// One place of the array.
#[derive(Clone, Copy, Debug)]
struct Unit {
    /// Where the children lie; the top bit says that a key ends here.
    base: u32,
    /// The node whose child this is, [`NONE`] for the root and what is free.
    parent: u32,
}

const NONE: u32 = u32::MAX;
const ENDS: u32 = 1 << 31;
const BLOCK: usize = 256;
/// Blocks with free places that are tried before a new one is taken.
const OPEN: usize = 24;

impl Trie {
    /// The longest key, in bytes, so that a walk from every place of a text is bounded.
    pub(crate) const LONGEST: usize = 1024;
    /// The node where walks begin.
    pub(crate) const ROOT: u32 = 0;

    /// The tree of some keys; of equal ones the last counts, and an empty one is never found.
    ///
    /// # Errors
    /// [`Error::Argument`] for a key of more than [`LONGEST`](Self::LONGEST) bytes, [`Error::Memory`] for keys of some gigabytes.
    pub(crate) fn new<'a>(keys: impl IntoIterator<Item = (&'a [u8], u32)>) -> Result<Self> {
        let mut keys: Vec<(&[u8], u32)> = keys.into_iter().filter(|(key, _)| !key.is_empty()).collect();
        if let Some((key, value)) = keys.iter().find(|(key, _)| key.len() > Self::LONGEST) {
            let start: String = String::from_utf8_lossy(key).chars().take(20).collect();
            let got = format!("{} bytes for piece {value} ({start:?} …)", key.len());
            let expected = format!("at most {} bytes", Self::LONGEST);
            return Err(Error::argument("Tokenizer", "the length of a piece", expected, got, "take that piece out"));
        }
        keys.sort_by_key(|(key, _)| *key); // Stable: equal keys stay in their order.
        keys.dedup_by(|next, kept| {
            let equal = next.0 == kept.0;
            if equal {
                kept.1 = next.1;
            }
            equal
        });
        Builder::new().build(&keys)
    }

    /// The child of a node by a byte.
    #[inline(always)]
    pub(crate) fn step(&self, node: u32, byte: u8) -> Option<u32> {
        let child = (self.units[node as usize].base & !ENDS) ^ u32::from(byte);
        (self.units[child as usize].parent == node).then_some(child)
    }

    /// The number of the key that ends at a node.
    #[inline(always)]
    pub(crate) fn value(&self, node: u32) -> Option<u32> {
        (self.units[node as usize].base & ENDS != 0).then(|| self.values[node as usize])
    }

    /// The node of a string that begins a key, from `node` on.
    #[inline]
    pub(crate) fn walk(&self, node: u32, bytes: &[u8]) -> Option<u32> {
        bytes.iter().try_fold(node, |node, &byte| self.step(node, byte))
    }

    /// The number of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<u32> {
        self.value(self.walk(Self::ROOT, key)?)
    }

    /// Length and number of the longest key that `text` begins with.
    pub(crate) fn longest_prefix(&self, text: &[u8]) -> Option<(usize, u32)> {
        let (mut node, mut found) = (Self::ROOT, None);
        for (length, &byte) in (1..).zip(text) {
            let Some(next) = self.step(node, byte) else { break };
            node = next;
            found = self.value(node).map(|value| (length, value)).or(found);
        }
        found
    }
}

/// A tree that is being built: which places are free.
struct Builder {
    trie: Trie,
    /// A bit for each free place, by block.
    free: Vec<[u64; 4]>,
    /// Blocks in which children are still put, oldest first.
    open: Vec<usize>,
}

impl Builder {
    fn new() -> Self {
        let mut builder = Builder { trie: Trie { units: vec![], values: vec![] }, free: vec![], open: vec![] };
        builder.add_block();
        builder.free[0][0] &= !1; // The root.
        builder
    }

    fn add_block(&mut self) -> usize {
        let size = self.trie.units.len() + BLOCK;
        self.trie.units.resize(size, Unit { base: 0, parent: NONE });
        self.trie.values.resize(size, NONE);
        if self.open.len() == OPEN {
            self.open.remove(0);
        }
        self.open.push(self.free.len());
        self.free.push([u64::MAX; 4]);
        self.free.len() - 1
    }

    /// Goes through sorted keys without equals, node by node, depth first.
    fn build(mut self, keys: &[(&[u8], u32)]) -> Result<Trie> {
        let mut open = vec![(Trie::ROOT, 0, keys.len(), 0)];
        let mut children: Vec<(u8, usize)> = Vec::with_capacity(BLOCK);
        while let Some((node, mut from, to, depth)) = open.pop() {
            if from < to && keys[from].0.len() == depth {
                self.trie.values[node as usize] = keys[from].1;
                self.trie.units[node as usize].base |= ENDS;
                from += 1;
            }
            children.clear();
            for (place, (key, _)) in keys.iter().enumerate().take(to).skip(from) {
                if children.last().is_none_or(|&(byte, _)| byte != key[depth]) {
                    children.push((key[depth], place));
                }
            }
            if children.is_empty() {
                continue;
            }
            let base = self.place(&children);
            if self.trie.units.len() > ENDS as usize - BLOCK {
                let bytes = self.trie.units.len() * 12;
                return Err(Error::Memory { op: "Tokenizer", what: "the tree of its pieces".to_owned(), bytes });
            }
            self.trie.units[node as usize].base |= base;
            for (i, &(byte, first)) in children.iter().enumerate().rev() {
                let child = base ^ u32::from(byte);
                self.trie.units[child as usize].parent = node;
                open.push((child, first, children.get(i + 1).map_or(to, |next| next.1), depth + 1));
            }
        }
        Ok(self.trie)
    }

    /// A base from which all children have free places, which are taken.
    fn place(&mut self, children: &[(u8, usize)]) -> u32 {
        let fits = |free: &[u64; 4]| {
            let mut bases = [u64::MAX; 4];
            for &(byte, _) in children {
                let free = exchanged(free, byte);
                (0..4).for_each(|word| bases[word] &= free[word]);
            }
            let word = (0..4).find(|&word| bases[word] != 0)?;
            Some(word * 64 + bases[word].trailing_zeros() as usize)
        };
        let found = self.open.iter().find_map(|&block| fits(&self.free[block]).map(|low| (block, low)));
        let (block, low) = found.unwrap_or_else(|| (self.add_block(), 0));
        for &(byte, _) in children {
            let place = low ^ usize::from(byte);
            self.free[block][place / 64] &= !(1 << (place % 64));
        }
        if self.free[block] == [0; 4] {
            self.open.retain(|&open| open != block);
        }
        (block * BLOCK + low) as u32
    }
}

/// The bits of a block with bit `i ^ byte` in place `i`.
fn exchanged(bits: &[u64; 4], byte: u8) -> [u64; 4] {
    const MASKS: [u64; 6] = [
        0x5555_5555_5555_5555,
        0x3333_3333_3333_3333,
        0x0F0F_0F0F_0F0F_0F0F,
        0x00FF_00FF_00FF_00FF,
        0x0000_FFFF_0000_FFFF,
        0x0000_0000_FFFF_FFFF,
    ];
    let words = usize::from(byte >> 6);
    std::array::from_fn(|word| {
        let mut x = bits[word ^ words];
        for (k, mask) in MASKS.iter().enumerate() {
            if byte >> k & 1 == 1 {
                x = (x >> (1 << k)) & mask | (x & mask) << (1 << k);
            }
        }
        x
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_nothing_else_are_found() {
        // All strings of up to 3 of 12 bytes, some left out; and keys that are prefixes, hold NUL and 255.
        let letters = [0u8, 1, 2, 63, 64, 65, 97, 98, 127, 128, 200, 255];
        let mut strings: Vec<Vec<u8>> = vec![vec![]];
        for length in 0..3 {
            let longer = strings
                .iter()
                .filter(|s| s.len() == length)
                .flat_map(|s| letters.map(|letter| s.iter().copied().chain([letter]).collect::<Vec<u8>>()));
            let longer: Vec<_> = longer.collect();
            strings.extend(longer);
        }
        let kept = |i: usize| i % 5 != 2;
        let keys = strings.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(i, s)| (&s[..], i as u32));
        let trie = Trie::new(keys).unwrap();
        for (i, string) in strings.iter().enumerate() {
            assert_eq!(trie.get(string), (kept(i) && i > 0).then_some(i as u32), "{string:?}");
        }
        assert_eq!(trie.get(b"abab"), None);
        assert_eq!(Trie::new([]).unwrap().longest_prefix(b"a"), None);
    }

    #[test]
    fn the_last_of_equal_keys_and_the_longest_prefix() {
        let keys = ["ab", "a", "abcde", "a", "", "é"];
        let trie = Trie::new(keys.iter().zip(0..).map(|(key, i)| (key.as_bytes(), i))).unwrap();
        assert_eq!(trie.get(b"a"), Some(3));
        assert_eq!(trie.get(b""), None);
        assert_eq!(trie.longest_prefix(b"abcd"), Some((2, 0)));
        assert_eq!(trie.longest_prefix("é".as_bytes()), Some((2, 5)));
        assert_eq!(trie.longest_prefix(&[0xC3]), None);
        let long = vec![b'x'; Trie::LONGEST + 1];
        assert!(Trie::new([(&long[1..], 0)]).is_ok());
        let error = Trie::new([(&long[..], 7)]).unwrap_err().to_string();
        assert!(error.contains("at most 1024 bytes") && error.contains("piece 7"), "{error}");
    }
}
