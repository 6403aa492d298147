//! Matrix products on tiles of C that stay in vector registers, for processors with AVX2 and FMA or with AVX-512.
//!
//! Every element of C is one chain of fused multiply-adds over ascending k within blocks of [`BLOCK`], the blocks added in
//! order: the bits of matrixmultiply 0.3.11 on the same processor, whatever the tile. So which of the two computes a product,
//! and how many rows come together, changes no result; tests hold them against each other.

use std::arch::x86_64::*;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use super::simd::{Level, level};

/// Steps of k between two additions to C, matrixmultiply's `KC`.
const BLOCK: usize = 256;

/// Room for a block of B two vectors wide, in f32 or f64 and for either instruction set.
#[repr(align(64))]
struct Panel(UnsafeCell<[MaybeUninit<u64>; BLOCK * 16]>);

thread_local! {
    /// Each thread's panel. Not on the stack: see docs/performance.md on large frames.
    static PANEL: Panel = const { Panel(UnsafeCell::new([MaybeUninit::uninit(); BLOCK * 16])) };
}

/// A vector register of numbers.
///
/// # Safety
/// All methods ask for the processor feature of the type; loads and stores for the addresses of their lanes to be valid.
trait Lanes: Copy {
    type Value: Copy;
    type Mask: Copy;
    const COUNT: usize;
    unsafe fn zero() -> Self;
    unsafe fn splat(value: *const Self::Value) -> Self;
    /// The first n lanes.
    unsafe fn first(n: usize) -> Self::Mask;
    unsafe fn load(at: *const Self::Value) -> Self;
    /// Lanes outside of the mask are zero and their addresses are not touched.
    unsafe fn load_part(at: *const Self::Value, mask: Self::Mask) -> Self;
    unsafe fn store(self, at: *mut Self::Value);
    unsafe fn store_part(self, at: *mut Self::Value, mask: Self::Mask);
    /// self·b + c, rounded once.
    unsafe fn times_plus(self, b: Self, c: Self) -> Self;
    unsafe fn plus(self, b: Self) -> Self;
}

macro_rules! lanes {
    ($v:ident, $t:ident, $count:literal, $mask:ty, $first:expr, $zero:ident, $splat:ident, $load:ident, $load_part:ident,
     $store:ident, $store_part:ident, $fma:ident, $add:ident) => {
        // SAFETY (all methods): the caller has the processor feature and the addresses, see the trait.
        #[allow(unused_unsafe)]
        impl Lanes for $v {
            type Value = $t;
            type Mask = $mask;
            const COUNT: usize = $count;

            #[inline(always)]
            unsafe fn zero() -> Self {
                unsafe { $zero() }
            }

            #[inline(always)]
            unsafe fn splat(value: *const $t) -> Self {
                unsafe { $splat(*value) }
            }

            #[inline(always)]
            unsafe fn first(n: usize) -> $mask {
                unsafe { $first(n) }
            }

            #[inline(always)]
            unsafe fn load(at: *const $t) -> Self {
                unsafe { $load(at) }
            }

            #[inline(always)]
            unsafe fn load_part(at: *const $t, mask: $mask) -> Self {
                unsafe { $load_part!(at, mask) }
            }

            #[inline(always)]
            unsafe fn store(self, at: *mut $t) {
                unsafe { $store(at, self) }
            }

            #[inline(always)]
            unsafe fn store_part(self, at: *mut $t, mask: $mask) {
                unsafe { $store_part(at, mask, self) }
            }

            #[inline(always)]
            unsafe fn times_plus(self, b: Self, c: Self) -> Self {
                unsafe { $fma(self, b, c) }
            }

            #[inline(always)]
            unsafe fn plus(self, b: Self) -> Self {
                unsafe { $add(self, b) }
            }
        }
    };
}

// The two instruction sets name the arguments of their masked loads in different orders.
macro_rules! load512 {
    ($at:expr, $mask:expr) => {
        _mm512_maskz_loadu_ps($mask, $at)
    };
}
macro_rules! load512d {
    ($at:expr, $mask:expr) => {
        _mm512_maskz_loadu_pd($mask, $at)
    };
}
macro_rules! load256 {
    ($at:expr, $mask:expr) => {
        _mm256_maskload_ps($at, $mask)
    };
}
macro_rules! load256d {
    ($at:expr, $mask:expr) => {
        _mm256_maskload_pd($at, $mask)
    };
}

