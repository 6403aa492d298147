//! The inner loops of matrix products: one tile of C in vector registers, for processors with AVX2 and FMA or with AVX-512.
//!
//! The loops are written in assembly: a compiler's version of the AVX2 loop, which fills all 16 registers, copies and spills them
//! (0.40 of the peak where this one reaches 0.97), and where the loop begins in memory, which costs up to a fifth, is left to chance.

use std::arch::asm;
use std::arch::x86_64::*;

/// Steps of k between two additions to C, matrixmultiply's `KC`.
pub const BLOCK: usize = 256;

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
    /// How far behind B lies what will be read next, in bytes: for the tiles that fetch it.
    pub ahead: usize,
    pub add: bool,
}

/// Computes a tile: `k` ≥ 1 steps, `last` lanes of the last vector.
///
/// # Safety
/// The processor has the instruction set; all elements of the tile's rows, columns and steps lie in their allocations.
pub type Tile<T> = unsafe fn(k: usize, last: usize, o: &Operands<T>);

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
    /// Tiles of two whole vectors, by `rows`, which fetch what lies ahead of B; and those that write the vectors of B that they read one after the
    /// other into a panel besides.
    pub fetching: &'static [Tile<T>],
    pub packing: &'static [Tile<T>],
    /// One row of 1 to 8 vectors.
    pub row: [[Tile<T>; 8]; 2],
}

impl<T> Tiles<T> {
    /// The tile of one or two vectors for some of the `left` rows, and how many: never so few at the end, if that can be helped,
    /// that their sums do not keep the multipliers busy.
    pub fn choose(&self, left: usize, vectors: usize, last: usize) -> (Tile<T>, usize) {
        let at = self.place(left);
        let tiles = if last == self.lanes { &self.whole } else { &self.part };
        (tiles[vectors - 1][at], self.rows[at])
    }

