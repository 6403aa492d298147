//! Pairs of values that turn by an angle.

use crate::kernels::angles::Angles;
use crate::kernels::float::Float;
use crate::kernels::{parallel, simd};

/// Which values of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// Value i of the first half and value i of the second.
    Halves,
    /// Values 2i and 2i + 1.
    Neighbours,
}

/// By how much the heads of rows turn, and which way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'a, T> {
    pub angles: Angles<'a, T>,
    pub pairs: Pairs,
    pub head_dim: usize,
    /// By the negative angle, which is what a gradient takes.
    pub back: bool,
}

impl<T: Float> Turn<'_, T> {
    /// y = x with its heads turned, rows of `width` values, a row for each step.
    pub fn rows(&self, x: &[T], y: &mut [T], width: usize) {
        parallel::rows(y, width, 4 * width, |first, y| {
            let x = x[first * width..].chunks_exact(width);
            for (i, (y, x)) in y.chunks_exact_mut(width).zip(x).enumerate() {
                y.copy_from_slice(x);
                self.row(first + i, y);
            }
        });
    }

    /// The same in place.
    pub fn here(&self, y: &mut [T], width: usize) {
        parallel::rows(y, width, 4 * width, |first, y| {
            y.chunks_exact_mut(width).enumerate().for_each(|(i, y)| self.row(first + i, y));
        });
    }

    /// Turns the heads of one step's row in place: (a, b) → (a·cos − b·sin, b·cos + a·sin). What is behind the pairs of a head stays.
    pub fn row(&self, step: usize, row: &mut [T]) {
        let [cos, sin] = self.angles.of(step);
        let sign = if self.back { -T::one() } else { T::one() };
        simd::vectorised(|| {
            for head in row.chunks_exact_mut(self.head_dim) {
                match self.pairs {
                    Pairs::Halves => {
                        let (a, b) = head[..2 * cos.len()].split_at_mut(cos.len());
                        for ((a, b), (&c, &s)) in a.iter_mut().zip(b).zip(cos.iter().zip(sin)) {
                            let s = sign * s;
                            (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
                        }
                    }
                    Pairs::Neighbours => {
                        for (pair, (&c, &s)) in head.chunks_exact_mut(2).zip(cos.iter().zip(sin)) {
                            let s = sign * s;
                            (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[1] * c + pair[0] * s);
                        }
                    }
                }
            }
        });
    }
}
