//! Penalties on weights and outputs, added to the loss.
//!
//! A layer takes them as settings ([`Dense::kernel_regularizer`](crate::layers::Dense::kernel_regularizer)) and registers them at
//! build ([`Builder::regularize`](crate::Builder::regularize)). The penalty of every weight that is trained belongs to the loss
//! that `fit`, `train_on_batch` and `evaluate` report; its gradient is added once a batch.
//!
//! Sums are taken in f64, in an order that depends on the shape only.

use crate::check::check_not_negative;
use crate::error::{Error, Result};
use crate::kernels::float::sign;
use crate::kernels::simd;
use crate::tensor::{Float, Shape, Tensor};

/// A penalty R on values w, added to the loss. Factors are finite and not negative.
///
/// Keras `regularizers.L1`, `L2`, `L1L2` and `OrthogonalRegularizer`, whose default factor is 0.01. PyTorch's `weight_decay` of
/// λ in SGD is an L2 of λ/2 here.
///
/// ```
/// use gradus::prelude::*;
/// let dense = Dense::new(1).kernel_regularizer(Regularizer::L2(0.5)).kernel_initializer(Init::Constant(3.0));
/// let mut model = Sequential::new([2]).add(dense).build(0)?;
/// model.compile(Sgd::default(), MeanSquaredError::default(), ())?;
/// // Nothing but the penalty: 0.5·(3² + 3²).
/// assert_eq!(model.evaluate(&Tensor::zeros([4, 2]), &Tensor::zeros([4, 1]))?.loss, 9.0);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Regularizer {
    /// R = l1·Σ|w|, which draws weights to exactly 0.
    L1(f64),
    /// R = l2·Σw², which keeps weights small.
    L2(f64),
    /// R = l1·Σ|w| + l2·Σw².
    L1L2 {
        /// The factor of Σ|w|.
        l1: f64,
        /// The factor of Σw².
        l2: f64,
    },
    /// R = factor·mean |cos(wᵢ, wⱼ)| over all pairs of rows of a matrix, which draws them to right angles.
    OrthogonalRows(f64),
    /// The same for the columns: the vectors that belong to the units of a dense layer.
    OrthogonalColumns(f64),
}

impl Regularizer {
    /// Checks the factors, and that values of this shape can be penalised.
    ///
    /// # Errors
    /// [`Error::Argument`] for a factor that is not finite or negative; [`Error::Shape`] where an orthogonal penalty meets
    /// anything but a matrix of at least two rows, or columns.
    pub fn check(&self, shape: Shape) -> Result<()> {
        const OP: &str = "Regularizer";
        match *self {
            Regularizer::L1(l1) => check_not_negative(OP, "l1", l1),
            Regularizer::L2(l2) => check_not_negative(OP, "l2", l2),
            Regularizer::L1L2 { l1, l2 } => {
                check_not_negative(OP, "l1", l1)?;
                check_not_negative(OP, "l2", l2)
            }
            Regularizer::OrthogonalRows(factor) | Regularizer::OrthogonalColumns(factor) => {
                check_not_negative(OP, "factor", factor)?;
                let vectors = match (shape.dims(), self) {
                    (&[rows, _], Regularizer::OrthogonalRows(_)) => rows,
                    (&[_, columns], _) => columns,
                    _ => 0,
                };
                if vectors < 2 {
                    let hint = "an orthogonal penalty compares the rows, or the columns, of a matrix with each other";
                    return Err(Error::shape(OP, "a matrix with at least two vectors to compare", shape, hint));
                }
                Ok(())
            }
        }
    }

    /// Checks the factors of a penalty on outputs.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Argument`] for an orthogonal penalty, which is for weights.
    pub(crate) fn check_activity(&self) -> Result<()> {
        if self.linear_and_square().is_none() {
            let hint = "orthogonal penalties are for kernels";
            return Err(Error::argument(
                "Regularizer",
                "activity_regularizer",
                "L1, L2 or L1L2",
                format!("{self:?}"),
                hint,
            ));
        }
        self.check(Shape::SCALAR)
    }

    /// The factors of Σ|w| and Σw², for penalties that are made of these.
    fn linear_and_square(&self) -> Option<[f64; 2]> {
        match *self {
            Regularizer::L1(l1) => Some([l1, 0.0]),
            Regularizer::L2(l2) => Some([0.0, l2]),
            Regularizer::L1L2 { l1, l2 } => Some([l1, l2]),
            Regularizer::OrthogonalRows(_) | Regularizer::OrthogonalColumns(_) => None,
        }
    }

    /// R of the values `w` of a shape that [`check`](Self::check) has passed.
    pub fn penalty<T: Float>(&self, shape: Shape, w: &[T]) -> f64 {
        if let Some([l1, l2]) = self.linear_and_square() {
            let term = |factor: f64, f: fn(f64) -> f64| if factor == 0.0 { 0.0 } else { factor * sum(w, f) };
            return term(l1, f64::abs) + term(l2, |v| v * v);
        }
        let mut total = 0.0;
        self.each_pair(shape, w, |_, _, cosine, _| total += cosine.abs());
        total * self.pair_factor(shape)
    }

