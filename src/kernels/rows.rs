//! Loops over rows: biases added to and summed from them.

use super::float::Float;
use super::parallel;
use super::simd::{self, Loop};

/// `y[i, j] += bias[j]` for rows as long as `bias`.
pub fn add_bias<T: Float>(y: &mut [T], bias: &[T]) {
    /// Short rows that are taken together, so that they fill vector registers.
    const TOGETHER: usize = 8;
    const SHORT: usize = 64;
    let width = bias.len();
    if bias.is_empty() {
        return;
    }
    if width < SHORT && y.len() >= 2 * TOGETHER * SHORT {
        let mut repeated = [T::zero(); TOGETHER * SHORT];
        let repeated = &mut repeated[..TOGETHER * width];
        repeated.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
        simd::vectorised(|| {
            for rows in y.chunks_mut(TOGETHER * width) {
                for (v, b) in rows.iter_mut().zip(&*repeated) {
                    *v += *b;
                }
            }
        });
        return;
    }
    simd::vectorised_rows(bias.len(), || {
        for row in y.chunks_exact_mut(bias.len()) {
            for (v, b) in row.iter_mut().zip(bias) {
                *v += *b;
            }
        }
    });
}

/// `sums[j] += Σᵢ x[i, j]`, rows in ascending order.
pub fn sum_rows<T: Float>(x: &[T], sums: &mut [T]) {
    let width = sums.len();
    if width == 0 {
        return;
    }
    let rows = x.len() / width;
    parallel::rows(sums, 1, rows, |first, sums| {
        let n = sums.len();
        simd::vectorised_rows(n, || {
            for row in x.chunks_exact(width) {
                for (s, v) in sums.iter_mut().zip(&row[first..first + n]) {
                    *s += *v;
                }
            }
        });
    });
}

/// `sums[j] += Σᵢ a[i, j]·b[i, j]`, rows in ascending order.
pub fn sum_row_products<T: Float>(a: &[T], b: &[T], sums: &mut [T]) {
    let width = sums.len();
    if width == 0 {
        return;
    }
    parallel::rows(sums, 1, 2 * (a.len() / width), |first, sums| {
        let n = sums.len();
        simd::vectorised_rows(n, || {
            for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
                let each = a[first..first + n].iter().zip(&b[first..first + n]);
                sums.iter_mut().zip(each).for_each(|(s, (a, b))| *s += *a * *b);
            }
        });
    });
}

/// Σ aᵢ in eight chains, as [`dot`] has them.
pub fn sum<T: Float>(a: &[T]) -> T {
    let mut lanes = [T::zero(); 8];
    let chunks = a.chunks_exact(8);
    let tail = chunks.remainder().iter().fold(T::zero(), |s, x| s + *x);
    for x in chunks {
        for l in 0..8 {
            lanes[l] += x[l];
        }
    }
    lanes.into_iter().fold(T::zero(), |s, v| s + v) + tail
}

/// Σ (aᵢ − shift)², likewise.
pub fn sum_of_squares<T: Float>(a: &[T], shift: T) -> T {
    let square = |x: T| (x - shift) * (x - shift);
    let mut lanes = [T::zero(); 8];
    let chunks = a.chunks_exact(8);
    let tail = chunks.remainder().iter().fold(T::zero(), |s, x| s + square(*x));
    for x in chunks {
        for l in 0..8 {
            lanes[l] += square(x[l]);
        }
    }
    lanes.into_iter().fold(T::zero(), |s, v| s + v) + tail
}

/// √Σ aᵢ², where the squares may overflow or vanish, from Σ aᵢ² as it was added up, which is used where it has lost nothing;
/// infinite for an infinite value, NaN for NaN.
pub fn norm_from<T: Float>(square: T, a: &[T]) -> T {
    let [top, length] = scaled_norm(square, a);
    top * length
}

/// m and ‖a/m‖, whose product is ‖a‖: m is 1 where squares are at home in the type, else the largest magnitude.
pub fn scaled_norm<T: Float>(square: T, a: &[T]) -> [T; 2] {
    if square.is_nan() || square > T::min_positive_value() / T::epsilon() && square <= T::max_value() {
        return [T::one(), square.sqrt()];
    }
    let top = a.iter().fold(T::zero(), |m, v| if v.abs() > m { v.abs() } else { m });
    if top == T::zero() || top.is_infinite() {
        return [T::one(), top];
    }
    [top, a.iter().fold(T::zero(), |s, &v| s + (v / top) * (v / top)).sqrt()]
}

/// [`sum_rows`] on the calling thread.
pub fn sum_rows_here<T: Float>(x: &[T], sums: &mut [T]) {
    let width = sums.len().max(1);
    simd::vectorised(|| {
        for row in x.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(s, v)| *s += *v);
        }
    });
}

