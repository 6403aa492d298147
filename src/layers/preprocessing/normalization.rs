//! Features brought to a common scale by statistics of the training data.

use crate::error::{Error, Result};
use crate::initializers::{Init, Initializer};
use crate::kernels::parallel;
use crate::kernels::random::KeyedRng;
use crate::layer::{Builder, Layer, MaskRule, Pass, Slot};
use crate::layers::LayerConfig;
use crate::params::ParamId;
use crate::tensor::{Float, Shape, Tensor};

/// y = (x − mean) / max(√variance, 10⁻⁷) for each feature (last axis); or with [`min_max`](Self::min_max)
/// y = (x − minimum) / max(maximum − minimum, 10⁻⁷), which brings the training data to 0..1.
///
/// - Input and output of one shape, any number of axes.
/// - Parameters that training leaves alone: `mean` and `variance`, or `minimum` and `maximum`, `[features]`; they come from
///   [`adapt`](Self::adapt) or [`from_stats`](Self::from_stats) and are saved with the model.
/// - A feature that never varies becomes 0.
/// - Gradient: dx = dy over the same divisor.
///
/// Keras `Normalization`; with `min_max` scikit-learn's `MinMaxScaler`.
///
/// ```
/// use gradus::prelude::*;
/// let x = Tensor::from([[1.0f32, 10.0], [3.0, 30.0]]);
/// let model = Sequential::new([2]).add(Normalization::new().adapt(&x)?).build(0)?;
/// assert_eq!(model.predict(&x)?.as_slice(), &[-1.0, -1.0, 1.0, 1.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Normalization {
    min_max: bool,
    /// Mean or minimum of every feature; empty before `adapt`.
    lower: Vec<f64>,
    /// Variance or maximum of every feature.
    upper: Vec<f64>,
    #[cfg_attr(feature = "serde", serde(skip))]
    ids: [ParamId; 2],
}

/// The least divisor: Keras's `epsilon`.
const EPSILON: f64 = 1e-7;

impl Normalization {
    /// To mean 0 and variance 1; has to be adapted to data before the model is built.
    pub fn new() -> Self {
        Self::default()
    }

    /// From known statistics, one number a feature.
    pub fn from_stats(mean: impl Into<Vec<f64>>, variance: impl Into<Vec<f64>>) -> Self {
        Normalization { lower: mean.into(), upper: variance.into(), ..Self::default() }
    }

    /// To 0..1 by the least and the greatest value of each feature instead; what was adapted before is forgotten.
    pub fn min_max(mut self) -> Self {
        self.min_max = true;
        self.lower.clear();
        self.upper.clear();
        self
    }

    /// Takes the statistics from data `[n, …, features]`, over all axes but the last (biased variance, as Keras).
    ///
    /// # Errors
    /// [`Error::Empty`] without data; [`Error::NonFinite`] with row and column of a NaN or infinity;
    /// [`Error::Argument`] where the variance, or the maximum − minimum, exceeds `T`.
    #[inline(never)]
    pub fn adapt<T: Float>(mut self, x: &Tensor<T>) -> Result<Self> {
        const OP: &str = "Normalization::adapt";
        let features = x.shape().sample().last();
        if x.is_empty() || x.shape().rank() == 0 {
            return Err(Error::Empty { op: OP, what: "x" });
        }
        if let Some((row, column, value)) = x.first_non_finite() {
            return Err(Error::NonFinite { op: OP, what: "x", row, column, value: value.as_f64() });
        }
        let rows = || x.as_slice().chunks_exact(features);
        let first: Vec<f64> = x.as_slice()[..features].iter().map(|v| v.as_f64()).collect();
        (self.lower, self.upper) = (first.clone(), first.clone());
        if self.min_max {
            for row in rows() {
                for ((low, high), v) in self.lower.iter_mut().zip(&mut self.upper).zip(row) {
                    *low = low.min(v.as_f64());
                    *high = high.max(v.as_f64());
                }
            }
            self.check_spread::<T>(OP)?;
            return Ok(self);
        }
        // Sums of differences from the first row and then from the mean: exact where a feature never varies.
        let n = rows().len() as f64;
        let mut sums = vec![0.0; features];
        rows().for_each(|row| add(&mut sums, row, &first, |d| d));
        self.lower.iter_mut().zip(&sums).for_each(|(mean, s)| *mean += s / n);
        sums.fill(0.0);
        rows().for_each(|row| add(&mut sums, row, &self.lower, |d| d * d));
        self.upper = sums.into_iter().map(|s| s / n).collect();
        self.check_spread::<T>(OP)?;
        Ok(self)
    }

