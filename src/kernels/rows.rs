//! Loops over rows: biases added to and summed from them.

use super::{parallel, simd};
use crate::tensor::Float;

/// `y[i, j] += bias[j]` for rows as long as `bias`.
pub fn add_bias<T: Float>(y: &mut [T], bias: &[T]) {
    if bias.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;

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
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(pool.install(sums), expected, "width {width}, {threads} threads");
            }
        }
    }
}
