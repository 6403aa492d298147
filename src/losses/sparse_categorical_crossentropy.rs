//! Cross-entropy between class probabilities and class numbers.

use std::fmt;

use super::{
    EPSILON, Loss, LossConfig, Options, check_classes_but, classes_or_rows, clip, option_builders,
    probabilities_over_classes, softmax_crossentropy,
};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::tensor::{Float, Shape, Tensor};

/// loss = −ln p of the true class, for targets that are class numbers; one-hot rows work too.
///
/// - From probabilities (the default) p is kept in [1e-7, 1 − 1e-7] and then divided by its sum, as Keras does:
///   loss = ln Σp − ln p_y, dp = 1/Σp − y/p inside the bounds, 0 outside. Behind a softmax layer, training goes through the
///   stable form from logits instead.
/// - From logits ([`from_logits`](Self::from_logits)): p = softmax(z), loss = ln Σ eᶻ − z_y, dz = p − y.
/// - [`label_smoothing`](Self::label_smoothing) s: the true class counts 1 − s + s/classes and each other one s/classes; 0 by default.
/// - [`z_loss`](Self::z_loss) c, from logits: with Z = Σ eᶻ, loss += c·(ln Z)² and dz += 2c·ln Z·p; 0 by default.
/// - [`ignore_class`](Self::ignore_class): targets of this number do not count; none by default.
///
/// Over a wide output, trained from a [`Dense`](crate::layers::Dense) or [`TiedDense`](crate::layers::TiedDense), `fit` and `evaluate` compute
/// logits, loss and gradients some rows at a time, so that the logits of all tokens are never held. Rows that do not count are not computed: the
/// bits are those of a batch without them.
///
/// With smoothing of 0 it differs from [`CategoricalCrossentropy`](super::CategoricalCrossentropy) only for probabilities at the bounds. Keras
/// `SparseCategoricalCrossentropy`, PyTorch `CrossEntropyLoss` (from logits). z-loss: Chowdhery and others: "PaLM: Scaling Language Modeling with
/// Pathways", 2022.
///
/// ```
/// use gradus::prelude::*;
/// let loss = SparseCategoricalCrossentropy::default();
/// assert!((loss.value(&[1.0], &[0.1f64, 0.7, 0.2]) + 0.7f64.ln()).abs() < 1e-12);
/// let tokens = loss.from_logits(true).z_loss(1e-4).ignore_class(-100);
/// assert_eq!(tokens.value(&[-100.0], &[0.1f64, 0.7, 0.2]), 0.0);
/// ```
#[derive(Clone, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Settings", into = "Settings"))]
pub struct SparseCategoricalCrossentropy {
    options: Options,
    z_loss: f64,
    ignore_class: Option<i64>,
}

impl SparseCategoricalCrossentropy {
    option_builders!("spread over all classes");

    /// The factor c of c·(ln Σ eᶻ)², which keeps logits from drifting; 0 by default, 1e-4 is usual. For logits alone.
    pub fn z_loss(mut self, factor: f64) -> Self {
        self.z_loss = factor;
        self
    }

    /// The number of targets that do not count, neither in the loss and its mean nor in the metrics of the output; it need not be a class. PyTorch
    /// has −100 (`ignore_index`); none by default.
    pub fn ignore_class(mut self, class: i64) -> Self {
        self.ignore_class = Some(class);
        self
    }

    /// Whether a row with this target does not count.
    fn ignores<T: Float>(&self, y_true: &[T], classes: usize) -> bool {
        let ignored = |class| matches!(y_true, [target] if *target == T::of(class as f64));
        classes != 1 && self.ignore_class.is_some_and(ignored)
    }
}