    /// An error unless what the divisors come from is finite as `T`.
    fn check_spread<T: Float>(&self, op: &'static str) -> Result<()> {
        for (j, (&lower, &upper)) in self.lower.iter().zip(&self.upper).enumerate() {
            let (name, spread) =
                if self.min_max { ("maximum − minimum", upper - lower) } else { ("variance", upper) };
            if !(T::of(spread).is_finite() && T::of(lower).is_finite()) {
                let expected = format!("finite as {}", T::NAME);
                let hint = "the values lie too far apart; divide them by a large number first";
                return Err(Error::argument(op, name, expected, format!("{spread:e} in column {j}"), hint));
            }
        }
        Ok(())
    }

    fn names(&self) -> [&'static str; 2] {
        if self.min_max { ["minimum", "maximum"] } else { ["mean", "variance"] }
    }

    /// 1 over the divisor of a feature.
    fn factor<T: Float>(&self, lower: T, upper: T) -> T {
        let spread = if self.min_max { upper - lower } else { upper.sqrt() };
        T::one() / spread.max(T::of(EPSILON))
    }
}

/// sumsⱼ += f(rowⱼ − fromⱼ)
fn add<T: Float>(sums: &mut [f64], row: &[T], from: &[f64], f: impl Fn(f64) -> f64) {
    for ((s, v), from) in sums.iter_mut().zip(row).zip(from) {
        *s += f(v.as_f64() - from);
    }
}

/// Values that are known.
#[derive(Debug)]
struct Known(Vec<f64>);

impl Initializer for Known {
    fn fill(&self, _: Shape, _: &mut KeyedRng, values: &mut [f64]) {
        values.copy_from_slice(&self.0);
    }
}

