//! Bounds that weights are brought back into after every update.
//!
//! A layer takes them as settings ([`Dense::kernel_constraint`](crate::layers::Dense::kernel_constraint)) and registers them at
//! build ([`Builder::constrain`](crate::Builder::constrain)). Weights that are not trained are left as they are.

use crate::check::check_not_negative;
use crate::error::{Error, Result};
use crate::tensor::{Float, MAX_RANK, Shape};

/// A bound on a weight. ‖w‖ is the length of each vector along `axis`, by default axis 0: in a kernel `[in, out]` the weights that
/// lead to one unit; `[0, 1, 2]` speaks of the filters of an image kernel. ε is 1e-7.
///
/// Keras `constraints.MaxNorm`, `NonNeg`, `UnitNorm` and `MinMaxNorm`. Srivastava et al.: "Dropout", 2014 (max-norm).
///
/// ```
/// use gradus::prelude::*;
/// let hidden = Dense::new(8).kernel_constraint(Constraint::max_norm(3.0)).bias_constraint(Constraint::NonNeg);
/// # let _: Model = Sequential::new([2]).add(hidden).build(0)?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Constraint {
    /// w·min(‖w‖, max)/(ε + ‖w‖): no vector longer than `max_value`.
    MaxNorm {
        /// The largest length (Keras: 2).
        max_value: f64,
        /// The axes that a vector runs along.
        axis: Vec<usize>,
    },
    /// max(w, 0).
    NonNeg,
    /// w/(ε + ‖w‖): vectors of length 1.
    UnitNorm {
        /// The axes that a vector runs along.
        axis: Vec<usize>,
    },
    /// w·(rate·clip(‖w‖, min, max) + (1 − rate)·‖w‖)/(ε + ‖w‖): lengths are drawn into [min, max].
    MinMaxNorm {
        /// The smallest length (Keras: 0).
        min_value: f64,
        /// The largest length (Keras: 1).
        max_value: f64,
        /// The part of the way that each update goes, above 0 and at most 1 (Keras: 1, all of it).
        rate: f64,
        /// The axes that a vector runs along.
        axis: Vec<usize>,
    },
}

/// Keras's fuzz factor.
const EPSILON: f64 = 1e-7;

/// Vectors whose lengths are computed together, so that memory is read in order.
const COLUMNS: usize = 64;

impl Constraint {
    /// No vector along axis 0 longer than `max_value`.
    pub fn max_norm(max_value: f64) -> Self {
        Constraint::MaxNorm { max_value, axis: vec![0] }
    }

    /// Vectors along axis 0 of length 1.
    pub fn unit_norm() -> Self {
        Constraint::UnitNorm { axis: vec![0] }
    }

    /// Lengths of vectors along axis 0 within bounds.
    pub fn min_max_norm(min_value: f64, max_value: f64) -> Self {
        Constraint::MinMaxNorm { min_value, max_value, rate: 1.0, axis: vec![0] }
    }

    /// The part of the way into the bounds that each update goes; of [`MinMaxNorm`](Self::MinMaxNorm) only.
    pub fn rate(mut self, part: f64) -> Self {
        if let Constraint::MinMaxNorm { rate, .. } = &mut self {
            *rate = part;
        }
        self
    }

    /// The axes of the weight that a vector runs along; nothing to [`NonNeg`](Self::NonNeg), which knows no vectors.
    pub fn axis(mut self, axes: impl Into<Vec<usize>>) -> Self {
        match &mut self {
            Constraint::MaxNorm { axis, .. } | Constraint::UnitNorm { axis } | Constraint::MinMaxNorm { axis, .. } => {
                *axis = axes.into();
            }
            Constraint::NonNeg => {}
        }
        self
    }

    /// Checks the settings for a weight of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`] for a bound that is not finite or negative, bounds in the wrong order, a rate outside its range, or an
    /// axis that the weight does not have.
    pub fn check(&self, shape: Shape) -> Result<()> {
        const OP: &str = "Constraint";
        let axis = match self {
            Constraint::NonNeg => return Ok(()),
            Constraint::UnitNorm { axis } => axis,
            Constraint::MaxNorm { max_value, axis } => {
                check_not_negative(OP, "max_value", *max_value)?;
                axis
            }
            Constraint::MinMaxNorm { min_value, max_value, rate, axis } => {
                check_not_negative(OP, "min_value", *min_value)?;
                check_not_negative(OP, "max_value", *max_value)?;
                if min_value > max_value {
                    let expected = format!("at most max_value, {max_value}");
                    return Err(Error::argument(OP, "min_value", expected, min_value, "swap the two"));
                }
                if !(*rate > 0.0 && *rate <= 1.0) {
                    return Err(Error::argument(
                        OP,
                        "rate",
                        "above 0 and at most 1",
                        rate,
                        "1 keeps the bounds strictly",
                    ));
                }
                axis
            }
        };
        if axis.is_empty() {
            return Err(Error::argument(OP, "axis", "at least one axis", "none", "[0] is usual"));
        }
        for (i, a) in axis.iter().enumerate() {
            if *a >= shape.rank() || axis.iter().take(i).any(|b| a == b) {
                let expected =
                    format!("different axes of a weight of shape {shape}, from 0 to {}", shape.rank().max(1) - 1);
                return Err(Error::argument(OP, "axis", expected, format!("{axis:?}"), "[0] is usual"));
            }
        }
        Ok(())
    }

