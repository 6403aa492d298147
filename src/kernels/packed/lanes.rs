//! Sixteen weights at a time in vector registers: what each storage has for the outputs of a panel.

use std::arch::x86_64::*;

use super::formats::{Bf16Rows, F32Rows, Format, GROUP, Q4Blocks, Q8Blocks, SCALES};

/// Sixteen numbers in registers.
///
/// # Safety
/// All methods ask for the processor's features, see the implementations, and for addresses that are valid.
pub(super) trait Sixteen: Copy {
    /// Sixteen words of 32 bits.
    type Words: Copy;

    unsafe fn zero() -> Self;
    unsafe fn all(x: f32) -> Self;
    unsafe fn plus(self, b: Self) -> Self;
    unsafe fn times(self, b: Self) -> Self;
    /// self·b + c, rounded once.
    unsafe fn times_plus(self, b: Self, c: Self) -> Self;
    unsafe fn floats(at: *const u8) -> Self;
    unsafe fn bf16s(at: *const u8) -> Self;
    unsafe fn halves(at: *const u8) -> Self;
    unsafe fn words(at: *const u8) -> Self::Words;
    /// Words turned right by so many bytes.
    unsafe fn turned(words: Self::Words, bytes: usize) -> Self::Words;
    /// The whole numbers of a field of words times scales, which are exact; `behind` is the field's times the scales.
    unsafe fn scaled(words: Self::Words, field: Field, scales: Self, behind: Self) -> Self;
    unsafe fn store(self, at: *mut f32);
}

// SAFETY (every method below): the caller has AVX-512 (foundation) and the addresses, see the trait.
impl Sixteen for __m512 {
    type Words = __m512i;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> Self {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        unsafe { _mm512_add_ps(self, b) }
    }

    #[inline(always)]
    unsafe fn times(self, b: Self) -> Self {
        unsafe { _mm512_mul_ps(self, b) }
    }

    #[inline(always)]
    unsafe fn times_plus(self, b: Self, c: Self) -> Self {
        unsafe { _mm512_fmadd_ps(self, b, c) }
    }

    #[inline(always)]
    unsafe fn floats(at: *const u8) -> Self {
        unsafe { _mm512_loadu_ps(at.cast()) }
    }

    #[inline(always)]
    unsafe fn bf16s(at: *const u8) -> Self {
        unsafe {
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))
        }
    }

    #[inline(always)]
    unsafe fn halves(at: *const u8) -> Self {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
    }

    #[inline(always)]
    unsafe fn words(at: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(at.cast()) }
    }

    #[inline(always)]
    unsafe fn turned(words: __m512i, bytes: usize) -> __m512i {
        unsafe {
            match bytes {
                0 => words,
                1 => _mm512_ror_epi32::<8>(words),
                2 => _mm512_ror_epi32::<16>(words),
                _ => _mm512_ror_epi32::<24>(words),
            }
        }
    }

    #[inline(always)]
    unsafe fn scaled(words: __m512i, field: Field, scales: Self, behind: Self) -> Self {
        /// (a and b) or c.
        const AND_OR: i32 = 0xEA;
        unsafe {
            let (mask, power) = (_mm512_set1_epi32(field.mask as i32), _mm512_set1_ps(field.power));
            let number = _mm512_ternarylogic_epi32::<AND_OR>(words, mask, _mm512_castps_si512(power));
            _mm512_fmadd_ps(_mm512_castsi512_ps(number), scales, behind)
        }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        unsafe { _mm512_storeu_ps(at, self) }
    }
}

/// Two vectors of AVX2.
pub(super) type Pair = [__m256; 2];

/// Does the same with both halves.
macro_rules! both {
    ($f:expr) => {
        [$f(0), $f(1)]
    };
}

// SAFETY (every method below): the caller has AVX2, FMA and F16C and the addresses, see the trait.
impl Sixteen for Pair {
    type Words = [__m256i; 2];

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { [_mm256_setzero_ps(); 2] }
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> Self {
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        unsafe { both!(|i: usize| _mm256_add_ps(self[i], b[i])) }
    }

    #[inline(always)]
    unsafe fn times(self, b: Self) -> Self {
        unsafe { both!(|i: usize| _mm256_mul_ps(self[i], b[i])) }
    }

    #[inline(always)]
    unsafe fn times_plus(self, b: Self, c: Self) -> Self {
        unsafe { both!(|i: usize| _mm256_fmadd_ps(self[i], b[i], c[i])) }
    }