    /// Adds scale·∂R/∂w to the gradient `g`.
    pub fn add_gradient<T: Float>(&self, shape: Shape, w: &[T], scale: f64, g: &mut [T]) {
        if let Some([l1, l2]) = self.linear_and_square() {
            // ∂R/∂w = l1·sign(w) + 2·l2·w
            let [linear, square] = [scale * l1, scale * 2.0 * l2].map(T::of);
            return simd::vectorised(|| {
                for (g, &w) in g.iter_mut().zip(w) {
                    *g += linear * sign(w) + square * w;
                }
            });
        }
        // With c = wᵢ·wⱼ/(‖wᵢ‖‖wⱼ‖): ∂|c|/∂wᵢ = sign(c)·(wⱼ/(‖wᵢ‖‖wⱼ‖) − c·wᵢ/‖wᵢ‖²)
        let factor = scale * self.pair_factor(shape);
        self.each_pair(shape, w, |at_i, at_j, cosine, [norm_i, norm_j]| {
            let own = factor * sign(cosine);
            for (i, j) in at_i.zip(at_j) {
                let (Some(wi), Some(wj)) = (w.get(i), w.get(j)) else { return };
                let (wi, wj) = (wi.as_f64(), wj.as_f64());
                for (at, along, norm, other, its_norm) in [(i, wi, norm_i, wj, norm_j), (j, wj, norm_j, wi, norm_i)] {
                    if let Some(g) = g.get_mut(at) {
                        // The products of two norms may leave the type.
                        let (across, back) = match (norm_i * norm_j).is_normal() && (norm * norm).is_normal() {
                            true => (other / (norm_i * norm_j), cosine * along / (norm * norm)),
                            false => (other / its_norm / norm, cosine * (along / norm) / norm),
                        };
                        *g += T::of(own * (across - back));
                    }
                }
            }
        });
    }

    /// The factor over the number of pairs.
    fn pair_factor(&self, shape: Shape) -> f64 {
        let (factor, vectors) = match *self {
            Regularizer::OrthogonalRows(factor) => (factor, shape.first()),
            Regularizer::OrthogonalColumns(factor) => (factor, shape.last()),
            _ => (0.0, 2),
        };
        2.0 * factor / (vectors as f64 * (vectors as f64 - 1.0))
    }

    /// Calls `f(positions of wᵢ, of wⱼ, their cosine, their norms)` for each pair i < j of rows or columns; those of no length
    /// are at right angles to all.
    fn each_pair<T: Float>(
        &self,
        shape: Shape,
        w: &[T],
        mut f: impl FnMut(
            std::iter::StepBy<std::ops::Range<usize>>,
            std::iter::StepBy<std::ops::Range<usize>>,
            f64,
            [f64; 2],
        ),
    ) {
        let (rows, columns) = (shape.first(), shape.last());
        let by_rows = matches!(self, Regularizer::OrthogonalRows(_));
        let vectors = if by_rows { rows } else { columns };
        let positions = |i: usize| match by_rows {
            true => (i * columns..(i + 1) * columns).step_by(1),
            false => (i..rows * columns).step_by(columns.max(1)),
        };
        let value = |at: usize| w.get(at).map_or(0.0, |v| v.as_f64());
        let dot =
            |i: usize, j: usize| -> f64 { positions(i).zip(positions(j)).map(|(a, b)| value(a) * value(b)).sum() };
        let norm = |i: usize| {
            let square = dot(i, i);
            if square.is_normal() {
                return square.sqrt();
            }
            let top = positions(i).fold(0.0, |m: f64, a| m.max(value(a).abs()));
            if top == 0.0 { top } else { top * positions(i).map(|a| (value(a) / top).powi(2)).sum::<f64>().sqrt() }
        };
        for i in 0..vectors {
            let norm_i = norm(i);
            for j in i + 1..vectors {
                let norms = [norm_i, norm(j)];
                if norms[0] > 0.0 && norms[1] > 0.0 {
                    let cosine = match (norms[0] * norms[1]).is_normal() {
                        true => dot(i, j) / (norms[0] * norms[1]),
                        false => {
                            let pairs = positions(i).zip(positions(j));
                            pairs.map(|(a, b)| value(a) / norms[0] * (value(b) / norms[1])).sum()
                        }
                    };
                    f(positions(i), positions(j), cosine, norms);
                }
            }
        }
    }

    /// R of the outputs `y` of a batch, divided by the number of its samples.
    pub(crate) fn activity<T: Float>(&self, y: &Tensor<T>) -> f64 {
        self.penalty(y.shape(), y.as_slice()) / y.samples().max(1) as f64
    }

    /// dy += ∂/∂y of [`activity`](Self::activity).
    pub(crate) fn add_activity_gradient<T: Float>(&self, y: &Tensor<T>, dy: &mut Tensor<T>) {
        self.add_gradient(y.shape(), y.as_slice(), 1.0 / y.samples().max(1) as f64, dy.as_mut_slice());
    }
}

