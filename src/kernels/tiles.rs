//! Matrix products on tiles of C that stay in vector registers, for processors with AVX2 and FMA or with AVX-512.
//!
//! Every element of C is one chain of fused multiply-adds over ascending k within blocks of [`BLOCK`], the blocks added in
//! order: the bits of matrixmultiply 0.3.11 on the same processor, whatever the tile. So which of the two computes a product,
//! and how many rows come together, changes no result; tests hold them against each other.

use std::arch::x86_64::*;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use super::gemv::{self, Turned};
use super::simd::{Level, level};
use super::tile::{BLOCK, F32_AVX2, F32_AVX512, F64_AVX2, F64_AVX512, Operands, Tiles};

/// Rows of A that are few: reading B takes longer than multiplying.
const FEW: usize = 4;

/// Bytes of A that are packed at a time; more rows than these hold go one part after the other.
const PACKED_ROWS: usize = 1 << 20;

/// Bytes of B above which few rows go through it line by line: it does not stay in the second-level cache.
const STREAMED: usize = 1 << 18;

/// Values of f64 or twice as many of f32.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    _values: [MaybeUninit<u64>; 8],
}

/// Lines of a block of B.
const PANEL: usize = BLOCK * 2;

const _: () = assert!(gemv::STREAM <= PANEL * size_of::<Line>());

const LINE: Line = Line { _values: [MaybeUninit::uninit(); 8] };

/// Room for a block of B two vectors wide, in f32 or f64 and for either instruction set, and a line that packing may write past
/// its end.
struct Space {
    panel: [Line; PANEL + 1],
    /// Packed rows of A.
    rows: Vec<Line>,
}

thread_local! {
    /// Each thread's space. Not on the stack: see docs/performance.md on large frames.
    static SPACE: UnsafeCell<Space> = const { UnsafeCell::new(Space { panel: [LINE; PANEL + 1], rows: Vec::new() }) };
}

/// Hands on room for [`gemv::STREAM`] bytes of sums.
fn with_sums<T>(f: impl FnOnce(*mut T)) {
    // SAFETY: nothing that is handed the room calls back, so the thread's space has no other user.
    SPACE.with(|space| f(unsafe { &mut *space.get() }.panel.as_mut_ptr().cast()));
}

/// f32 and f64.
pub trait Number: Turned {
    /// The tiles of an instruction set; `None` where there are none.
    fn tiles(level: Level) -> Option<&'static Tiles<Self>>;

    /// Numbers that [`transpose`](Self::transpose) takes in either direction.
    const SQUARE: usize;

    /// Writes a square of numbers, read from rows at these places, column after column, `width` numbers apart; in ascending
    /// order, so that what one column writes past its end is overwritten by the next.
    ///
    /// # Safety
    /// The processor has AVX2; `SQUARE` numbers can be read at each place and written at each of `SQUARE` columns.
    unsafe fn transpose(from: [*const Self; 8], to: *mut Self, width: usize);
}

impl Number for f32 {
    fn tiles(level: Level) -> Option<&'static Tiles<f32>> {
        match level {
            Level::Avx512 => Some(&F32_AVX512),
            Level::Avx2 => Some(&F32_AVX2),
            Level::Other => None,
        }
    }

    const SQUARE: usize = 8;

    #[target_feature(enable = "avx2")]
    unsafe fn transpose(from: [*const f32; 8], to: *mut f32, width: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let columns = gemv::turned_f32(from.map(|at| _mm256_loadu_ps(at)));
            for (j, column) in columns.into_iter().enumerate() {
                _mm256_storeu_ps(to.add(j * width), column);
            }
        }
    }
}

impl Number for f64 {
    fn tiles(level: Level) -> Option<&'static Tiles<f64>> {
        match level {
            Level::Avx512 => Some(&F64_AVX512),
            Level::Avx2 => Some(&F64_AVX2),
            Level::Other => None,
        }
    }

    const SQUARE: usize = 4;

    #[target_feature(enable = "avx2")]
    unsafe fn transpose([a, b, c, d, ..]: [*const f64; 8], to: *mut f64, width: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let columns = gemv::turned_f64([a, b, c, d].map(|at| _mm256_loadu_pd(at)));
            for (j, column) in columns.into_iter().enumerate() {
                _mm256_storeu_pd(to.add(j * width), column);
            }
        }
    }
}