    #[inline(always)]
    unsafe fn floats(at: *const u8) -> Self {
        unsafe { both!(|i: usize| _mm256_loadu_ps(at.add(32 * i).cast())) }
    }

    #[inline(always)]
    unsafe fn bf16s(at: *const u8) -> Self {
        unsafe {
            both!(|i: usize| {
                let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.add(16 * i).cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
            })
        }
    }

    #[inline(always)]
    unsafe fn halves(at: *const u8) -> Self {
        unsafe { both!(|i: usize| _mm256_cvtph_ps(_mm_loadu_si128(at.add(16 * i).cast()))) }
    }

    #[inline(always)]
    unsafe fn words(at: *const u8) -> Self::Words {
        unsafe { both!(|i: usize| _mm256_loadu_si256(at.add(32 * i).cast())) }
    }

    #[inline(always)]
    unsafe fn turned(words: Self::Words, bytes: usize) -> Self::Words {
        if bytes == 0 {
            return words;
        }
        unsafe {
            // Places of the bytes of four words, where each word has the byte's number.
            let places = _mm_setr_epi32(0x0302_0100, 0x0706_0504, 0x0B0A_0908, 0x0F0E_0D0C);
            let places = match bytes {
                1 => _mm_or_si128(_mm_srli_epi32::<8>(places), _mm_slli_epi32::<24>(places)),
                2 => _mm_or_si128(_mm_srli_epi32::<16>(places), _mm_slli_epi32::<16>(places)),
                _ => _mm_or_si128(_mm_srli_epi32::<24>(places), _mm_slli_epi32::<8>(places)),
            };
            both!(|i: usize| _mm256_shuffle_epi8(words[i], _mm256_broadcastsi128_si256(places)))
        }
    }

    #[inline(always)]
    unsafe fn scaled(words: Self::Words, field: Field, scales: Self, behind: Self) -> Self {
        unsafe {
            let (mask, power) = (_mm256_set1_epi32(field.mask as i32), _mm256_set1_ps(field.power));
            both!(|i: usize| {
                let number = _mm256_or_ps(_mm256_castsi256_ps(_mm256_and_si256(words[i], mask)), power);
                _mm256_fmadd_ps(number, scales[i], behind[i])
            })
        }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        unsafe {
            _mm256_storeu_ps(at, self[0]);
            _mm256_storeu_ps(at.add(8), self[1]);
        }
    }
}

/// A storage as registers see it.
pub(super) trait Wide: Format {
    /// Inputs that are taken together, those of a word where there are words: eight at most.
    const STEP: usize;

    /// Bytes in front of the first.
    const AHEAD: usize;

    /// Where those from an input on begin.
    #[inline(always)]
    fn place(input: usize) -> usize {
        Self::AHEAD + input * ((Self::BYTES - Self::AHEAD) / GROUP)
    }

    /// What the weights of a group are made with.
    type Scales<V: Sixteen>: Copy;

    /// These.
    ///
    /// # Safety
    /// As [`Sixteen`]'s methods, for a whole group.
    unsafe fn scales<V: Sixteen>(group: *const u8) -> Self::Scales<V>;

    /// The weights of input `K` of those that begin at an address.
    ///
    /// # Safety
    /// As above.
    unsafe fn weights<V: Sixteen, const K: usize>(at: *const u8, scales: Self::Scales<V>) -> V;
}

// SAFETY (every method below): the caller's promise.
impl Wide for F32Rows {
    const STEP: usize = 8;
    const AHEAD: usize = 0;
    type Scales<V: Sixteen> = ();

    #[inline(always)]
    unsafe fn scales<V: Sixteen>(_: *const u8) {}

    #[inline(always)]
    unsafe fn weights<V: Sixteen, const K: usize>(at: *const u8, (): ()) -> V {
        unsafe { V::floats(at.add(K * 64)) }
    }
}

// SAFETY (every method below): the caller's promise.
impl Wide for Bf16Rows {
    const STEP: usize = 8;
    const AHEAD: usize = 0;
    type Scales<V: Sixteen> = ();

    #[inline(always)]
    unsafe fn scales<V: Sixteen>(_: *const u8) {}

    #[inline(always)]
    unsafe fn weights<V: Sixteen, const K: usize>(at: *const u8, (): ()) -> V {
        unsafe { V::bf16s(at.add(K * 32)) }
    }
}

/// Bits of words that are a whole number q + `shift`. In the mantissa of a power of two in which the lowest of them counts one they make it
/// power + shift + q, without a conversion; times a scale, minus (power + shift) times the scale, that is scale·q.
#[derive(Clone, Copy)]
pub(super) struct Field {
    mask: u32,
    power: f32,
    /// −(power + shift).
    behind: f32,
}

