//! The inner loops of matrix products: one tile of C in vector registers, for processors with AVX2 and FMA or with AVX-512.
//!
//! The loops are written in assembly: a compiler's version of the AVX2 loop, which fills all 16 registers, copies and spills them
//! (0.40 of the peak where this one reaches 0.96), and where the loop begins in memory, which costs up to a fifth, is left to chance.

use std::arch::asm;
use std::arch::x86_64::*;

/// Pointers and strides of C = A·B or C += A·B; columns of C are contiguous.
#[derive(Clone, Copy, Debug)]
pub struct Operands<T> {
    pub a: *const T,
    pub a_strides: [usize; 2],
    pub b: *const T,
    pub b_strides: [usize; 2],
    pub c: *mut T,
    pub c_stride: usize,
    /// Where [`Tiles::packing`] puts the two vectors of every step.
    pub panel: *mut T,
    pub add: bool,
}

/// Computes a tile: `k` ≥ 1 steps, `last` lanes of the last vector.
///
/// # Safety
/// The processor has the instruction set; all elements of the tile's rows, columns and steps lie in their allocations.
pub type Tile<T> = unsafe fn(k: usize, last: usize, o: Operands<T>);

/// The tiles of an instruction set for a type of numbers.
#[derive(Debug)]
pub struct Tiles<T: 'static> {
    /// Numbers in a vector.
    pub lanes: usize,
    /// Numbers of rows that there are tiles for, from the largest to 1.
    pub rows: &'static [usize],
    /// Tiles of one and of two vectors, by `rows`, where all lanes of the last vector are there.
    pub whole: [&'static [Tile<T>]; 2],
    /// The same, where lanes are missing: their addresses are not touched.
    pub part: [&'static [Tile<T>]; 2],
    /// The largest tile of two vectors, which writes the vectors of B that it reads one after the other into a panel.
    pub packing: Tile<T>,
    /// One row of 1 to 8 vectors.
    pub row: [[Tile<T>; 8]; 2],
}

impl<T> Tiles<T> {
    /// The tile of one or two vectors for some of the `left` rows, and how many: never so few at the end, if that can be helped,
    /// that their sums do not keep the multipliers busy.
    pub fn choose(&self, left: usize, vectors: usize, last: usize) -> (Tile<T>, usize) {
        let most = self.rows[0];
        let wanted = if left <= most || left >= most + 4 { left } else { left.div_ceil(2) };
        let at = self.rows.iter().position(|&rows| rows <= wanted).unwrap_or(self.rows.len() - 1);
        let tiles = if last == self.lanes { &self.whole } else { &self.part };
        (tiles[vectors - 1][at], self.rows[at])
    }
}

/// A vector register of numbers.
///
/// # Safety
/// All methods ask for the processor feature of the type; loads and stores for the addresses of their lanes to be valid.
pub trait Lanes: Copy {
    type Value: Copy;
    type Mask: Copy;
    const COUNT: usize;
    unsafe fn zero() -> Self;
    /// The first n lanes.
    unsafe fn first(n: usize) -> Self::Mask;
    unsafe fn load(at: *const Self::Value) -> Self;
    /// Lanes outside of the mask are zero and their addresses are not touched.
    unsafe fn load_part(at: *const Self::Value, mask: Self::Mask) -> Self;
    unsafe fn store(self, at: *mut Self::Value);
    /// The first n lanes, whose mask is given too.
    unsafe fn store_part(self, at: *mut Self::Value, mask: Self::Mask, n: usize);
    unsafe fn plus(self, b: Self) -> Self;
}

macro_rules! lanes {
    ($v:ident, $t:ident, $count:literal, $mask:ty, $first:expr, $zero:ident, $load:ident, $load_part:expr, $store:ident,
     $store_part:expr, $add:ident) => {
        // SAFETY (all methods): the caller has the processor feature and the addresses, see the trait.
        #[allow(unused_unsafe, clippy::redundant_closure_call)]
        impl Lanes for $v {
            type Value = $t;
            type Mask = $mask;
            const COUNT: usize = $count;

            #[inline(always)]
            unsafe fn zero() -> Self {
                unsafe { $zero() }
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
                unsafe { $load_part(at, mask) }
            }

            #[inline(always)]
            unsafe fn store(self, at: *mut $t) {
                unsafe { $store(at, self) }
            }

            #[inline(always)]
            unsafe fn store_part(self, at: *mut $t, mask: $mask, n: usize) {
                unsafe { $store_part(at, mask, n, self) }
            }

            #[inline(always)]
            unsafe fn plus(self, b: Self) -> Self {
                unsafe { $add(self, b) }
            }
        }
    };
}

lanes!(
    __m512,
    f32,
    16,
    __mmask16,
    |n: usize| ((1u32 << n) - 1) as __mmask16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    |at, mask| _mm512_maskz_loadu_ps(mask, at),
    _mm512_storeu_ps,
    |at, mask, _, v| _mm512_mask_storeu_ps(at, mask, v),
    _mm512_add_ps
);
lanes!(
    __m512d,
    f64,
    8,
    __mmask8,
    |n: usize| ((1u32 << n) - 1) as __mmask8,
    _mm512_setzero_pd,
    _mm512_loadu_pd,
    |at, mask| _mm512_maskz_loadu_pd(mask, at),
    _mm512_storeu_pd,
    |at, mask, _, v| _mm512_mask_storeu_pd(at, mask, v),
    _mm512_add_pd
);
lanes!(
    __m256,
    f32,
    8,
    __m256i,
    |n: usize| _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    |at, mask| _mm256_maskload_ps(at, mask),
    _mm256_storeu_ps,
    |at: *mut f32, _, n: usize, v| {
        // In pieces, as masked stores of this instruction set are slow on processors of AMD.
        let (mut piece, mut at) = (_mm256_castps256_ps128(v), at);
        if n & 4 != 0 {
            _mm_storeu_ps(at, piece);
            (piece, at) = (_mm256_extractf128_ps::<1>(v), at.add(4));
        }
        if n & 2 != 0 {
            _mm_storel_pd(at.cast(), _mm_castps_pd(piece));
            (piece, at) = (_mm_movehl_ps(piece, piece), at.add(2));
        }
        if n & 1 != 0 {
            _mm_store_ss(at, piece);
        }
    },
    _mm256_add_ps
);
lanes!(
    __m256d,
    f64,
    4,
    __m256i,
    |n: usize| _mm256_cmpgt_epi64(_mm256_set1_epi64x(n as i64), _mm256_setr_epi64x(0, 1, 2, 3)),
    _mm256_setzero_pd,
    _mm256_loadu_pd,
    |at, mask| _mm256_maskload_pd(at, mask),
    _mm256_storeu_pd,
    |at: *mut f64, _, n: usize, v| {
        let (mut piece, mut at) = (_mm256_castpd256_pd128(v), at);
        if n & 2 != 0 {
            _mm_storeu_pd(at, piece);
            (piece, at) = (_mm256_extractf128_pd::<1>(v), at.add(2));
        }
        if n & 1 != 0 {
            _mm_store_sd(at, piece);
        }
    },
    _mm256_add_pd
);

/// Sums to C, or added to it.
///
/// # Safety
/// As the trait's methods; `last` lanes of the last vector and all of the others are valid at `at`.
#[inline(always)]
unsafe fn put<V: Lanes, const N: usize>(sums: [V; N], at: *mut V::Value, add: bool, last: usize, mask: V::Mask) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut j = 0;
        while j < N {
            let (sum, at) = (sums[j], at.add(j * V::COUNT));
            match (add, j + 1 < N || last == V::COUNT) {
                (true, true) => V::load(at).plus(sum).store(at),
                (false, true) => sum.store(at),
                (true, false) => V::load_part(at, mask).plus(sum).store_part(at, mask, last),
                (false, false) => sum.store_part(at, mask, last),
            }
            j += 1;
        }
    }
}