/// C = A·B, or C += A·B with `add`; false where the processor is not one for these kernels, and nothing has been done.
///
/// # Safety
/// Every element that sizes and strides address must lie in its allocation, and C must not overlap A or B.
#[allow(clippy::too_many_arguments)]
#[inline(always)] // So that what is handed on stays in registers.
pub unsafe fn product<T: Number>(
    [m, k, n]: [usize; 3],
    a: *const T,
    a_strides: [usize; 2],
    b: *const T,
    b_strides: [usize; 2],
    add: bool,
    c: *mut T,
    c_stride: usize,
) -> bool {
    let level = level();
    let Some(tiles) = T::tiles(level) else { return false };
    let mut o = Operands { a, a_strides, b, b_strides, c, c_stride, panel: std::ptr::null_mut(), ahead: 0, add };
    // What is most frequent where the way to the product takes as long as the product comes first.
    let short = (1..=BLOCK).contains(&k) && b_strides[1] == 1;
    // SAFETY: the caller's promise, and the processor has what the tiles need.
    unsafe {
        if m < FEW && b_strides[0] == 1 && b_strides[1] != 1 && k >= gemv::STEPS {
            gemv::by_columns([m, k, n], o);
        } else if short && m < FEW && n <= STREAMED / (BLOCK * size_of::<T>()) {
            narrow(tiles, [m, k, n], &mut o);
        } else if short && m >= FEW && n <= 32 {
            direct(tiles, [m, k, n], &mut o);
        } else {
            blocks(level, tiles, [m, k, n], o);
        }
    }
    true
}

/// [`product`] block after block of k.
///
/// # Safety
/// As [`product`], and the processor has the instruction set of the tiles.
unsafe fn blocks<T: Number>(level: Level, tiles: &Tiles<T>, [m, k, n]: [usize; 3], o: Operands<T>) {
    let Operands { a, a_strides, b, b_strides, c, c_stride, add, .. } = o;
    if k == 0 && !add {
        for i in 0..m {
            // SAFETY: row i of C.
            unsafe { std::slice::from_raw_parts_mut(c.add(i * c_stride), n).fill(T::zero()) };
        }
    }
    let stands = b_strides[1] == 1 && stands([m, k, n]);
    // Not for lines that a tile of one row takes whole: these follow each other in memory as they are.
    let streams = m < FEW && n > 8 * tiles.lanes && k.saturating_mul(n).saturating_mul(size_of::<T>()) > STREAMED;
    if !stands && b_strides[1] == 1 {
        fetch(o.b, b_strides[0], BLOCK.min(k), n.min(2 * tiles.lanes));
    }
    for start in (0..k).step_by(BLOCK) {
        let (a, b) = (a.wrapping_add(start * a_strides[1]), b.wrapping_add(start * b_strides[0]));
        let mut o = Operands { a, b, add: add || start > 0, ..o };
        let size = [m, BLOCK.min(k - start), n];
        // SAFETY: the caller's promise.
        unsafe {
            if !stands {
                let next = if start + BLOCK < k { BLOCK * b_strides[0] } else { 0 };
                packed(tiles, size, next, o);
            } else if streams {
                with_sums(|sums| gemv::by_rows(level, size, Operands { panel: sums, ..o }));
            } else {
                direct(tiles, size, &mut o);
            }
        }
    }
}

/// Few rows, few columns or little work: B is read from where it stands, which does not pay where many tiles read it from
/// rows far apart.
fn stands([m, k, n]: [usize; 3]) -> bool {
    m < FEW || n <= 32 || m.saturating_mul(k).saturating_mul(n) <= 1 << 15
}