lanes!(
    __m512,
    f32,
    16,
    __mmask16,
    |n: usize| ((1u32 << n) - 1) as __mmask16,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    load512,
    _mm512_storeu_ps,
    _mm512_mask_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps
);
lanes!(
    __m512d,
    f64,
    8,
    __mmask8,
    |n: usize| ((1u32 << n) - 1) as __mmask8,
    _mm512_setzero_pd,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    load512d,
    _mm512_storeu_pd,
    _mm512_mask_storeu_pd,
    _mm512_fmadd_pd,
    _mm512_add_pd
);
lanes!(
    __m256,
    f32,
    8,
    __m256i,
    |n: usize| _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    load256,
    _mm256_storeu_ps,
    _mm256_maskstore_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps
);
lanes!(
    __m256d,
    f64,
    4,
    __m256i,
    |n: usize| _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), _mm256_setr_epi64x(0, 1, 2, 3)),
    _mm256_setzero_pd,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    load256d,
    _mm256_storeu_pd,
    _mm256_maskstore_pd,
    _mm256_fmadd_pd,
    _mm256_add_pd
);

/// Pointers and strides of C = A·B or C += A·B; C's columns are contiguous.
#[derive(Clone, Copy)]
struct Operands<T> {
    a: *const T,
    a_strides: [usize; 2],
    b: *const T,
    b_strides: [usize; 2],
    c: *mut T,
    c_stride: usize,
    add: bool,
}

/// M rows by N vectors of C, the last vector with `last` lanes; the block's k steps through contiguous rows of B.
#[inline(always)]
unsafe fn tile<V: Lanes, const M: usize, const N: usize>(k: usize, last: usize, o: Operands<V::Value>) {
    // SAFETY: the caller's promise for the rows, columns and steps named above.
    unsafe {
        let mask = V::first(last);
        let mut sums = [[V::zero(); N]; M];
        if k > 15 {
            // C is far away when it is large; it is wanted after the loop.
            each::<V, M, N>(o, |_, _, at| _mm_prefetch::<_MM_HINT_T0>(at.cast()));
        }
        let (mut a, mut b) = (o.a, o.b);
        for _ in 0..k {
            let mut row = [V::zero(); N];
            for (j, v) in row.iter_mut().enumerate() {
                *v = if j + 1 < N { V::load(b.add(j * V::COUNT)) } else { V::load_part(b.add(j * V::COUNT), mask) };
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(a.add(i * o.a_strides[0]));
                for (sum, v) in sums.iter_mut().zip(row) {
                    *sum = x.times_plus(v, *sum);
                }
            }
            a = a.wrapping_add(o.a_strides[1]);
            b = b.wrapping_add(o.b_strides[0]);
        }
        if last == V::COUNT {
            match o.add {
                true => each::<V, M, N>(o, |i, j, at| V::load(at).plus(sums[i][j]).store(at)),
                false => each::<V, M, N>(o, |i, j, at| sums[i][j].store(at)),
            }
        } else {
            each::<V, M, N>(o, |i, j, at| match (o.add, j + 1 < N) {
                (true, true) => V::load(at).plus(sums[i][j]).store(at),
                (false, true) => sums[i][j].store(at),
                (true, false) => V::load_part(at, mask).plus(sums[i][j]).store_part(at, mask),
                (false, false) => sums[i][j].store_part(at, mask),
            });
        }
    }
}

/// Calls `f(row, vector, its address)` for each vector of a tile of C.
#[inline(always)]
unsafe fn each<V: Lanes, const M: usize, const N: usize>(
    o: Operands<V::Value>,
    mut f: impl FnMut(usize, usize, *mut V::Value),
) {
    for i in 0..M {
        for j in 0..N {
            f(i, j, o.c.wrapping_add(i * o.c_stride + j * V::COUNT));
        }
    }
}

/// All rows of a panel of N vectors, in tiles of `M`, four and one.
#[inline(always)]
unsafe fn rows<V: Lanes, const M: usize, const N: usize>(m: usize, k: usize, last: usize, mut o: Operands<V::Value>) {
    let mut left = m;
    // SAFETY: the caller's promise; `left` rows of A and C are ahead of the pointers.
    unsafe {
        while left > 0 {
            let done = if left >= M {
                tile::<V, M, N>(k, last, o);
                M
            } else if left >= 4 {
                tile::<V, 4, N>(k, last, o);
                4
            } else {
                tile::<V, 1, N>(k, last, o);
                1
            };
            left -= done;
            o.a = o.a.wrapping_add(done * o.a_strides[0]);
            o.c = o.c.wrapping_add(done * o.c_stride);
        }
    }
}