/// Rows of a tile: where a row's element of A is, in terms of `a` and multiples of the row stride, and the names of its two sums.
macro_rules! rows {
    ($make:ident $args:tt 12 $($row:tt)*) => { rows!($make $args 11 ("[{a} + {r11}]" s11 t11) $($row)*) };
    ($make:ident $args:tt 11 $($row:tt)*) => { rows!($make $args 10 ("[{a} + 2*{r5}]" s10 t10) $($row)*) };
    ($make:ident $args:tt 10 $($row:tt)*) => { rows!($make $args 9 ("[{a} + {r9}]" s9 t9) $($row)*) };
    ($make:ident $args:tt 9 $($row:tt)*) => { rows!($make $args 8 ("[{a} + 8*{r}]" s8 t8) $($row)*) };
    ($make:ident $args:tt 8 $($row:tt)*) => { rows!($make $args 7 ("[{a} + {r7}]" s7 t7) $($row)*) };
    ($make:ident $args:tt 7 $($row:tt)*) => { rows!($make $args 6 ("[{a} + 2*{r3}]" s6 t6) $($row)*) };
    ($make:ident $args:tt 6 $($row:tt)*) => { rows!($make $args 5 ("[{a} + {r5}]" s5 t5) $($row)*) };
    ($make:ident $args:tt 5 $($row:tt)*) => { rows!($make $args 4 ("[{a} + 4*{r}]" s4 t4) $($row)*) };
    ($make:ident $args:tt 4 $($row:tt)*) => { rows!($make $args 3 ("[{a} + {r3}]" s3 t3) $($row)*) };
    ($make:ident $args:tt 3 $($row:tt)*) => { rows!($make $args 2 ("[{a} + 2*{r}]" s2 t2) $($row)*) };
    ($make:ident $args:tt 2 $($row:tt)*) => { rows!($make $args 1 ("[{a} + {r}]" s1 t1) $($row)*) };
    ($make:ident $args:tt 1 $($row:tt)*) => { $make!($args ("[{a}]" s0 t0) $($row)*) };
}

