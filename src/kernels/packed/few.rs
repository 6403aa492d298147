//! Few rows with a packed matrix: every group is widened in registers, in the order in which it stands in memory, for up to [`TOGETHER`] rows at a time.

use std::arch::x86_64::{__m512, _MM_HINT_T0, _mm_prefetch};
use std::ops::Range;

use super::formats::{Bf16Rows, F32Rows, GROUP, PANEL, Q4Blocks, Q8Blocks};
use super::lanes::{Pair, Sixteen, Wide, each_of_eight};
use super::matrix::{Packed, WeightStorage};
use crate::kernels::parallel;
use crate::kernels::simd::{Level, level};

/// Steps of k between two additions to y, as everywhere.
const BLOCK: usize = 256;

/// Bytes by which reading is ahead of what is multiplied.
const AHEAD: usize = 2048;

/// Rows that are multiplied together.
const TOGETHER: usize = 4;

/// The most rows that come here: with more it pays to widen a block once for all, the sooner the more there is to widen.
pub fn most_rows(storage: WeightStorage) -> usize {
    match storage {
        WeightStorage::F32 => 32,
        WeightStorage::Bf16 => 16,
        WeightStorage::Q8_0 | WeightStorage::Q4_0 => 8,
    }
}

/// Where the rows of x and y are, whose lengths are those of the matrix.
#[derive(Clone, Copy)]
struct Rows {
    x: *const f32,
    y: *mut f32,
    add: bool,
}

impl Rows {
    /// All of it, so that a closure takes the whole and not the pointers by themselves.
    fn whole(self) -> Self {
        self
    }
}

// SAFETY: threads read x, and write columns of y of their own.
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}

/// y = x·W, or y += x·W with `add`, for `m` rows, up to [`most_rows`]; false where the processor has no instructions for it, and nothing has been done.
pub fn product(x: &[f32], m: usize, w: &Packed, add: bool, y: &mut [f32]) -> bool {
    let level = level();
    if level == Level::Other || m == 0 || m > most_rows(w.storage) {
        return false;
    }
    assert!(x.len() >= m * w.inputs && y.len() >= m * w.outputs, "packed product: slices too short");
    if w.inputs == 0 {
        return false;
    }
    let all = Rows { x: x.as_ptr(), y: y.as_mut_ptr(), add };
    let panels = w.outputs.div_ceil(PANEL);
    // By weights, as those of few bytes take as long to widen as others to read: about half as long as an update of an element.
    let parts = parallel::parts(panels, w.inputs * PANEL * m / 2);
    parallel::par_chunks(0..panels, parts, (), &|range, ()| {
        let all = all.whole();
        // Panels that stay in the second-level cache while all rows go through them.
        let most = if m <= TOGETHER { range.len() } else { (NEAR / w.panel_bytes()).max(4) };
        for first in range.clone().step_by(most.max(1)) {
            let panels = first..range.end.min(first + most);
            for row in (0..m).step_by(TOGETHER) {
                let (x, y) = (all.x.wrapping_add(row * w.inputs), all.y.wrapping_add(row * w.outputs));
                // SAFETY: the level has been found; rows are as long as the assertion says, and panels are disjoint columns of y.
                unsafe { some(level, TOGETHER.min(m - row), w, panels.clone(), Rows { x, y, ..all }) };
            }
        }
    });
    true
}

/// Bytes of panels that several times as many rows go through one after the other.
const NEAR: usize = 1 << 18;

/// Some panels with up to [`TOGETHER`] rows.
///
/// # Safety
/// As [`panels`], and the processor has the instructions of the level.
unsafe fn some(level: Level, m: usize, w: &Packed, range: Range<usize>, rows: Rows) {
    // SAFETY: the caller's promise.
    unsafe {
        match (level, w.storage) {
            (Level::Avx512, WeightStorage::F32) => wide512::<F32Rows>(m, w, range, rows),
            (Level::Avx512, WeightStorage::Bf16) => wide512::<Bf16Rows>(m, w, range, rows),
            (Level::Avx512, WeightStorage::Q8_0) => wide512::<Q8Blocks>(m, w, range, rows),
            (Level::Avx512, WeightStorage::Q4_0) => wide512::<Q4Blocks>(m, w, range, rows),
            (_, WeightStorage::F32) => wide2::<F32Rows>(m, w, range, rows),
            (_, WeightStorage::Bf16) => wide2::<Bf16Rows>(m, w, range, rows),
            (_, WeightStorage::Q8_0) => wide2::<Q8Blocks>(m, w, range, rows),
            (_, WeightStorage::Q4_0) => wide2::<Q4Blocks>(m, w, range, rows),
        }
    }
}

/// Some panels with AVX-512.
///
/// # Safety
/// As [`panels`], and the processor has AVX-512.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
unsafe fn wide512<F: Wide>(m: usize, w: &Packed, range: Range<usize>, rows: Rows) {
    // SAFETY: the caller's promise.
    unsafe {
        match m {
            1 => several::<F, __m512, 1, 4>(w, range, rows),
            // What scales are made of takes the registers of two panels.
            2 if F::AHEAD > 0 => several::<F, __m512, 2, 2>(w, range, rows),
            2 => several::<F, __m512, 2, 4>(w, range, rows),
            3 => several::<F, __m512, 3, 2>(w, range, rows),
            _ => several::<F, __m512, 4, 2>(w, range, rows),
        }
    }
}