/// Σ f(v) in f64, in an order that depends on the length only.
fn sum<T: Float>(values: &[T], f: impl Fn(f64) -> f64) -> f64 {
    simd::vectorised(|| {
        let mut lanes = [0.0f64; 8];
        for chunk in values.chunks(8) {
            for (s, v) in lanes.iter_mut().zip(chunk) {
                *s += f(v.as_f64());
            }
        }
        lanes.iter().sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Regularizer; 5] = [
        Regularizer::L1(0.3),
        Regularizer::L2(0.2),
        Regularizer::L1L2 { l1: 0.1, l2: 0.7 },
        Regularizer::OrthogonalRows(0.4),
        Regularizer::OrthogonalColumns(0.6),
    ];

    #[test]
    fn hand_computed() {
        let (shape, w) = (Shape::from([2, 2]), [1.0, -2.0, 0.0, 3.0]);
        let penalties = ALL.map(|r| r.penalty(shape, &w));
        // |cos| of the rows is 6/(√5·3), of the columns 2/√13.
        let cosines = [0.4 * 6.0 / (5f64.sqrt() * 3.0), 0.6 * 2.0 / 13f64.sqrt()];
        let expected = [0.3 * 6.0, 0.2 * 14.0, 0.6 + 0.7 * 14.0, cosines[0], cosines[1]];
        for (p, e) in penalties.iter().zip(expected) {
            assert!((p - e).abs() < 1e-15, "{p}, expected {e}");
        }
        // No slope at 0, as Keras has it.
        let mut g = [1.0; 4];
        Regularizer::L1(0.5).add_gradient(shape, &w, 2.0, &mut g);
        assert_eq!(g, [2.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn cosines_of_any_length() {
        // Rows (3, 4)·a and (4, 3)·b: |cos| = 24/25, ∂/∂wᵢ = (wⱼ/(‖wᵢ‖‖wⱼ‖) − cos·wᵢ/‖wᵢ‖²).
        let (shape, r) = (Shape::from([2, 2]), Regularizer::OrthogonalRows(1.0));
        for (a, b) in [(1e-200f64, 1e-200f64), (1e200, 1e200), (1e-300, 1.0), (1e200, 1e-200), (1e300, 1e300)] {
            let w = [3.0 * a, 4.0 * a, 4.0 * b, 3.0 * b];
            assert!((r.penalty(shape, &w) - 0.96).abs() < 1e-14, "{a} {b}");
            let mut g = [0.0; 4];
            r.add_gradient(shape, &w, 1.0, &mut g);
            let expected = [0.8 - 0.96 * 0.6, 0.6 - 0.96 * 0.8].map(|v| v / (5.0 * a));
            let bound = 1e-14 / a;
            assert!((g[0] - expected[0]).abs() < bound && (g[1] - expected[1]).abs() < bound, "{a} {b} {g:?}");
        }
    }

    #[test]
    fn gradients_by_differences() {
        for (rows, columns) in [(3, 5), (4, 2)] {
            let shape = Shape::from([rows, columns]);
            let w: Vec<f64> = (0..rows * columns).map(|i| (i as f64 * 0.7).sin() + 0.05).collect();
            for r in ALL {
                r.check(shape).unwrap();
                let mut g = vec![0.0; w.len()];
                r.add_gradient(shape, &w, 1.0, &mut g);
                for i in 0..w.len() {
                    let at = |h: f64| {
                        let mut moved = w.clone();
                        moved[i] += h;
                        r.penalty(shape, &moved)
                    };
                    let d = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!((g[i] - d).abs() < 1e-8, "{r:?} at {i}: {} for {d}", g[i]);
                }
            }
        }
    }

    #[test]
    fn vectors_without_length_do_no_harm() {
        let (shape, mut g) = (Shape::from([2, 2]), [0.0; 4]);
        for r in ALL {
            assert_eq!(r.penalty(shape, &[0.0; 4]), 0.0);
            r.add_gradient(shape, &[0.0; 4], 1.0, &mut g);
        }
        assert_eq!(g, [0.0; 4]);
    }

    #[test]
    fn impossible_settings() {
        let matrix = Shape::from([2, 3]);
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(
                Regularizer::L1(bad)
                    .check(matrix)
                    .unwrap_err()
                    .to_string()
                    .contains("l1 must be finite and not negative")
            );
            assert!(Regularizer::L1L2 { l1: 0.0, l2: bad }.check(matrix).is_err());
            assert!(Regularizer::OrthogonalRows(bad).check(matrix).is_err());
        }
        for shape in [Shape::from([3]), Shape::from([1, 3]), Shape::SCALAR] {
            assert!(Regularizer::OrthogonalRows(0.1).check(shape).unwrap_err().is_shape());
        }
        assert!(Regularizer::OrthogonalColumns(0.1).check(Shape::from([3, 1])).unwrap_err().is_shape());
        assert!(Regularizer::OrthogonalRows(0.1).check_activity().unwrap_err().to_string().contains("L1, L2 or L1L2"));
    }
}
