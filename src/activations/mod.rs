//! Activation functions; `functions` has each beside its derivative.
//!
//! The derivative is taken from the output y where y determines it, else from the input z; `needs_input` says which, so
//! that a layer keeps z only where it must. Names and constants follow `keras.activations`.

mod functions;

use std::fmt;
use std::str::FromStr;

use functions::Function;

use crate::error::{Error, Result};
use crate::tensor::Float;

/// A function applied to each value, or (softmax, log-softmax) to each row along the last axis.
///
/// At ±∞ each value is the limit, such as 0 for `Silu` at −∞; NaN stays NaN. Softmax of a row with +∞ or of −∞ alone is NaN.
///
/// ```
/// use gradus::prelude::*;
/// let mut z = [-1.0f64, 0.0, 2.0];
/// Activation::Relu.forward(&mut z, 3);
/// assert_eq!(z, [0.0, 0.0, 2.0]);
/// assert_eq!("gelu".parse::<Activation>()?, Activation::Gelu);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Activation {
    /// z, the identity.
    #[default]
    Linear,
    /// max(z, 0). Nair, Hinton 2010.
    Relu,
    /// min(max(z, 0), 6). Howard et al. 2017 (MobileNets).
    Relu6,
    /// z for z > 0, else slope·z (Keras's activation: 0.2; its layer: 0.3). Maas et al. 2013.
    LeakyRelu(f64),
    /// z for z > 0, else α(eᶻ − 1) (Keras: α = 1). Clevert et al. 2016.
    Elu(f64),
    /// max(z, 0) + min(0, α(e^(z/α) − 1)) (Keras: α = 1). Barron 2017.
    Celu(f64),
    /// 1.0507·(z for z > 0, else 1.6733(eᶻ − 1)). Klambauer et al. 2017.
    Selu,
    /// z·Φ(z), Φ the standard normal's distribution function. Hendrycks, Gimpel 2016.
    Gelu,
    /// z/2·(1 + tanh(√(2/π)(z + 0.044715 z³))), GELU's approximation. Hendrycks, Gimpel 2016.
    GeluTanh,
    /// z·σ(z), also called swish. Ramachandran et al. 2017.
    Silu,
    /// z·tanh(ln(1 + eᶻ)). Misra 2019.
    Mish,
    /// σ(z) = 1 / (1 + e⁻ᶻ).
    Sigmoid,
    /// ln σ(z).
    LogSigmoid,
    /// tanh z.
    Tanh,
    /// c·tanh(z/c), which stays between −c and c: a bound on logits. Gemma Team 2024 (Gemma 2, whose head has c = 30).
    SoftCap(f64),
    /// z − tanh z.
    TanhShrink,
    /// min(max(z, −1), 1).
    HardTanh,
    /// min(max(z + 3, 0), 6) / 6. Howard et al. 2019 (MobileNetV3).
    HardSigmoid,
    /// z·hard_sigmoid(z). Howard et al. 2019.
    HardSilu,
    /// ln(1 + eᶻ). Glorot et al. 2011.
    Softplus,
    /// z / (1 + |z|).
    Softsign,
    /// (z + √(z² + 4)) / 2. Barron 2021.
    Squareplus,
    /// eᶻ.
    Exponential,
    /// eᶻ / Σ eᶻ along the last axis.
    Softmax,
    /// ln softmax(z) along the last axis.
    LogSoftmax,
}

/// What is done with the function of an activation.
trait Use<T: Float> {
    type Output;

    fn with<F: Function<T>>(self, f: F) -> Self::Output;
}

/// y = f(z) in place.
struct Forward<'a, T>(&'a mut [T]);

impl<T: Float> Use<T> for Forward<'_, T> {
    type Output = ();

    fn with<F: Function<T>>(self, f: F) {
        functions::each(self.0, f);
    }
}

/// dz = dy·f'(z) in place of dy.
struct Backward<'a, T> {
    z: &'a [T],
    y: &'a [T],
    dy: &'a mut [T],
}

impl<T: Float> Use<T> for Backward<'_, T> {
    type Output = ();

    fn with<F: Function<T>>(self, f: F) {
        functions::times(self.z, self.y, self.dy, f);
    }
}

/// Whether the derivative is taken from z.
struct NeedsInput;

impl<T: Float> Use<T> for NeedsInput {
    type Output = bool;

    fn with<F: Function<T>>(self, _: F) -> bool {
        F::FROM_INPUT
    }
}

