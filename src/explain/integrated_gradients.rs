//! Integrated gradients.

use super::Target;
use crate::error::{Error, Result};
use crate::model::{Differentiator, Sequential};
use crate::tensor::{Float, Tensor};

/// Points whose gradients are computed together.
const TOGETHER: usize = 256;

/// (xᵢ − bᵢ)·∫₀¹ ∂f/∂xᵢ(b + α(x − b)) dα: the part that each input has in f(x) − f(b), f the score of a class and b a baseline,
/// an input that says nothing.
///
/// - The parts sum to f(x) − f(b) (completeness); the integral is taken by the midpoint rule, so they do up to an error that
///   [`Attributions::gaps`] tells and more steps shrink: with their square where f is smooth, in proportion where it has kinks.
/// - Defaults: baseline zeros, 50 steps, no tolerance.
/// - A sample's parts do not depend, to the bit, on the others in the call.
///
/// Sundararajan, Taly, Yan: "Axiomatic Attribution for Deep Networks", 2017. Captum `IntegratedGradients`.
///
/// ```
/// use gradus::prelude::*;
/// let mut model = Sequential::new([2]).add(Dense::new(1)).build(0)?;
/// model.set_weight("dense/kernel", &[3.0, -1.0])?;
/// let parts = IntegratedGradients::default().attribute(&model, &Tensor::from([[2.0, 5.0]]), Target::class(0))?;
/// assert_eq!(parts.values, Tensor::from([[6.0, -5.0]]));
/// assert_eq!(parts.gaps(), [0.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct IntegratedGradients<'a, T = f32> {
    baseline: Option<&'a Tensor<T>>,
    steps: usize,
    tolerance: Option<f64>,
    most_steps: usize,
}

impl<T> Default for IntegratedGradients<'_, T> {
    fn default() -> Self {
        IntegratedGradients { baseline: None, steps: 50, tolerance: None, most_steps: 12_150 }
    }
}

impl<'a, T> IntegratedGradients<'a, T> {
    /// The input that says nothing: one sample `[…input]` for all, or one for each `[n, …input]`; zeros by default.
    pub fn baseline(mut self, baseline: &'a Tensor<T>) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// Points on the way from the baseline to the input; 50 by default.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Steps are tripled for each sample until its gap is at most this part of |f(x) − f(b)|, such as 0.01, or
    /// [`most_steps`](Self::most_steps) are reached; not asked for by default.
    pub fn tolerance(mut self, part: f64) -> Self {
        self.tolerance = Some(part);
        self
    }

    /// The most steps that a tolerance may lead to; 12,150 by default, which is 50 tripled five times.
    pub fn most_steps(mut self, steps: usize) -> Self {
        self.most_steps = steps;
        self
    }
}

impl<T: Float> IntegratedGradients<'_, T> {
    /// The parts that the inputs of each sample of `x` `[n, …input]` have in the target's score. A predicted class is that of the
    /// sample, along the whole way.
    ///
    /// # Errors
    /// Those of [`Sequential::input_gradient`]; [`Error::Argument`] for no steps or a tolerance that is not above 0;
    /// [`Error::Shape`] or [`Error::NonFinite`] for a baseline that does not fit.
    pub fn attribute(&self, model: &Sequential<T>, x: &Tensor<T>, target: Target) -> Result<Attributions<T>> {
        const OP: &str = "IntegratedGradients";
        let mut d = Differentiator::new(OP, model, x, target)?;
        if self.steps == 0 {
            return Err(Error::argument(OP, "steps", "at least 1", 0, "50 is usual"));
        }
        if let Some(part) = self.tolerance.filter(|part| !(part.is_finite() && *part > 0.0)) {
            return Err(Error::argument(OP, "tolerance", "finite and above 0", part, "0.01 is usual"));
        }
        let zeros = vec![T::zero(); model.input_shape().len()];
        if let Some(baseline) = self.baseline {
            if baseline.shape() != model.input_shape() && baseline.shape() != x.shape() {
                let expected = format!("a baseline of shape {} or {}", model.input_shape(), x.shape());
                return Err(Error::shape(OP, expected, baseline.shape(), "pass one sample, or one for each of x"));
            }
            if let Some((row, column, value)) = baseline.first_non_finite() {
                return Err(Error::NonFinite { op: OP, what: "the baseline", row, column, value: value.as_f64() });
            }
        }
        let n = x.samples();
        let mut out = Attributions {
            values: x.clone(),
            outputs: Vec::with_capacity(n),
            baseline_outputs: Vec::with_capacity(n),
            targets: Vec::with_capacity(n),
            steps: Vec::with_capacity(n),
        };
        let mut sums = Vec::new();
        for i in 0..n {
            let b = match self.baseline {
                None => &zeros,
                Some(baseline) if baseline.shape() == model.input_shape() => baseline.as_slice(),
                Some(baseline) => baseline.row(i),
            };
            let mut path = Path { d: &mut d, x: x.row(i), b };
            let (position, outputs) = path.ends();
            let goal = self.tolerance.map_or(f64::INFINITY, |part| part * (outputs[0] - outputs[1]).abs());
            let mut steps = self.steps;
            sums.clear();
            sums.resize(b.len(), 0.0);
            path.add(position, steps, (0..steps).map(|k| k as f64 + 0.5), &mut sums);
            loop {
                out.values.row_mut(i).copy_from_slice(x.row(i));
                for ((v, &b), &sum) in out.values.row_mut(i).iter_mut().zip(b).zip(&sums) {
                    *v = T::of((v.as_f64() - b.as_f64()) * (sum / steps as f64));
                }
                let gap = sum(out.values.row(i)) - (outputs[0] - outputs[1]);
                // The midpoints of a step are also those of the middle one of its thirds.
                let Some(thirds) = steps.checked_mul(3).filter(|&s| s <= self.most_steps && gap.abs() > goal) else {
                    break;
                };
                path.add(
                    position,
                    thirds,
                    (0..steps).flat_map(|k| [3.0 * k as f64 + 0.5, 3.0 * k as f64 + 2.5]),
                    &mut sums,
                );
                steps = thirds;
            }
            out.outputs.push(outputs[0]);
            out.baseline_outputs.push(outputs[1]);
            out.targets.push(position);
            out.steps.push(steps);
        }
        Ok(out)
    }
}

