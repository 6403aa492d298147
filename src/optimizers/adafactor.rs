//! Adafactor.

use super::{Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options, check_epsilon};
use crate::check::check_not_negative;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape};

/// Adam's second moment kept as row and column means, so that its memory grows with rows + columns.
///
/// With β = 1 − tᵈ (d the decay, −0.8), s = g² + ε₁ and R rows, C columns of the last two axes:
/// r = βr + (1 − β)·mean of s along rows, c = βc + (1 − β)·mean of s along columns, v = r·c/mean(r); vectors keep v itself.
/// u = g/√v, w −= ρ·max(ε₂, rms(w)) · u/max(1, rms(u)/threshold), ρ = min(lr, 1/√t).
///
/// Defaults: learning rate 0.001, d −0.8, ε₁ 1e-30, ε₂ 0.001, threshold 1. Keras and PyTorch `Adafactor` (Keras's
/// `relative_step` changes nothing, as the minimum with 1/√t is taken either way). Shazeer, Stern: "Adafactor: Adaptive
/// Learning Rates with Sublinear Memory Cost", 2018.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Adafactor::default().learning_rate(0.01);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Adafactor {
    options: Options,
    beta_2_decay: f64,
    epsilon_1: f64,
    epsilon_2: f64,
    clip_threshold: f64,
}

impl Default for Adafactor {
    fn default() -> Self {
        Adafactor {
            options: Options::default(),
            beta_2_decay: -0.8,
            epsilon_1: 1e-30,
            epsilon_2: 1e-3,
            clip_threshold: 1.0,
        }
    }
}

impl Adafactor {
    /// d in β = 1 − tᵈ, at most 0; −0.8 by default.
    pub fn beta_2_decay(mut self, decay: f64) -> Self {
        self.beta_2_decay = decay;
        self
    }

    /// Added to squares of gradients; 1e-30 by default.
    pub fn epsilon_1(mut self, epsilon: f64) -> Self {
        self.epsilon_1 = epsilon;
        self
    }

    /// The least size that a parameter counts with; 0.001 by default.
    pub fn epsilon_2(mut self, epsilon: f64) -> Self {
        self.epsilon_2 = epsilon;
        self
    }

    /// The root mean square of u above which steps are scaled down; 1 by default.
    pub fn clip_threshold(mut self, threshold: f64) -> Self {
        self.clip_threshold = threshold;
        self
    }
}

