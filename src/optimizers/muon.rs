//! Orthogonalised momentum for matrices, Adam for the rest.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::{BetaOptions, Betas, Coefficients, Moments, Optimizer, OptimizerConfig, OptimizerOptions, Options};
use crate::check::{check_fraction, check_not_negative};
use crate::error::{Error, Result};
use crate::kernels::gemm::{Matrix, gemm};
use crate::tensor::{Float, Shape};

/// For a matrix: m = μ·m + g, w −= lr·ρ·√max(rows, columns)·O(g + μ·m), where O(X) is near the orthogonal matrix nearest to X.
///
/// O divides X by its length ‖X‖ + 1e-7 and repeats X ← a·X + (b·A + c·A²)·X with A = X·Xᵀ, transposed where there are more
/// rows than columns, which brings every singular value near 1. Every parameter that is not a matrix is updated by
/// [`Adam`](super::Adam), and so are those whose path has `embedding` or a word of `exclude_layers` in it; Keller Jordan
/// advises to name the output layer there. Kernels of higher rank are matrices with `flatten`.
///
/// Defaults: learning rate 0.001, μ 0.95, Nesterov's step (without it O(m)), 5 repetitions, (a, b, c) = (3.4445, −4.775,
/// 2.0315), ρ 0.2, weight decay 0.004 for both rules, β₁ 0.9, β₂ 0.999, ε 1e-7. Decay spares biases and scales unless
/// [`decay_all`](OptimizerOptions::decay_all) is set (Keras decays everything).
///
/// Keras `Muon` (without an own decay for Adam), PyTorch `Muon` (with other scales). Jordan et al.: "Muon: An optimizer for
/// hidden layers in neural networks", 2024; ρ: Liu et al.: "Muon is Scalable for LLM Training", 2025.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = Muon::default().learning_rate(0.02).exclude_layers(["dense_2"]);
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Muon {
    options: Options,
    betas: Betas,
    momentum: f64,
    nesterov: bool,
    ns_steps: u32,
    polynomial: [f64; 3],
    rms_rate: Option<f64>,
    adam_lr_ratio: f64,
    exclude_layers: Vec<String>,
    exclude_embeddings: bool,
    flatten: bool,
    #[cfg_attr(feature = "serde", serde(skip))]
    scratch: Scratch,
}

impl Default for Muon {
    fn default() -> Self {
        Muon {
            options: Options { weight_decay: 0.004, ..Options::default() },
            betas: Betas::default(),
            momentum: 0.95,
            nesterov: true,
            ns_steps: 5,
            polynomial: [3.4445, -4.775, 2.0315],
            rms_rate: Some(0.2),
            adam_lr_ratio: 1.0,
            exclude_layers: Vec::new(),
            exclude_embeddings: true,
            flatten: false,
            scratch: Scratch::default(),
        }
    }
}

impl Muon {
    /// μ, in [0, 1); 0.95 by default.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Whether the gradient counts once more, O(g + μ·m) instead of O(m); yes by default.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }

    /// Repetitions of the polynomial, at most 100; 5 by default.
    pub fn ns_steps(mut self, steps: u32) -> Self {
        self.ns_steps = steps;
        self
    }

    /// a, b and c of the polynomial (Keras `muon_a`, `muon_b`, `muon_c`); 3.4445, −4.775 and 2.0315 by default.
    pub fn polynomial(mut self, [a, b, c]: [f64; 3]) -> Self {
        self.polynomial = [a, b, c];
        self
    }

    /// ρ, the size of a step's elements for a learning rate of 1; 0.2 by default. With `None` steps are not scaled.
    pub fn rms_rate(mut self, rate: impl Into<Option<f64>>) -> Self {
        self.rms_rate = rate.into();
        self
    }

    /// Adam's learning rate measured by that for matrices; 1 by default.
    pub fn adam_lr_ratio(mut self, ratio: f64) -> Self {
        self.adam_lr_ratio = ratio;
        self
    }

    /// Parts of the paths of parameters that are left to Adam, such as `"dense_2"`; none by default. Keras takes regular
    /// expressions.
    pub fn exclude_layers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.exclude_layers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether parameters with `embedding` in their path are left to Adam; yes by default.
    pub fn exclude_embeddings(mut self, exclude: bool) -> Self {
        self.exclude_embeddings = exclude;
        self
    }

