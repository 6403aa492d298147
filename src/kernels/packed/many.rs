//! Rows with a packed matrix: blocks of it are widened and multiplied as any others.

use std::cell::RefCell;
use std::ops::Range;

use super::formats::{GROUP, PANEL};
use super::matrix::Packed;
#[cfg(target_arch = "x86_64")]
use super::{
    formats::{Bf16Rows, F32Rows, Q4Blocks, Q8Blocks},
    lanes,
    matrix::WeightStorage,
};
use crate::kernels::float::Float;
use crate::kernels::gemm::MADDS_PER_UPDATE;
use crate::kernels::parallel;
#[cfg(target_arch = "x86_64")]
use crate::kernels::simd::{Level, level};
use crate::state::Values;

/// Inputs of a block: those of a chain of sums.
const INPUTS: usize = 256;

/// Outputs of a block, at most.
const OUTPUTS: usize = 256;

thread_local! {
    /// A widened block, of f32 and of f64.
    static BLOCK: RefCell<(Vec<f32>, Vec<f64>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// A matrix whose columns threads divide.
#[derive(Clone, Copy)]
struct Columns<T>(*mut T);
// SAFETY: the pointer is only used to write disjoint columns of one exclusively borrowed slice.
unsafe impl<T: Send> Send for Columns<T> {}
// SAFETY: as above; sharing the pointer itself reads nothing.
unsafe impl<T: Send> Sync for Columns<T> {}

impl<T> Columns<T> {
    /// The place of a column.
    fn at(self, column: usize) -> *mut T {
        self.0.wrapping_add(column)
    }
}

/// y = x·W + beta·y for `m` rows; with beta 0 what y held is not read.
///
/// # Panics
/// If a slice is too short for its sizes: a mistake in the calling layer, not reachable from data.
pub fn product<T: Float>(x: &[T], m: usize, w: &Packed, beta: T, y: &mut [T]) {
    let (inputs, outputs) = (w.inputs, w.outputs);
    assert!(x.len() >= m * inputs && y.len() >= m * outputs, "packed product: slices too short");
    if few(x, m, w, beta, y) {
        return;
    }
    if inputs == 0 {
        y[..m * outputs].iter_mut().for_each(|v| *v = if beta == T::zero() { T::zero() } else { *v * beta });
        return;
    }
    let columns = Columns(y.as_mut_ptr());
    blocks(outputs, m, inputs, PANEL, |range| {
        with_block(|block: &mut Vec<T>| {
            for start in (0..inputs).step_by(INPUTS) {
                let k = INPUTS.min(inputs - start);
                widen(w, start..start + k, range.clone(), block);
                let (width, beta) = (range.len().next_multiple_of(PANEL), if start == 0 { beta } else { T::one() });
                // SAFETY: the assertion bounds every address of x and y, the block is as large as was asked for, and tasks have disjoint columns of y.
                unsafe {
                    let (x, y) = (x.as_ptr().wrapping_add(start), columns.at(range.start));
                    let strides = [[inputs as isize, 1], [width as isize, 1], [outputs as isize, 1]];
                    T::gemm(m, k, range.len(), x, strides[0], block.as_ptr(), strides[1], beta, y, strides[2]);
                }
            }
        });
    });
}

/// dx = dy·Wᵀ + beta·dx for `m` rows.
///
/// # Panics
/// As [`product`].
pub fn product_back<T: Float>(dy: &[T], m: usize, w: &Packed, beta: T, dx: &mut [T]) {
    let (inputs, outputs) = (w.inputs, w.outputs);
    assert!(dx.len() >= m * inputs && dy.len() >= m * outputs, "packed product: slices too short");
    let columns = Columns(dx.as_mut_ptr());
    blocks(inputs, m, outputs, GROUP, |range| {
        with_block(|block: &mut Vec<T>| {
            for start in (0..outputs).step_by(INPUTS) {
                let k = INPUTS.min(outputs - start);
                widen(w, range.clone(), start..start + k, block);
                let (width, beta) = (k.next_multiple_of(PANEL), if start == 0 { beta } else { T::one() });
                // SAFETY: as in `product`, with dy and dx.
                unsafe {
                    let (dy, dx) = (dy.as_ptr().wrapping_add(start), columns.at(range.start));
                    let strides = [[outputs as isize, 1], [1, width as isize], [inputs as isize, 1]];
                    T::gemm(m, k, range.len(), dy, strides[0], block.as_ptr(), strides[1], beta, dx, strides[2]);
                }
            }
        });
    });
}

/// Calls `f` with blocks of columns, multiples of `step` but for the last, on all threads.
fn blocks(columns: usize, m: usize, k: usize, step: usize, f: impl Fn(Range<usize>) + Sync) {
    let madds = m.saturating_mul(k).div_ceil(MADDS_PER_UPDATE);
    // As many for each thread, but for as few columns as a block may have.
    let parts = parallel::parts(columns, madds);
    let width = columns.div_ceil(parts.max(1)).next_multiple_of(step).min(OUTPUTS).max(step);
    let count = columns.div_ceil(width);
    parallel::par_chunks(0..count, parts.min(count), (), &|range, ()| {
        range.for_each(|i| f(i * width..((i + 1) * width).min(columns)));
    });
}

/// [`few`](super::few) where it can be.
fn few<T: Float>(x: &[T], m: usize, w: &Packed, beta: T, y: &mut [T]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if m <= super::few::most_rows(w.storage)
        && (beta == T::zero() || beta == T::one())
        && let (Values::F32(x), Some(y)) = (T::values(x), as_f32(y))
    {
        return super::few::product(x, m, w, beta == T::one(), y);
    }
    let _ = (x, m, w, beta, y);
    false
}

/// The same slice where it is one of f32.
#[cfg(target_arch = "x86_64")]
fn as_f32<T: Float>(values: &mut [T]) -> Option<&mut [f32]> {
    let is_f32 = std::any::TypeId::of::<T>() == std::any::TypeId::of::<f32>();
    // SAFETY: T is f32.
    is_f32.then(|| unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) })
}