impl<T: Float> Loss<T> for SparseCategoricalCrossentropy {
    fn name(&self) -> &'static str {
        "sparse_categorical_crossentropy"
    }

    fn config(&self) -> LossConfig {
        LossConfig::SparseCategoricalCrossentropy(self.clone())
    }

    fn value(&self, y_true: &[T], y_pred: &[T]) -> T {
        let n = y_pred.len();
        if self.ignores(y_true, n) {
            return T::zero();
        }
        if self.options.from_logits {
            return softmax_crossentropy(y_true, y_pred, (&self.options, self.z_loss), T::one(), None);
        }
        let bounded = |i: usize| clip(y_pred[i], T::of(EPSILON), T::one() - T::of(EPSILON));
        let log_sum = (0..n).map(bounded).sum::<T>().ln();
        (0..n).map(|i| self.options.class_target(y_true, n, i) * (log_sum - bounded(i).ln())).sum()
    }

    fn gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) {
        let n = y_pred.len();
        if self.ignores(y_true, n) {
            return dy.fill(T::zero());
        }
        if self.options.from_logits {
            softmax_crossentropy(y_true, y_pred, (&self.options, self.z_loss), scale, Some(dy));
            return;
        }
        let (low, high) = (T::of(EPSILON), T::one() - T::of(EPSILON));
        let target = |i| self.options.class_target(y_true, n, i);
        let total: T = (0..n).map(target).sum();
        // Σy/Σp
        let ratio = total / y_pred.iter().map(|&p| clip(p, low, high)).sum::<T>();
        for (i, (d, &p)) in dy.iter_mut().zip(y_pred).enumerate() {
            let inside = p >= low && p <= high;
            *d = if inside { scale * (ratio - target(i) / p) } else { T::zero() };
        }
    }

    fn value_and_gradient(&self, y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T]) -> T {
        if self.options.from_logits && !self.ignores(y_true, y_pred.len()) {
            return softmax_crossentropy(y_true, y_pred, (&self.options, self.z_loss), scale, Some(dy));
        }
        self.gradient(y_true, y_pred, scale, dy);
        self.value(y_true, y_pred)
    }

    fn check(&self, y_true: Shape, y_pred: Shape) -> Result<()> {
        const OP: &str = "SparseCategoricalCrossentropy";
        self.options.check(OP)?;
        let z_loss = self.z_loss;
        if !T::of(z_loss).is_finite() || z_loss < 0.0 {
            let expected = format!("0 or more, and finite as {}", T::NAME);
            return Err(Error::argument(OP, "z_loss", expected, z_loss, "1e-4 is usual"));
        }
        if z_loss != 0.0 && !self.options.from_logits {
            let hint = "probabilities do not tell it: leave the softmax out of the model and use from_logits(true)";
            return Err(Error::argument(OP, "z_loss", "0 unless the loss is from logits", z_loss, hint));
        }
        classes_or_rows(OP, y_true, y_pred)
    }

    fn check_targets(&self, y_true: &Tensor<T>, y_pred: Shape) -> Result<()> {
        const OP: &str = "SparseCategoricalCrossentropy";
        if let Some(class) = self.ignore_class.filter(|_| y_true.shape() == y_pred) {
            let hint = "pass class numbers, or give rows that are not to count the weight 0";
            return Err(Error::argument(OP, "ignore_class", "left out where targets are one-hot rows", class, hint));
        }
        check_classes_but(OP, y_true, y_pred, Loss::<T>::ignored_class(self))
    }

    fn check_activation(&self, activation: Activation, width: usize) -> Result<()> {
        probabilities_over_classes("SparseCategoricalCrossentropy", self.options.from_logits, activation, width)
    }

    fn with_logits(&self, activation: Activation) -> Option<Box<dyn Loss<T>>> {
        let options = self.options.with_logits().filter(|_| activation == Activation::Softmax)?;
        Some(SparseCategoricalCrossentropy { options, ..self.clone() }.boxed())
    }

    fn ignored_class(&self) -> Option<f64> {
        self.ignore_class.map(|class| class as f64)
    }
}

/// Without what is off, so that runs of versions before go on: they are told by this text.
impl fmt::Debug for SparseCategoricalCrossentropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("SparseCategoricalCrossentropy");
        text.field("options", &self.options);
        if self.z_loss != 0.0 {
            text.field("z_loss", &self.z_loss);
        }
        if let Some(class) = &self.ignore_class {
            text.field("ignore_class", class);
        }
        text.finish()
    }
}

/// What stands in a file.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    from_logits: bool,
    label_smoothing: f64,
    #[serde(default, skip_serializing_if = "is_zero")]
    z_loss: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignore_class: Option<i64>,
}

#[cfg(feature = "serde")]
fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

#[cfg(feature = "serde")]
impl From<Settings> for SparseCategoricalCrossentropy {
    fn from(s: Settings) -> Self {
        let options = Options { from_logits: s.from_logits, label_smoothing: s.label_smoothing };
        SparseCategoricalCrossentropy { options, z_loss: s.z_loss, ignore_class: s.ignore_class }
    }
}

