//! Which of 64 bytes are letters, digits and white space of ASCII, a bit each.

/// A bit for each of 64 bytes, the first the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub letters: u64,
    pub digits: u64,
    pub spaces: u64,
    /// Tabs, spaces and line ends, and what else lies between tab and carriage return.
    pub white: u64,
    /// Carriage returns and line feeds.
    pub line_ends: u64,
    pub apostrophes: u64,
    /// Bytes beyond ASCII.
    pub wide: u64,
}

/// The kinds of 64 bytes.
#[inline(always)]
pub(crate) fn kinds(bytes: &[u8; 64]) -> Kinds {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has SSE2.
    unsafe {
        kinds_by_sixteen(bytes)
    }
    #[cfg(not(target_arch = "x86_64"))]
    kinds_by_eight(bytes)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn kinds_by_sixteen(bytes: &[u8; 64]) -> Kinds {
    use core::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8,
    };
    let half = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let equal = |vector: __m128i, byte: u8| _mm_cmpeq_epi8(vector, _mm_set1_epi8(byte as i8));
    // From a byte on so many: moved to where signed numbers begin.
    let range = |vector: __m128i, first: u8, count: u8| {
        let moved = _mm_add_epi8(vector, _mm_set1_epi8(0x80u8.wrapping_sub(first) as i8));
        _mm_cmplt_epi8(moved, _mm_set1_epi8((0x80 + count) as i8))
    };
    let mut all = Kinds::default();
    for part in 0..4 {
        let vector = _mm_set_epi64x(half(16 * part + 8), half(16 * part));
        let bits = |found: __m128i| u64::from(_mm_movemask_epi8(found) as u16) << (16 * part);
        let spaces = equal(vector, b' ');
        all.letters |= bits(range(_mm_or_si128(vector, _mm_set1_epi8(0x20)), b'a', 26));
        all.digits |= bits(range(vector, b'0', 10));
        all.spaces |= bits(spaces);
        all.white |= bits(_mm_or_si128(spaces, range(vector, b'\t', 5)));
        all.line_ends |= bits(_mm_or_si128(equal(vector, b'\r'), equal(vector, b'\n')));
        all.apostrophes |= bits(equal(vector, b'\''));
        all.wide |= bits(vector);
    }
    all
}

/// Eight bytes at a time as one number, for processors without vectors that are known here.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn kinds_by_eight(bytes: &[u8; 64]) -> Kinds {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = 0x80 * EACH;
    // A bit at the top of each byte of ASCII from the first of a range on that is not behind its last.
    let range = |eight: u64, first: u8, last: u8| {
        let low = eight & !TOP;
        let (from_first, behind_last) = (low + (0x80 - u64::from(first)) * EACH, low + (0x7F - u64::from(last)) * EACH);
        from_first & !behind_last & !eight & TOP
    };
    let mut all = Kinds::default();
    for (part, eight) in bytes.chunks_exact(8).enumerate() {
        let eight = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
        // The bits at the top of eight bytes as the highest byte of a product.
        let bits = |tops: u64| ((tops & TOP) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * part);
        let spaces = range(eight, b' ', b' ');
        all.letters |= bits(range(eight | (0x20 * EACH), b'a', b'z'));
        all.digits |= bits(range(eight, b'0', b'9'));
        all.spaces |= bits(spaces);
        all.white |= bits(spaces | range(eight, b'\t', b'\r'));
        all.line_ends |= bits(range(eight, b'\n', b'\n') | range(eight, b'\r', b'\r'));
        all.apostrophes |= bits(range(eight, b'\'', b'\''));
        all.wide |= bits(eight);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_what_each_byte_is() {
        for first in 0..=255u8 {
            // Neighbours of all values, so that nothing spills over.
            let bytes: [u8; 64] =
                std::array::from_fn(|i| if i % 3 == 0 { first } else { (first ^ 0x80).wrapping_add(i as u8 * 37) });
            let bit = |is: &dyn Fn(u8) -> bool| (0..64).fold(0, |bits, i| bits | u64::from(is(bytes[i])) << i);
            let plain = Kinds {
                letters: bit(&|byte| byte.is_ascii_alphabetic()),
                digits: bit(&|byte| byte.is_ascii_digit()),
                spaces: bit(&|byte| byte == b' '),
                white: bit(&|byte| matches!(byte, b'\t'..=b'\r' | b' ')),
                line_ends: bit(&|byte| matches!(byte, b'\r' | b'\n')),
                apostrophes: bit(&|byte| byte == b'\''),
                wide: bit(&|byte| byte >= 0x80),
            };
            assert_eq!(kinds(&bytes), plain, "{first}");
            assert_eq!(kinds_by_eight(&bytes), plain, "{first}");
        }
    }
}
