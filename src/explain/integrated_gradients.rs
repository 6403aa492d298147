//! Integrated gradients.

use super::Target;
use super::path::{Path, middles, sum};
use crate::error::{Error, Result};
use crate::model::{Differentiator, Model};
use crate::tensor::{Float, Tensor};

/// The most steps that can be asked for, as each is kept while there may be more.
const MAX_STEPS: usize = 1 << 20;

/// (xᵢ − bᵢ)·∫₀¹ ∂f/∂xᵢ(b + α(x − b)) dα: the part that each input has in f(x) − f(b), f the score of a class and b a baseline,
/// an input that says nothing.
///
/// - The parts sum to f(x) − f(b) (completeness). The integral is taken by the midpoint rule, so they do up to an error, which
///   [`Attributions::gaps`] tells; where it is more than 1% of the difference, steps are cut where f bends (at the kinks of
///   ReLUs), as the [tolerance](Self::tolerance) says.
/// - Defaults: baseline zeros, 50 steps, tolerance 0.01 with at most 2,000 steps.
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
        IntegratedGradients { baseline: None, steps: 50, tolerance: Some(0.01), most_steps: 2_000 }
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

    /// For each sample whose gap is more than this part of |f(x) − f(b)|, such as 0.01, steps are cut in three where the score
    /// bends most, until it is not or [`most_steps`](Self::most_steps) are reached; 0.01 by default, `None` for equal steps.
    pub fn tolerance(mut self, part: impl Into<Option<f64>>) -> Self {
        self.tolerance = part.into();
        self
    }

    /// The most steps that a tolerance may lead to; 2,000 by default.
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
    /// Those of [`Model::input_gradient`]; [`Error::Argument`] for no steps or more than 2²⁰, or a tolerance that is not above 0;
    /// [`Error::Shape`] or [`Error::NonFinite`] for a baseline that does not fit.
    pub fn attribute(&self, model: &Model<T>, x: &Tensor<T>, target: Target) -> Result<Attributions<T>> {
        const OP: &str = "IntegratedGradients";
        let mut d = Differentiator::new(OP, model, x, target)?;
        for (name, steps) in [("steps", self.steps), ("most_steps", self.most_steps)] {
            if !(1..=MAX_STEPS).contains(&steps) {
                return Err(Error::argument(OP, name, format!("from 1 to {MAX_STEPS}"), steps, "50 is usual"));
            }
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
        for i in 0..n {
            let b = match self.baseline {
                None => &zeros,
                Some(baseline) if baseline.shape() == model.input_shape() => baseline.as_slice(),
                Some(baseline) => baseline.row(i),
            };
            let mut path = Path::new(&mut d, x.row(i), b);
            let (position, outputs) = path.ends();
            let goal = self.tolerance.map_or(f64::INFINITY, |part| part * (outputs[0] - outputs[1]).abs());
            let slopes = path.add(position, &middles(self.steps));
            let mut gap = path.parts(self.steps, out.values.row_mut(i)) - (outputs[0] - outputs[1]);
            let mut steps = self.steps;
            if gap.abs() > goal {
                let mut pieces = path.pieces(position, &slopes);
                while gap.abs() > goal && path.refine(position, self.steps, self.most_steps, &mut pieces) {
                    gap = path.parts(self.steps, out.values.row_mut(i)) - (outputs[0] - outputs[1]);
                }
                steps = pieces.len();
            }
            out.outputs.push(outputs[0]);
            out.baseline_outputs.push(outputs[1]);
            out.targets.push(position);
            out.steps.push(steps);
        }
        d.check("attribution", &out.values)?;
        Ok(out)
    }
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

    fn model() -> Model<f64> {
        Sequential::new([3])
            .add(Dense::new(8).activation(Activation::Relu))
            .add(Dense::new(5).activation(Activation::Tanh))
            .add(Dense::new(3).activation(Activation::Softmax))
            .build_as(3)
            .unwrap()
    }

    fn samples(n: usize) -> Tensor<f64> {
        Tensor::from_fn([n, 3], |i| ((i * 29 % 97) as f64) * 0.05 - 2.4)
    }

    /// f = σ(w·x): the parts are wᵢ·xᵢ·(f(x) − f(0)) / (w·x).
    #[test]
    fn a_known_integral() {
        let mut model = Sequential::new([2]).add(Dense::new(1).activation(Activation::Sigmoid)).build_as(0).unwrap();
        model.set_weight("dense/kernel", &[1.0, -0.5]).unwrap();
        let x = Tensor::from([[2.0f64, 1.0]]);
        let target = Target::class(0).activated(true);
        let plain = IntegratedGradients::default().tolerance(None);
        let parts = plain.steps(400).attribute(&model, &x, target).unwrap();
        let rise = 1.0 / (1.0 + (-1.5f64).exp()) - 0.5;
        assert!((parts.values.as_slice()[0] - 2.0 / 1.5 * rise).abs() < 1e-6);
        assert!((parts.values.as_slice()[1] + 0.5 / 1.5 * rise).abs() < 1e-6);
        assert_eq!((parts.baseline_outputs[0], parts.targets[0], parts.steps[0]), (0.5, 0, 400));
        // A quarter of the error with half the step.
        let gap = |steps| plain.steps(steps).attribute(&model, &x, target).unwrap().gaps()[0];
        assert!((gap(20) / gap(40) - 4.0).abs() < 0.01, "{} {}", gap(20), gap(40));
    }

    #[test]
    fn tolerances_cut_steps_where_the_score_bends() {
        let (model, x) = (model(), samples(40));
        let loose = IntegratedGradients::default().steps(5).tolerance(None);
        let tight = loose.tolerance(1e-3).most_steps(300);
        let [plain, fine, exact] =
            [loose, tight, loose.steps(5_000)].map(|ig| ig.attribute(&model, &x, Target::predicted()).unwrap());
        let distance = |parts: &crate::explain::Attributions<f64>, i: usize| {
            parts.values.row(i).iter().zip(exact.values.row(i)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        let (mut cut, mut closer) = (0, 0);
        for i in 0..x.samples() {
            assert!(fine.relative_gaps()[i] <= 1e-3, "{i}: {} with {} steps", fine.relative_gaps()[i], fine.steps[i]);
            if fine.steps[i] == 5 {
                assert_eq!(fine.values.row(i), plain.values.row(i));
            } else {
                cut += 1;
                closer += usize::from(distance(&fine, i) < distance(&plain, i));
            }
            // Alone as in company, to the bit.
            let row = x.rows(i..i + 1).unwrap();
            assert_eq!(
                tight.attribute(&model, &row, Target::predicted()).unwrap().values.as_slice(),
                fine.values.row(i)
            );
        }
        // Each part comes closer to its integral, not the sum alone.
        assert!(cut > 10 && closer * 10 >= cut * 9, "{closer} of {cut}");
        let most = loose.tolerance(1e-12).most_steps(20).attribute(&model, &x, Target::predicted()).unwrap();
        assert!(most.steps.iter().all(|&s| s <= 20) && most.steps.contains(&19));
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
        assert_eq!(error(ig.steps(0)), "IntegratedGradients: steps must be from 1 to 1048576, got 0; 50 is usual");
        assert!(error(ig.steps(usize::MAX)).contains("steps must be"));
        assert!(error(ig.most_steps(usize::MAX)).contains("most_steps must be"));
        assert!(error(ig.tolerance(0.0)).contains("above 0, got 0"));
        assert!(error(ig.tolerance(f64::NAN)).contains("NaN"));
        assert!(error(ig.baseline(&Tensor::zeros([1, 3]))).contains("a baseline of shape [3] or [2, 3]"));
        assert!(error(ig.baseline(&Tensor::full([3], f64::INFINITY))).contains("the baseline has inf"));
        assert!(ig.attribute(&model, &x, Target::class(3)).is_err());
        assert!(ig.attribute(&model, &Tensor::zeros([0, 3]), Target::class(0)).unwrap().gaps().is_empty());
    }
}