#[cfg(feature = "serde")]
impl From<SparseCategoricalCrossentropy> for Settings {
    fn from(loss: SparseCategoricalCrossentropy) -> Self {
        let SparseCategoricalCrossentropy { options, z_loss, ignore_class } = loss;
        let Options { from_logits, label_smoothing } = options;
        Settings { from_logits, label_smoothing, z_loss, ignore_class }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck;

    #[test]
    fn gradients() {
        let p = Tensor::from([[0.2, 0.5, 0.4], [0.6, 0.1, 0.3]]);
        let z = Tensor::from([[2.0, -1.0, 0.3], [0.1, 0.1, -4.0]]);
        let one_hot = Tensor::from([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let loss = SparseCategoricalCrossentropy::default();
        for y in [one_hot, Tensor::from_labels(&[1, 2])] {
            gradcheck::check_loss(&loss, &y, &p).unwrap();
            gradcheck::check_loss(&loss.clone().from_logits(true), &y, &z).unwrap();
            gradcheck::check_loss(&loss.clone().label_smoothing(0.2), &y, &p).unwrap();
            let z_loss = loss.clone().from_logits(true).z_loss(0.3);
            gradcheck::check_loss(&z_loss, &y, &z).unwrap();
            gradcheck::check_loss(&z_loss.label_smoothing(0.1), &y, &z).unwrap();
        }
        let ignoring = loss.from_logits(true).z_loss(0.3).ignore_class(-100);
        gradcheck::check_loss(&ignoring, &Tensor::from([2.0, -100.0]), &z).unwrap();
    }

    /// (1 − s)·(−ln p_y) + s·mean(−ln p) + c·(ln Σ eᶻ)², term by term.
    #[test]
    fn values_by_their_definition() {
        let z: Vec<f64> = (0..37).map(|i| (f64::from(i) * 1.7).sin() * 4.0).collect();
        let log_z = z.iter().map(|z| z.exp()).sum::<f64>().ln();
        for (s, c) in [(0.0, 0.0), (0.1, 0.0), (0.0, 1e-2), (0.3, 0.5)] {
            let loss = SparseCategoricalCrossentropy::default().from_logits(true).label_smoothing(s).z_loss(c);
            for class in [0, 5, 36] {
                let mean = z.iter().map(|z| log_z - z).sum::<f64>() / 37.0;
                let expected = (1.0 - s) * (log_z - z[class]) + s * mean + c * log_z * log_z;
                let got = loss.value(&[class as f64], &z);
                assert!((got - expected).abs() < 1e-12, "{s} {c} {class}: {got} {expected}");
                let mut dy = vec![0.0; 37];
                assert_eq!(loss.value_and_gradient(&[class as f64], &z, 2.0, &mut dy), got);
                for (i, (d, z)) in dy.iter().zip(&z).enumerate() {
                    let p = (z - log_z).exp();
                    let y = (1.0 - s) * f64::from(u8::from(i == class)) + s / 37.0;
                    assert!((d - 2.0 * (p - y + 2.0 * c * log_z * p)).abs() < 1e-12);
                }
            }
        }
        // Logits that overflow the exponential.
        let large = SparseCategoricalCrossentropy::default().from_logits(true).z_loss(1e-4);
        assert!((large.value(&[1.0], &[1000.0f64, 0.0]) - 1100.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_ignored() {
        let loss = SparseCategoricalCrossentropy::default().ignore_class(-100);
        let (p, mut dy) = ([0.2, 0.5, 0.3], [1.0; 3]);
        assert_eq!((loss.value(&[-100.0], &p), loss.value_and_gradient(&[-100.0], &p, 1.0, &mut dy)), (0.0, 0.0));
        assert_eq!(dy, [0.0; 3]);
        let check =
            |y: &[f64]| loss.check_targets(&Tensor::new([y.len()], y.to_vec()).unwrap(), Shape::from([y.len(), 3]));
        assert!(check(&[-100.0, 2.0]).is_ok());
        assert!(check(&[-100.0, -1.0]).unwrap_err().to_string().contains("row 1"));
        assert!(check(&[-100.0, 3.0, 1.0]).unwrap_err().to_string().contains("subtract 1"));
        let rows = Tensor::from([[0.0, 1.0, 0.0]]);
        assert!(loss.check_targets(&rows, rows.shape()).unwrap_err().to_string().contains("one-hot rows"));
        // A class like others may be ignored.
        assert_eq!(SparseCategoricalCrossentropy::default().ignore_class(1).value(&[1.0], &p), 0.0);
    }

    #[test]
    fn impossible_settings() {
        let check = |loss: SparseCategoricalCrossentropy| {
            Loss::<f32>::check(&loss, Shape::from([2]), Shape::from([2, 3])).map_err(|error| error.to_string())
        };
        let loss = SparseCategoricalCrossentropy::default;
        assert!(check(loss().from_logits(true).z_loss(1e-4)).is_ok());
        assert!(check(loss().z_loss(1e-4)).unwrap_err().contains("from_logits(true)"));
        for c in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(check(loss().from_logits(true).z_loss(c)).unwrap_err().contains("z_loss"), "{c}");
        }
        assert!(check(loss().label_smoothing(1.5)).unwrap_err().contains("label_smoothing"));
    }

    #[cfg(feature = "files")]
    #[test]
    fn settings_in_files() {
        let loss = SparseCategoricalCrossentropy::default;
        let plain = r#"{"from_logits":false,"label_smoothing":0.0}"#;
        assert_eq!(serde_json::to_string(&loss()).unwrap(), plain);
        assert_eq!(format!("{:?}", loss()).matches(':').count(), 3, "the text of versions before");
        for loss in [loss(), loss().z_loss(0.5).ignore_class(-100).label_smoothing(0.1).from_logits(true)] {
            let text = serde_json::to_string(&loss).unwrap();
            assert_eq!(serde_json::from_str::<SparseCategoricalCrossentropy>(&text).unwrap(), loss);
        }
        assert!(serde_json::from_str::<SparseCategoricalCrossentropy>(&plain.replace("label", "lable")).is_err());
    }

    #[test]
    fn labels_out_of_range_are_refused() {
        let loss = SparseCategoricalCrossentropy::default();
        for label in [3.0f32, -1.0, 0.5, f32::NAN] {
            let error = loss.check_targets(&Tensor::from([0.0, label]), Shape::from([2, 3])).unwrap_err().to_string();
            assert!(error.contains("row 1"), "{error}");
        }
        assert!(loss.check_targets(&Tensor::from([0.0f32, 2.0]), Shape::from([2, 3])).is_ok());
    }
}
