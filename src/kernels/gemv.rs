//! Products of few rows with a matrix, which take as long as reading the matrix: every number of B is read once, in the order in which it stands
//! in memory, whether its rows are contiguous or its columns. Chains of sums are those of [`tiles`](super::tiles).

use std::arch::x86_64::*;

use super::simd::Level;
use super::tile::{BLOCK, Lanes, Operands, put};

/// Bytes of a line of B that few rows go through at a time: as many as the sums have room for. Shorter pieces end before the processor has
/// foreseen what follows: with a quarter of it 1x4096x16384 had 0.67 of the speed of memory on Zen 4 in the place of 0.97.
pub const STREAM: usize = 1 << 15;

/// Steps of k that [`Turned::turned`] takes at a time.
pub const STEPS: usize = 8;

/// Bytes up to which the columns that come next are fetched ahead as a whole; longer ones follow so slowly that the processor foresees them.
const AHEAD: usize = 1 << 17;

/// Numbers of which squares are turned in registers.
pub trait Turned: num_traits::Float + 'static {
    /// A vector of AVX2.
    type Vector: Lanes<Value = Self>;

    /// `STEPS` vectors, of which each has the numbers `at` steps and more from places: as many of those as a vector has lanes.
    ///
    /// # Safety
    /// The processor has AVX2, and the numbers can be read.
    unsafe fn turned(places: &[*const Self; 8], at: usize) -> [Self::Vector; STEPS];

    /// sum + x·b, rounded once.
    ///
    /// # Safety
    /// The processor has FMA.
    unsafe fn step(x: Self, b: Self::Vector, sum: Self::Vector) -> Self::Vector;
}

impl Turned for f32 {
    type Vector = __m256;

    #[inline(always)]
    unsafe fn turned(places: &[*const f32; 8], at: usize) -> [__m256; STEPS] {
        // SAFETY: the caller's promise.
        unsafe { turned_f32(places.map(|place| _mm256_loadu_ps(place.add(at)))) }
    }

    #[inline(always)]
    unsafe fn step(x: f32, b: __m256, sum: __m256) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_fmadd_ps(_mm256_set1_ps(x), b, sum) }
    }
}

impl Turned for f64 {
    type Vector = __m256d;

    #[inline(always)]
    unsafe fn turned(&[a, b, c, d, ..]: &[*const f64; 8], at: usize) -> [__m256d; STEPS] {
        // SAFETY: the caller's promise.
        unsafe {
            let square = |at: usize| turned_f64([a, b, c, d].map(|place| _mm256_loadu_pd(place.add(at))));
            let ([a, b, c, d], [e, f, g, h]) = (square(at), square(at + 4));
            [a, b, c, d, e, f, g, h]
        }
    }

    #[inline(always)]
    unsafe fn step(x: f64, b: __m256d, sum: __m256d) -> __m256d {
        // SAFETY: the caller's promise.
        unsafe { _mm256_fmadd_pd(_mm256_set1_pd(x), b, sum) }
    }
}

/// The transpose of eight rows.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub unsafe fn turned_f32([a, b, c, d, e, f, g, h]: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        let pairs = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let ((ab, ab2), (cd, cd2), (ef, ef2), (gh, gh2)) = (pairs(a, b), pairs(c, d), pairs(e, f), pairs(g, h));
        let fours = |p, q| (_mm256_shuffle_ps::<0x44>(p, q), _mm256_shuffle_ps::<0xEE>(p, q));
        let ((l0, l1), (l2, l3)) = (fours(ab, cd), fours(ab2, cd2));
        let ((h0, h1), (h2, h3)) = (fours(ef, gh), fours(ef2, gh2));
        let halves = [(l0, h0), (l1, h1), (l2, h2), (l3, h3)];
        let [a, b, c, d] = halves.map(|(l, h)| _mm256_permute2f128_ps::<0x20>(l, h));
        let [e, f, g, h] = halves.map(|(l, h)| _mm256_permute2f128_ps::<0x31>(l, h));
        [a, b, c, d, e, f, g, h]
    }
}