    /// Whether a parameter of higher rank counts as a matrix of its last axis and all others; no by default, as in Keras.
    pub fn flatten(mut self, flatten: bool) -> Self {
        self.flatten = flatten;
        self
    }
}

impl OptimizerOptions for Muon {
    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }
}

/// Those of Adam.
impl BetaOptions for Muon {
    fn betas_mut(&mut self) -> &mut Betas {
        &mut self.betas
    }
}

/// Room for O, kept from step to step; it grows to what the largest matrix takes.
#[derive(Default)]
struct Scratch(Mutex<Option<Box<dyn Any + Send>>>);

impl fmt::Debug for Scratch {
    /// The same before and after a step: checkpoints compare what an optimizer's `Debug` says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

impl Clone for Scratch {
    fn clone(&self) -> Self {
        Scratch::default()
    }
}

impl Scratch {
    /// Hands `f` that many numbers; what they are is left from before.
    fn with<T: Float>(&self, len: usize, f: impl FnOnce(&mut [T])) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut buffer = held.and_then(|b| b.downcast::<Vec<T>>().ok()).unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, T::zero());
        }
        f(&mut buffer[..len]);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(buffer);
    }
}

impl Muon {
    /// X ← a·X + (b·A + c·A²)·X, `ns_steps` times, for X `[rows, columns]` with rows ≤ columns; y as large, and two of rows².
    fn orthogonalise<T: Float>(&self, [rows, columns]: [usize; 2], x: &mut [T], y: &mut [T], square: &mut [T]) {
        let [a, b, c] = self.polynomial.map(T::of);
        let length = x.iter().map(|v| v.as_f64() * v.as_f64()).sum::<f64>().sqrt();
        if length.is_finite() && T::of(length.recip()).is_normal() {
            let scale = T::of(1.0 / (length + 1e-7));
            x.iter_mut().for_each(|v| *v *= scale);
        } else {
            // Where squares or the factor would leave the type, by way of the largest magnitude.
            let top = x.iter().fold(T::zero(), |m, v| v.abs().max(m));
            let top = if top == T::zero() { T::one() } else { top };
            x.iter_mut().for_each(|v| *v /= top);
            let length = x.iter().map(|v| v.as_f64() * v.as_f64()).sum::<f64>().sqrt();
            let scale = T::of(1.0 / (length + 1e-7 / top.as_f64()));
            x.iter_mut().for_each(|v| *v *= scale);
        }
        let (first, second) = square.split_at_mut(rows * rows);
        for _ in 0..self.ns_steps {
            gemm([rows, columns, rows], Matrix::rows(x, columns), Matrix::transposed(x, columns), T::zero(), first);
            gemm([rows; 3], Matrix::rows(first, rows), Matrix::rows(first, rows), T::zero(), second);
            second.iter_mut().zip(&*first).for_each(|(s, &f)| *s = b * f + c * *s);
            gemm([rows, rows, columns], Matrix::rows(second, rows), Matrix::rows(x, columns), T::zero(), y);
            x.iter_mut().zip(&*y).for_each(|(x, &y)| *x = a * *x + y);
        }
    }

    fn matrix<T: Float>(&self, lr: f64, [rows, columns]: [usize; 2], w: &mut [T], g: &[T], m: &mut [T]) {
        let (n, side) = (w.len(), rows.min(columns));
        let mu = T::of(self.momentum);
        m.iter_mut().zip(g).for_each(|(m, &g)| *m = mu * *m + g);
        let ahead = |i: usize| if self.nesterov { g[i] + mu * m[i] } else { m[i] };
        // Where an element of w stands in X.
        let tall = rows > columns;
        let place = |i: usize| if tall { i % columns * rows + i / columns } else { i };
        let step = lr * self.rms_rate.map_or(1.0, |rho| rho * (rows.max(columns) as f64).sqrt());
        let step = T::of(step);
        self.scratch.with(2 * n + 2 * side * side, |buffer| {
            let (x, rest) = buffer.split_at_mut(n);
            let (y, square) = rest.split_at_mut(n);
            (0..n).for_each(|i| x[place(i)] = ahead(i));
            self.orthogonalise([side, rows.max(columns)], x, y, square);
            if x.iter().all(|v| v.is_finite()) {
                w.iter_mut().enumerate().for_each(|(i, w)| *w -= step * x[place(i)]);
            } else if let Some(first) = w.first_mut() {
                // One weight tells the caller of the overflow; all others stay.
                *first = T::nan();
            }
        });
    }
}

