//! Where a piece can be cut without changing its tokens: between characters that no merge ever joins.
//!
//! A merge joins what stands on both sides of a junction. If the junction is one between characters, the left symbol ends with the whole
//! of the character before it or is a part of it alone, and the right one begins with the whole of the character behind it or is a part of
//! it alone. So the pairs of characters, and for parts the pairs of bytes, that come in any merge are all that can ever be joined; between
//! others every order of merges leaves the junction open, and both sides are encoded as if the other was not there.

/// No junction of a merge lies between bytes of a character that is neither whole nor alone; so many bytes a character has at most.
const MAX_CHAR: usize = 4;

/// The pairs of neighbours that may be joined; some that never are may be among them.
#[derive(Clone, Debug)]
pub(super) struct Junctions {
    /// A bit for the hash of each pair of characters.
    chars: Vec<u64>,
    shift: u32,
    /// For each last byte the first bytes that it may be joined with where one of the two symbols is part of a character.
    bytes: Vec<[u64; 4]>,
}

#[inline(always)]
fn hash(left: u32, right: u32) -> u64 {
    (u64::from(left) << 32 | u64::from(right)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The last character of a symbol, if it holds all of it.
fn last_char(symbol: &[u8]) -> Option<char> {
    let start = (1..=MAX_CHAR.min(symbol.len())).find(|n| symbol[symbol.len() - n] & 0xC0 != 0x80)?;
    std::str::from_utf8(&symbol[symbol.len() - start..]).ok()?.chars().next()
}

/// The first character of a symbol, if it holds all of it.
fn first_char(symbol: &[u8]) -> Option<char> {
    let length = 1 + symbol.iter().skip(1).take(MAX_CHAR - 1).take_while(|byte| **byte & 0xC0 == 0x80).count();
    std::str::from_utf8(symbol.get(..length)?).ok()?.chars().next()
}

impl Junctions {
    /// From the bytes of both sides of all merges.
    pub(super) fn new<'s>(merges: impl ExactSizeIterator<Item = (&'s [u8], &'s [u8])>) -> Self {
        let size = (merges.len().max(64) * 16).next_power_of_two();
        let shift = 64 - size.trailing_zeros();
        let mut junctions = Self { chars: vec![0; size / 64], shift, bytes: vec![[0; 4]; 256] };
        for (left, right) in merges {
            let (Some(&last), Some(&first)) = (left.last(), right.first()) else { continue };
            if first & 0xC0 == 0x80 {
                // Inside a character.
                continue;
            }
            match (last_char(left), first_char(right)) {
                (Some(left), Some(right)) => {
                    let bit = hash(left as u32, right as u32) >> shift;
                    junctions.chars[bit as usize / 64] |= 1 << (bit % 64);
                }
                _ => {
                    junctions.bytes[last as usize][first as usize / 64] |= 1 << (first % 64);
                }
            }
        }
        junctions
    }

    /// Whether two characters beside each other may be joined, by what they are and by the last byte of one and the first of the other.
    #[inline(always)]
    pub(super) fn may_join(&self, left: char, right: char, last: u8, first: u8) -> bool {
        let bit = hash(left as u32, right as u32) >> self.shift;
        let chars = self.chars[bit as usize / 64] >> (bit % 64);
        let bytes = self.bytes[last as usize][first as usize / 64] >> (first % 64);
        (chars | bytes) & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_merge_joins_is_joined() {
        let merges: [(&[u8], &[u8]); 4] =
            [(b"a", b"b"), ("é".as_bytes(), "中".as_bytes()), (b"x", b"\xE4\xB8"), (b"\xC3", b"\xA9")];
        let junctions = Junctions::new(merges.into_iter());
        let may = |left: char, right: char| {
            let (mut a, mut b) = ([0; 4], [0; 4]);
            let (a, b) = (left.encode_utf8(&mut a).as_bytes(), right.encode_utf8(&mut b).as_bytes());
            junctions.may_join(left, right, a[a.len() - 1], b[0])
        };
        assert!(may('a', 'b') && may('é', '中'));
        // Any character that begins with that part of one.
        assert!(may('x', '中') && may('x', '丁'));
        assert!(!may('b', 'a') && !may('中', 'é') && !may('x', 'é') && !may('a', '中'));
    }
}