/// Some panels with AVX2.
///
/// # Safety
/// As [`panels`], and the processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn wide2<F: Wide>(m: usize, w: &Packed, range: Range<usize>, rows: Rows) {
    // SAFETY: the caller's promise.
    unsafe {
        match m {
            // What scales are made of takes the registers of a second panel.
            1 if F::AHEAD > 0 => several::<F, Pair, 1, 1>(w, range, rows),
            1 => several::<F, Pair, 1, 2>(w, range, rows),
            2 => several::<F, Pair, 2, 1>(w, range, rows),
            3 => several::<F, Pair, 3, 1>(w, range, rows),
            _ => several::<F, Pair, 4, 1>(w, range, rows),
        }
    }
}

/// Some panels, `P` at a time, so that the sums do not wait for each other; then those that are left.
///
/// # Safety
/// As [`panels`].
#[inline(always)]
unsafe fn several<F: Wide, V: Sixteen, const M: usize, const P: usize>(w: &Packed, range: Range<usize>, rows: Rows) {
    let (mut at, end) = (range.start, range.end);
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
        let mut tail = [[0f32; GROUP]; M];
        for start in (0..inputs).step_by(BLOCK) {
            let mut sums = [[V::zero(); P]; M];
            for at in (start..inputs.min(start + BLOCK)).step_by(GROUP) {
                let group = base.wrapping_add(at / GROUP * F::BYTES);
                let mut x: [*const f32; M] = std::array::from_fn(|row| rows.x.wrapping_add(row * inputs + at));
                if at + GROUP > inputs {
                    // Weights behind the last input are zeros.
                    for (tail, x) in tail.iter_mut().zip(&mut x) {
                        tail[..inputs - at].copy_from_slice(std::slice::from_raw_parts(*x, inputs - at));
                        *x = tail.as_ptr();
                    }
                }
                // Each panel's next lines, behind its end those of the panel that follows on all of these.
                let ahead = at / GROUP * F::BYTES + AHEAD;
                let ahead = if ahead < panel { ahead } else { ahead + (P - 1) * panel };
                for p in 0..P {
                    let from = base.wrapping_add(p * panel + ahead);
                    for line in (0..F::BYTES).step_by(64) {
                        _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line).cast());
                    }
                }
                let groups: [*const u8; P] = std::array::from_fn(|p| group.wrapping_add(p * panel));
                // Loops and no closures, which would be compiled without the vector instructions where they are not inlined.
                let mut scales = [F::scales::<V>(groups[0]); P];
                for p in 1..P {
                    scales[p] = F::scales::<V>(groups[p]);
                }
                for step in (0..GROUP).step_by(F::STEP) {
                    each_of_eight!(K => {
                        if K < F::STEP {
                            for p in 0..P {
                                let weights = F::weights::<V, K>(groups[p].add(F::place(step)), scales[p]);
                                for row in 0..M {
                                    let x = V::all(*x[row].add(step + K));
                                    sums[row][p] = x.times_plus(weights, sums[row][p]);
                                }
                            }
                        }
                    });
                }
            }
            for (totals, sums) in totals.iter_mut().zip(sums) {
                for (total, sum) in totals.iter_mut().zip(sums) {
                    *total = if start == 0 { sum } else { total.plus(sum) };
                }
            }
            if rows.add && start == 0 {
                // To what stands there, block after block.
                for (row, totals) in totals.iter_mut().enumerate() {
                    for (p, total) in totals.iter_mut().enumerate() {
                        let (mut there, n) = ([0f32; PANEL], PANEL.min(w.outputs - (first + p) * PANEL));
                        let y = rows.y.wrapping_add(row * w.outputs + (first + p) * PANEL);
                        there[..n].copy_from_slice(std::slice::from_raw_parts(y, n));
                        *total = V::floats(there.as_ptr().cast()).plus(*total);
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

#[cfg(test)]
mod tests {
    use super::super::lanes;
    use super::*;
    use crate::kernels::gemm::{Matrix, gemm};
    use crate::kernels::random::{Key, Purpose};

    /// The sets of instructions that the processor has.
    fn levels() -> &'static [Level] {
        match level() {
            Level::Avx512 => &[Level::Avx512, Level::Avx2],
            Level::Avx2 => &[Level::Avx2],
            Level::Other => &[],
        }
    }

    /// The first group of the first panel.
    fn widened(level: Level, w: &Packed) -> [[f32; PANEL]; GROUP] {
        let (group, mut wide) = (w.group(0, 0).as_ptr(), [[0f32; PANEL]; GROUP]);
        let to = wide.as_flattened_mut().as_mut_ptr();
        // SAFETY: the processor has the level; a whole group, and as much room.
        unsafe {
            match (level, w.storage) {
                (Level::Avx512, WeightStorage::F32) => lanes::widen512::<F32Rows>(group, to, PANEL),
                (Level::Avx512, WeightStorage::Bf16) => lanes::widen512::<Bf16Rows>(group, to, PANEL),
                (Level::Avx512, WeightStorage::Q8_0) => lanes::widen512::<Q8Blocks>(group, to, PANEL),
                (Level::Avx512, WeightStorage::Q4_0) => lanes::widen512::<Q4Blocks>(group, to, PANEL),
                (_, WeightStorage::F32) => lanes::widen2::<F32Rows>(group, to, PANEL),
                (_, WeightStorage::Bf16) => lanes::widen2::<Bf16Rows>(group, to, PANEL),
                (_, WeightStorage::Q8_0) => lanes::widen2::<Q8Blocks>(group, to, PANEL),
                (_, WeightStorage::Q4_0) => lanes::widen2::<Q4Blocks>(group, to, PANEL),
            }
        }
        wide
    }

    /// Every finite scale and every whole number, by both sets of instructions and without: the product, to the bit.
    #[test]
    fn every_weight_is_exact() {
        for (storage, values) in [(WeightStorage::Q8_0, 256), (WeightStorage::Q4_0, 16)] {
            let mut w = Packed::zeros("test", "w", storage, [GROUP, PANEL]).unwrap();
            for scales in (0..=u16::MAX).step_by(PANEL).filter(|bits| bits >> 10 & 31 != 31) {
                // Over eight exponents every fraction meets every number.
                let first = GROUP * usize::from((scales >> 4) + (scales >> 10));
                let q = |input: usize| (first + input) % values;
                w.fill_blocks(|output, block| {
                    block[..2].copy_from_slice(&(scales + output as u16).to_le_bytes());
                    for (i, byte) in block[2..].iter_mut().enumerate() {
                        let both = q(i) | q(i + PANEL) << 4;
                        *byte = if values == 16 { both } else { q(i) } as u8;
                    }
                    Ok(())
                })
                .unwrap();
                let mut expected = [[0u32; PANEL]; GROUP];
                for (input, weights) in expected.iter_mut().enumerate() {
                    let whole = if values == 16 { q(input) as f32 - 8.0 } else { f32::from(q(input) as u8 as i8) };
                    for (lane, weight) in weights.iter_mut().enumerate() {
                        let scale = crate::kernels::half::widen(scales + lane as u16);
                        let exact = f64::from(whole) * f64::from(scale);
                        assert_eq!(f64::from(exact as f32), exact);
                        *weight = (exact as f32 + 0.0).to_bits();
                    }
                }
                let mut plain = [[0f32; PANEL]; GROUP];
                w.widen(0, 0, &mut plain);
                for got in levels().iter().map(|&level| widened(level, &w)).chain([plain]) {
                    assert!(got.map(|row| row.map(f32::to_bits)) == expected, "{storage} {first} {scales:x}");
                }
            }
        }
    }

    /// Both sets of instructions, where the processor has them: the bits of a product of the same numbers, and the same widened groups.
    #[test]
    fn either_set_of_instructions() {
        let key = Key::new(8, Purpose::Data);
        let values =
            |n: usize, part: u64| (0..n as u64).map(|i| key.with(part).unit(i) as f32 - 0.5).collect::<Vec<f32>>();
        let levels = levels();
        for (inputs, outputs) in [(32, 16), (288, 83), (544, 16)] {
            let given = values(inputs * outputs, 1);
            for storage in WeightStorage::ALL {
                let mut w = Packed::zeros("test", "w", storage, [inputs, outputs]).unwrap();
                w.fill(|output, row| {
                    row.copy_from_slice(&given[output * inputs..][..inputs]);
                    Ok(())
                })
                .unwrap();
                let mut rows = vec![0.0; inputs * outputs];
                rows.chunks_exact_mut(inputs).enumerate().for_each(|(i, row)| w.row(i, row));
                for m in 1..=TOGETHER {
                    let (x, before) = (values(m * inputs, 2), values(m * outputs, 3));
                    let mut expected = before.clone();
                    let (a, b) = (Matrix::rows(&x, inputs), Matrix::transposed(&rows, inputs));
                    gemm([m, inputs, outputs], a, b, 1.0, &mut expected);
                    for &level in levels {
                        let mut y = before.clone();
                        let all = Rows { x: x.as_ptr(), y: y.as_mut_ptr(), add: true };
                        // SAFETY: the processor has the level, and the slices have these sizes.
                        unsafe { some(level, m, &w, 0..outputs.div_ceil(PANEL), all) };
                        assert_eq!(y, expected, "{level:?} {storage} {m} rows, {inputs}x{outputs}");
                    }
                }
                let mut plain = [[0f32; PANEL]; GROUP];
                w.widen(0, 0, &mut plain);
                for &level in levels {
                    assert_eq!(widened(level, &w), plain, "{level:?} {storage}");
                }
            }
        }
    }
}