/// The straight way from a baseline to an input.
struct Path<'p, 'm, T: Float> {
    d: &'p mut Differentiator<'m, T>,
    x: &'p [T],
    b: &'p [T],
}

impl<T: Float> Path<'_, '_, T> {
    /// The target's position, and its output at the input and at the baseline.
    fn ends(&mut self) -> (usize, [f64; 2]) {
        self.d.reshape(2);
        self.d.x.row_mut(0).copy_from_slice(self.x);
        self.d.x.row_mut(1).copy_from_slice(self.b);
        self.d.forward();
        let position = self.d.position(0);
        (position, [0, 1].map(|row| self.d.output(row, position)))
    }

    /// Adds the gradients at the points k / steps of the way.
    fn add(&mut self, position: usize, steps: usize, points: impl Iterator<Item = f64>, sums: &mut [f64]) {
        let mut points = points.peekable();
        while points.peek().is_some() {
            self.d.reshape(TOGETHER);
            let mut rows = 0;
            for k in points.by_ref().take(TOGETHER) {
                let alpha = k / steps as f64;
                for ((v, &x), &b) in self.d.x.row_mut(rows).iter_mut().zip(self.x).zip(self.b) {
                    *v = T::of(b.as_f64() + alpha * (x.as_f64() - b.as_f64()));
                }
                rows += 1;
            }
            self.d.reshape(rows);
            self.d.forward();
            let gradients = self.d.backward(|_| position).as_slice();
            for row in gradients.chunks_exact(sums.len()) {
                sums.iter_mut().zip(row).for_each(|(sum, g)| *sum += g.as_f64());
            }
        }
    }
}

fn sum<T: Float>(values: &[T]) -> f64 {
    values.iter().map(|v| v.as_f64()).sum()
}

/// What [`IntegratedGradients::attribute`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Attributions<T = f32> {
    /// The part of each input, shaped like x.
    pub values: Tensor<T>,
    /// f(x) for each sample.
    pub outputs: Vec<f64>,
    /// f(b) for each sample.
    pub baseline_outputs: Vec<f64>,
    /// The position of the output that was looked at, for each sample.
    pub targets: Vec<usize>,
    /// The steps taken for each sample.
    pub steps: Vec<usize>,
}

impl<T: Float> Attributions<T> {
    /// Σ parts − (f(x) − f(b)) for each sample: how far the parts are from complete.
    pub fn gaps(&self) -> Vec<f64> {
        let ends = self.outputs.iter().zip(&self.baseline_outputs);
        ends.enumerate().map(|(i, (x, b))| sum(self.values.get_row(i).unwrap_or(&[])) - (x - b)).collect()
    }