/// Hands on the thread's room for a block.
fn with_block<T: Float, R>(f: impl FnOnce(&mut Vec<T>) -> R) -> R {
    BLOCK.with_borrow_mut(|(single, double)| {
        // SAFETY: T is the one or the other.
        let room = match T::NAME {
            "f32" => (single as *mut Vec<f32>).cast::<Vec<T>>(),
            _ => (double as *mut Vec<f64>).cast::<Vec<T>>(),
        };
        // SAFETY: as above; the thread's room has no other user, as nothing that is handed it calls back.
        f(unsafe { &mut *room })
    })
}

/// The weights of some inputs and outputs, row after row of inputs, each of whole panels of outputs; ranges begin at multiples of what a group and a panel have.
fn widen<T: Float>(w: &Packed, inputs: Range<usize>, outputs: Range<usize>, to: &mut Vec<T>) {
    let width = outputs.len().next_multiple_of(PANEL);
    // Groups are whole.
    to.resize(inputs.len().next_multiple_of(GROUP) * width, T::zero());
    let groups = inputs.start / GROUP..inputs.end.div_ceil(GROUP);
    let panels = outputs.start / PANEL..outputs.end.div_ceil(PANEL);
    #[cfg(target_arch = "x86_64")]
    if let (Some(to), true) = (as_f32(to), level() != Level::Other) {
        return widen_in_registers(w, groups, panels, to, width);
    }
    let mut block = [[0f32; PANEL]; GROUP];
    for (i, panel) in panels.enumerate() {
        for (group, rows) in groups.clone().zip(to.chunks_exact_mut(GROUP * width)) {
            w.widen(panel, group, &mut block);
            for (row, lanes) in rows.chunks_exact_mut(width).zip(&block) {
                row[i * PANEL..][..PANEL].iter_mut().zip(lanes).for_each(|(v, lane)| *v = T::of(f64::from(*lane)));
            }
        }
    }
}