    /// Brings the weight `w` of a shape that [`check`](Self::check) has passed into the bounds.
    pub fn apply<T: Float>(&self, shape: Shape, w: &mut [T]) {
        let length = |norm: f64| match *self {
            Constraint::MaxNorm { max_value, .. } => norm.min(max_value),
            Constraint::UnitNorm { .. } => 1.0,
            Constraint::MinMaxNorm { min_value, max_value, rate, .. } => {
                rate * norm.max(min_value).min(max_value) + (1.0 - rate) * norm
            }
            Constraint::NonNeg => norm,
        };
        match self {
            Constraint::NonNeg => w.iter_mut().for_each(|v| *v = v.max(T::zero())),
            Constraint::MaxNorm { axis, .. } | Constraint::UnitNorm { axis } | Constraint::MinMaxNorm { axis, .. } => {
                // Of norms beyond the type: the length that is fixed, and the part of the norm that is kept.
                let (fixed, part) = match *self {
                    Constraint::MaxNorm { max_value, .. } => (max_value, 0.0),
                    Constraint::MinMaxNorm { max_value, rate, .. } => (rate * max_value, 1.0 - rate),
                    Constraint::UnitNorm { .. } | Constraint::NonNeg => (1.0, 0.0),
                };
                scale_vectors(shape, axis, w, |[top, scaled]| match top * scaled {
                    norm if norm.is_finite() => length(norm) / (EPSILON + norm),
                    _ => fixed / top / scaled + part,
                });
            }
        }
    }
}