/// One block of k, columns of B contiguous, from where they stand.
#[inline(always)]
unsafe fn direct<V: Lanes, const M: usize>([m, k, n]: [usize; 3], o: Operands<V::Value>) {
    let mut column = 0;
    // SAFETY: the caller's promise; panels are disjoint columns.
    unsafe {
        while column < n {
            let left = n - column;
            let part = Operands { b: o.b.add(column), c: o.c.add(column), ..o };
            column += if m < 4 && left > 2 * V::COUNT {
                // Few rows have too few sums to keep the multipliers busy, so more columns come together.
                let width = left.min(4 * V::COUNT);
                let last = (width - 1) % V::COUNT + 1;
                if width > 3 * V::COUNT {
                    rows::<V, 1, 4>(m, k, last, part);
                } else {
                    rows::<V, 1, 3>(m, k, last, part);
                }
                width
            } else {
                let width = left.min(2 * V::COUNT);
                let last = (width - 1) % V::COUNT + 1;
                if width > V::COUNT {
                    rows::<V, M, 2>(m, k, last, part);
                } else {
                    rows::<V, M, 1>(m, k, last, part);
                }
                width
            };
        }
    }
}

/// Copies `k` rows of `width` columns of B into a panel whose rows are `N` vectors, filled up with zeros.
#[inline(always)]
unsafe fn pack<V: Lanes, const N: usize>(k: usize, width: usize, o: Operands<V::Value>, panel: *mut V::Value) {
    let [down, across] = o.b_strides;
    // SAFETY: the caller's promise for B; the panel has room for BLOCK rows of two vectors.
    unsafe {
        if across == 1 {
            let mask = V::first(width - (N - 1) * V::COUNT);
            for l in 0..k {
                let (from, to) = (o.b.add(l * down), panel.add(l * N * V::COUNT));
                // The next panel, whose lines are far apart too; past the end nothing is read.
                for j in 0..N {
                    _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add((N + j) * V::COUNT).cast());
                }
                for j in 0..N - 1 {
                    V::load(from.add(j * V::COUNT)).store(to.add(j * V::COUNT));
                }
                V::load_part(from.add((N - 1) * V::COUNT), mask).store(to.add((N - 1) * V::COUNT));
            }
            return;
        }
        if width < N * V::COUNT {
            (0..k).for_each(|l| V::zero().store(panel.add((l * N + N - 1) * V::COUNT)));
        }
        // A few steps of k at a time, so that the lines written to stay in the first-level cache.
        for start in (0..k).step_by(16) {
            let end = k.min(start + 16);
            for j in 0..width {
                let from = o.b.add(j * across);
                for l in start..end {
                    *panel.add(l * N * V::COUNT + j) = *from.add(l * down);
                }
            }
        }
    }
}

/// One block of k, panels of B copied to `panel` first: for layouts that cannot be read as they stand, or are read often.
#[inline(always)]
unsafe fn packed<V: Lanes, const M: usize>([m, k, n]: [usize; 3], o: Operands<V::Value>, panel: *mut V::Value) {
    let mut column = 0;
    // SAFETY: the caller's promise; panels are disjoint columns, and what is packed has the strides given.
    unsafe {
        while column < n {
            let width = (n - column).min(2 * V::COUNT);
            let last = (width - 1) % V::COUNT + 1;
            let from = Operands { b: o.b.wrapping_add(column * o.b_strides[1]), c: o.c.add(column), ..o };
            if width > V::COUNT {
                pack::<V, 2>(k, width, from, panel);
                rows::<V, M, 2>(m, k, last, Operands { b: panel, b_strides: [2 * V::COUNT, 1], ..from });
            } else {
                pack::<V, 1>(k, width, from, panel);
                rows::<V, M, 1>(m, k, last, Operands { b: panel, b_strides: [V::COUNT, 1], ..from });
            }
            column += width;
        }
    }
}

