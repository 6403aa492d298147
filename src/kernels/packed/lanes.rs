//! Sixteen weights at a time in vector registers: what each storage has for the outputs of a panel.

use std::arch::x86_64::*;

use super::formats::{Bf16Rows, F32Rows, Format, GROUP, PANEL, Q4Blocks, Q8Blocks, SCALES};

/// Sixteen numbers in registers.
///
/// # Safety
/// All methods ask for the processor's features, see the implementations, and for addresses that are valid.
pub(super) trait Sixteen: Copy {
    unsafe fn zero() -> Self;
    unsafe fn all(x: f32) -> Self;
    unsafe fn plus(self, b: Self) -> Self;
    unsafe fn times(self, b: Self) -> Self;
    /// self·b + c, rounded once.
    unsafe fn times_plus(self, b: Self, c: Self) -> Self;
    unsafe fn floats(at: *const u8) -> Self;
    unsafe fn bf16s(at: *const u8) -> Self;
    unsafe fn halves(at: *const u8) -> Self;
    unsafe fn bytes(at: *const u8) -> Self;
    /// The lower and the upper halves of bytes, minus 8.
    unsafe fn nibbles(at: *const u8) -> [Self; 2];
    unsafe fn store(self, at: *mut f32);
}

// SAFETY (every method below): the caller has AVX-512 (foundation) and the addresses, see the trait.
impl Sixteen for __m512 {
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
    unsafe fn bytes(at: *const u8) -> Self {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast()))) }
    }

    #[inline(always)]
    unsafe fn nibbles(at: *const u8) -> [Self; 2] {
        unsafe {
            // Four bits choose one of sixteen numbers.
            let numbers =
                _mm512_setr_ps(-8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0);
            let lower = _mm512_cvtepu8_epi32(_mm_loadu_si128(at.cast()));
            let upper = _mm512_srli_epi32::<4>(lower);
            [_mm512_permutexvar_ps(lower, numbers), _mm512_permutexvar_ps(upper, numbers)]
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
    unsafe fn bytes(at: *const u8) -> Self {
        unsafe { both!(|i: usize| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.add(8 * i).cast())))) }
    }

    #[inline(always)]
    unsafe fn nibbles(at: *const u8) -> [Self; 2] {
        unsafe {
            let eight = _mm256_set1_ps(8.0);
            let of = |q: __m256i| _mm256_sub_ps(_mm256_cvtepi32_ps(q), eight);
            let wide = both!(|i: usize| _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.add(8 * i).cast())));
            let lower = wide.map(|q| of(_mm256_and_si256(q, _mm256_set1_epi32(15))));
            [lower, wide.map(|q| of(_mm256_srli_epi32::<4>(q)))]
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
    /// What a group's weights are multiplied by.
    ///
    /// # Safety
    /// As [`Sixteen`]'s methods, for a whole group.
    unsafe fn scales<V: Sixteen>(group: *const u8) -> V;

    /// The weights of inputs 2·pair and 2·pair + 1 of a group.
    ///
    /// # Safety
    /// As above.
    unsafe fn pair<V: Sixteen>(group: *const u8, pair: usize, scales: V) -> [V; 2];
}

// SAFETY (every method below): the caller's promise.
impl Wide for F32Rows {
    #[inline(always)]
    unsafe fn scales<V: Sixteen>(_: *const u8) -> V {
        unsafe { V::zero() }
    }

    #[inline(always)]
    unsafe fn pair<V: Sixteen>(group: *const u8, pair: usize, _: V) -> [V; 2] {
        unsafe { [V::floats(group.add(pair * 128)), V::floats(group.add(pair * 128 + 64))] }
    }
}

// SAFETY (every method below): the caller's promise.
impl Wide for Bf16Rows {
    #[inline(always)]
    unsafe fn scales<V: Sixteen>(_: *const u8) -> V {
        unsafe { V::zero() }
    }

    #[inline(always)]
    unsafe fn pair<V: Sixteen>(group: *const u8, pair: usize, _: V) -> [V; 2] {
        unsafe { [V::bf16s(group.add(pair * 64)), V::bf16s(group.add(pair * 64 + 32))] }
    }
}

// SAFETY (every method below): the caller's promise.
impl Wide for Q8Blocks {
    #[inline(always)]
    unsafe fn scales<V: Sixteen>(group: *const u8) -> V {
        unsafe { V::halves(group) }
    }

    #[inline(always)]
    unsafe fn pair<V: Sixteen>(group: *const u8, pair: usize, scales: V) -> [V; 2] {
        unsafe {
            let at = group.add(SCALES + pair * 2 * PANEL);
            [V::bytes(at).times(scales), V::bytes(at.add(PANEL)).times(scales)]
        }
    }
}

// SAFETY (every method below): the caller's promise.
impl Wide for Q4Blocks {
    #[inline(always)]
    unsafe fn scales<V: Sixteen>(group: *const u8) -> V {
        unsafe { V::halves(group) }
    }

    #[inline(always)]
    unsafe fn pair<V: Sixteen>(group: *const u8, pair: usize, scales: V) -> [V; 2] {
        unsafe { V::nibbles(group.add(SCALES + pair * PANEL)).map(|v| v.times(scales)) }
    }
}

/// Writes the weights of a group: those of each input, `width` numbers apart.
///
/// # Safety
/// The processor has what V asks for; the group is whole, and its rows can be written.
#[inline(always)]
pub(super) unsafe fn widen<F: Wide, V: Sixteen>(group: *const u8, to: *mut f32, width: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let scales = F::scales::<V>(group);
        for pair in 0..GROUP / 2 {
            let [first, second] = F::pair(group, pair, scales);
            first.store(to.add(2 * pair * width));
            second.store(to.add((2 * pair + 1) * width));
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