/// All rows of a panel of one or two vectors; rows of A are packed tile after tile where `packed`. Moves the pointers to A and C: copies
/// of the operands wait for what was written last.
///
/// # Safety
/// As [`product`], and the processor has the instruction set of the tiles.
#[inline(always)]
unsafe fn rows<T: Number>(tiles: &Tiles<T>, [m, k, width]: [usize; 3], packed: bool, o: &mut Operands<T>) {
    // No divisions on the way to a small product.
    let (vectors, last) = if width > tiles.lanes { (2, width - tiles.lanes) } else { (1, width) };
    let (down, mut left) = (o.a_strides[0], m);
    while left > 0 {
        let (tile, done) = tiles.choose(left, vectors, last);
        if packed {
            o.a_strides = [1, done];
        }
        // SAFETY: the caller's promise; `left` rows of A and C are ahead of the pointers.
        unsafe { tile(k, last, o) };
        left -= done;
        o.a = o.a.wrapping_add(if packed { done * k } else { done * down });
        o.c = o.c.wrapping_add(done * o.c_stride);
    }
}

/// One block of k, columns of B contiguous, from where they stand. Moves the pointers.
///
/// # Safety
/// As [`product`], and the processor has the instruction set of the tiles.
unsafe fn direct<T: Number>(tiles: &Tiles<T>, [m, k, n]: [usize; 3], o: &mut Operands<T>) {
    // SAFETY: the caller's promise; panels are disjoint columns.
    unsafe {
        if m < FEW {
            return narrow(tiles, [m, k, n], o);
        }
        let (a, c) = (o.a, o.c);
        let mut column = 0;
        while column < n {
            let width = (n - column).min(2 * tiles.lanes);
            (o.a, o.c) = (a, c.wrapping_add(column));
            rows(tiles, [m, k, width], false, o);
            o.b = o.b.wrapping_add(width);
            column += width;
        }
    }
}

/// [`direct`] for few rows, which have too few sums to keep the multipliers busy, so that more columns come together.
///
/// # Safety
/// As [`product`], and the processor has the instruction set of the tiles.
#[inline]
unsafe fn narrow<T: Number>(tiles: &Tiles<T>, [m, k, n]: [usize; 3], o: &mut Operands<T>) {
    let (a, c) = (o.a, o.c);
    let mut column = 0;
    while column < n {
        // Parts as even as can be.
        let vectors = match (n - column + tiles.lanes - 1) >> tiles.lanes.trailing_zeros() {
            left @ 1..=8 => left,
            9..16 => 6,
            _ => 8,
        };
        let width = (n - column).min(vectors * tiles.lanes);
        let last = width - (vectors - 1) * tiles.lanes;
        let tile = tiles.row[usize::from(last < tiles.lanes)][vectors - 1];
        (o.a, o.c) = (a, c.wrapping_add(column));
        for _ in 0..m {
            // SAFETY: the caller's promise; panels are disjoint columns.
            unsafe { tile(k, last, o) };
            o.a = o.a.wrapping_add(o.a_strides[0]);
            o.c = o.c.wrapping_add(o.c_stride);
        }
        o.b = o.b.wrapping_add(width);
        column += width;
    }
}

/// One block of k, panels of B copied first: for layouts that cannot be read as they stand, or are read often. Rows of A, too, are
/// copied where reading them would be slow. The next block of k begins `next` numbers of B behind this one, unless it is 0.
///
/// # Safety
/// As [`product`], and the processor has the instruction set of the tiles.
unsafe fn packed<T: Number>(tiles: &Tiles<T>, [m, k, n]: [usize; 3], next: usize, o: Operands<T>) {
    SPACE.with(|space| {
        // SAFETY: nothing called here calls back, so the thread's space has no other user.
        let Space { panel, rows: packed_rows } = unsafe { &mut *space.get() };
        let panel: *mut T = panel.as_mut_ptr().cast();
        let each = m.min(PACKED_ROWS / (BLOCK * size_of::<T>()));
        let packs = scattered::<T>(o.a_strides, n) && reserve(packed_rows, each * k * size_of::<T>());
        for row in (0..m).step_by(if packs { each } else { m }) {
            let m = if packs { each.min(m - row) } else { m };
            let mut o =
                Operands { a: o.a.wrapping_add(row * o.a_strides[0]), c: o.c.wrapping_add(row * o.c_stride), ..o };
            // SAFETY: the caller's promise; there is room for what is packed, and panels are disjoint columns.
            unsafe {
                if packs {
                    o.a = pack_rows_of_a(tiles, [m, k], o, packed_rows.as_mut_ptr().cast());
                }
                for column in (0..n).step_by(2 * tiles.lanes) {
                    let width = (n - column).min(2 * tiles.lanes);
                    let b = o.b.wrapping_add(column * o.b_strides[1]);
                    // The panel beside this one; at the end the first of the next block.
                    let ahead = match column + width < n {
                        true => width,
                        false if next > 0 => next.wrapping_sub(column),
                        false => 0,
                    };
                    let ahead = ahead.wrapping_mul(size_of::<T>());
                    let o = Operands { b, c: o.c.wrapping_add(column), panel, ahead, ..o };
                    columns(tiles, [m, k, width], packs, o);
                }
            }
        }
    });
}