    /// Where that number of rows stands in `rows`.
    pub fn place(&self, left: usize) -> usize {
        let most = self.rows[0];
        let wanted = if left <= most || left >= most + 4 { left } else { left.div_ceil(2) };
        self.rows.iter().position(|&rows| rows <= wanted).unwrap_or(self.rows.len() - 1)
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
    ($v:ident, $t:ident, $count:literal, $mask:ty, $first:expr, $load:ident, $load_part:expr, $store:ident,
     $store_part:expr, $add:ident) => {
        // SAFETY (every method and block below): the caller has the processor feature and the addresses, see the trait.
        #[allow(unused_unsafe, clippy::redundant_closure_call)]
        impl Lanes for $v {
            type Value = $t;
            type Mask = $mask;
            const COUNT: usize = $count;

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
pub unsafe fn put<V: Lanes, const N: usize>(sums: [V; N], at: *mut V::Value, add: bool, last: usize, mask: V::Mask) {
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

/// Rows of a tile: where a row's element of A is, seen from `a`, or from `a2` six rows on, in row strides (`r3` and `r5` are three and
/// five of them), and the names and registers of its two sums. The registers are named one by one, as without optimisation the
/// compiler does not find places for so many by itself.
macro_rules! rows {
    ($make:ident $args:tt zmm 12 $($row:tt)*) => {
        rows!($make $args zmm 11 ("[{a2} + {r5}]" s11 t11 "zmm22" "zmm23") $($row)*)
    };
    ($make:ident $args:tt zmm 11 $($row:tt)*) => {
        rows!($make $args zmm 10 ("[{a2} + 4*{r}]" s10 t10 "zmm20" "zmm21") $($row)*)
    };
    ($make:ident $args:tt zmm 10 $($row:tt)*) => {
        rows!($make $args zmm 9 ("[{a2} + {r3}]" s9 t9 "zmm18" "zmm19") $($row)*)
    };
    ($make:ident $args:tt zmm 9 $($row:tt)*) => {
        rows!($make $args zmm 8 ("[{a2} + 2*{r}]" s8 t8 "zmm16" "zmm17") $($row)*)
    };
    ($make:ident $args:tt zmm 8 $($row:tt)*) => {
        rows!($make $args zmm 7 ("[{a2} + {r}]" s7 t7 "zmm14" "zmm15") $($row)*)
    };
    ($make:ident $args:tt zmm 7 $($row:tt)*) => {
        rows!($make $args zmm 6 ("[{a2}]" s6 t6 "zmm12" "zmm13") $($row)*)
    };
    ($make:ident $args:tt zmm 6 $($row:tt)*) => {
        rows!($make $args zmm 5 ("[{a} + {r5}]" s5 t5 "zmm10" "zmm11") $($row)*)
    };
    ($make:ident $args:tt zmm 5 $($row:tt)*) => {
        rows!($make $args zmm 4 ("[{a} + 4*{r}]" s4 t4 "zmm8" "zmm9") $($row)*)
    };
    ($make:ident $args:tt zmm 4 $($row:tt)*) => {
        rows!($make $args zmm 3 ("[{a} + {r3}]" s3 t3 "zmm6" "zmm7") $($row)*)
    };
    ($make:ident $args:tt zmm 3 $($row:tt)*) => {
        rows!($make $args zmm 2 ("[{a} + 2*{r}]" s2 t2 "zmm4" "zmm5") $($row)*)
    };
    ($make:ident $args:tt zmm 2 $($row:tt)*) => {
        rows!($make $args zmm 1 ("[{a} + {r}]" s1 t1 "zmm2" "zmm3") $($row)*)
    };
    ($make:ident $args:tt zmm 1 $($row:tt)*) => { $make!($args ("[{a}]" s0 t0 "zmm0" "zmm1") $($row)*) };
    ($make:ident $args:tt ymm 6 $($row:tt)*) => {
        rows!($make $args ymm 5 ("[{a} + {r5}]" s5 t5 "ymm10" "ymm11") $($row)*)
    };
    ($make:ident $args:tt ymm 5 $($row:tt)*) => {
        rows!($make $args ymm 4 ("[{a} + 4*{r}]" s4 t4 "ymm8" "ymm9") $($row)*)
    };
    ($make:ident $args:tt ymm 4 $($row:tt)*) => {
        rows!($make $args ymm 3 ("[{a} + {r3}]" s3 t3 "ymm6" "ymm7") $($row)*)
    };
    ($make:ident $args:tt ymm 3 $($row:tt)*) => {
        rows!($make $args ymm 2 ("[{a} + 2*{r}]" s2 t2 "ymm4" "ymm5") $($row)*)
    };
    ($make:ident $args:tt ymm 2 $($row:tt)*) => {
        rows!($make $args ymm 1 ("[{a} + {r}]" s1 t1 "ymm2" "ymm3") $($row)*)
    };
    ($make:ident $args:tt ymm 1 $($row:tt)*) => { $make!($args ("[{a}]" s0 t0 "ymm0" "ymm1") $($row)*) };
}

/// A tile two vectors wide. The arguments: vector type and processor features; instructions that set a register to zero, spread one
/// number over a vector, and multiply and add; registers for two vectors of B and a number of A; how the vectors of B are loaded,
/// and the mask's register where lanes are missing; the second pointer to A where there are more than six rows; what is done
/// with the vectors of B besides (they are written to a panel, what lies ahead is fetched), and the pointer to the panel and the distance for that.
macro_rules! tile_of_two {
    (($v:ident $features:literal $zero:literal $splat:literal $fma:literal [$p:tt $q:tt $x:tt]
      [$load:expr, $last:expr] [$($mask:tt)?] [$($second:ident)?] [$($store:expr),*] [$($panel:ident)?] [$($ahead:ident)?])
     $(($at:literal $s:ident $t:ident $sr:tt $tr:tt))+) => {{
        #[target_feature(enable = $features)]
        unsafe fn tile(k: usize, last: usize, o: &Operands<<$v as Lanes>::Value>) {
            // SAFETY: the caller's promise; the loop reads the tile's elements of A and B, and writes the panel if there is one.
            unsafe {
                let mask = $v::first(last);
                let stride = o.a_strides[0] * size_of::<<$v as Lanes>::Value>();
                $(let ($s, $t): ($v, $v);)+
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
                // Four steps at a time, then those that are left.
                asm!(
                    concat!("/* {r} {r3} {r5}", $(" {", stringify!($second), "}",)? " */"),
                    $(
                        concat!($zero, " ", $sr, ", ", $sr, ", ", $sr),
                        concat!($zero, " ", $tr, ", ", $tr, ", ", $tr),
                    )+
                    "sub {k}, 4",
                    "jb 3f",
                    ".p2align 6",
                    "2:",
                    ".rept 4",
                    $load,
                    $last,
                    $($store,)*
                    $(
                        concat!($splat, " ", $x, ", ", $at),
                        concat!($fma, " ", $sr, ", ", $x, ", ", $p),
                        concat!($fma, " ", $tr, ", ", $x, ", ", $q),
                    )+
                    "add {a}, {a_step}",
                    $(concat!("add {", stringify!($second), "}, {a_step}"),)?
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
                        concat!($splat, " ", $x, ", ", $at),
                        concat!($fma, " ", $sr, ", ", $x, ", ", $p),
                        concat!($fma, " ", $tr, ", ", $x, ", ", $q),
                    )+
                    "add {a}, {a_step}",
                    $(concat!("add {", stringify!($second), "}, {a_step}"),)?
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
                    r3 = in(reg) 3 * stride,
                    r5 = in(reg) 5 * stride,
                    $($second = inout(reg) o.a.wrapping_add(6 * o.a_strides[0]) => _,)?
                    $($panel = inout(reg) o.$panel => _,)?
                    $($ahead = in(reg) o.$ahead,)?
                    $(out($sr) $s, out($tr) $t,)+
                    out($p) _,
                    out($q) _,
                    out($x) _,
                    $(in($mask) mask,)?
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

/// Multiplies a vector by one number in memory and adds it to a sum, where the number is used only once. AVX-512 spreads it over the
/// vector in the same instruction: a load of its own took a quarter of the time.
macro_rules! once {
    ((spread $splat:literal) $fma:literal $sum:tt $b:tt $x:tt $at:literal) => {
        concat!($splat, " ", $x, ", ", $at, "\n", $fma, " ", $sum, ", ", $x, ", ", $b)
    };
    ((embedded $size:literal $to:literal) $fma:literal $sum:tt $b:tt $x:tt $at:literal) => {
        concat!($fma, " ", $sum, ", ", $b, ", ", $size, " ", $at, $to)
    };
}

/// A tile one vector wide; see [`tile_of_two`].
macro_rules! tile_of_one {
    (($v:ident $features:literal $zero:literal $once:tt $fma:literal [$p:tt $q:tt $x:tt]
      [$load:expr] [$($mask:tt)?] [$($second:ident)?])
     $(($at:literal $s:ident $t:ident $sr:tt $tr:tt))+) => {{
        #[target_feature(enable = $features)]
        unsafe fn tile(k: usize, last: usize, o: &Operands<<$v as Lanes>::Value>) {
            // SAFETY: as in `tile_of_two`.
            unsafe {
                let mask = $v::first(last);
                let stride = o.a_strides[0] * size_of::<<$v as Lanes>::Value>();
                $(let $s: $v;)+
                asm!(
                    concat!("/* {r} {r3} {r5}", $(" {", stringify!($second), "}",)? " */"),
                    $(concat!($zero, " ", $sr, ", ", $sr, ", ", $sr),)+
                    ".p2align 6",
                    "2:",
                    $load,
                    $(once!($once $fma $sr $q $x $at),)+
                    "add {a}, {a_step}",
                    $(concat!("add {", stringify!($second), "}, {a_step}"),)?
                    "add {b}, {b_step}",
                    "dec {k}",
                    "jnz 2b",
                    k = inout(reg) k => _,
                    a = inout(reg) o.a => _,
                    b = inout(reg) o.b => _,
                    a_step = in(reg) o.a_strides[1] * size_of::<<$v as Lanes>::Value>(),
                    b_step = in(reg) o.b_strides[0] * size_of::<<$v as Lanes>::Value>(),
                    r = in(reg) stride,
                    r3 = in(reg) 3 * stride,
                    r5 = in(reg) 5 * stride,
                    $($second = inout(reg) o.a.wrapping_add(6 * o.a_strides[0]) => _,)?
                    $(out($sr) $s,)+
                    out($q) _,
                    out($x) _,
                    $(in($mask) mask,)?
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

/// The vectors of a row: where the last one is, and where those before are, with the names and registers of their sums.
macro_rules! columns {
    ($args:tt $set:ident 1) => { columns!($args $set 1 "0*") };
    ($args:tt $set:ident 2) => { columns!($args $set 2 "1*") };
    ($args:tt $set:ident 3) => { columns!($args $set 3 "2*") };
    ($args:tt $set:ident 4) => { columns!($args $set 4 "3*") };
    ($args:tt $set:ident 5) => { columns!($args $set 5 "4*") };
    ($args:tt $set:ident 6) => { columns!($args $set 6 "5*") };
    ($args:tt $set:ident 7) => { columns!($args $set 7 "6*") };
    ($args:tt $set:ident 8) => { columns!($args $set 8 "7*") };
    ($args:tt zmm 8 $last:literal $($column:tt)*) => { columns!($args zmm 7 $last ("6*" s6 "zmm6") $($column)*) };
    ($args:tt zmm 7 $last:literal $($column:tt)*) => { columns!($args zmm 6 $last ("5*" s5 "zmm5") $($column)*) };
    ($args:tt zmm 6 $last:literal $($column:tt)*) => { columns!($args zmm 5 $last ("4*" s4 "zmm4") $($column)*) };
    ($args:tt zmm 5 $last:literal $($column:tt)*) => { columns!($args zmm 4 $last ("3*" s3 "zmm3") $($column)*) };
    ($args:tt zmm 4 $last:literal $($column:tt)*) => { columns!($args zmm 3 $last ("2*" s2 "zmm2") $($column)*) };
    ($args:tt zmm 3 $last:literal $($column:tt)*) => { columns!($args zmm 2 $last ("1*" s1 "zmm1") $($column)*) };
    ($args:tt zmm 2 $last:literal $($column:tt)*) => { columns!($args zmm 1 $last ("0*" s0 "zmm0") $($column)*) };
    ($args:tt ymm 8 $last:literal $($column:tt)*) => { columns!($args ymm 7 $last ("6*" s6 "ymm6") $($column)*) };
    ($args:tt ymm 7 $last:literal $($column:tt)*) => { columns!($args ymm 6 $last ("5*" s5 "ymm5") $($column)*) };
    ($args:tt ymm 6 $last:literal $($column:tt)*) => { columns!($args ymm 5 $last ("4*" s4 "ymm4") $($column)*) };
    ($args:tt ymm 5 $last:literal $($column:tt)*) => { columns!($args ymm 4 $last ("3*" s3 "ymm3") $($column)*) };
    ($args:tt ymm 4 $last:literal $($column:tt)*) => { columns!($args ymm 3 $last ("2*" s2 "ymm2") $($column)*) };
    ($args:tt ymm 3 $last:literal $($column:tt)*) => { columns!($args ymm 2 $last ("1*" s1 "ymm1") $($column)*) };
    ($args:tt ymm 2 $last:literal $($column:tt)*) => { columns!($args ymm 1 $last ("0*" s0 "ymm0") $($column)*) };
    ($args:tt $set:ident 1 $last:literal $($column:tt)*) => { row_of!($args $last $($column)*) };
}

/// One row of many vectors, which has sums enough to keep the multipliers busy. The arguments are those of [`tile_of_two`], but
/// for the bytes of a vector and the load of the last one without its address; its sum is in the register `p`.
macro_rules! row_of {
    (($v:ident $features:literal $zero:literal $splat:literal $fma:literal [$p:tt $q:tt $x:tt] $bytes:literal
      [$load:expr] [$($mask:tt)?]) $last:literal $(($at:literal $s:ident $sr:tt))*) => {{
        #[target_feature(enable = $features)]
        unsafe fn tile(k: usize, last: usize, o: &Operands<<$v as Lanes>::Value>) {
            // SAFETY: as in `tile_of_two`.
            unsafe {
                let mask = $v::first(last);
                let end: $v;
                $(let $s: $v;)*
                asm!(
                    concat!($zero, " ", $p, ", ", $p, ", ", $p),
                    $(concat!($zero, " ", $sr, ", ", $sr, ", ", $sr),)*
                    ".p2align 6",
                    "2:",
                    concat!($splat, " ", $x, ", [{a}]"),
                    $(concat!($fma, " ", $sr, ", ", $x, ", [{b} + ", $at, $bytes, "]"),)*
                    concat!($load, ", [{b} + ", $last, $bytes, "]"),
                    concat!($fma, " ", $p, ", ", $x, ", ", $q),
                    "add {a}, {a_step}",
                    "add {b}, {b_step}",
                    "dec {k}",
                    "jnz 2b",
                    k = inout(reg) k => _,
                    a = inout(reg) o.a => _,
                    b = inout(reg) o.b => _,
                    a_step = in(reg) o.a_strides[1] * size_of::<<$v as Lanes>::Value>(),
                    b_step = in(reg) o.b_strides[0] * size_of::<<$v as Lanes>::Value>(),
                    $(out($sr) $s,)*
                    out($p) end,
                    out($q) _,
                    out($x) _,
                    $(in($mask) mask,)?
                    options(readonly, nostack)
                );
                put([$($s,)* end], o.c, o.add, last, mask);
            }
        }
        tile
    }};
}

/// The tiles of an instruction set: vector type, processor features and instructions; registers for B and A, and the bytes of a vector;
/// the load of a vector and of its first lanes, the mask's register, the second pointer to A; the name of the registers, the
/// numbers of rows, and how the lines of two vectors ahead are fetched.
macro_rules! tiles {
    ($v:ident $features:literal $zero:literal $splat:literal $once:tt $fma:literal [$p:tt $q:tt $x:tt] $bytes:literal
     [$load:literal $part:literal] $mask:tt $second:tt $set:ident [$($rows:tt)*] [$($fetch:literal),+]) => {
        Tiles {
            lanes: <$v as Lanes>::COUNT,
            rows: &[$($rows),*],
            whole: [
                &[$(rows!(tile_of_one ($v $features $zero $once $fma [$p $q $x]
                    [concat!($load, " ", $q, ", [{b}]")] [] $second) $set $rows)),*],
                &[$(rows!(tile_of_two ($v $features $zero $splat $fma [$p $q $x]
                    [concat!($load, " ", $p, ", [{b}]"), concat!($load, " ", $q, ", [{b} + ", $bytes, "]")]
                    [] $second [] [] []) $set $rows)),*],
            ],
            part: [
                &[$(rows!(tile_of_one ($v $features $zero $once $fma [$p $q $x]
                    [concat!($part, ", [{b}]")] $mask $second) $set $rows)),*],
                &[$(rows!(tile_of_two ($v $features $zero $splat $fma [$p $q $x]
                    [concat!($load, " ", $p, ", [{b}]"), concat!($part, ", [{b} + ", $bytes, "]")]
                    $mask $second [] [] []) $set $rows)),*],
            ],
            fetching: tiles!(@each ($v $features $zero $splat $fma [$p $q $x]
                [concat!($load, " ", $p, ", [{b}]"), concat!($load, " ", $q, ", [{b} + ", $bytes, "]")] [] $second
                [$($fetch),+] [] [ahead]) $set $($rows)*),
            packing: tiles!(@each ($v $features $zero $splat $fma [$p $q $x]
                [concat!($load, " ", $p, ", [{b}]"), concat!($load, " ", $q, ", [{b} + ", $bytes, "]")] [] $second
                [concat!($load, " [{panel}], ", $p), concat!($load, " [{panel} + ", $bytes, "], ", $q),
                 concat!("add {panel}, 2*", $bytes), $($fetch),+] [panel] [ahead]) $set $($rows)*),
            row: [
                tiles!(@rows ($v $features $zero $splat $fma [$p $q $x] $bytes [concat!($load, " ", $q)] [])
                    $set 1 2 3 4 5 6 7 8),
                tiles!(@rows ($v $features $zero $splat $fma [$p $q $x] $bytes [$part] $mask) $set 1 2 3 4 5 6 7 8),
            ],
        }
    };
    (@each $args:tt $set:ident $($rows:tt)*) => { &[$(rows!(tile_of_two $args $set $rows)),*] };
    (@rows $args:tt $set:ident $($vectors:tt)*) => { [$(columns!($args $set $vectors)),*] };
}

/// AVX2 with FMA: 16 registers hold 6 rows of two vectors, two vectors of B, a number of A and a mask.
pub static F32_AVX2: Tiles<f32> = tiles!(
    __m256 "avx2,fma" "vxorps" "vbroadcastss" (spread "vbroadcastss") "vfmadd231ps" ["ymm12" "ymm13" "ymm14"] "32"
    ["vmovups" "vmaskmovps ymm13, ymm15"] ["ymm15"] [] ymm [6 5 4 3 2 1]
    ["prefetcht1 [{b} + {ahead}]"]
);
pub static F64_AVX2: Tiles<f64> = tiles!(
    __m256d "avx2,fma" "vxorps" "vbroadcastsd" (spread "vbroadcastsd") "vfmadd231pd" ["ymm12" "ymm13" "ymm14"] "32"
    ["vmovupd" "vmaskmovpd ymm13, ymm15"] ["ymm15"] [] ymm [6 5 4 3 2 1]
    ["prefetcht1 [{b} + {ahead}]"]
);
/// AVX-512: 12 rows of two vectors in 24 of 32 registers.
pub static F32_AVX512: Tiles<f32> = tiles!(
    __m512 "avx512f" "vpxord" "vbroadcastss" (embedded "dword ptr" "{{1to16}}") "vfmadd231ps" ["zmm24" "zmm25" "zmm26"] "64"
    ["vmovups" "vmovups zmm25 {{k1}} {{z}}"] ["k1"] [a2] zmm [12 8 7 6 4 3 2 1]
    ["prefetcht1 [{b} + {ahead}]", "prefetcht1 [{b} + {ahead} + 64]"]
);
pub static F64_AVX512: Tiles<f64> = tiles!(
    __m512d "avx512f" "vpxord" "vbroadcastsd" (embedded "qword ptr" "{{1to8}}") "vfmadd231pd" ["zmm24" "zmm25" "zmm26"] "64"
    ["vmovupd" "vmovupd zmm25 {{k1}} {{z}}"] ["k1"] [a2] zmm [12 8 7 6 4 3 2 1]
    ["prefetcht1 [{b} + {ahead}]", "prefetcht1 [{b} + {ahead} + 64]"]
);
