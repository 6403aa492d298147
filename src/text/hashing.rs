//! Hashes of short texts: a quick one for tables, which begins elsewhere in every process, and MurmurHash3, which is the same everywhere.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Makes [`Folded`] hashers. No result may depend on their values: they are others in each process, so that nobody can write texts whose
/// words all fall into one place of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeded([u64; 2]);

impl Default for Seeded {
    fn default() -> Self {
        let random = RandomState::new();
        // An odd factor, so that no bit of it is lost.
        Seeded([random.hash_one(0u8), random.hash_one(1u8) | 1])
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { state: self.0[0], factor: self.0[1] }
    }
}

/// Eight bytes at a time, multiplied to 128 bits of which both halves are joined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folded {
    state: u64,
    factor: u64,
}

impl Folded {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64 ^ (product >> 64) as u64).wrapping_add(self.factor.rotate_left(23));
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.fold(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The eighth byte, which is none of the rest, tells lengths apart.
        self.fold(u64::from_le_bytes(last) | (rest.len() as u64) << 56);
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        self.state ^ self.state >> 32
    }
}

/// MurmurHash3 for 32 bits with seed 0 (Appleby, 2011), as scikit-learn's `HashingVectorizer` takes it.
pub(crate) fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (words, rest) = bytes.as_chunks::<4>();
    let mut h = 0u32;
    for word in words {
        h = (h ^ scramble(u32::from_le_bytes(*word))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    h ^= scramble(u32::from_le_bytes(last));
    h ^= bytes.len() as u32;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published test values of MurmurHash3_x86_32 with seed 0.
    #[test]
    fn murmur3_is_the_published_function() {
        for (text, hash) in [("", 0), ("test", 0xba6b_d213), ("Hello, world!", 0xc036_3e43), ("aaa", 0xb4d0_5fb7)] {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn short_texts_have_hashes_of_their_own() {
        let build = Seeded::default();
        let texts: Vec<String> = (0..20_000).map(|i| format!("{i:o}")).collect();
        let mut hashes: Vec<u64> = texts.iter().map(|text| build.hash_one(text)).collect();
        hashes.extend([build.hash_one(""), build.hash_one("\0"), build.hash_one("\0\0")]);
        // Also of the low bits, by which tables go: about as many places as chance would fill.
        let mut low: Vec<u64> = hashes.iter().map(|hash| hash & 0xffff).collect();
        for list in [&mut hashes, &mut low] {
            list.sort_unstable();
            list.dedup();
        }
        assert_eq!(hashes.len(), 20_003);
        assert!(low.len() > 16_000, "{}", low.len());
    }
}