/// The rows of A packed in the order in which tiles take them.
///
/// # Safety
/// As [`product`], and the processor has the instruction set of the tiles; `to` has room for m × k numbers and a line.
unsafe fn pack_rows_of_a<T: Number>(tiles: &Tiles<T>, [m, k]: [usize; 2], o: Operands<T>, to: *mut T) -> *const T {
    let mut done = 0;
    while done < m {
        let (_, rows) = tiles.choose(m - done, 2, tiles.lanes);
        // SAFETY: the caller's promise.
        unsafe {
            let from = o.a.add(done * o.a_strides[0]);
            pack(from, [o.a_strides[1], o.a_strides[0]], k, rows, to.add(done * k), rows);
        }
        done += rows;
    }
    to
}

/// All rows of a panel of two vectors at most, copied to `panel` first; rows of A have been packed where `packed`.
///
/// # Safety
/// As [`product`], and the processor has the instruction set of the tiles; the panel has room for a block of k two vectors wide and a line.
unsafe fn columns<T: Number>(tiles: &Tiles<T>, [m, k, width]: [usize; 3], packed: bool, mut o: Operands<T>) {
    let whole = width.next_multiple_of(tiles.lanes);
    let mut left = m;
    // SAFETY: the caller's promise; the panel has room for a block of k two vectors wide.
    unsafe {
        if o.b_strides[1] == 1 && width == 2 * tiles.lanes {
            // The first tile reads B from where it stands and packs it for those that follow, if there are any.
            let place = tiles.place(m);
            let done = tiles.rows[place];
            let first = if done < m { tiles.packing[place] } else { tiles.fetching[place] };
            let a_strides = if packed { [1, done] } else { o.a_strides };
            first(k, tiles.lanes, &Operands { a_strides, ..o });
            left -= done;
            o.a = o.a.wrapping_add(if packed { done * k } else { done * o.a_strides[0] });
            o.c = o.c.wrapping_add(done * o.c_stride);
        } else {
            pack(o.b, o.b_strides, k, width, o.panel, whole);
        }
        (o.b, o.b_strides) = (o.panel, [whole, 1]);
        rows(tiles, [left, k, width], packed, &mut o);
    }
}

/// Asks for the first panel of B: rows far apart, which the processor does not foresee. The panels behind it are fetched while products are taken.
fn fetch<T>(b: *const T, down: usize, k: usize, width: usize) {
    for l in 0..k {
        for line in (0..width * size_of::<T>()).step_by(size_of::<Line>()) {
            // SAFETY: fetching cannot fail.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(b.wrapping_add(l * down).wrapping_byte_add(line).cast()) };
        }
    }
}

/// Whether the numbers of A that a tile reads lie so that it pays to bring them together first: in a row of the transpose, or in
/// rows that fall onto the same lines of the first-level cache; and many panels read them.
fn scattered<T>([down, across]: [usize; 2], n: usize) -> bool {
    n >= 256 || n > 64 && (across != 1 || (down * size_of::<T>()).is_multiple_of(1024))
}

/// Room for so many bytes and a line more, uninitialised; false where there is no memory.
fn reserve(lines: &mut Vec<Line>, bytes: usize) -> bool {
    let wanted = bytes.div_ceil(size_of::<Line>()) + 1;
    if lines.len() < wanted {
        if lines.try_reserve_exact(wanted - lines.len()).is_err() {
            return false;
        }
        lines.resize(wanted, LINE);
    }
    true
}