/// A tile two vectors wide. The arguments: vector type, processor features, register class, instructions that spread one number
/// over a vector and that multiply and add, how the two vectors of B are loaded (into p and q), operands of these loads, multiples
/// of the row stride that addresses of rows use.
macro_rules! tile_of_two {
    (($v:ident $features:literal $reg:ident $splat:literal $fma:literal [$load:expr, $last:expr] [$($mask:ident)?]
      [$($multiple:ident $times:literal)*] [$($store:expr),*] [$($panel:ident)?]) $(($at:literal $s:ident $t:ident))+) => {{
        #[target_feature(enable = $features)]
        unsafe fn tile(k: usize, last: usize, o: Operands<<$v as Lanes>::Value>) {
            // SAFETY: the caller's promise; the loop reads the tile's elements of A and B and writes registers alone.
            unsafe {
                let mask = $v::first(last);
                let stride = o.a_strides[0] * size_of::<<$v as Lanes>::Value>();
                $(let (mut $s, mut $t) = ($v::zero(), $v::zero());)+
                if k > 15 {
                    // C is far away when it is large; it is wanted after the loop.
                    let (mut i, rows) = (0, [$($at),+].len());
                    while i < rows {
                        let row = o.c.wrapping_add(i * o.c_stride);
                        _mm_prefetch::<_MM_HINT_T0>(row.cast());
                        _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add($v::COUNT).cast());
                        i += 1;
                    }
                }
                asm!(
                    concat!("/* {r}", $(" {", stringify!($multiple), "}",)* " */"),
                    "sub {k}, 4",
                    "jb 3f",
                    ".p2align 6",
                    "2:",
                    ".rept 4",
                    $load,
                    $last,
                    $($store,)*
                    $(
                        concat!($splat, " {x}, ", $at),
                        concat!($fma, " {", stringify!($s), "}, {x}, {p}"),
                        concat!($fma, " {", stringify!($t), "}, {x}, {q}"),
                    )+
                    "add {a}, {a_step}",
                    "add {b}, {b_step}",
                    ".endr",
                    "sub {k}, 4",
                    "jae 2b",
                    "3:",
                    "add {k}, 4",
                    "jz 5f",
                    "4:",
                    $load,
                    $last,
                    $($store,)*
                    $(
                        concat!($splat, " {x}, ", $at),
                        concat!($fma, " {", stringify!($s), "}, {x}, {p}"),
                        concat!($fma, " {", stringify!($t), "}, {x}, {q}"),
                    )+
                    "add {a}, {a_step}",
                    "add {b}, {b_step}",
                    "dec {k}",
                    "jnz 4b",
                    "5:",
                    k = inout(reg) k => _,
                    a = inout(reg) o.a => _,
                    b = inout(reg) o.b => _,
                    a_step = in(reg) o.a_strides[1] * size_of::<<$v as Lanes>::Value>(),
                    b_step = in(reg) o.b_strides[0] * size_of::<<$v as Lanes>::Value>(),
                    r = in(reg) stride,
                    $($multiple = in(reg) $times * stride,)*
                    $($s = inout($reg) $s, $t = inout($reg) $t,)+
                    p = out($reg) _,
                    q = out($reg) _,
                    x = out($reg) _,
                    $(mask = in($mask) mask,)?
                    $($panel = inout(reg) o.$panel => _,)?
                    options(nostack)
                );
                let sums = [$([$s, $t]),+];
                let mut i = 0;
                while i < sums.len() {
                    put(sums[i], o.c.wrapping_add(i * o.c_stride), o.add, last, mask);
                    i += 1;
                }
            }
        }
        tile
    }};
}