/// Σ aᵢ·bᵢ in eight chains of every eighth element: an order that depends on the length only.
pub fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::zero(); 8];
    let (ca, cb) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail = ca.remainder().iter().zip(cb.remainder()).fold(T::zero(), |s, (x, y)| s + *x * *y);
    for (x, y) in ca.zip(cb) {
        for l in 0..8 {
            lanes[l] += x[l] * y[l];
        }
    }
    lanes.into_iter().fold(T::zero(), |s, v| s + v) + tail
}

/// Rows below this length are summed one value after another, with the standard library's exponential: they fill no vector
/// registers, and one value at a time that is the faster one.
pub const SHORT: usize = 16;

/// The largest value; NaN is passed over, and −∞ that of nothing.
#[inline(always)]
pub fn largest<T: Float>(row: &[T]) -> T {
    let max = |m: T, v: T| if v > m { v } else { m };
    if row.len() < SHORT {
        return row.iter().fold(T::neg_infinity(), |m, &v| max(m, v));
    }
    let mut lanes = [T::neg_infinity(); SHORT];
    let chunks = row.chunks_exact(SHORT);
    let tail = chunks.remainder().iter().fold(T::neg_infinity(), |m, &v| max(m, v));
    for c in chunks {
        for l in 0..SHORT {
            lanes[l] = max(lanes[l], c[l]);
        }
    }
    lanes.into_iter().fold(tail, max)
}

/// Σ vᵢ in an order that depends on the length only: short rows from the left, others in chains of every 16th value.
#[derive(Debug)]
struct Chains<T> {
    lanes: [T; SHORT],
    tail: T,
}

impl<T: Float> Chains<T> {
    #[inline(always)]
    fn new() -> Self {
        Chains { lanes: [T::zero(); SHORT], tail: T::zero() }
    }

    /// The next values: a multiple of 16 of them, but for the last.
    #[inline(always)]
    fn add(&mut self, part: &[T]) {
        let chunks = part.chunks_exact(SHORT);
        self.tail += chunks.remainder().iter().fold(T::zero(), |s, &v| s + v);
        for c in chunks {
            self.lanes.iter_mut().zip(c).for_each(|(s, &v)| *s += v);
        }
    }

    #[inline(always)]
    fn sum(self) -> T {
        self.lanes.into_iter().fold(self.tail, |s, v| s + v)
    }
}

/// v ← e^(v − top), and the sum.
#[inline(always)]
pub fn exp_and_sum<T: Float>(row: &mut [T], top: T) -> T {
    if row.len() < SHORT {
        return row.iter_mut().fold(T::zero(), |s, v| {
            *v = (*v - top).exp();
            s + *v
        });
    }
    row.iter_mut().for_each(|v| *v = (*v - top).fast_exp());
    let mut sum = Chains::new();
    sum.add(row);
    sum.sum()
}

/// The sum of [`exp_and_sum`], bit for bit, with the row left alone.
#[inline(always)]
pub fn exp_sum<T: Float>(row: &[T], top: T) -> T {
    if row.len() < SHORT {
        return row.iter().fold(T::zero(), |s, &v| s + (v - top).exp());
    }
    let mut sum = Chains::new();
    let mut terms = [T::zero(); 4 * SHORT];
    for part in row.chunks(terms.len()) {
        let terms = &mut terms[..part.len()];
        terms.iter_mut().zip(part).for_each(|(e, &v)| *e = (v - top).fast_exp());
        sum.add(terms);
    }
    sum.sum()
}

/// max z and Σ e^(z − max), with the terms into `out` where asked for.
pub fn exp_into<T: Float>(z: &[T], out: Option<&mut [T]>) -> (T, T) {
    let work = ExpInto { z, out };
    // A short row gains nothing that would pay for a call.
    if z.len() < SHORT { work.run() } else { simd::run(work) }
}

struct ExpInto<'a, T> {
    z: &'a [T],
    out: Option<&'a mut [T]>,
}