/// Copies `steps` times `count` numbers, the strides apart, to rows `width` numbers apart; what follows `count` numbers in a row
/// is unspecified, and up to a line past the end too.
///
/// # Safety
/// The processor has AVX2; all numbers lie in their allocations, and there is room for the rows and a line.
unsafe fn pack<T: Number>(
    from: *const T,
    [down, across]: [usize; 2],
    steps: usize,
    count: usize,
    to: *mut T,
    width: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match across {
            1 if width == count && count * size_of::<T>() == 64 => pack_rows::<T, 64>(from, down, steps, to),
            1 if width == count && count * size_of::<T>() == 128 => pack_rows::<T, 128>(from, down, steps, to),
            1 if width == count && count * size_of::<T>() == 24 => pack_rows::<T, 24>(from, down, steps, to),
            1 if width == count && count * size_of::<T>() == 48 => pack_rows::<T, 48>(from, down, steps, to),
            1 => {
                for l in 0..steps {
                    let from = from.add(l * down);
                    (0..count).for_each(|j| *to.add(l * width + j) = *from.add(j));
                    (count..width).for_each(|j| *to.add(l * width + j) = T::zero());
                }
            }
            _ => {
                let whole = if down == 1 { steps - steps % T::SQUARE } else { 0 };
                for l in (0..whole).step_by(T::SQUARE) {
                    // The last numbers first: what they write past the row's end belongs to the next row's first.
                    for first in (0..count).step_by(T::SQUARE).rev() {
                        let place = |j: usize| from.add(l + (first + j).min(count - 1) * across);
                        let places: [*const T; 8] = std::array::from_fn(place);
                        if l % (64 / size_of::<T>()) == 0 {
                            // The rows that come next, which lie too far apart to be foreseen; past the end nothing is read.
                            for at in &places[..T::SQUARE] {
                                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(count * across).cast());
                            }
                        }
                        T::transpose(places, to.add(l * width + first), width);
                    }
                }
                for l in whole..steps {
                    (0..count).for_each(|j| *to.add(l * width + j) = *from.add(l * down + j * across));
                    (count..width).for_each(|j| *to.add(l * width + j) = T::zero());
                }
            }
        }
    }
}