/// A tile one vector wide; see [`tile_of_two`].
macro_rules! tile_of_one {
    (($v:ident $features:literal $reg:ident $splat:literal $fma:literal [$load:expr] [$($mask:ident)?]
      [$($multiple:ident $times:literal)*]) $(($at:literal $s:ident $t:ident))+) => {{
        #[target_feature(enable = $features)]
        unsafe fn tile(k: usize, last: usize, o: Operands<<$v as Lanes>::Value>) {
            // SAFETY: as in `tile_of_two`.
            unsafe {
                let mask = $v::first(last);
                let stride = o.a_strides[0] * size_of::<<$v as Lanes>::Value>();
                $(let mut $s = $v::zero();)+
                asm!(
                    concat!("/* {r}", $(" {", stringify!($multiple), "}",)* " */"),
                    ".p2align 6",
                    "2:",
                    $load,
                    $(
                        concat!($splat, " {x}, ", $at),
                        concat!($fma, " {", stringify!($s), "}, {x}, {q}"),
                    )+
                    "add {a}, {a_step}",
                    "add {b}, {b_step}",
                    "dec {k}",
                    "jnz 2b",
                    k = inout(reg) k => _,
                    a = inout(reg) o.a => _,
                    b = inout(reg) o.b => _,
                    a_step = in(reg) o.a_strides[1] * size_of::<<$v as Lanes>::Value>(),
                    b_step = in(reg) o.b_strides[0] * size_of::<<$v as Lanes>::Value>(),
                    r = in(reg) stride,
                    $($multiple = in(reg) $times * stride,)*
                    $($s = inout($reg) $s,)+
                    q = out($reg) _,
                    x = out($reg) _,
                    $(mask = in($mask) mask,)?
                    options(readonly, nostack)
                );
                let sums = [$([$s]),+];
                let mut i = 0;
                while i < sums.len() {
                    put(sums[i], o.c.wrapping_add(i * o.c_stride), o.add, last, mask);
                    i += 1;
                }
            }
        }
        tile
    }};
}

/// The vectors of a row: where the last one is, and where those before are, with the names of their sums.
macro_rules! columns {
    ($args:tt 1) => { row_of!($args "0*") };
    ($args:tt 2) => { row_of!($args "1*" ("0*" s0)) };
    ($args:tt 3) => { row_of!($args "2*" ("0*" s0) ("1*" s1)) };
    ($args:tt 4) => { row_of!($args "3*" ("0*" s0) ("1*" s1) ("2*" s2)) };
    ($args:tt 5) => { row_of!($args "4*" ("0*" s0) ("1*" s1) ("2*" s2) ("3*" s3)) };
    ($args:tt 6) => { row_of!($args "5*" ("0*" s0) ("1*" s1) ("2*" s2) ("3*" s3) ("4*" s4)) };
    ($args:tt 7) => { row_of!($args "6*" ("0*" s0) ("1*" s1) ("2*" s2) ("3*" s3) ("4*" s4) ("5*" s5)) };
    ($args:tt 8) => { row_of!($args "7*" ("0*" s0) ("1*" s1) ("2*" s2) ("3*" s3) ("4*" s4) ("5*" s5) ("6*" s6)) };
}

/// One row of many vectors, which has sums enough to keep the multipliers busy. The arguments are those of [`tile_of_two`], but
/// for the bytes of a vector and the load of the last one without its address.
macro_rules! row_of {
    (($v:ident $features:literal $reg:ident $splat:literal $fma:literal $bytes:literal [$load:expr] [$($mask:ident)?])
     $last:literal $(($at:literal $s:ident))*) => {{
        #[target_feature(enable = $features)]
        unsafe fn tile(k: usize, last: usize, o: Operands<<$v as Lanes>::Value>) {
            // SAFETY: as in `tile_of_two`.
            unsafe {
                let mask = $v::first(last);
                $(let mut $s = $v::zero();)*
                let mut end = $v::zero();
                asm!(
                    ".p2align 6",
                    "2:",
                    concat!($splat, " {x}, [{a}]"),
                    $(concat!($fma, " {", stringify!($s), "}, {x}, [{b} + ", $at, $bytes, "]"),)*
                    concat!($load, ", [{b} + ", $last, $bytes, "]"),
                    concat!($fma, " {end}, {x}, {q}"),
                    "add {a}, {a_step}",
                    "add {b}, {b_step}",
                    "dec {k}",
                    "jnz 2b",
                    k = inout(reg) k => _,
                    a = inout(reg) o.a => _,
                    b = inout(reg) o.b => _,
                    a_step = in(reg) o.a_strides[1] * size_of::<<$v as Lanes>::Value>(),
                    b_step = in(reg) o.b_strides[0] * size_of::<<$v as Lanes>::Value>(),
                    $($s = inout($reg) $s,)*
                    end = inout($reg) end,
                    q = out($reg) _,
                    x = out($reg) _,
                    $(mask = in($mask) mask,)?
                    options(readonly, nostack)
                );
                put([$($s,)* end], o.c, o.add, last, mask);
            }
        }
        tile
    }};
}

