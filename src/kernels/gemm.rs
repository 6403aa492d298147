//! Matrix products.
//!
//! Each element of C is a chain over ascending k that neither threads nor the number of rows change: rows or columns of C
//! are given to threads, k never is.

use std::ops::Range;

use super::float::Float;
use super::parallel;

/// How many multiply-adds of a product take the time of one element-wise update.
pub const MADDS_PER_UPDATE: usize = 8;

/// How many numbers of B a product with few rows reads in the time of one element-wise update.
const READS_PER_UPDATE: usize = 2;

/// A matrix in a slice: element (i, j) stands at `i * row + j * column`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    row: usize,
    column: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Row-major with rows of `width` elements.
    pub fn rows(data: &'a [T], width: usize) -> Self {
        Matrix { data, row: width, column: 1 }
    }

    /// The transpose of a row-major matrix with rows of `width` elements.
    pub fn transposed(data: &'a [T], width: usize) -> Self {
        Matrix { data, row: 1, column: width }
    }

    fn contains(&self, rows: usize, columns: usize) -> bool {
        if rows == 0 || columns == 0 {
            return true;
        }
        let last = (rows - 1).checked_mul(self.row).zip((columns - 1).checked_mul(self.column));
        last.and_then(|(down, across)| down.checked_add(across)).is_some_and(|last| last < self.data.len())
    }

    /// Strides past the slice's length belong to axes of size 1, along which nothing steps.
    fn strides(&self) -> [isize; 2] {
        [self.row, self.column].map(|stride| stride.min(self.data.len()) as isize)
    }
}

#[derive(Clone, Copy)]
struct Output<T>(*mut T);
// SAFETY: the pointer is only used to write disjoint rows or columns of one exclusively borrowed slice, see `gemm`.
unsafe impl<T: Send> Send for Output<T> {}
// SAFETY: as above; sharing the pointer itself reads nothing.
unsafe impl<T: Send> Sync for Output<T> {}

impl<T> Output<T> {
    fn get(self) -> *mut T {
        self.0
    }
}

/// C = A·B + beta·C for row-major C `[m, n]`, A m×k, B k×n; with beta 0 what C held is not read.
///
/// # Panics
/// If a slice is too short for its sizes: a mistake in the calling layer, not reachable from data.
pub fn gemm<T: Float>([m, k, n]: [usize; 3], a: Matrix<T>, b: Matrix<T>, beta: T, c: &mut [T]) {
    let fits = m.checked_mul(n).is_some_and(|len| len <= c.len());
    assert!(a.contains(m, k) && b.contains(k, n) && fits, "gemm: slices too short for {m}x{k}x{n}");
    if m == 0 || n == 0 {
        return;
    }
    let c = Output(c.as_mut_ptr());
    let part = |rows: Range<usize>, columns: Range<usize>| {
        // SAFETY: the assertion above bounds every address; parts are disjoint rows or columns of C, which is borrowed
        // exclusively and so overlaps neither A nor B.
        unsafe {
            T::gemm(
                rows.len(),
                k,
                columns.len(),
                a.data.as_ptr().wrapping_add(rows.start * a.row),
                a.strides(),
                b.data.as_ptr().wrapping_add(columns.start * b.column),
                b.strides(),
                beta,
                c.get().wrapping_add(rows.start * n + columns.start),
                [n as isize, 1],
            );
        }
    };
    let (items, work) = if m < 4 {
        // Reading B takes longer than multiplying.
        (n, k.div_ceil(READS_PER_UPDATE))
    } else if m < n {
        (n, k.saturating_mul(m).div_ceil(MADDS_PER_UPDATE))
    } else {
        (m, k.saturating_mul(n).div_ceil(MADDS_PER_UPDATE))
    };
    match parallel::parts(items, work) {
        1 => part(0..m, 0..n),
        parts if items == m => parallel::par_chunks(0..m, parts, (), &|rows, ()| part(rows, 0..n)),
        parts => parallel::par_chunks(0..n, parts, (), &|columns, ()| part(0..m, columns)),
    }
}