impl<T: Float> Layer<T> for Normalization {
    fn class(&self) -> &'static str {
        "Normalization"
    }

    fn build(&mut self, input: Shape, b: &mut Builder<T>) -> Result<Shape> {
        const OP: &str = "Normalization";
        if self.lower.is_empty() && self.upper.is_empty() {
            let problem = "it has not been adapted to data".to_owned();
            let hint = "add Normalization::new().adapt(&x_train)?, or use from_stats".into();
            return Err(Error::Config { op: OP, problem, hint });
        }
        input.need_features(OP)?;
        let names = self.names();
        for (name, values) in names.into_iter().zip([&self.lower, &self.upper]) {
            if values.len() != input.last() {
                let expected = format!("a {name} for each of the {} features of {input}", input.last());
                return Err(Error::shape(OP, expected, values.len(), "adapt it to data of the model's input shape"));
            }
        }
        for (&lower, &upper) in self.lower.iter().zip(&self.upper) {
            let ordered = if self.min_max { lower <= upper } else { upper >= 0.0 };
            if !(T::of(lower).is_finite() && T::of(upper).is_finite() && ordered) {
                let got = format!("{} {lower} with {} {upper}", names[0], names[1]);
                let hint = format!("adapt it to data whose squares fit in {}", T::NAME);
                return Err(Error::argument(OP, "statistics", "finite, without negative variance", got, hint));
            }
        }
        self.check_spread::<T>(OP)?;
        for (i, values) in [&self.lower, &self.upper].into_iter().enumerate() {
            self.ids[i] = b.state(names[i], [input.last()], &Init::from(Known(values.clone())))?;
        }
        Ok(input)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape> {
        Ok(x)
    }

    fn forward(&self, pass: &mut Pass<'_, T>, slot: &mut Slot<T>, x: &Tensor<T>, y: &mut Tensor<T>) {
        let [lower, upper] = self.ids.map(|id| pass.weight(id));
        let factors = slot.tensor(0, Shape::from([lower.len()]));
        let each = factors.as_mut_slice().iter_mut().zip(lower).zip(upper);
        each.for_each(|((f, &l), &u)| *f = self.factor(l, u));
        let (width, factors) = (lower.len(), factors.as_slice());
        parallel::rows(y.as_mut_slice(), width, 2 * width, |first, y| {
            for (y, x) in y.chunks_exact_mut(width).zip(x.as_slice()[first * width..].chunks_exact(width)) {
                let each = y.iter_mut().zip(x).zip(lower).zip(factors);
                each.for_each(|(((y, &x), &l), &f)| *y = (x - l) * f);
            }
        });
    }

    fn backward(
        &self,
        _: &mut Pass<'_, T>,
        slot: &mut Slot<T>,
        _: &Tensor<T>,
        _: &Tensor<T>,
        dy: &mut Tensor<T>,
        dx: Option<&mut Tensor<T>>,
    ) {
        let Some(dx) = dx else { return };
        // dx = dy · factor
        let factors = slot.tensors[0].as_slice();
        let width = factors.len();
        for (dx, dy) in dx.as_mut_slice().chunks_exact_mut(width).zip(dy.as_slice().chunks_exact(width)) {
            dx.iter_mut().zip(dy).zip(factors).for_each(|((dx, &dy), &f)| *dx = dy * f);
        }
    }

    fn space(&self, _: usize, _: bool) -> usize {
        self.lower.len()
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Passes
    }

    fn config(&self) -> LayerConfig {
        LayerConfig::Normalization(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;
    use crate::model::Sequential;

    fn data() -> Tensor<f64> {
        Tensor::from([[1.0, 1e9, 0.3], [2.0, 1e9, -0.4], [6.0, 1e9, 0.5]])
    }

    #[test]
    fn mean_and_variance() {
        let model = Sequential::new([3]).add(Normalization::new().adapt(&data()).unwrap()).build_as(0).unwrap();
        assert_eq!(model.weight("normalization/mean").unwrap()[..2], [3.0, 1e9]);
        assert_eq!(model.weight("normalization/variance").unwrap()[..2], [14.0 / 3.0, 0.0]);
        assert_eq!(model.params().trainable_len(), 0);
        let y = model.predict(&data()).unwrap();
        for (y, expected) in y.iter().step_by(3).zip([-2.0, -1.0, 3.0]) {
            assert!((y - expected / (14.0f64 / 3.0).sqrt()).abs() < 1e-15);
        }
        assert!(y.iter().skip(1).step_by(3).all(|&y| y == 0.0));
    }

    #[test]
    fn least_and_greatest() {
        let layer = Normalization::new().min_max().adapt(&data()).unwrap();
        let y = Sequential::new([3]).add(layer).build_as(0).unwrap().predict(&data()).unwrap();
        for (y, expected) in y.iter().zip([0.0, 0.0, 0.7 / 0.9, 0.2, 0.0, 0.0, 1.0, 0.0, 1.0]) {
            assert!((y - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn axes_before_the_last_count_as_rows() {
        let x = Tensor::from([[[1.0f32, 10.0], [2.0, 20.0]], [[3.0, 30.0], [6.0, 60.0]]]);
        let layer = Normalization::new().adapt(&x).unwrap();
        assert_eq!(layer, Normalization::from_stats([3.0, 30.0], [3.5, 350.0]));
        assert_eq!(Normalization::new().adapt(&Tensor::from([1.0f32, 3.0])).unwrap().lower, [2.0]);
    }

    #[test]
    fn gradients() {
        let known = Normalization::from_stats([0.5, -1.0, 2.0], [4.0, 0.25, 1.5]);
        gradcheck::check_layer(&known, [5, 3]).unwrap();
        let varied = Tensor::from([[1.0, -2.0, 0.3], [2.0, 3.0, -4.0]]);
        gradcheck::check_layer(&Normalization::new().min_max().adapt(&varied).unwrap(), [3]).unwrap();
    }

    #[test]
    fn impossible_settings() {
        let build = |layer: Normalization| Sequential::new([3]).add(layer).build(0).unwrap_err().root().to_string();
        assert_eq!(
            build(Normalization::new()),
            "Normalization: it has not been adapted to data; add Normalization::new().adapt(&x_train)?, or use from_stats"
        );
        assert!(build(Normalization::new().adapt(&data()).unwrap().min_max()).contains("not been adapted"));
        assert!(build(Normalization::from_stats([0.0; 2], [1.0; 2])).contains("a mean for each of the 3 features"));
        assert!(build(Normalization::from_stats([0.0; 3], [1.0; 2])).contains("a variance for each"));
        assert!(build(Normalization::from_stats([0.0; 3], [1.0, -1.0, 1.0])).contains("variance -1"));
        assert!(build(Normalization::from_stats([f64::NAN; 3], [1.0; 3])).contains("mean NaN"));
        let error = Normalization::new().adapt(&Tensor::from([[1.0f32, 2.0], [3.0, f32::NAN]])).unwrap_err();
        assert!(error.to_string().contains("x has NaN in row 1, column 1"), "{error}");
        let huge = Tensor::from([[1.0, f32::MAX], [2.0, f32::MIN]]);
        for (layer, name) in [(Normalization::new(), "variance"), (Normalization::new().min_max(), "maximum − minimum")]
        {
            let error = layer.clone().adapt(&huge).unwrap_err().to_string();
            assert!(error.starts_with(&format!("Normalization::adapt: {name} must be finite as f32")), "{error}");
            assert!(layer.adapt(&Tensor::from([[f64::MAX], [f64::MIN]])).is_err());
        }
        assert!(Normalization::new().adapt(&Tensor::<f32>::zeros([0, 3])).is_err());
        assert!(Normalization::new().adapt(&Tensor::<f32>::zeros([3, 0])).is_err());
        assert!(Normalization::new().adapt(&Tensor::<f32>::zeros(Shape::SCALAR)).is_err());
    }
}
