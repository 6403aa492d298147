//! One to three rows with a packed matrix: every group is read once, in the order in which it stands in memory, and widened in registers.

use std::arch::x86_64::*;

use super::formats::{Bf16Rows, F32Rows, Format, GROUP, PANEL, Q4Blocks, Q8Blocks, SCALES};
use super::matrix::{Packed, WeightStorage};
use crate::kernels::parallel;
use crate::kernels::simd::{Level, level};

/// Steps of k between two additions to y, as everywhere.
const BLOCK: usize = 256;

/// The most rows that come here: with more, multiplying takes longer than widening.
pub const FEW: usize = 3;

/// Sixteen numbers in registers.
///
/// # Safety
/// All methods ask for the processor's features, see the implementations, and for addresses that are valid.
trait Sixteen: Copy {
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
type Pair = [__m256; 2];

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
trait Wide: Format {
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

/// Where the rows of x and y are, whose lengths are those of the matrix.
#[derive(Clone, Copy)]
struct Rows {
    x: *const f32,
    y: *mut f32,
    add: bool,
}

// SAFETY: threads read x, and write columns of y of their own.
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}

/// y = x·W, or y += x·W with `add`, for `m` rows, up to [`FEW`]; false where the processor has no instructions for it, and nothing has been done.
pub fn product(x: &[f32], m: usize, w: &Packed, add: bool, y: &mut [f32]) -> bool {
    let level = level();
    if level == Level::Other || m == 0 || m > FEW {
        return false;
    }
    assert!(x.len() >= m * w.inputs && y.len() >= m * w.outputs, "packed product: slices too short");
    if w.inputs == 0 {
        return false;
    }
    let rows = Rows { x: x.as_ptr(), y: y.as_mut_ptr(), add };
    let panels = w.outputs.div_ceil(PANEL);
    // Reading takes longer than multiplying.
    let parts = parallel::parts(panels, w.panel_bytes() / 8);
    parallel::par_chunks(0..panels, parts, (), &|range, ()| {
        let all = rows;
        // SAFETY: the level has been found; rows are as long as the assertion says, and panels are disjoint columns of y.
        unsafe {
            match (level, w.storage) {
                (Level::Avx512, WeightStorage::F32) => wide512::<F32Rows>(m, w, range.start, range.end, all),
                (Level::Avx512, WeightStorage::Bf16) => wide512::<Bf16Rows>(m, w, range.start, range.end, all),
                (Level::Avx512, WeightStorage::Q8_0) => wide512::<Q8Blocks>(m, w, range.start, range.end, all),
                (Level::Avx512, WeightStorage::Q4_0) => wide512::<Q4Blocks>(m, w, range.start, range.end, all),
                (_, WeightStorage::F32) => wide2::<F32Rows>(m, w, range.start, range.end, all),
                (_, WeightStorage::Bf16) => wide2::<Bf16Rows>(m, w, range.start, range.end, all),
                (_, WeightStorage::Q8_0) => wide2::<Q8Blocks>(m, w, range.start, range.end, all),
                (_, WeightStorage::Q4_0) => wide2::<Q4Blocks>(m, w, range.start, range.end, all),
            }
        }
    });
    true
}

/// Some panels with AVX-512.
///
/// # Safety
/// As [`panels`], and the processor has AVX-512.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
unsafe fn wide512<F: Wide>(m: usize, w: &Packed, first: usize, end: usize, rows: Rows) {
    // SAFETY: the caller's promise.
    unsafe {
        match m {
            1 => several::<F, __m512, 1, 4>(w, first, end, rows),
            2 => several::<F, __m512, 2, 4>(w, first, end, rows),
            _ => several::<F, __m512, 3, 2>(w, first, end, rows),
        }
    }
}

/// Some panels with AVX2.
///
/// # Safety
/// As [`panels`], and the processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn wide2<F: Wide>(m: usize, w: &Packed, first: usize, end: usize, rows: Rows) {
    // SAFETY: the caller's promise.
    unsafe {
        match m {
            1 => several::<F, Pair, 1, 2>(w, first, end, rows),
            2 => several::<F, Pair, 2, 1>(w, first, end, rows),
            _ => several::<F, Pair, 3, 1>(w, first, end, rows),
        }
    }
}