/// [`gemm`] on the calling thread, for C whose rows begin `stride` elements apart.
///
/// # Panics
/// As [`gemm`].
pub fn product<T: Float>([m, k, n]: [usize; 3], a: Matrix<T>, b: Matrix<T>, beta: T, c: &mut [T], stride: usize) {
    let end = m.saturating_sub(1).checked_mul(stride).and_then(|start| start.checked_add(n));
    let fits = m == 0 || n == 0 || end.is_some_and(|end| end <= c.len());
    assert!(a.contains(m, k) && b.contains(k, n) && fits && n <= stride, "gemm: slices too short for {m}x{k}x{n}");
    if m == 0 || n == 0 {
        return;
    }
    let stride = stride.min(c.len());
    let (a, a_strides) = (a.data.as_ptr(), a.strides());
    let (b, b_strides) = (b.data.as_ptr(), b.strides());
    // SAFETY: the assertion above bounds every address; C is borrowed exclusively and so overlaps neither A nor B.
    unsafe { T::gemm(m, k, n, a, a_strides, b, b_strides, beta, c.as_mut_ptr(), [stride as isize, 1]) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};

    fn values(n: usize, part: u64) -> Vec<f64> {
        let key = Key::new(11, Purpose::Data).with(part);
        (0..n as u64).map(|i| key.unit(i) - 0.5).collect()
    }

    #[test]
    fn agrees_with_a_plain_loop_in_every_layout() {
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [17, 33, 9], [1, 300, 7], [130, 61, 67], [2, 0, 3]] {
            let (a, b) = (values(m * k, 1), values(k * n, 2));
            let transpose = |x: &[f64], rows: usize, columns: usize| {
                (0..columns * rows).map(|i| x[(i % rows) * columns + i / rows]).collect::<Vec<_>>()
            };
            let (at, bt) = (transpose(&a, m, k), transpose(&b, k, n));
            let c0 = values(m * n, 3);
            let expected: Vec<f64> =
                (0..m * n).map(|i| c0[i] + (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum::<f64>()).collect();
            for (x, y) in [
                (Matrix::rows(&a, k), Matrix::rows(&b, n)),
                (Matrix::transposed(&at, m), Matrix::rows(&b, n)),
                (Matrix::rows(&a, k), Matrix::transposed(&bt, k)),
            ] {
                let mut c = c0.clone();
                gemm([m, k, n], x, y, 1.0, &mut c);
                assert!(c.iter().zip(&expected).all(|(p, q)| (p - q).abs() < 1e-12), "{m}x{k}x{n}");
                // Rows further apart, and nothing written between them.
                let mut apart = vec![0.25; m * (n + 3)];
                product([m, k, n], x, y, 0.0, &mut apart, n + 3);
                gemm([m, k, n], x, y, 0.0, &mut c);
                for (row, c) in apart.chunks_exact(n + 3).zip(c.chunks_exact(n)) {
                    assert!(row[..n] == *c && row[n..] == [0.25; 3]);
                }
            }
        }
    }

    #[test]
    fn sizes_whose_products_wrap_are_refused() {
        const HALF: usize = 1 << (usize::BITS / 2);
        let (long, short) = ([1.0f32; 64], [1.0f32; 1]);
        let refused = |size: [usize; 3], a: Matrix<f32>, b: Matrix<f32>, stride: usize| {
            let panics = |f: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
            let mut c = [7.0f32; 64];
            assert!(panics(&mut || gemm(size, a, b, 0.0, &mut c)), "{size:?}");
            assert!(panics(&mut || product(size, a, b, 0.0, &mut c, stride)), "{size:?}");
            assert_eq!(c, [7.0; 64]);
        };
        // m · n wraps to 0, (k − 1) · row to a small number, m · stride too.
        refused([HALF, 0, HALF], Matrix::rows(&short, 1), Matrix::rows(&short, 1), HALF);
        refused([2, 1, 2], Matrix::rows(&long, usize::MAX), Matrix::rows(&long, 2), 2);
        refused([2, HALF + 1, 2], Matrix::transposed(&long, HALF), Matrix::rows(&long, HALF), 2);
        refused([usize::MAX, 1, 2], Matrix::rows(&long, 0), Matrix::rows(&long, 2), usize::MAX);
        // Strides that nothing steps along are of no account.
        let mut c = [0.0f32; 2];
        gemm([1, 2, 2], Matrix::rows(&[1.0, 2.0], usize::MAX), Matrix::rows(&[3.0, 4.0, 5.0, 6.0], 2), 0.0, &mut c);
        assert_eq!(c, [13.0, 16.0]);
        product(
            [1, 2, 2],
            Matrix::rows(&[1.0, 2.0], 2),
            Matrix::rows(&[3.0, 4.0, 5.0, 6.0], 2),
            1.0,
            &mut c,
            usize::MAX,
        );
        assert_eq!(c, [26.0, 32.0]);
        gemm([usize::MAX, 1, 0], Matrix::rows(&short, 0), Matrix::rows(&short, 0), 0.0, &mut [0.0f32; 0]);
    }

    #[cfg(feature = "parallel")]
    #[test]
    fn threads_change_no_bit() {
        // Few rows, few columns, both large, and rows of A a page apart.
        for [m, k, n] in [[1, 3000, 1031], [2000, 517, 3], [131, 301, 259], [67, 1024, 129]] {
            let (a, b) = (values(m * k, 1), values(k * n, 2));
            for (x, y) in [
                (Matrix::rows(&a, k), Matrix::rows(&b, n)),
                (Matrix::transposed(&a, m), Matrix::rows(&b, n)),
                (Matrix::rows(&a, k), Matrix::transposed(&b, k)),
            ] {
                let product = |threads| {
                    let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut c = vec![0.5; m * n];
                    pool.install(|| gemm([m, k, n], x, y, 1.0, &mut c));
                    c
                };
                let one = product(1);
                (2..=5).for_each(|threads| assert_eq!(product(threads), one, "{m}x{k}x{n}, {threads} threads"));
            }
        }
    }

    #[test]
    fn a_row_alone_has_the_bits_of_the_row_in_a_batch() {
        for [m, k, n] in [[67, 531, 35], [19, 1024, 131], [33, 7, 2], [14, 300, 513]] {
            let (a, b) = (values(m * k, 1), values(k * n, 2));
            for b in [Matrix::rows(&b, n), Matrix::transposed(&b, k)] {
                let mut all = vec![0.0; m * n];
                gemm([m, k, n], Matrix::rows(&a, k), b, 0.0, &mut all);
                for i in 0..m {
                    let mut one = vec![0.0; n];
                    gemm([1, k, n], Matrix::rows(&a[i * k..], k), b, 0.0, &mut one);
                    assert_eq!(one, all[i * n..(i + 1) * n], "{m}x{k}x{n}, row {i}");
                }
            }
        }
    }

    /// Against matrixmultiply on the whole, bit for bit: every layout, sizes around every tile, and blocks of k.
    fn has_the_bits_of_matrixmultiply<T: Float>(plain: impl Fn([usize; 3], Matrix<T>, Matrix<T>, T, &mut [T])) {
        let sizes = [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 25, 31, 33, 64, 67, 100];
        let steps = [0, 1, 2, 3, 10, 31, 256, 257, 600];
        for (case, (m, n)) in sizes.iter().flat_map(|&m| sizes.iter().map(move |&n| (m, n))).enumerate() {
            let k = steps[case % steps.len()];
            let of = |len: usize, part| values(len, part).into_iter().map(T::of).collect::<Vec<T>>();
            let (a, b, c0) = (of(m * k, 1), of(k * n, 2), of(m * n, 3));
            for (x, y) in [
                (Matrix::rows(&a, k), Matrix::rows(&b, n)),
                (Matrix::transposed(&a, m), Matrix::rows(&b, n)),
                (Matrix::rows(&a, k), Matrix::transposed(&b, k)),
            ] {
                for beta in [T::zero(), T::one()] {
                    let (mut c, mut expected) = (c0.clone(), c0.clone());
                    gemm([m, k, n], x, y, beta, &mut c);
                    plain([m, k, n], x, y, beta, &mut expected);
                    assert_eq!(c, expected, "{m}x{k}x{n} {} beta {beta}", T::NAME);
                }
            }
        }
    }

    #[test]
    fn bits_of_f32() {
        has_the_bits_of_matrixmultiply::<f32>(|[m, k, n], a, b, beta, c| {
            let ([ra, ca], [rb, cb]) = (a.strides(), b.strides());
            let (a, b) = (a.data.as_ptr(), b.data.as_ptr());
            // SAFETY: as in `gemm`, for slices made to these sizes.
            unsafe {
                matrixmultiply::sgemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, beta, c.as_mut_ptr(), n as isize, 1);
            }
        });
    }

    #[test]
    fn bits_of_f64() {
        has_the_bits_of_matrixmultiply::<f64>(|[m, k, n], a, b, beta, c| {
            let ([ra, ca], [rb, cb]) = (a.strides(), b.strides());
            let (a, b) = (a.data.as_ptr(), b.data.as_ptr());
            // SAFETY: as in `gemm`, for slices made to these sizes.
            unsafe {
                matrixmultiply::dgemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, beta, c.as_mut_ptr(), n as isize, 1);
            }
        });
    }
}