impl OptimizerOptions for Adafactor {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

/// Rows and columns of the last two axes, if there are two.
fn matrix(shape: Shape) -> Option<[usize; 2]> {
    match *shape.dims() {
        [.., rows, columns] => Some([rows, columns]),
        _ => None,
    }
}

/// √ of the mean of squares, from their sum.
fn root_mean(sum: f64, n: usize) -> f64 {
    (sum / n as f64).sqrt()
}

fn square<T: Float>(v: T) -> f64 {
    v.as_f64() * v.as_f64()
}

impl<T: Float> Optimizer<T> for Adafactor {
    fn name(&self) -> &'static str {
        "adafactor"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Adafactor(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    /// r (v for vectors) and c.
    fn moments(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    fn whole_parameters(&self) -> bool {
        true
    }

    fn moment_len(&self, moment: usize, shape: Shape) -> usize {
        match (moment, matrix(shape)) {
            (0, None) => shape.len(),
            (0, Some([_, columns])) => shape.len() / columns.max(1),
            (_, Some([rows, _])) => shape.len() / rows.max(1),
            (_, None) => 0,
        }
    }

    fn check(&self) -> Result<()> {
        if !(self.beta_2_decay <= 0.0 && self.beta_2_decay.is_finite()) {
            let (got, hint) = (self.beta_2_decay, "-0.8 is usual");
            return Err(Error::argument("Adafactor", "beta_2_decay", "finite and at most 0", got, hint));
        }
        if !(self.clip_threshold > 0.0 && self.clip_threshold.is_finite()) {
            let (got, hint) = (self.clip_threshold, "1.0 is usual");
            return Err(Error::argument("Adafactor", "clip_threshold", "finite and above 0", got, hint));
        }
        check_epsilon::<T>("Adafactor", "epsilon_1", self.epsilon_1)?;
        check_not_negative("Adafactor", "epsilon_2", self.epsilon_2)
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Err("it goes through whole parameters, not through parts that would be widened one at a time")
    }

    fn coefficients(&self, t: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        let t = t as f64;
        [lr.min(1.0 / t.sqrt()), t.powf(self.beta_2_decay), 0.0, 0.0, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, shape: Shape, w: &mut [T], g: &[T], [r, col, _]: Moments<'_, T>) {
        let n = w.len();
        let alpha = c[0] * root_mean(w.iter().map(|&w| square(w)).sum(), n).max(self.epsilon_2);
        let limit = |sum: f64| T::of(alpha / (root_mean(sum, n) / self.clip_threshold).max(1.0));
        let (b, epsilon) = (T::of(c[1]), T::of(self.epsilon_1));
        // A square of 0 with ε₁ 0, or below the smallest number, moves nothing.
        let step = |g: T, v: T| if v > T::zero() { g / v.sqrt() } else { T::zero() };
        let Some([rows, columns]) = matrix(shape) else {
            let mut sum = 0.0;
            for (&g, v) in g.iter().zip(&mut *r) {
                *v += (g * g + epsilon - *v) * b;
                sum += square(step(g, *v));
            }
            let alpha = limit(sum);
            for ((w, &g), v) in w.iter_mut().zip(g).zip(r) {
                *w -= alpha * step(g, *v);
            }
            return;
        };
        // Row and column means of each matrix.
        let share = b / T::of(rows as f64);
        for ((g, r), col) in g.chunks(rows * columns).zip(r.chunks_mut(rows)).zip(col.chunks_mut(columns)) {
            col.iter_mut().for_each(|c| *c *= T::one() - b);
            for (g, r) in g.chunks(columns).zip(r) {
                let mut sum = 0.0;
                for (&g, c) in g.iter().zip(&mut *col) {
                    let s = g * g + epsilon;
                    *c += s * share;
                    sum += s.as_f64();
                }
                *r += (T::of(sum / columns as f64) - *r) * b;
            }
        }
        // v of an element from r divided by its mean, and c.
        let each = |f: &mut dyn FnMut(usize, T)| {
            for (m, (r, col)) in r.chunks(rows).zip(col.chunks(columns)).enumerate() {
                let mean = T::of(r.iter().map(|r| r.as_f64()).sum::<f64>() / rows as f64);
                for (i, &r) in r.iter().enumerate() {
                    let (first, row) = ((m * rows + i) * columns, r / mean);
                    col.iter().enumerate().for_each(|(j, &c)| f(first + j, row * c));
                }
            }
        };
        let mut sum = 0.0;
        each(&mut |i, v| sum += square(step(g[i], v)));
        let alpha = limit(sum);
        each(&mut |i, v| w[i] -= alpha * step(g[i], v));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_rule, close, first_step};
    use super::*;

    #[test]
    fn rule() {
        // β = 0 at first: a vector's v = g², u = ±1 of rms 1; steps of min(0.1, 1)·rms(w), rms(w) = √2.5.
        let rule = Adafactor::default().learning_rate(0.1);
        let mut w = [1.0f64, -2.0];
        let c = Optimizer::<f64>::coefficients(&rule, 1, 0.1, &mut []);
        rule.update(&c, Shape::from([2]), &mut w, &[0.5, -0.1], [&mut [0.0; 2], &mut [], &mut []]);
        close(w[0], 1.0 - 0.1 * 2.5f64.sqrt());
        close(w[1], -2.0 + 0.1 * 2.5f64.sqrt());
        // A matrix of one row: r = mean g², c = g², v = c.
        close(first_step(&rule, &[1.0, -2.0], &[0.5, -0.1])[0], 1.0 - 0.1 * 2.5f64.sqrt());
        check_rule(&Adafactor::default().learning_rate(0.05));
    }

    #[test]
    fn memory_grows_with_rows_and_columns() {
        let len = |i, shape: &[usize]| {
            Optimizer::<f32>::moment_len(&Adafactor::default(), i, Shape::try_from(shape).unwrap())
        };
        assert_eq!((len(0, &[100, 70]), len(1, &[100, 70])), (100, 70));
        assert_eq!((len(0, &[3, 100, 70]), len(1, &[3, 100, 70])), (300, 210));
        assert_eq!((len(0, &[70]), len(1, &[70])), (70, 0));
    }

    #[test]
    fn settings() {
        assert!(Optimizer::<f32>::check(&Adafactor::default().clip_threshold(0.0)).is_err());
        assert!(Optimizer::<f32>::check(&Adafactor::default().beta_2_decay(0.8)).is_err());
        assert!(Optimizer::<f32>::check(&Adafactor::default().epsilon_2(f64::NAN)).is_err());
    }
}