    /// |gap| / |f(x) − f(b)| for each sample; 0 where both are 0.
    pub fn relative_gaps(&self) -> Vec<f64> {
        let differences = self.outputs.iter().zip(&self.baseline_outputs).map(|(x, b)| (x - b).abs());
        let gaps = self.gaps();
        gaps.iter().zip(differences).map(|(gap, d)| if *gap == 0.0 { 0.0 } else { gap.abs() / d }).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    fn model() -> Sequential<f64> {
        Sequential::of([3])
            .add(Dense::new(8).activation(Activation::Relu))
            .add(Dense::new(5).activation(Activation::Tanh))
            .add(Dense::new(3).activation(Activation::Softmax))
            .build(3)
            .unwrap()
    }

    fn samples(n: usize) -> Tensor<f64> {
        Tensor::from_fn([n, 3], |i| ((i * 29 % 97) as f64) * 0.05 - 2.4)
    }

    /// f = σ(w·x): the parts are wᵢ·xᵢ·(f(x) − f(0)) / (w·x).
    #[test]
    fn a_known_integral() {
        let mut model = Sequential::of([2]).add(Dense::new(1).activation(Activation::Sigmoid)).build(0).unwrap();
        model.set_weight("dense/kernel", &[1.0, -0.5]).unwrap();
        let x = Tensor::from([[2.0f64, 1.0]]);
        let target = Target::class(0).activated(true);
        let parts = IntegratedGradients::default().steps(400).attribute(&model, &x, target).unwrap();
        let rise = 1.0 / (1.0 + (-1.5f64).exp()) - 0.5;
        assert!((parts.values.as_slice()[0] - 2.0 / 1.5 * rise).abs() < 1e-6);
        assert!((parts.values.as_slice()[1] + 0.5 / 1.5 * rise).abs() < 1e-6);
        assert_eq!((parts.baseline_outputs[0], parts.targets[0], parts.steps[0]), (0.5, 0, 400));
        // A quarter of the error with half the step.
        let gap = |steps| IntegratedGradients::default().steps(steps).attribute(&model, &x, target).unwrap().gaps()[0];
        assert!((gap(20) / gap(40) - 4.0).abs() < 0.01, "{} {}", gap(20), gap(40));
    }

    #[test]
    fn tolerances_triple_steps_and_keep_the_midpoint_rule() {
        let (model, x) = (model(), samples(7));
        let tight = IntegratedGradients::default().steps(2).tolerance(1e-3).most_steps(162);
        let parts = tight.attribute(&model, &x, Target::predicted()).unwrap();
        assert!(parts.steps.iter().any(|&s| s > 2) && parts.steps.iter().all(|s| [2, 6, 18, 54, 162].contains(s)));
        for (i, gap) in parts.relative_gaps().into_iter().enumerate() {
            assert!(gap <= 1e-3 || parts.steps[i] == 162, "{i}: {gap}");
            let row = x.rows(i..i + 1).unwrap();
            let plain = IntegratedGradients::default().steps(parts.steps[i]);
            let plain = plain.attribute(&model, &row, Target::predicted()).unwrap();
            for (a, b) in plain.values.iter().zip(parts.values.row(i)) {
                assert!((a - b).abs() < 1e-13);
            }
            // Alone as in company, to the bit.
            assert_eq!(
                tight.attribute(&model, &row, Target::predicted()).unwrap().values.as_slice(),
                parts.values.row(i)
            );
        }
    }

    #[test]
    fn baselines() {
        let (model, x) = (model(), samples(3));
        let ig = IntegratedGradients::default();
        let one = Tensor::from([0.5, -0.5, 1.0]);
        let each = Tensor::from([[0.5, -0.5, 1.0]; 3]);
        let parts = |ig: IntegratedGradients<'_, f64>| ig.attribute(&model, &x, Target::class(1)).unwrap();
        assert_eq!(parts(ig.baseline(&one)), parts(ig.baseline(&each)));
        assert_eq!(parts(ig), parts(ig.baseline(&Tensor::zeros([3]))));
        let own = parts(ig.baseline(&x));
        assert!(own.values.iter().all(|&v| v == 0.0) && own.relative_gaps() == [0.0; 3]);
    }

    #[test]
    fn impossible_settings() {
        let (model, x) = (model(), samples(2));
        let error =
            |ig: IntegratedGradients<'_, f64>| ig.attribute(&model, &x, Target::class(0)).unwrap_err().to_string();
        let ig = IntegratedGradients::default();
        assert_eq!(error(ig.steps(0)), "IntegratedGradients: steps must be at least 1, got 0; 50 is usual");
        assert!(error(ig.tolerance(0.0)).contains("above 0, got 0"));
        assert!(error(ig.tolerance(f64::NAN)).contains("NaN"));
        assert!(error(ig.baseline(&Tensor::zeros([1, 3]))).contains("a baseline of shape [3] or [2, 3]"));
        assert!(error(ig.baseline(&Tensor::full([3], f64::INFINITY))).contains("the baseline has inf"));
        assert!(ig.attribute(&model, &x, Target::class(3)).is_err());
        assert!(ig.attribute(&model, &Tensor::zeros([0, 3]), Target::class(0)).unwrap().gaps().is_empty());
    }
}