/// Some panels, `P` at a time, so that the sums do not wait for each other; then those that are left.
///
/// # Safety
/// As [`panels`].
#[inline(always)]
unsafe fn several<F: Wide, V: Sixteen, const M: usize, const P: usize>(
    w: &Packed,
    first: usize,
    end: usize,
    rows: Rows,
) {
    let mut at = first;
    // SAFETY: the caller's promise.
    unsafe {
        while at + P <= end {
            panels::<F, V, M, P>(w, at, rows);
            at += P;
        }
        while at < end {
            panels::<F, V, M, 1>(w, at, rows);
            at += 1;
        }
    }
}

/// `P` panels from one on, with `M` rows.
///
/// # Safety
/// The processor has what V asks for; the panels are there; rows of x and y have as many values as the matrix inputs and outputs, and nobody else writes these
/// columns of y.
#[inline(always)]
unsafe fn panels<F: Wide, V: Sixteen, const M: usize, const P: usize>(w: &Packed, first: usize, rows: Rows) {
    let (inputs, panel) = (w.inputs, w.panel_bytes());
    let base = w.bytes.as_ptr().wrapping_add(first * panel);
    // SAFETY: the caller's promise; groups are whole, and x is read as far as there are inputs.
    unsafe {
        let mut totals = [[V::zero(); P]; M];
        for start in (0..inputs).step_by(BLOCK) {
            let mut sums = [[V::zero(); P]; M];
            for at in (start..inputs.min(start + BLOCK)).step_by(GROUP) {
                let group = base.wrapping_add(at / GROUP * F::BYTES);
                let mut tail = [[0f32; GROUP]; M];
                let mut x: [*const f32; M] = std::array::from_fn(|row| rows.x.wrapping_add(row * inputs + at));
                if at + GROUP > inputs {
                    // Weights behind the last input are zeros.
                    for (tail, x) in tail.iter_mut().zip(&mut x) {
                        tail[..inputs - at].copy_from_slice(std::slice::from_raw_parts(*x, inputs - at));
                        *x = tail.as_ptr();
                    }
                }
                let groups: [*const u8; P] = std::array::from_fn(|p| group.wrapping_add(p * panel));
                let scales: [V; P] = groups.map(|group| F::scales(group));
                for pair in 0..GROUP / 2 {
                    let x = x.map(|x| [V::all(*x.add(2 * pair)), V::all(*x.add(2 * pair + 1))]);
                    for p in 0..P {
                        let [first, second] = F::pair(groups[p], pair, scales[p]);
                        for row in 0..M {
                            sums[row][p] = x[row][0].times_plus(first, sums[row][p]);
                            sums[row][p] = x[row][1].times_plus(second, sums[row][p]);
                        }
                    }
                }
            }
            for (totals, sums) in totals.iter_mut().zip(sums) {
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total = if start == 0 { sum } else { total.plus(sum) };
                }
            }
            if rows.add && start == 0 {
                // To what stands there, block after block.
                for row in 0..M {
                    for p in 0..P {
                        let (mut there, n) = ([0f32; PANEL], PANEL.min(w.outputs - (first + p) * PANEL));
                        let y = rows.y.wrapping_add(row * w.outputs + (first + p) * PANEL);
                        there[..n].copy_from_slice(std::slice::from_raw_parts(y, n));
                        totals[row][p] = V::floats(there.as_ptr().cast()).plus(totals[row][p]);
                    }
                }
            }
        }
        for (row, totals) in totals.iter().enumerate() {
            for (p, total) in totals.iter().enumerate() {
                let (column, mut out) = ((first + p) * PANEL, [0f32; PANEL]);
                let n = PANEL.min(w.outputs - column);
                total.store(out.as_mut_ptr());
                std::slice::from_raw_parts_mut(rows.y.wrapping_add(row * w.outputs + column), n)
                    .copy_from_slice(&out[..n]);
            }
        }
    }
}