impl<T: Float> Loop for ExpInto<'_, T> {
    type Output = (T, T);

    #[inline(always)]
    fn run(self) -> (T, T) {
        let top = largest(self.z);
        let Some(out) = self.out else { return (top, exp_sum(self.z, top)) };
        let n = out.len().min(self.z.len());
        out[..n].copy_from_slice(&self.z[..n]);
        (top, exp_and_sum(&mut out[..n], top))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norm<T: Float>(a: &[T]) -> T {
        norm_from(dot(a, a), a)
    }

    #[test]
    fn biases_and_their_gradients() {
        let mut y = vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0];
        add_bias(&mut y, &[10.0, 20.0, 30.0]);
        assert_eq!(y, [10.0, 21.0, 32.0, 13.0, 24.0, 35.0]);
        let mut sums = [1.0f32, 0.0, 0.0];
        sum_rows(&y, &mut sums);
        assert_eq!(sums, [24.0, 45.0, 67.0]);
        let x: Vec<f64> = (0..19).map(f64::from).collect();
        assert_eq!(dot(&x, &x), (0..19).map(|i| f64::from(i * i)).sum::<f64>());
        assert_eq!(sum(&x), (0..19).map(f64::from).sum::<f64>());
        assert_eq!(sum_of_squares(&x, 2.0), (0..19).map(|i| f64::from((i - 2) * (i - 2))).sum::<f64>());
        let mut sums = [1.0, 2.0];
        sum_row_products(&x[..6], &x[1..7], &mut sums);
        assert_eq!(sums, [1.0 + 0.0 + 6.0 + 20.0, 2.0 + 2.0 + 12.0 + 30.0]);
    }

    #[test]
    fn biases_of_rows_of_any_width() {
        for (width, rows) in [(1, 2048), (6, 601), (10, 7), (63, 33), (64, 17), (65, 20)] {
            let bias: Vec<f32> = (0..width).map(|j| j as f32 + 0.5).collect();
            let mut y: Vec<f32> = (0..width * rows).map(|i| i as f32).collect();
            add_bias(&mut y, &bias);
            assert!(y.iter().enumerate().all(|(i, &v)| v == i as f32 + bias[i % width]), "{width}");
        }
    }

    #[test]
    fn norms_over_the_whole_range() {
        for scale in [1e-320f64, 1e-200, 1e-30, 1.0, 1e30, 1e200, 1e307] {
            let length = norm(&[3.0 * scale, -4.0 * scale]);
            // Subnormal numbers have few digits.
            let bound = if scale < 1e-300 { 1e-3 } else { 1e-15 };
            assert!((length / (5.0 * scale) - 1.0).abs() < bound, "{scale}: {length}");
        }
        for scale in [1e-44f32, 1e-30, 1e-20, 1.0, 1e20, 1e30, 6e37] {
            let length = norm(&[3.0 * scale, -4.0 * scale]);
            let bound = if scale < 1e-38 { 0.2 } else { 1e-6 };
            assert!((length / (5.0 * scale) - 1.0).abs() < bound, "{scale}: {length}");
        }
        assert_eq!(norm::<f32>(&[]), 0.0);
        assert_eq!((norm(&[0.0f32; 3]), norm(&[1.0, f32::NEG_INFINITY])), (0.0, f32::INFINITY));
        assert!(norm(&[1.0, f32::NAN, f32::INFINITY]).is_nan());
    }

    /// Widths on both sides of the one from which loops are compiled for wider registers, against plain loops.
    #[test]
    fn any_width_and_any_number_of_threads() {
        for width in [1, 3, 10, 63, 64, 65, 127, 1031] {
            let n = 700_001 / width;
            let x: Vec<f32> = (0..n * width).map(|i| (i * 37 % 101) as f32 * 0.013 - 0.6).collect();
            let bias: Vec<f32> = (0..width).map(|j| j as f32 * 0.1).collect();
            let mut y = x.clone();
            add_bias(&mut y, &bias);
            assert!(y.iter().enumerate().all(|(i, &v)| v == x[i] + bias[i % width]), "width {width}");
            let mut expected = bias.clone();
            x.iter().enumerate().for_each(|(i, v)| expected[i % width] += v);
            let sums = || {
                let mut sums = bias.clone();
                sum_rows(&x, &mut sums);
                sums
            };
            assert_eq!(sums(), expected, "width {width}");
            #[cfg(feature = "parallel")]
            for threads in 1..=4 {
                let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(pool.install(sums), expected, "width {width}, {threads} threads");
            }
        }
    }

    #[test]
    fn exponentials_of_rows() {
        for n in [1, 2, 10, 15, 16, 17, 63, 64, 65, 100, 1000] {
            let z: Vec<f32> = (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.2).collect();
            let mut e = vec![0.0; n];
            let (top, sum) = exp_into(&z, Some(&mut e));
            assert_eq!((top, sum), exp_into(&z, None), "{n}");
            assert_eq!(top, z.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let exact: f64 = z.iter().map(|v| f64::from(v - top).exp()).sum();
            assert!((f64::from(sum) / exact - 1.0).abs() < 1e-6, "{n}: {sum}, {exact}");
            assert!(n < SHORT || z.iter().zip(e).all(|(v, e)| e.to_bits() == (v - top).fast_exp().to_bits()));
        }
        assert!(exp_into(&[0.0f32, f32::NAN], None).1.is_nan());
    }
}