/// The same by vector registers, which the processor has.
#[cfg(target_arch = "x86_64")]
fn widen_in_registers(w: &Packed, groups: Range<usize>, panels: Range<usize>, to: &mut [f32], width: usize) {
    assert!(
        to.len() >= groups.len() * GROUP * width && panels.len() * PANEL <= width,
        "packed product: block too small"
    );
    let widen = match (level(), w.storage) {
        (Level::Avx512, WeightStorage::F32) => lanes::widen512::<F32Rows>,
        (Level::Avx512, WeightStorage::Bf16) => lanes::widen512::<Bf16Rows>,
        (Level::Avx512, WeightStorage::Q8_0) => lanes::widen512::<Q8Blocks>,
        (Level::Avx512, WeightStorage::Q4_0) => lanes::widen512::<Q4Blocks>,
        (_, WeightStorage::F32) => lanes::widen2::<F32Rows> as unsafe fn(*const u8, *mut f32, usize),
        (_, WeightStorage::Bf16) => lanes::widen2::<Bf16Rows>,
        (_, WeightStorage::Q8_0) => lanes::widen2::<Q8Blocks>,
        (_, WeightStorage::Q4_0) => lanes::widen2::<Q4Blocks>,
    };
    for (i, panel) in panels.enumerate() {
        for (k, group) in groups.clone().enumerate() {
            let (from, to) = (w.group(panel, group).as_ptr(), to[k * GROUP * width + i * PANEL..].as_mut_ptr());
            // SAFETY: the level has been found; the group is whole, and the assertion bounds the rows that are written.
            unsafe { widen(from, to, width) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix::WeightStorage;
    use super::*;
    use crate::kernels::gemm::{Matrix, gemm};
    use crate::kernels::random::{Key, Purpose};

    fn values(n: usize, part: u64) -> Vec<f32> {
        let key = Key::new(3, Purpose::Data).with(part);
        (0..n as u64).map(|i| (key.unit(i) - 0.5) as f32).collect()
    }

    fn packed(storage: WeightStorage, inputs: usize, outputs: usize) -> Packed {
        let rows = values(inputs * outputs, 1);
        let mut packed = Packed::zeros("test", "w", storage, [inputs, outputs]).unwrap();
        packed
            .fill(|output, row| {
                row.copy_from_slice(&rows[output * inputs..][..inputs]);
                Ok(())
            })
            .unwrap();
        packed
    }

    /// The rows of Wᵀ.
    fn rows(w: &Packed) -> Vec<f32> {
        let [inputs, outputs] = w.sizes();
        let mut rows = vec![0.0; inputs * outputs];
        rows.chunks_exact_mut(inputs).enumerate().for_each(|(i, row)| w.row(i, row));
        rows
    }

    #[test]
    fn is_near_what_was_stored() {
        for (storage, most) in WeightStorage::ALL.into_iter().zip([0.0, 1.0 / 512.0, 0.5 / 127.0, 0.5 / 7.0]) {
            let w = packed(storage, 64, 21);
            let of = values(64 * 21, 1);
            let far = rows(&w).iter().zip(&of).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(far <= most && (far > 0.0 || storage == WeightStorage::F32), "{storage}: {far}");
        }
    }

    /// One row, few or many, added or not, on one thread or several: the bits of a product with the same numbers.
    #[test]
    fn bits_of_a_plain_product() {
        for (inputs, outputs) in [(32, 16), (64, 5), (288, 67), (544, 130), (1056, 290)] {
            for storage in WeightStorage::ALL {
                let w = packed(storage, inputs, outputs);
                bits_of::<f32>(&w);
                bits_of::<f64>(&w);
            }
        }
        for (inputs, outputs) in [(1, 1), (7, 3), (33, 17), (257, 40), (515, 33)] {
            [WeightStorage::F32, WeightStorage::Bf16].iter().for_each(|s| bits_of::<f32>(&packed(*s, inputs, outputs)));
        }
    }

    fn bits_of<T: Float>(w: &Packed) {
        let [inputs, outputs] = w.sizes();
        let plain: Vec<T> = rows(w).into_iter().map(|v| T::of(f64::from(v))).collect();
        for m in [1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33] {
            let of = |n, part| values(n, part).into_iter().map(|v| T::of(f64::from(v))).collect::<Vec<T>>();
            let (x, before) = (of(m * inputs, 2), of(m * outputs, 3));
            let (dy, below) = (of(m * outputs, 4), of(m * inputs, 5));
            for beta in [T::zero(), T::one()] {
                let (mut expected, mut back) = (before.clone(), below.clone());
                gemm(
                    [m, inputs, outputs],
                    Matrix::rows(&x, inputs),
                    Matrix::transposed(&plain, inputs),
                    beta,
                    &mut expected,
                );
                gemm([m, outputs, inputs], Matrix::rows(&dy, outputs), Matrix::rows(&plain, inputs), beta, &mut back);
                for threads in [1, 3] {
                    let (mut y, mut dx) = (before.clone(), below.clone());
                    let both = || {
                        product(&x, m, w, beta, &mut y);
                        product_back(&dy, m, w, beta, &mut dx);
                    };
                    #[cfg(feature = "parallel")]
                    rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(both);
                    #[cfg(not(feature = "parallel"))]
                    both();
                    assert_eq!(y, expected, "{w:?} {m} rows, {threads} threads, {}", T::NAME);
                    assert_eq!(dx, back, "{w:?} {m} rows, {threads} threads, {}, back", T::NAME);
                }
            }
        }
    }

    #[test]
    fn blocks_come_out_as_they_went_in() {
        for storage in [WeightStorage::Q8_0, WeightStorage::Q4_0] {
            let kind = storage.blocks().unwrap();
            let (inputs, outputs) = (96, 19);
            let size = inputs / kind.block_len() * kind.block_bytes();
            let mut all = Vec::new();
            super::super::super::quantised::encode_blocks(kind, &values(inputs * outputs, 1), &mut all).unwrap();
            let mut w = Packed::zeros("test", "w", storage, [inputs, outputs]).unwrap();
            w.fill_blocks(|output, row| {
                row.copy_from_slice(&all[output * size..][..size]);
                Ok(())
            })
            .unwrap();
            assert_eq!(w, packed(storage, inputs, outputs));
            let mut plain = vec![0.0; inputs];
            for output in 0..outputs {
                let mut blocks = vec![0; size];
                w.blocks(output, &mut blocks);
                assert_eq!(blocks, all[output * size..][..size]);
                super::super::super::quantised::decode_blocks(kind, &blocks, &mut plain);
                let mut row = vec![0.0; inputs];
                w.row(output, &mut row);
                assert_eq!(row, plain);
            }
        }
        // Words of bfloat16 as a file has them.
        let rows = values(70 * 18, 1);
        let words: Vec<u8> = rows.iter().flat_map(|v| crate::bf16::Bf16::nearest(*v).to_bits().to_le_bytes()).collect();
        let mut w = Packed::zeros("test", "w", WeightStorage::Bf16, [70, 18]).unwrap();
        w.fill_words(|output, rows| {
            rows.copy_from_slice(&words[output * 140..][..rows.len()]);
            Ok(())
        })
        .unwrap();
        assert_eq!(w, packed(WeightStorage::Bf16, 70, 18));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let zeros = |storage, sizes| Packed::zeros("test", "w", storage, sizes).map(|_| ()).unwrap_err().to_string();
        assert!(zeros(WeightStorage::Q8_0, [33, 4]).contains("33 inputs, and Q8_0 takes 32 together"));
        assert!(!zeros(WeightStorage::F32, [usize::MAX, 4]).is_empty());
        let mut w = Packed::zeros("test", "w", WeightStorage::Q4_0, [32, 2]).unwrap();
        assert!(
            w.fill(|_, row| {
                row.fill(f32::NAN);
                Ok(())
            })
            .is_err()
        );
    }
}