macro_rules! product {
    ($t:ident, $name:ident, $avx512:ident, $avx2:ident, $direct512:ident, $direct2:ident, $packed512:ident, $packed2:ident) => {
        #[target_feature(enable = "avx512f")]
        unsafe fn $direct512(size: [usize; 3], o: Operands<$t>) {
            // SAFETY: the caller's promise.
            unsafe { direct::<$avx512, 12>(size, o) }
        }

        #[target_feature(enable = "avx2,fma")]
        unsafe fn $direct2(size: [usize; 3], o: Operands<$t>) {
            // SAFETY: the caller's promise.
            unsafe { direct::<$avx2, 6>(size, o) }
        }

        #[target_feature(enable = "avx512f")]
        unsafe fn $packed512(size: [usize; 3], o: Operands<$t>, panel: *mut $t) {
            // SAFETY: the caller's promise.
            unsafe { packed::<$avx512, 12>(size, o, panel) }
        }

        #[target_feature(enable = "avx2,fma")]
        unsafe fn $packed2(size: [usize; 3], o: Operands<$t>, panel: *mut $t) {
            // SAFETY: the caller's promise.
            unsafe { packed::<$avx2, 6>(size, o, panel) }
        }

        /// C = A·B, or C += A·B with `add`; false where the processor or the layout is not one for these kernels, and
        /// nothing has been done.
        ///
        /// # Safety
        /// Every element that sizes and strides address must lie in its allocation, and C must not overlap A or B.
        #[allow(clippy::too_many_arguments)]
        pub unsafe fn $name(
            [m, k, n]: [usize; 3],
            a: *const $t,
            a_strides: [usize; 2],
            b: *const $t,
            b_strides: [usize; 2],
            add: bool,
            c: *mut $t,
            c_stride: usize,
        ) -> bool {
            let level = level();
            let direct = b_strides[1] == 1 && stands([m, k, n]);
            if level == Level::Other || (!direct && crowded(a_strides, size_of::<$t>(), [m, k, n])) {
                return false;
            }
            if k == 0 && !add {
                for i in 0..m {
                    // SAFETY: row i of C.
                    unsafe { std::slice::from_raw_parts_mut(c.add(i * c_stride), n).fill(0.0) };
                }
            }
            for start in (0..k).step_by(BLOCK) {
                let o = Operands {
                    a: a.wrapping_add(start * a_strides[1]),
                    a_strides,
                    b: b.wrapping_add(start * b_strides[0]),
                    b_strides,
                    c,
                    c_stride,
                    add: add || start > 0,
                };
                let size = [m, BLOCK.min(k - start), n];
                // SAFETY: the caller's promise, and the features have been found; nothing called here calls back, so the
                // thread's panel has no other user.
                unsafe {
                    match (level, direct) {
                        (Level::Avx512, true) => $direct512(size, o),
                        (Level::Avx512, false) => PANEL.with(|panel| $packed512(size, o, panel.0.get().cast())),
                        (_, true) => $direct2(size, o),
                        (_, false) => PANEL.with(|panel| $packed2(size, o, panel.0.get().cast())),
                    }
                }
            }
            true
        }
    };
}

product!(f32, sgemm, __m512, __m256, sdirect512, sdirect2, spacked512, spacked2);
product!(f64, dgemm, __m512d, __m256d, ddirect512, ddirect2, dpacked512, dpacked2);

/// Few rows, few columns or little work: B is read from where it stands, which does not pay where many tiles read it from
/// rows far apart.
fn stands([m, k, n]: [usize; 3]) -> bool {
    m < 4 || n <= 32 || m.saturating_mul(k).saturating_mul(n) <= 1 << 15
}

/// Whether the rows of A that a tile reads fall onto the same lines of the first-level cache, in a product large enough for
/// that to matter: then A has to be packed too.
fn crowded(a_strides: [usize; 2], size: usize, [m, k, n]: [usize; 3]) -> bool {
    (a_strides[0] * size).is_multiple_of(4096) && m.saturating_mul(k).saturating_mul(n) > 1 << 20
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};

    /// Both instruction sets on one product, with a frame around C that must stay as it was.
    macro_rules! both {
        ($t:ident, $avx512:ident, $avx2:ident) => {
            for (m, n, k) in (1..15).flat_map(|m| (1..41).flat_map(move |n| [(m, n, 1), (m, n, 37)])) {
                for add in [false, true] {
                    let draw = |part: u64, len: usize| -> Vec<$t> {
                        let key = Key::new(1, Purpose::Data).with(part);
                        (0..len as u64).map(|i| key.unit(i) as $t - 0.5).collect()
                    };
                    let (a, b, c) = (draw(1, m * k), draw(2, k * n), draw(3, m * n + 16));
                    let product = |wide: bool| {
                        let mut c = c.clone();
                        let o = Operands {
                            a: a.as_ptr(),
                            a_strides: [k, 1],
                            b: b.as_ptr(),
                            b_strides: [n, 1],
                            c: c.as_mut_ptr(),
                            c_stride: n,
                            add,
                        };
                        // SAFETY: the features have been found; sizes are those of the vectors, C not among A and B.
                        unsafe { if wide { $avx512([m, k, n], o) } else { $avx2([m, k, n], o) } };
                        c
                    };
                    let narrow = product(false);
                    let mut expected = c.clone();
                    for i in 0..m * n {
                        let chain = |s: $t, l: usize| a[i / n * k + l].mul_add(b[l * n + i % n], s);
                        let sum = (0..k).fold(0.0, chain);
                        expected[i] = if add { c[i] + sum } else { sum };
                    }
                    assert_eq!(narrow, expected, "AVX2 {m}x{k}x{n}");
                    if level() == Level::Avx512 {
                        assert_eq!(product(true), expected, "AVX-512 {m}x{k}x{n}");
                    }
                }
            }
        };
    }

    #[test]
    fn each_instruction_set_is_the_plain_chain() {
        if level() != Level::Other {
            both!(f32, sdirect512, sdirect2);
            both!(f64, ddirect512, ddirect2);
        }
    }
}