/// The transpose of four rows.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub unsafe fn turned_f64([a, b, c, d]: [__m256d; 4]) -> [__m256d; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let (ab, ab2) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (cd, cd2) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(ab, cd),
            _mm256_permute2f128_pd::<0x20>(ab2, cd2),
            _mm256_permute2f128_pd::<0x31>(ab, cd),
            _mm256_permute2f128_pd::<0x31>(ab2, cd2),
        ]
    }
}

/// All of k for up to three rows of A, where columns of B are contiguous: two vectors of columns at a time from beginning to end, turned in
/// registers.
///
/// # Safety
/// As [`product`](super::tiles::product), for one to three rows, and the processor has AVX2 and FMA.
pub unsafe fn by_columns<T: Turned>([m, k, n]: [usize; 3], o: Operands<T>) {
    let most = 2 * T::Vector::COUNT;
    for column in (0..n).step_by(most) {
        let (b, c) = (o.b.wrapping_add(column * o.b_strides[1]), o.c.wrapping_add(column));
        let (o, size) = (Operands { b, c, ..o }, [k, most.min(n - column)]);
        // SAFETY: the caller's promise.
        unsafe {
            match m {
                1 => columns::<T, 1>(size, &o),
                2 => columns::<T, 2>(size, &o),
                3 => columns::<T, 3>(size, &o),
                _ => unreachable!("up to three rows"),
            }
        }
    }
}

/// Up to two vectors of columns.
///
/// # Safety
/// As [`by_columns`]; there is a column, and no more than two vectors of them.
#[target_feature(enable = "avx2,fma")]
unsafe fn columns<T: Turned, const M: usize>([k, count]: [usize; 2], o: &Operands<T>) {
    let ([down, next], lanes) = (o.a_strides, T::Vector::COUNT);
    let vectors = count.div_ceil(lanes);
    let last = count - (vectors - 1) * lanes;
    // Columns that are not there are others, and come to nothing.
    let places: [[*const T; 8]; 2] = std::array::from_fn(|v| {
        std::array::from_fn(|j| o.b.wrapping_add((v * lanes + j).min(count - 1) * o.b_strides[1]))
    });
    let apart = count * o.b_strides[1];
    let fetches = apart * size_of::<T>() <= AHEAD;
    // SAFETY: the caller's promise; fetching reads nothing.
    unsafe {
        let (zero, mask) = (T::Vector::load(const { &[0u64; 4] }.as_ptr().cast()), T::Vector::first(last));
        for start in (0..k).step_by(BLOCK) {
            let end = k.min(start + BLOCK);
            let whole = end - (end - start) % STEPS;
            let mut sums = [[zero; 2]; M];
            for at in (start..whole).step_by(STEPS) {
                if fetches && (at * size_of::<T>()).is_multiple_of(64) {
                    for places in &places[..vectors] {
                        places[..lanes].iter().for_each(|place| {
                            _mm_prefetch::<_MM_HINT_T0>(place.wrapping_add(at + apart).cast());
                        });
                    }
                }
                for (v, places) in places[..vectors].iter().enumerate() {
                    let b = T::turned(places, at);
                    for (i, b) in b.into_iter().enumerate() {
                        for (row, sums) in sums.iter_mut().enumerate() {
                            sums[v] = T::step(*o.a.add(row * down + (at + i) * next), b, sums[v]);
                        }
                    }
                }
            }
            for at in whole..end {
                for (v, places) in places[..vectors].iter().enumerate() {
                    let mut b = [T::zero(); 8];
                    b.iter_mut().zip(&places[..lanes]).for_each(|(b, place)| *b = *place.add(at));
                    let b = T::Vector::load(b.as_ptr());
                    for (row, sums) in sums.iter_mut().enumerate() {
                        sums[v] = T::step(*o.a.add(row * down + at * next), b, sums[v]);
                    }
                }
            }
            let add = o.add || start > 0;
            for (row, sums) in sums.into_iter().enumerate() {
                let c = o.c.add(row * o.c_stride);
                match vectors {
                    1 => put([sums[0]], c, add, last, mask),
                    _ => put(sums, c, add, last, mask),
                }
            }
        }
    }
}