/// [`pack`] for rows of so many bytes, without anything between them.
///
/// # Safety
/// As [`pack`].
#[target_feature(enable = "avx2")]
unsafe fn pack_rows<T: Number, const BYTES: usize>(from: *const T, down: usize, steps: usize, to: *mut T) {
    for l in 0..steps {
        let from = from.wrapping_add(l * down);
        // The next panel, whose lines are far apart too; past the end nothing is read.
        // SAFETY: the caller's promise for the copy; fetching cannot fail.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(from.wrapping_byte_add(BYTES).cast());
            if BYTES > 64 {
                _mm_prefetch::<_MM_HINT_T1>(from.wrapping_byte_add(BYTES + 64).cast());
            }
            std::ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>().add(l * BYTES), BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};
    use crate::tensor::Float;

    /// The instruction sets of this processor.
    fn levels() -> &'static [Level] {
        match level() {
            Level::Avx512 => &[Level::Avx2, Level::Avx512],
            Level::Avx2 => &[Level::Avx2],
            Level::Other => &[],
        }
    }

    fn draw<T: Float>(part: u64, len: usize) -> Vec<T> {
        let key = Key::new(1, Purpose::Data).with(part);
        (0..len as u64).map(|i| T::of(key.unit(i) - 0.5)).collect()
    }

    /// Every way and instruction set on one block of k, with a frame around C that must stay as it was.
    fn is_the_plain_chain<T: Number + Float>([m, k, n]: [usize; 3]) {
        let (a, b, c) = (draw::<T>(1, m * k), draw::<T>(2, k * n), draw::<T>(3, m * n + 16));
        for ([a_strides, b_strides], add) in
            [([[k, 1], [n, 1]], false), ([[1, m], [n, 1]], true), ([[k, 1], [1, k]], true), ([[1, m], [1, k]], false)]
        {
            let mut expected = c.clone();
            for (at, c) in expected[..m * n].iter_mut().enumerate() {
                let (i, j) = (at / n * a_strides[0], at % n * b_strides[1]);
                let step = |sum: T, l: usize| a[i + l * a_strides[1]].mul_add(b[l * b_strides[0] + j], sum);
                let sum = (0..k).fold(T::zero(), step);
                *c = if add { *c + sum } else { sum };
            }
            for &level in levels() {
                let tiles = T::tiles(level).unwrap();
                let product = |way: &str| {
                    let mut c = c.clone();
                    let panel = std::ptr::null_mut();
                    let (a, b, c_stride) = (a.as_ptr(), b.as_ptr(), n);
                    let o = Operands { a, a_strides, b, b_strides, c: c.as_mut_ptr(), c_stride, panel, ahead: 0, add };
                    // SAFETY: the features have been found; sizes are those of the vectors, C not among A and B.
                    unsafe {
                        match way {
                            "direct" => direct(tiles, [m, k, n], &mut { o }),
                            "packed" => packed(tiles, [m, k, n], 0, o),
                            "streamed" => with_sums(|panel| gemv::by_rows(level, [m, k, n], Operands { panel, ..o })),
                            _ => gemv::by_columns([m, k, n], o),
                        }
                    }
                    c
                };
                let ways = match b_strides[1] {
                    1 => &["direct", "packed", "streamed"][..],
                    _ if m < FEW => &["packed", "by columns"],
                    _ => &["packed"],
                };
                for way in ways {
                    assert!(product(way) == expected, "{way} {level:?} {} {m}x{k}x{n} {a_strides:?}", T::NAME);
                }
            }
        }
    }

    #[test]
    fn each_instruction_set_is_the_plain_chain() {
        for (m, n) in (1..16).flat_map(|m| (1..41).map(move |n| (m, n))).chain([(30, 64), (14, 67), (3, 139), (2, 300)])
        {
            let k = [1, 2, 3, 4, 5, 8, 37][(m + n) % 7];
            is_the_plain_chain::<f32>([m, k, n]);
            is_the_plain_chain::<f64>([m, k, n]);
        }
    }

    #[test]
    fn rows_of_a_are_packed_in_every_order() {
        // Around the largest tile, with a rest of k, and more rows than are packed at a time.
        for m in (1..30).chain([517, 1031]) {
            is_the_plain_chain::<f32>([m, if m < 30 { 43 } else { 5 }, 256]);
            is_the_plain_chain::<f64>([m, if m < 30 { 21 } else { 3 }, 259]);
        }
    }

    #[test]
    fn few_rows_by_columns_in_blocks_of_k() {
        let columns = |m: usize, k: usize, n: usize| {
            let (a, b) = (draw::<f32>(1, m * k), draw::<f32>(2, k * n));
            let (mut one, mut other) = (vec![0.5f32; m * n], vec![0.5f32; m * n]);
            let o = |c: &mut Vec<f32>| Operands {
                a: a.as_ptr(),
                a_strides: [k, 1],
                b: b.as_ptr(),
                b_strides: [1, k],
                c: c.as_mut_ptr(),
                c_stride: n,
                panel: std::ptr::null_mut(),
                ahead: 0,
                add: true,
            };
            if let Some(tiles) = f32::tiles(level()) {
                // SAFETY: the features have been found; sizes are those of the vectors, C not among A and B.
                unsafe {
                    gemv::by_columns([m, k, n], o(&mut one));
                    for start in (0..k).step_by(BLOCK) {
                        let whole = o(&mut other);
                        let part = Operands { a: whole.a.add(start), b: whole.b.add(start), ..whole };
                        packed(tiles, [m, BLOCK.min(k - start), n], 0, part);
                    }
                }
            }
            assert!(one == other, "{m}x{k}x{n}");
        };
        for (m, k, n) in [(1, 300, 17), (2, 521, 33), (3, 256, 16), (1, 257, 1), (3, 1031, 7), (2, 512, 48)] {
            columns(m, k, n);
        }
    }

    #[test]
    fn all_rows_are_taken_once() {
        for tiles in [&F32_AVX2, &F32_AVX512] {
            for m in 1..100 {
                let mut left = m;
                while left > 0 {
                    let done = tiles.choose(left, 2, 1).1;
                    assert!(done > 0 && done <= left && done <= tiles.rows[0]);
                    left -= done;
                }
            }
        }
    }
}