impl Activation {
    /// Every activation once, parametrised ones with Keras's defaults (Gemma 2's for SoftCap).
    pub const ALL: [Activation; 25] = [
        Activation::Linear,
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu(0.2),
        Activation::Elu(1.0),
        Activation::Celu(1.0),
        Activation::Selu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Mish,
        Activation::Sigmoid,
        Activation::LogSigmoid,
        Activation::Tanh,
        Activation::SoftCap(30.0),
        Activation::TanhShrink,
        Activation::HardTanh,
        Activation::HardSigmoid,
        Activation::HardSilu,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Squareplus,
        Activation::Exponential,
        Activation::Softmax,
        Activation::LogSoftmax,
    ];

    #[cfg(feature = "serde")]
    pub(crate) fn is_linear(&self) -> bool {
        *self == Activation::Linear
    }

    /// Keras's name, such as `"hard_sigmoid"`.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Linear => "linear",
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::Elu(_) => "elu",
            Activation::Celu(_) => "celu",
            Activation::Selu => "selu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::Silu => "silu",
            Activation::Mish => "mish",
            Activation::Sigmoid => "sigmoid",
            Activation::LogSigmoid => "log_sigmoid",
            Activation::Tanh => "tanh",
            Activation::SoftCap(_) => "soft_cap",
            Activation::TanhShrink => "tanh_shrink",
            Activation::HardTanh => "hard_tanh",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::HardSilu => "hard_silu",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::Squareplus => "squareplus",
            Activation::Exponential => "exponential",
            Activation::Softmax => "softmax",
            Activation::LogSoftmax => "log_softmax",
        }
    }

    /// Whether the derivative needs the input z; else the output y is enough.
    pub fn needs_input(self) -> bool {
        self.function::<f32, _>(NeedsInput).unwrap_or(false)
    }

    /// Whether a value depends on its whole row (softmax, log-softmax).
    pub fn is_row_wise(self) -> bool {
        matches!(self, Activation::Softmax | Activation::LogSoftmax)
    }

    /// The cost of a value, in multiply-adds, for the choice of threads.
    pub(crate) fn work(self) -> usize {
        match self {
            Activation::Linear => 0,
            Activation::Relu | Activation::Relu6 | Activation::LeakyRelu(_) | Activation::HardTanh => 2,
            _ => 32,
        }
    }

    /// Checks the parameter.
    ///
    /// # Errors
    /// [`Error::Argument`] if a factor is not finite, or Celu's α or SoftCap's c is not above 0; all as f32 has them.
    pub fn check(self) -> Result<Self> {
        match self {
            Activation::LeakyRelu(a) | Activation::Elu(a) | Activation::Celu(a) | Activation::SoftCap(a)
                if !(a as f32).is_finite() =>
            {
                let expected = if a.is_finite() { "finite as f32 too" } else { "finite" };
                Err(Error::argument("Activation", "factor", expected, a, "pass a number such as 0.2"))
            }
            Activation::Celu(a) if (a as f32) < f32::MIN_POSITIVE => {
                Err(Error::argument("Celu", "alpha", "above 0, also as f32", a, "use Relu for alpha 0"))
            }
            Activation::SoftCap(cap) if (cap as f32) < f32::MIN_POSITIVE => {
                Err(Error::argument("SoftCap", "cap", "above 0, also as f32", cap, "30 is usual for logits"))
            }
            _ => Ok(self),
        }
    }

    /// Uses the function of one value; `None` where there is nothing to compute, or whole rows are.
    fn function<T: Float, U: Use<T>>(self, usage: U) -> Option<U::Output> {
        Some(match self {
            Activation::Linear | Activation::Softmax | Activation::LogSoftmax => return None,
            Activation::Relu => usage.with(functions::Relu),
            Activation::Relu6 => usage.with(functions::Relu6),
            // A slope of 0 times −∞ would be no number.
            Activation::LeakyRelu(slope) if T::of(slope) == T::zero() => usage.with(functions::Relu),
            Activation::LeakyRelu(slope) if slope < 0.0 => usage.with(functions::LeakyReluBelow0(T::of(slope))),
            Activation::LeakyRelu(slope) => usage.with(functions::LeakyRelu(T::of(slope))),
            Activation::Elu(alpha) if alpha < 0.0 => usage.with(functions::EluBelow0(T::of(alpha))),
            Activation::Elu(alpha) => usage.with(functions::Elu(T::of(alpha))),
            Activation::Celu(alpha) => usage.with(functions::Celu(T::of(alpha))),
            Activation::Selu => usage.with(functions::Selu),
            Activation::Gelu => usage.with(functions::Gelu),
            Activation::GeluTanh => usage.with(functions::GeluTanh),
            Activation::Silu => usage.with(functions::Silu),
            Activation::Mish => usage.with(functions::Mish),
            Activation::Sigmoid => usage.with(functions::Sigmoid),
            Activation::LogSigmoid => usage.with(functions::LogSigmoid),
            Activation::Tanh => usage.with(functions::Tanh),
            Activation::SoftCap(cap) => usage.with(functions::SoftCap(T::of(cap))),
            Activation::TanhShrink => usage.with(functions::TanhShrink),
            Activation::HardTanh => usage.with(functions::HardTanh),
            Activation::HardSigmoid => usage.with(functions::HardSigmoid),
            Activation::HardSilu => usage.with(functions::HardSilu),
            Activation::Softplus => usage.with(functions::Softplus),
            Activation::Softsign => usage.with(functions::Softsign),
            Activation::Squareplus => usage.with(functions::Squareplus),
            Activation::Exponential => usage.with(functions::Exponential),
        })
    }

    /// y = f(z) in place; rows have `width` values.
    pub fn forward<T: Float>(self, z: &mut [T], width: usize) {
        match self {
            Activation::Softmax => functions::softmax(z, width),
            Activation::LogSoftmax => functions::log_softmax(z, width),
            _ => self.function(Forward(z)).unwrap_or_default(),
        }
    }

    /// dz = dy·f'(z) in place of dy, from y = f(z) or, where [`needs_input`](Self::needs_input), from z (else `z` may be
    /// empty). At a kink the derivative is Keras's: that of the left side, 0 for ReLU.
    pub fn backward<T: Float>(self, z: &[T], y: &[T], dy: &mut [T], width: usize) {
        match self {
            Activation::Softmax => functions::softmax_gradient(y, dy, width),
            Activation::LogSoftmax => functions::log_softmax_gradient(y, dy, width),
            _ => self.function(Backward { z, y, dy }).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// From Keras's name, in any case; `leaky_relu`, `elu` and `celu` take Keras's default factor, `soft_cap` takes 30.
    fn from_str(name: &str) -> Result<Self> {
        let name = match name {
            "swish" => "silu",
            "hard_swish" => "hard_silu",
            other => other,
        };
        Activation::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names: Vec<_> = Activation::ALL.iter().map(|a| a.name()).collect();
            Error::argument("Activation", "name", format!("one of {}", names.join(", ")), name, "check the spelling")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::functions::{SELU_ALPHA, SELU_SCALE};
    use super::*;

    #[test]
    fn derivatives_agree_with_differences() {
        let points: Vec<f64> = (-40..40).map(|i| f64::from(i) * 0.17 + 0.031).collect();
        let cases = Activation::ALL.into_iter().chain([
            Activation::LeakyRelu(0.0),
            Activation::LeakyRelu(-0.5),
            Activation::Elu(-0.5),
            Activation::Elu(0.7),
            Activation::Celu(0.6),
            Activation::SoftCap(2.5),
        ]);
        for a in cases.filter(|a| !a.is_row_wise()) {
            let f = |x: f64| {
                let mut v = [x];
                a.forward(&mut v, 1);
                v[0]
            };
            let y: Vec<f64> = points.iter().map(|&z| f(z)).collect();
            let mut d = vec![1.0; points.len()];
            a.backward(if a.needs_input() { &points } else { &[] }, &y, &mut d, 1);
            for (&z, d) in points.iter().zip(d) {
                let h = 1e-5;
                let expected = (f(z + h) - f(z - h)) / (2.0 * h);
                assert!(
                    (d - expected).abs() <= f64::max(1e-8, 1e-9 * d.abs().max(expected.abs())),
                    "{a} at {z}: {d}, differences {expected}"
                );
            }
        }
    }

    #[test]
    fn extremes_stay_finite_and_nan_stays_nan() {
        for a in Activation::ALL.into_iter().filter(|a| *a != Activation::Exponential) {
            for z in [-1e4f32, -90.0, 90.0, 1e4] {
                let mut y = [z, 0.0];
                a.forward(&mut y, 2);
                assert!(y.iter().all(|v| v.is_finite()), "{a}({z}) = {y:?}");
                let mut d = [1.0f32, 1.0];
                a.backward(&[z, 0.0], &y, &mut d, 2);
                assert!(d.iter().all(|v| v.is_finite()), "{a}'({z}) = {d:?}");
            }
            let mut y = [f32::NAN];
            a.forward(&mut y, 1);
            assert!(y[0].is_nan(), "{a} hides NaN");
        }
    }

    /// f(0), f'(0−), f'(0+); then f towards −∞ and +∞ as a constant and a multiple of z.
    fn limits(a: Activation) -> [[f64; 3]; 3] {
        use Activation::*;
        let (bent, selu) = ([0.0, 0.0, 1.0], SELU_SCALE * SELU_ALPHA);
        let [down, flat, up, line] = [[-1.0, 0.0, 0.0], [0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]];
        match a {
            Linear => [line, line, line],
            Relu => [bent, flat, line],
            Relu6 => [bent, flat, [6.0, 0.0, 0.0]],
            LeakyRelu(s) => [[0.0, s, 1.0], [0.0, s, s], line],
            Elu(alpha) | Celu(alpha) => [line, [-alpha, 0.0, 0.0], line],
            Selu => [[0.0, selu, SELU_SCALE], [-selu, 0.0, 0.0], [0.0, SELU_SCALE, SELU_SCALE]],
            Gelu | GeluTanh | Silu | HardSilu => [[0.0, 0.5, 0.5], flat, line],
            Mish => [[0.0, 0.6, 0.6], flat, line],
            Sigmoid => [[0.5, 0.25, 0.25], flat, up],
            HardSigmoid => [[0.5, 1.0 / 6.0, 1.0 / 6.0], flat, up],
            LogSigmoid => [[-2f64.ln(), 0.5, 0.5], line, flat],
            Tanh | HardTanh | Softsign => [line, down, up],
            SoftCap(cap) => [line, [-cap, 0.0, 0.0], [cap, 0.0, 0.0]],
            TanhShrink => [flat, line, line],
            Softplus => [[2f64.ln(), 0.5, 0.5], flat, line],
            Squareplus => [[1.0, 0.5, 0.5], flat, line],
            Exponential => [[1.0; 3], flat, [f64::INFINITY, 0.0, f64::INFINITY]],
            Softmax | LogSoftmax => unreachable!(),
        }
    }

    fn ends_of_the_type<T: Float>(sizes: &[f64], accuracy: f64) {
        let [max, least, infinity] = [T::max_value(), T::min_positive_value() * T::epsilon(), T::infinity()];
        let at = |a: Activation, z: T| {
            let (mut y, mut d) = ([z], [T::one()]);
            a.forward(&mut y, 1);
            a.backward(&[z], &y, &mut d, 1);
            (y[0].as_f64(), d[0].as_f64())
        };
        let near = |got: f64, expected: f64, size: f64| {
            got == expected || (got - expected).abs() <= accuracy * size + 2.0 * least.as_f64()
        };
        for a in Activation::ALL.into_iter().filter(|a| !a.is_row_wise()) {
            let [[value, left, right], below, above] = limits(a);
            for z in sizes.iter().map(|v| T::of(v.recip())).chain([least, T::zero()]) {
                for (z, slope) in [(-z, left), (z, right)] {
                    let (y, d) = at(a, z);
                    // Half-way slopes of a kink do not exist; at 0 it is one of the two sides.
                    let fits = near(d, slope, 1.0) || z == T::zero() && (near(d, left, 1.0) || near(d, right, 1.0));
                    let expected = value + slope * z.as_f64();
                    assert!(near(y, expected, expected.abs()) && fits, "{a}({z:e}): {y:e}, {d:e}");
                }
            }
            for z in sizes.iter().map(|&v| T::of(v)).chain([max, infinity]) {
                for (z, [constant, factor, slope]) in [(-z, below), (z, above)] {
                    let (y, d) = at(a, z);
                    let line = if factor == 0.0 { 0.0 } else { factor * z.as_f64() };
                    let expected = T::of(constant + line).as_f64();
                    // 1/|z| is what is left of a square root's bend.
                    let rest = if a == Activation::Squareplus { z.as_f64().abs().recip() } else { 0.0 };
                    let fits = near(y, expected, expected.abs()) || expected == 0.0 && near(y, rest, rest);
                    assert!(fits && near(d, slope, slope.abs() + 1e-13), "{a}({z:e}): {y:e} for {expected:e}, {d:e}");
                }
            }
        }
        // Rows: of large numbers, of +MAX and −MAX, of −∞ beside numbers.
        for &size in sizes.iter().chain([max.as_f64()].iter()) {
            let (mut y, mut log) = ([T::of(size); 2], [T::of(size); 2]);
            Activation::Softmax.forward(&mut y, 2);
            Activation::LogSoftmax.forward(&mut log, 2);
            assert!(y == [T::of(0.5); 2] && log.iter().all(|v| near(v.as_f64(), -2f64.ln(), 1.0)), "{y:?} {log:?}");
            let (mut y, mut log) = ([T::of(size), T::of(-size)], [T::of(size), T::of(-size)]);
            Activation::Softmax.forward(&mut y, 2);
            Activation::LogSoftmax.forward(&mut log, 2);
            assert_eq!((y, log), ([T::one(), T::zero()], [T::zero(), T::of(size) * T::of(-2.0)]));
        }
        let masked = [-infinity, T::zero(), T::zero()];
        let (mut y, mut log) = (masked, masked);
        Activation::Softmax.forward(&mut y, 3);
        Activation::LogSoftmax.forward(&mut log, 3);
        assert!(y == [T::zero(), T::of(0.5), T::of(0.5)] && log[0] == -infinity && log[1] == log[2]);
        assert!(near(log[1].as_f64(), -2f64.ln(), 1.0));
        let (mut dy, mut dlog) = ([T::one(), T::one(), -T::one()], [T::one(), T::one(), -T::one()]);
        Activation::Softmax.backward(&[], &y, &mut dy, 3);
        Activation::LogSoftmax.backward(&[], &log, &mut dlog, 3);
        for (d, expected) in dy.iter().chain(&dlog).zip([0.0, 0.5, -0.5, 1.0, 0.5, -1.5]) {
            assert!(near(d.as_f64(), expected, 1.0), "{dy:?} {dlog:?}");
        }
        for mut undefined in [[-infinity; 2], [infinity, T::zero()]] {
            Activation::Softmax.forward(&mut undefined, 2);
            assert!(undefined.iter().any(|v| v.is_nan()));
        }
    }

    #[test]
    fn values_and_slopes_at_the_ends_of_the_type() {
        ends_of_the_type::<f32>(&[1e12, 1e20, 1e30, 1e37], 1e-6);
        ends_of_the_type::<f64>(&[1e20, 1e100, 1e200, 1e307], 1e-7);
        // Wide rows go another way.
        let mut z = [-1e30f32; 40];
        z[17] = 1e30;
        z[18] = f32::NEG_INFINITY;
        let mut log = z;
        Activation::Softmax.forward(&mut z, 40);
        Activation::LogSoftmax.forward(&mut log, 40);
        assert!(z.iter().enumerate().all(|(i, v)| *v == if i == 17 { 1.0 } else { 0.0 }));
        let expected = |i: usize| {
            if i == 17 {
                0.0
            } else if i == 18 {
                f32::NEG_INFINITY
            } else {
                -2e30
            }
        };
        assert!(log.iter().enumerate().all(|(i, v)| *v == expected(i)));
    }

    /// Vector body, its tail and single values: the same bits wherever a value stands.
    #[test]
    fn position_changes_no_bit() {
        let z: Vec<f32> = (0..259).map(|i| ((i * 7919 % 1009) as f32 - 504.0) * 0.031).collect();
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        let more = [Activation::Elu(-0.5), Activation::Elu(0.7), Activation::Celu(0.6), Activation::SoftCap(2.5)];
        for a in Activation::ALL.into_iter().chain(more).filter(|a| !a.is_row_wise()) {
            let (mut single, mut slope) = (z.clone(), vec![1.5; z.len()]);
            for ((y, d), z) in single.iter_mut().zip(&mut slope).zip(&z) {
                let (y, d) = (std::slice::from_mut(y), std::slice::from_mut(d));
                a.forward(y, 1);
                a.backward(&[*z], y, d, 1);
            }
            for n in [1, 2, 3, 7, 9, 15, 17, 31, 33, 63, 67, 129, 259] {
                let mut y = z[..n].to_vec();
                a.forward(&mut y, n);
                assert!(same(&y, &single), "{a} of {n} values");
                let mut d = vec![1.5; n];
                a.backward(&z[..n], &y, &mut d, n);
                assert!(same(&d, &slope), "{a}' of {n} values");
                let mut plain = z[..n].to_vec();
                a.forward(&mut plain[n / 2..], 1);
                assert!(same(&plain[n / 2..], &single[n / 2..]), "{a} from {}", n / 2);
            }
        }
    }

    #[test]
    fn names_go_both_ways() {
        for a in Activation::ALL.iter() {
            assert_eq!(a.name().parse::<Activation>().unwrap(), *a);
        }
        assert!("rellu".parse::<Activation>().unwrap_err().to_string().contains("hard_sigmoid"));
        assert!(Activation::LeakyRelu(f64::NAN).check().is_err());
        for cap in [0.0, -30.0, 1e-60, f64::INFINITY] {
            assert!(Activation::SoftCap(cap).check().is_err(), "{cap}");
        }
    }
}