impl<T: Float> Optimizer<T> for Muon {
    fn name(&self) -> &'static str {
        "muon"
    }

    fn config(&self) -> OptimizerConfig {
        OptimizerConfig::Muon(self.clone())
    }

    fn options(&self) -> &Options {
        &self.options
    }

    /// m, and v for those that Adam updates.
    fn moments(&self) -> Vec<f64> {
        vec![0.0; 2]
    }

    fn whole_parameters(&self) -> bool {
        true
    }

    /// A matrix is one for O, all others are flat.
    fn update_shape(&self, name: &str, shape: Shape) -> Shape {
        let excluded = (self.exclude_embeddings && name.to_lowercase().contains("embedding"))
            || self.exclude_layers.iter().any(|part| name.contains(part.as_str()));
        match *shape.dims() {
            [_, _] if !excluded => shape,
            [_, _, .., last] if !excluded && self.flatten => Shape::from([shape.len() / last.max(1), last]),
            _ => Shape::from([shape.len()]),
        }
    }

    fn moment_len(&self, moment: usize, shape: Shape) -> usize {
        if moment == 1 && shape.rank() == 2 { 0 } else { shape.len() }
    }

    fn check(&self) -> Result<()> {
        let op = "Muon";
        check_fraction(op, "momentum", self.momentum)?;
        self.betas.check::<T>(op)?;
        if self.ns_steps > 100 {
            return Err(Error::argument(op, "ns_steps", "at most 100", self.ns_steps, "5 is usual"));
        }
        if let Some(&value) = self.polynomial.iter().find(|v| !v.is_finite()) {
            return Err(Error::argument(op, "polynomial", "of finite numbers", value, "leave it at its default"));
        }
        check_not_negative(op, "rms_rate", self.rms_rate.unwrap_or(0.0))?;
        check_not_negative(op, "adam_lr_ratio", self.adam_lr_ratio)
    }

    fn check_bf16_moments(&self) -> std::result::Result<(), &'static str> {
        Err("it goes through whole parameters, not through parts that would be widened one at a time")
    }

    /// The learning rates of matrices and of Adam.
    fn coefficients(&self, t: u64, lr: f64, _: &mut [f64]) -> Coefficients {
        let [p1, p2] = self.betas.powers(t);
        [lr, lr * self.adam_lr_ratio * (1.0 - p2).sqrt() / (1.0 - p1), 0.0, 0.0, 0.0, 0.0]
    }

    fn update(&self, c: &Coefficients, shape: Shape, w: &mut [T], g: &[T], [m, v, _]: Moments<'_, T>) {
        if let ([rows, columns], false) = (shape.dims(), w.is_empty()) {
            return self.matrix(c[0], [*rows, *columns], w, g, m);
        }
        let [alpha, epsilon] = [c[1], self.betas.epsilon].map(T::of);
        let [b1, b2] = [self.betas.beta_1, self.betas.beta_2].map(|beta| T::of(1.0 - beta));
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            *m += (g - *m) * b1;
            *v += (g * g - *v) * b2;
            *w -= alpha * *m / (v.sqrt() + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::OptimizerState;
    use super::super::testing::check_rule;
    use super::*;
    use crate::params::Params;

    /// The parameter after some steps, as tests/interop/muon.py takes them.
    fn run(optimizer: &Muon, shape: &[usize], steps: usize) -> Vec<f64> {
        let optimizer = &optimizer.clone().learning_rate(0.1).decay_all(true);
        let shape = Shape::try_from(shape).unwrap();
        let w: Vec<f64> = (0..shape.len()).map(|i| (1.0 + i as f64).sin()).collect();
        let mut params = Params::new();
        params.push("kernel", shape, &w, true, true).unwrap();
        let mut state = OptimizerState::new(optimizer, &params);
        for s in 0..steps {
            let mut g: Vec<f64> = (0..w.len()).map(|i| (0.7 * (i * i) as f64 + 1.3 * s as f64).cos()).collect();
            assert!(state.step(optimizer, &mut params, &mut g));
        }
        params.values().to_vec()
    }

    fn check(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{got:?}, expected {expected:?}");
    }

    #[test]
    fn keras() {
        // Keras 3.15.1 in float64.
        check(
            &run(&Muon::default(), &[2, 3], 3),
            &[
                0.8386297765001153,
                0.9217507400932713,
                0.17132680968759775,
                -0.7847301716233228,
                -0.9866403878111601,
                -0.3478397543574402,
            ],
        );
        check(
            &run(&Muon::default(), &[3, 2], 3),
            &[
                0.789996182533348,
                0.9061904554150633,
                0.18044858727489593,
                -0.7876593813459893,
                -1.0134381470895821,
                -0.31692932947123326,
            ],
        );
        let rule = Muon::default().nesterov(false).momentum(0.8).ns_steps(3).rms_rate(None);
        check(
            &run(&rule.weight_decay(0.1), &[3, 2], 3),
            &[
                0.6292057176943645,
                0.8872180044716665,
                0.3268854789513768,
                -0.8914303709272464,
                -1.066475056426517,
                -0.38179827877924766,
            ],
        );
    }

    #[test]
    fn keras_with_adam() {
        check(&run(&Muon::default(), &[3], 3), &[0.6473899052653785, 0.8210655288868614, 0.36921851838205866]);
        check(
            &run(&Muon::default().adam_lr_ratio(0.5), &[2, 2, 2], 2),
            &[
                0.7488357294823709,
                0.846954482461365,
                0.2389674778532687,
                -0.8477402232502087,
                -1.0512725937584215,
                -0.3726974408452276,
                0.5662554993860929,
                1.085456877779917,
            ],
        );
        check(
            &run(&Muon::default().exclude_layers(["kern"]), &[2, 3], 2),
            &[
                0.6568735163412952,
                0.785338830585458,
                0.336927821079277,
                -0.9392832721290817,
                -1.1443878988819738,
                -0.46620287119422166,
            ],
        );
    }

    #[test]
    fn rule() {
        check_rule(&Muon::default().learning_rate(0.02).weight_decay(1e-4));
    }

    #[test]
    fn higher_ranks() {
        let flat = run(&Muon::default(), &[4, 2], 2);
        assert_eq!(run(&Muon::default().flatten(true), &[2, 2, 2], 2), flat);
        assert_ne!(run(&Muon::default(), &[2, 2, 2], 2), flat);
        let seen = |name| Optimizer::<f32>::update_shape(&Muon::default(), name, Shape::from([3, 4])).rank();
        assert_eq!((seen("dense/kernel"), seen("Embedding_1/embeddings")), (2, 1));
        assert_eq!(Optimizer::<f32>::moment_len(&Muon::default(), 1, Shape::from([3, 4])), 0);
    }

    #[test]
    fn gradients_of_zero_move_nothing() {
        let rule = Muon::default();
        let mut w = [1.0f32, 2.0];
        let c = Optimizer::<f32>::coefficients(&rule, 1, 0.1, &mut []);
        rule.update(&c, Shape::from([1, 2]), &mut w, &[0.0; 2], [&mut [0.0; 2], &mut [], &mut []]);
        assert_eq!(w, [1.0, 2.0]);
    }

    #[test]
    fn an_overflow_is_reported_and_spares_the_weights() {
        let rule = Muon::default().polynomial([1e300, 0.0, 0.0]);
        let mut params = Params::<f64>::new();
        params.push("kernel", Shape::from([20, 30]), &[0.5; 600], true, true).unwrap();
        let mut state = OptimizerState::new(&rule, &params);
        assert!(!state.step(&rule, &mut params, &mut [1.0; 600]));
        assert!(params.values()[1..].iter().all(|w| (w - 0.5).abs() < 1e-5));
        assert!(params.values()[0].is_finite());
    }

    #[test]
    fn settings() {
        let check = |rule: Muon| Optimizer::<f32>::check(&rule).map_err(|e| e.to_string());
        assert_eq!(
            check(Muon::default().momentum(1.0)).unwrap_err(),
            "Muon: momentum must be at least 0 and below 1, got 1; leave it at its default"
        );
        assert!(check(Muon::default().ns_steps(101)).is_err());
        assert!(check(Muon::default().polynomial([1.0, f64::NAN, 0.0])).is_err());
        assert!(check(Muon::default().rms_rate(-1.0)).is_err());
        assert!(check(Muon::default().adam_lr_ratio(f64::INFINITY)).is_err());
        assert!(check(Muon::default().beta_1(1.0)).is_err());
        assert!(check(Muon::default().rms_rate(None).ns_steps(0)).is_ok());
    }
}