/// One block of k for few rows of A, where columns of B are contiguous: line by line through B, as it comes from memory.
///
/// # Safety
/// As [`product`](super::tiles::product), and the processor has the instruction set of the level; the panel has room for `STREAM` bytes.
pub unsafe fn by_rows<T: Turned>(level: Level, [m, k, n]: [usize; 3], o: Operands<T>) {
    let most = STREAM / size_of::<T>();
    for column in (0..n).step_by(most) {
        let (b, mut c) = (o.b.wrapping_add(column), o.c.wrapping_add(column));
        let (mut a, size) = (o.a, [k, most.min(n - column)]);
        for _ in 0..m {
            let o = Operands { a, b, c, ..o };
            // SAFETY: the caller's promise.
            unsafe {
                match level {
                    Level::Avx512 => stream512(size, o),
                    _ => stream2(size, o),
                }
            }
            (a, c) = (a.wrapping_add(o.a_strides[0]), c.wrapping_add(o.c_stride));
        }
    }
}

/// One row of A with `k` rows of `width` numbers of B, whose sums are kept in the panel.
///
/// # Safety
/// As [`product`](super::tiles::product); columns of B are contiguous, and the panel has room for `width` numbers.
#[inline(always)]
unsafe fn stream<T: Turned>([k, width]: [usize; 2], o: Operands<T>) {
    let ([_, next], [down, _]) = (o.a_strides, o.b_strides);
    // SAFETY: the caller's promise; the sums are initialised before they are read.
    unsafe {
        o.panel.write_bytes(0, width);
        let sums = std::slice::from_raw_parts_mut(o.panel, width);
        let fours = k - k % 4;
        for l in (0..fours).step_by(4) {
            let [x0, x1, x2, x3] =
                [*o.a.add(l * next), *o.a.add((l + 1) * next), *o.a.add((l + 2) * next), *o.a.add((l + 3) * next)];
            let b0 = std::slice::from_raw_parts(o.b.add(l * down), width);
            let b1 = std::slice::from_raw_parts(o.b.add((l + 1) * down), width);
            let b2 = std::slice::from_raw_parts(o.b.add((l + 2) * down), width);
            let b3 = std::slice::from_raw_parts(o.b.add((l + 3) * down), width);
            for j in 0..width {
                sums[j] = x3.mul_add(b3[j], x2.mul_add(b2[j], x1.mul_add(b1[j], x0.mul_add(b0[j], sums[j]))));
            }
        }
        for l in fours..k {
            let (x, b) = (*o.a.add(l * next), std::slice::from_raw_parts(o.b.add(l * down), width));
            for j in 0..width {
                sums[j] = x.mul_add(b[j], sums[j]);
            }
        }
        let c = std::slice::from_raw_parts_mut(o.c, width);
        if o.add {
            for j in 0..width {
                c[j] = c[j] + sums[j];
            }
        } else {
            c.copy_from_slice(sums);
        }
    }
}

/// [`stream`] with AVX2.
///
/// # Safety
/// As [`stream`], and the processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn stream2<T: Turned>(size: [usize; 2], o: Operands<T>) {
    // SAFETY: the caller's promise.
    unsafe { stream(size, o) }
}

/// [`stream`] with AVX-512.
///
/// # Safety
/// As [`stream`], and the processor has AVX-512.
#[target_feature(enable = "avx512f")]
unsafe fn stream512<T: Turned>(size: [usize; 2], o: Operands<T>) {
    // SAFETY: the caller's promise.
    unsafe { stream(size, o) }
}