/// Multiplies each vector along `axis` by `factor` of its length, which is the product of the two numbers handed over.
fn scale_vectors<T: Float>(shape: Shape, axis: &[usize], w: &mut [T], factor: impl Fn([f64; 2]) -> f64) {
    let Some(last) = shape.rank().checked_sub(1) else { return };
    let mut along = [false; MAX_RANK];
    along.iter_mut().enumerate().for_each(|(i, along)| *along = axis.contains(&i));
    // Runs along the last axis belong to one vector, or each of their values to another.
    let (one, width) = (along[last], shape.last());
    let sizes = &shape.dims()[..last];
    let count =
        |wanted: bool| -> usize { sizes.iter().zip(&along).filter(|(_, a)| wanted == **a).map(|(n, _)| n).product() };
    let (outer, inner) = (count(false), count(true));
    let offset = |index: usize, wanted: bool| {
        let (mut rest, mut at, mut stride) = (index, 0, width);
        for (n, a) in sizes.iter().zip(&along).rev() {
            if wanted == *a {
                at += rest % n * stride;
                rest /= n;
            }
            stride *= n;
        }
        at
    };
    let block = if one { width } else { COLUMNS };
    for group in 0..outer {
        let base = offset(group, false);
        for first in (0..width).step_by(block.max(1)) {
            let run = |i: usize| base + offset(i, true) + first..base + offset(i, true) + width.min(first + block);
            // Σ (w/top)² of each vector.
            let squares = |w: &[T], tops: &[f64; COLUMNS]| {
                let mut sums = [0.0f64; COLUMNS];
                for i in 0..inner {
                    let values = w.get(run(i)).unwrap_or(&[]);
                    let square = |v: &T, top: f64| (v.as_f64() / top) * (v.as_f64() / top);
                    match one {
                        true => sums[0] += values.iter().map(|v| square(v, tops[0])).sum::<f64>(),
                        false => {
                            sums.iter_mut().zip(values).zip(tops).for_each(|((s, v), &top)| *s += square(v, top));
                        }
                    }
                }
                sums
            };
            let mut tops = [1.0f64; COLUMNS];
            let mut sums = squares(w, &tops);
            // Squares of f64 may overflow; then by way of the largest magnitude.
            if sums.iter().any(|s| s.is_infinite()) {
                for i in 0..inner {
                    for (j, v) in w.get(run(i)).unwrap_or(&[]).iter().enumerate() {
                        let top = &mut tops[if one { 0 } else { j }];
                        *top = top.max(v.as_f64().abs());
                    }
                }
                sums = squares(w, &tops);
            }
            let mut factors = [T::one(); COLUMNS];
            factors.iter_mut().zip(tops).zip(sums).for_each(|((f, top), s)| *f = T::of(factor([top, s.sqrt()])));
            for i in 0..inner {
                let values = w.get_mut(run(i)).unwrap_or(&mut []);
                match one {
                    true => values.iter_mut().for_each(|v| *v *= factors[0]),
                    false => values.iter_mut().zip(&factors).for_each(|(v, f)| *v *= *f),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(constraint: &Constraint, shape: Shape, w: &[f64]) -> Vec<f64> {
        constraint.check(shape).unwrap();
        let mut w = w.to_vec();
        constraint.apply(shape, &mut w);
        w
    }

    fn assert_close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-6), "{got:?}, expected {expected:?}");
    }

    #[test]
    fn hand_computed() {
        // Columns of lengths 5 and 1.
        let (shape, w) = (Shape::from([2, 2]), [3.0, -0.6, 4.0, 0.8]);
        assert_close(&applied(&Constraint::max_norm(2.0), shape, &w), &[1.2, -0.6, 1.6, 0.8]);
        assert_close(&applied(&Constraint::unit_norm(), shape, &w), &[0.6, -0.6, 0.8, 0.8]);
        assert_close(&applied(&Constraint::min_max_norm(2.0, 4.0), shape, &w), &[2.4, -1.2, 3.2, 1.6]);
        assert_close(&applied(&Constraint::min_max_norm(2.0, 4.0).rate(0.5), shape, &w), &[2.7, -0.9, 3.6, 1.2]);
        assert_eq!(applied(&Constraint::NonNeg, shape, &w), [3.0, 0.0, 4.0, 0.8]);
        // ε is Keras's, and an empty vector stays.
        assert_eq!(applied(&Constraint::unit_norm(), Shape::from([1, 1]), &[2.0]), [2.0 * (1.0 / (1e-7 + 2.0))]);
        assert_eq!(applied(&Constraint::min_max_norm(1.0, 2.0), shape, &[0.0; 4]), [0.0; 4]);
        // Lengths do not overflow, in f64 either.
        let huge = applied(&Constraint::max_norm(2.0), Shape::from([2, 2]), &[3e200, 1.7e308, -4e200, 1.7e308]);
        assert_close(&huge, &[1.2, 2f64.sqrt(), -1.6, 2f64.sqrt()]);
        let huge = applied(&Constraint::unit_norm().axis([0, 1]), Shape::from([2, 2]), &[-1.7e308; 4]);
        assert_close(&huge, &[-0.5; 4]);
        let huge = applied(&Constraint::min_max_norm(1.0, 2.0).rate(0.5), Shape::from([2, 1]), &[1.7e308; 2]);
        assert!(huge.iter().all(|v| (v / 0.85e308 - 1.0).abs() < 1e-12), "{huge:?}");
        // Far below ε it is ε that counts.
        let tiny = applied(&Constraint::unit_norm(), Shape::from([2, 1]), &[1e-200, 0.0]);
        assert!((tiny[0] / 1e-193 - 1.0).abs() < 1e-12, "{tiny:?}");
        let mut huge = [1e30f32, 1e30];
        Constraint::unit_norm().apply(Shape::from([2]), &mut huge);
        assert!(huge.iter().all(|v| (v - 0.5f32.sqrt()).abs() < 1e-6));
    }

    #[test]
    fn any_axes_give_unit_vectors() {
        let shape = Shape::from([3, 2, 4, 70]);
        let w: Vec<f64> = (0..shape.len()).map(|i| (i as f64 * 0.37).sin()).collect();
        for axes in [vec![0], vec![1], vec![3], vec![0, 1, 2], vec![1, 3], vec![3, 0], vec![0, 1, 2, 3]] {
            let out = applied(&Constraint::unit_norm().axis(axes.clone()), shape, &w);
            let mut norms = std::collections::BTreeMap::new();
            for (i, v) in out.iter().enumerate() {
                let place = [i / 560, i / 280 % 2, i / 70 % 4, i % 70];
                let kept: Vec<_> = (0..4).filter(|a| !axes.contains(a)).map(|a| place[a]).collect();
                *norms.entry(kept).or_insert(0.0) += v * v;
            }
            assert!(norms.values().all(|n: &f64| (n - 1.0).abs() < 1e-5), "{axes:?}: {norms:?}");
        }
    }

    #[test]
    fn impossible_settings() {
        let shape = Shape::from([2, 3]);
        let error = |c: Constraint| c.check(shape).unwrap_err().to_string();
        assert!(error(Constraint::max_norm(-1.0)).contains("max_value must be finite and not negative"));
        assert!(error(Constraint::max_norm(f64::NAN)).contains("max_value"));
        assert!(error(Constraint::min_max_norm(2.0, 1.0)).contains("min_value must be at most max_value, 1"));
        assert!(error(Constraint::min_max_norm(0.0, 1.0).rate(0.0)).contains("rate must be above 0 and at most 1"));
        assert!(error(Constraint::unit_norm().axis([2])).contains("from 0 to 1, got [2]"));
        assert!(error(Constraint::unit_norm().axis([0, 0])).contains("different axes"));
        assert!(error(Constraint::unit_norm().axis([])).contains("at least one axis"));
        assert!(Constraint::NonNeg.check(Shape::SCALAR).is_ok());
    }
}