/// The tiles of an instruction set: type of numbers, vectors, processor features, register class, instructions, the load of a part
/// of a vector, the mask's register, multiples of the row stride that rows need, and the numbers of rows.
macro_rules! tiles {
    ($t:ident $v:ident $features:literal $reg:ident $splat:literal $fma:literal $bytes:literal [$load:literal $part:literal]
     [$mask:ident] $multiples:tt [$($rows:tt)*]) => {
        Tiles {
            lanes: <$v as Lanes>::COUNT,
            rows: &[$($rows),*],
            whole: [
                &[$(rows!(tile_of_one ($v $features $reg $splat $fma [concat!($load, " {q}, [{b}]")] [] $multiples) $rows)),*],
                &[$(rows!(tile_of_two ($v $features $reg $splat $fma
                    [concat!($load, " {p}, [{b}]"), concat!($load, " {q}, [{b} + ", $bytes, "]")] [] $multiples [] []) $rows)),*],
            ],
            part: [
                &[$(rows!(tile_of_one ($v $features $reg $splat $fma
                    [concat!($part, ", [{b}]")] [$mask] $multiples) $rows)),*],
                &[$(rows!(tile_of_two ($v $features $reg $splat $fma
                    [concat!($load, " {p}, [{b}]"), concat!($part, ", [{b} + ", $bytes, "]")]
                    [$mask] $multiples [] []) $rows)),*],
            ],
            packing: tiles!(@packing ($v $features $reg $splat $fma
                [concat!($load, " {p}, [{b}]"), concat!($load, " {q}, [{b} + ", $bytes, "]")] [] $multiples
                [concat!($load, " [{panel}], {p}"), concat!($load, " [{panel} + ", $bytes, "], {q}"),
                 concat!("add {panel}, 2*", $bytes)] [panel]) $($rows)*),
            row: [
                tiles!(@rows ($v $features $reg $splat $fma $bytes [concat!($load, " {q}")] []) 1 2 3 4 5 6 7 8),
                tiles!(@rows ($v $features $reg $splat $fma $bytes [$part] [$mask]) 1 2 3 4 5 6 7 8),
            ],
        }
    };
    (@packing $args:tt $most:tt $($rows:tt)*) => { rows!(tile_of_two $args $most) };
    (@rows $args:tt $($vectors:tt)*) => { [$(columns!($args $vectors)),*] };
}

/// AVX2 with FMA: 16 registers hold 6 rows of two vectors, two vectors of B, a number of A and a mask.
pub static F32_AVX2: Tiles<f32> = tiles!(
    f32 __m256 "avx2,fma" ymm_reg "vbroadcastss" "vfmadd231ps" "32" ["vmovups" "vmaskmovps {q}, {mask}"] [ymm_reg]
    [r3 3 r5 5] [6 5 4 3 2 1]
);
pub static F64_AVX2: Tiles<f64> = tiles!(
    f64 __m256d "avx2,fma" ymm_reg "vbroadcastsd" "vfmadd231pd" "32" ["vmovupd" "vmaskmovpd {q}, {mask}"] [ymm_reg]
    [r3 3 r5 5] [6 5 4 3 2 1]
);
/// AVX-512: 12 rows of two vectors in 24 of 32 registers.
pub static F32_AVX512: Tiles<f32> = tiles!(
    f32 __m512 "avx512f" zmm_reg "vbroadcastss" "vfmadd231ps" "64" ["vmovups" "vmovups {q} {{{mask}}} {{z}}"] [kreg]
    [r3 3 r5 5 r7 7 r9 9 r11 11] [12 8 7 6 4 3 2 1]
);
pub static F64_AVX512: Tiles<f64> = tiles!(
    f64 __m512d "avx512f" zmm_reg "vbroadcastsd" "vfmadd231pd" "64" ["vmovupd" "vmovupd {q} {{{mask}}} {{z}}"] [kreg]
    [r3 3 r5 5 r7 7 r9 9 r11 11] [12 8 7 6 4 3 2 1]
);