impl Field {
    /// So many bits from one on, shifted by half of what they hold.
    const fn new(at: u32, bits: u32) -> Self {
        let whole = (1u32 << (23 - at)) + (1 << (bits - 1));
        // With a scale's 11 bits the product has no more than the 24 of a number, so nothing is rounded.
        assert!(at + bits <= 23 && whole >> whole.trailing_zeros() < 1 << 13);
        let power = f32::from_bits((127 + 23 - at) << 23);
        Field { mask: ((1 << bits) - 1) << at, power, behind: -(whole as f32) }
    }
}

/// The scales of a group, and what is behind both fields times these.
#[inline(always)]
unsafe fn with_behind<V: Sixteen>([low, high]: [Field; 2], group: *const u8) -> [V; 3] {
    // SAFETY: as the caller, see [`Wide::scales`].
    unsafe {
        let scales = V::halves(group);
        [scales, scales.times(V::all(low.behind)), scales.times(V::all(high.behind))]
    }
}

// SAFETY (every method below): the caller's promise.
impl Wide for Q8Blocks {
    const STEP: usize = 4;
    const AHEAD: usize = SCALES;
    type Scales<V: Sixteen> = [V; 3];

    #[inline(always)]
    unsafe fn scales<V: Sixteen>(group: *const u8) -> [V; 3] {
        unsafe { with_behind(Q8Blocks::FIELDS, group) }
    }

    #[inline(always)]
    unsafe fn weights<V: Sixteen, const K: usize>(at: *const u8, scales: [V; 3]) -> V {
        unsafe {
            let words = V::turned(V::words(at), K / 2 * 2);
            V::scaled(words, Q8Blocks::FIELDS[K % 2], scales[0], scales[1 + K % 2])
        }
    }
}

impl Q8Blocks {
    /// The two of words as they are, and of turned ones.
    const FIELDS: [Field; 2] = [Field::new(4, 8), Field::new(12, 8)];
}

// SAFETY (every method below): the caller's promise.
impl Wide for Q4Blocks {
    const STEP: usize = 8;
    const AHEAD: usize = SCALES;
    type Scales<V: Sixteen> = [V; 3];

    #[inline(always)]
    unsafe fn scales<V: Sixteen>(group: *const u8) -> [V; 3] {
        unsafe { with_behind(Q4Blocks::FIELDS, group) }
    }

    #[inline(always)]
    unsafe fn weights<V: Sixteen, const K: usize>(at: *const u8, scales: [V; 3]) -> V {
        unsafe {
            let words = V::turned(V::words(at), K / 2);
            V::scaled(words, Q4Blocks::FIELDS[K % 2], scales[0], scales[1 + K % 2])
        }
    }
}

impl Q4Blocks {
    /// The two of words as they are, and of turned ones.
    const FIELDS: [Field; 2] = [Field::new(12, 4), Field::new(16, 4)];
}

/// Runs a piece of code for each of eight inputs, whose number it has as a constant.
macro_rules! each_of_eight {
    ($k:ident => $body:block) => {
        each_of_eight!($k $body 0 1 2 3 4 5 6 7)
    };
    ($k:ident $body:block $($i:literal)+) => {
        $({
            const $k: usize = $i;
            $body
        })+
    };
}
pub(super) use each_of_eight;

/// Writes the weights of a group: those of each input, `width` numbers apart.
///
/// # Safety
/// The processor has what V asks for; the group is whole, and its rows can be written.
#[inline(always)]
pub(super) unsafe fn widen<F: Wide, V: Sixteen>(group: *const u8, to: *mut f32, width: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let scales = F::scales::<V>(group);
        for step in (0..GROUP).step_by(F::STEP) {
            each_of_eight!(K => {
                if K < F::STEP {
                    F::weights::<V, K>(group.add(F::place(step)), scales).store(to.add((step + K) * width));
                }
            });
        }
    }
}

/// [`widen`] with AVX-512.
///
/// # Safety
/// As there, and the processor has AVX-512.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
pub(super) unsafe fn widen512<F: Wide>(group: *const u8, to: *mut f32, width: usize) {
    // SAFETY: the caller's promise.
    unsafe { widen::<F, __m512>(group, to, width) }
}

/// [`widen`] with AVX2.
///
/// # Safety
/// As there, and the processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn widen2<F: Wide>(group: *const u8, to: *mut f32, width: usize) {
    // SAFETY: the caller's promise.
    unsafe { widen::<F, Pair>(group, to, width) }
}
