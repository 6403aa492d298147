//! Activation functions: each is its `f` and its derivative, written side by side.
//!
//! The derivative is taken from the output y where y determines it, else from the input z; `needs_input` says which, so
//! that a layer keeps z only where it must. Names and constants follow `keras.activations`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::kernels::rows;
use crate::kernels::simd::{self, Loop};
use crate::tensor::Float;

/// A function applied to each value, or (softmax, log-softmax) to each row along the last axis.
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

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

/// tanh(ln(1 + eᶻ)) = (n² + 2n) / (n² + 2n + 2) with n = eᶻ, above 0 with both sides over n².
#[inline(always)]
fn tanh_softplus<T: Float>(z: T) -> T {
    let (one, two) = (T::one(), T::of(2.0));
    let e = (-z.abs()).fast_exp();
    let (top, rest) = if z < T::zero() { (e * (e + two), two) } else { (one + two * e, two * e * e) };
    top / (top + rest)
}

#[inline(always)]
fn hard_sigmoid<T: Float>(z: T) -> T {
    clamp(z + T::of(3.0), T::zero(), T::of(6.0)) / T::of(6.0)
}

/// Bounds that let NaN through.
#[inline(always)]
fn clamp<T: Float>(z: T, low: T, high: T) -> T {
    if z < low {
        low
    } else if z > high {
        high
    } else {
        z
    }
}

/// A function of one value and the factors in front of it. A closure would do, could it be forced inline into the loops that
/// `simd::run` compiles.
macro_rules! function {
    (|$v:ident $(, $factor:ident)*| $body:expr) => {{
        #[derive(Clone, Copy)]
        struct F<T> {
            $($factor: T,)*
            element: PhantomData<T>,
        }
        impl<T: Float> Function<T> for F<T> {
            #[inline(always)]
            fn at(self, $v: T) -> T {
                let F { $($factor,)* .. } = self;
                $body
            }
        }
        F { $($factor,)* element: PhantomData }
    }};
}

trait Function<T>: Copy {
    fn at(self, v: T) -> T;
}

struct Each<'a, T, F>(&'a mut [T], F);

impl<T: Float, F: Function<T>> Loop for Each<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for v in self.0 {
            *v = self.1.at(*v);
        }
    }
}

struct Times<'a, T, F>(&'a [T], &'a mut [T], F);

impl<T: Float, F: Function<T>> Loop for Times<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (g, &a) in self.1.iter_mut().zip(self.0) {
            *g *= self.2.at(a);
        }
    }
}

struct SoftmaxRows<'a, T>(&'a mut [T], usize);

impl<T: Float> Loop for SoftmaxRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.0.chunks_exact_mut(self.1.max(1)) {
            let top = rows::largest(row);
            let scale = T::one() / rows::exp_and_sum(row, top);
            row.iter_mut().for_each(|v| *v *= scale);
        }
    }
}

struct LogSoftmaxRows<'a, T>(&'a mut [T], usize);

impl<T: Float> Loop for LogSoftmaxRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.0.chunks_exact_mut(self.1.max(1)) {
            let top = rows::largest(row);
            let shift = top + rows::exp_sum(row, top).ln();
            row.iter_mut().for_each(|v| *v -= shift);
        }
    }
}

struct LogSoftmaxGradient<'a, T>(&'a [T], &'a mut [T], usize);

impl<T: Float> Loop for LogSoftmaxGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.2.max(1);
        for (y, dy) in self.0.chunks_exact(width).zip(self.1.chunks_exact_mut(width)) {
            let sum = dy.iter().fold(T::zero(), |s, &g| s + g);
            dy.iter_mut()
                .zip(y)
                .for_each(|(g, &y)| *g -= if width < rows::SHORT { y.exp() } else { y.fast_exp() } * sum);
        }
    }
}

fn by_rows(work: impl Loop<Output = ()>, width: usize) {
    if width < rows::SHORT { work.run() } else { simd::run(work) }
}

fn each<T: Float>(z: &mut [T], f: impl Function<T>) {
    simd::run(Each(z, f));
}

/// dz = dy·d(a) with a = y or z.
fn times<T: Float>(a: &[T], dy: &mut [T], d: impl Function<T>) {
    simd::run(Times(a, dy, d));
}

impl Activation {
    /// Every activation once, parametrised ones with Keras's defaults.
    pub const ALL: [Activation; 24] = [
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
        match self {
            Activation::Gelu
            | Activation::GeluTanh
            | Activation::Silu
            | Activation::Mish
            | Activation::TanhShrink
            | Activation::HardSilu
            | Activation::Softsign => true,
            // y has the sign of z only for factors above 0.
            Activation::LeakyRelu(a) | Activation::Elu(a) => a < 0.0,
            _ => false,
        }
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
    /// [`Error::Argument`] if a factor is not finite, or Celu's α is not above 0.
    pub fn check(self) -> Result<Self> {
        match self {
            Activation::LeakyRelu(a) | Activation::Elu(a) | Activation::Celu(a) if !a.is_finite() => {
                Err(Error::argument("Activation", "factor", "finite", a, "pass a number such as 0.2"))
            }
            Activation::Celu(a) if a <= 0.0 => {
                Err(Error::argument("Celu", "alpha", "above 0", a, "use Relu for alpha 0"))
            }
            _ => Ok(self),
        }
    }

    /// y = f(z) in place; rows have `width` values.
    pub fn forward<T: Float>(self, z: &mut [T], width: usize) {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Activation::Linear => {}
            Activation::Relu => each(z, function!(|z, zero| if z < zero { zero } else { z })),
            Activation::Relu6 => each(z, function!(|z, zero| clamp(z, zero, T::of(6.0)))),
            Activation::LeakyRelu(slope) => {
                let slope = T::of(slope);
                each(z, function!(|z, zero, slope| if z > zero { z } else { slope * z }));
            }
            Activation::Elu(alpha) => {
                let alpha = T::of(alpha);
                each(z, function!(|z, zero, alpha| if z > zero { z } else { alpha * z.fast_exp_m1() }));
            }
            Activation::Celu(alpha) => {
                let alpha = T::of(alpha);
                each(z, function!(|z, zero, alpha| if z > zero { z } else { alpha * (z / alpha).fast_exp_m1() }));
            }
            Activation::Selu => {
                let (scale, alpha) = (T::of(SELU_SCALE), T::of(SELU_SCALE * SELU_ALPHA));
                each(z, function!(|z, zero, alpha, scale| if z > zero { scale * z } else { alpha * z.fast_exp_m1() }));
            }
            Activation::Gelu => each(z, function!(|z| z * z.fast_normal().0)),
            Activation::GeluTanh => each(z, function!(|z, one| T::of(0.5) * z * (one + gelu_inner(z).fast_tanh()))),
            Activation::Silu => each(z, function!(|z| z * z.fast_sigmoid())),
            Activation::Mish => each(z, function!(|z| z * tanh_softplus(z))),
            Activation::Sigmoid => each(z, function!(|z| T::fast_sigmoid(z))),
            Activation::LogSigmoid => each(z, function!(|z| -(-z).fast_softplus())),
            Activation::Tanh => each(z, function!(|z| z.fast_tanh())),
            Activation::TanhShrink => each(z, function!(|z| z - z.fast_tanh())),
            Activation::HardTanh => each(z, function!(|z, one| clamp(z, -one, one))),
            Activation::HardSigmoid => each(z, function!(|z| hard_sigmoid(z))),
            Activation::HardSilu => each(z, function!(|z| z * hard_sigmoid(z))),
            Activation::Softplus => each(z, function!(|z| z.fast_softplus())),
            Activation::Softsign => each(z, function!(|z, one| z / (one + z.abs()))),
            Activation::Squareplus => each(
                z,
                function!(|z, zero| {
                    // For z < 0 the equal form without cancellation.
                    let root = (z * z + T::of(4.0)).sqrt();
                    if z < zero { T::of(2.0) / (root - z) } else { T::of(0.5) * (z + root) }
                }),
            ),
            Activation::Exponential => each(z, function!(|z| z.fast_exp())),
            Activation::Softmax => by_rows(SoftmaxRows(z, width), width),
            Activation::LogSoftmax => by_rows(LogSoftmaxRows(z, width), width),
        }
    }

    /// dz = dy·f'(z) in place of dy, from y = f(z) or, where [`needs_input`](Self::needs_input), from z (else `z` may be
    /// empty). At a kink the derivative is Keras's: that of the left side, 0 for ReLU.
    pub fn backward<T: Float>(self, z: &[T], y: &[T], dy: &mut [T], width: usize) {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Activation::Linear => {}
            Activation::Relu => times(y, dy, function!(|y, zero, one| if y > zero { one } else { zero })),
            Activation::Relu6 => {
                times(y, dy, function!(|y, zero, one| if y > zero && y < T::of(6.0) { one } else { zero }))
            }
            Activation::LeakyRelu(slope) => {
                let s = T::of(slope);
                times(
                    if self.needs_input() { z } else { y },
                    dy,
                    function!(|a, zero, one, s| if a > zero { one } else { s }),
                );
            }
            Activation::Elu(alpha) if alpha >= 0.0 => {
                let alpha = T::of(alpha);
                times(y, dy, function!(|y, zero, one, alpha| if y > zero { one } else { y + alpha }));
            }
            Activation::Elu(alpha) => {
                let alpha = T::of(alpha);
                times(z, dy, function!(|z, zero, one, alpha| if z > zero { one } else { alpha * z.fast_exp() }));
            }
            Activation::Celu(alpha) => {
                let alpha = T::of(alpha);
                times(y, dy, function!(|y, zero, one, alpha| if y > zero { one } else { y / alpha + one }));
            }
            Activation::Selu => {
                let (scale, alpha) = (T::of(SELU_SCALE), T::of(SELU_SCALE * SELU_ALPHA));
                times(y, dy, function!(|y, zero, alpha, scale| if y > zero { scale } else { y + alpha }));
            }
            // d(zΦ(z)) = Φ(z) + z·φ(z)
            Activation::Gelu => times(
                z,
                dy,
                function!(|z| {
                    let (cdf, density) = z.fast_normal();
                    cdf + z * density
                }),
            ),
            // With u = √(2/π)(z + c z³): (1 + tanh u)/2 + z/2·(1 − tanh² u)·u'
            Activation::GeluTanh => times(
                z,
                dy,
                function!(|z, one| {
                    let t = gelu_inner(z).fast_tanh();
                    let slope = T::of(SQRT_2_OVER_PI) * (one + T::of(3.0 * GELU_CUBE) * z * z);
                    T::of(0.5) * ((one + t) + z * (one - t * t) * slope)
                }),
            ),
            // σ + zσ(1 − σ)
            Activation::Silu => times(
                z,
                dy,
                function!(|z, one| {
                    let s = z.fast_sigmoid();
                    s * (one + z * (one - s))
                }),
            ),
            // t + zσ(1 − t²), t = tanh softplus z
            Activation::Mish => times(
                z,
                dy,
                function!(|z, one| {
                    let t = tanh_softplus(z);
                    t + z * z.fast_sigmoid() * (one - t * t)
                }),
            ),
            Activation::Sigmoid => times(y, dy, function!(|y, one| y * (one - y))),
            // 1 − σ = 1 − e^y
            Activation::LogSigmoid => times(y, dy, function!(|y| -y.fast_exp_m1())),
            Activation::Tanh => times(y, dy, function!(|y, one| one - y * y)),
            Activation::TanhShrink => times(z, dy, function!(|z| z.fast_tanh().powi(2))),
            Activation::HardTanh => {
                times(y, dy, function!(|y, zero, one| if y > -one && y < one { one } else { zero }))
            }
            Activation::HardSigmoid => {
                times(y, dy, function!(|y, zero, one| if y > zero && y < one { T::of(1.0 / 6.0) } else { zero }));
            }
            Activation::HardSilu => times(
                z,
                dy,
                function!(|z, zero| {
                    let inside = z > T::of(-3.0) && z < T::of(3.0);
                    hard_sigmoid(z) + if inside { z / T::of(6.0) } else { zero }
                }),
            ),
            // σ(z) = 1 − e^−y
            Activation::Softplus => times(y, dy, function!(|y| -(-y).fast_exp_m1())),
            Activation::Softsign => times(z, dy, function!(|z, one| one / ((one + z.abs()) * (one + z.abs())))),
            // z = y − 1/y, so dy/dz = 1 / (1 + 1/y²)
            Activation::Squareplus => times(y, dy, function!(|y, one| y * y / (y * y + one))),
            Activation::Exponential => times(y, dy, function!(|y| y)),
            // dzᵢ = yᵢ(dyᵢ − Σ dy·y)
            Activation::Softmax => {
                for (y, dy) in y.chunks_exact(width.max(1)).zip(dy.chunks_exact_mut(width.max(1))) {
                    let dot: T = y.iter().zip(&*dy).map(|(&y, &g)| y * g).sum();
                    dy.iter_mut().zip(y).for_each(|(g, &y)| *g = y * (*g - dot));
                }
            }
            // dzᵢ = dyᵢ − softmaxᵢ·Σ dy
            Activation::LogSoftmax => by_rows(LogSoftmaxGradient(y, dy, width), width),
        }
    }
}

const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
/// With the digits of single precision, as Keras has it in f64 too.
const GELU_CUBE: f64 = 0.044_715f32 as f64;

#[inline(always)]
fn gelu_inner<T: Float>(z: T) -> T {
    T::of(SQRT_2_OVER_PI) * (z + T::of(GELU_CUBE) * z * z * z)
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = Error;

    /// From Keras's name, in any case; `leaky_relu`, `elu` and `celu` take Keras's default factor.
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

    /// Vector body, its tail and single values: the same bits wherever a value stands.
    #[test]
    fn position_changes_no_bit() {
        let z: Vec<f32> = (0..259).map(|i| ((i * 7919 % 1009) as f32 - 504.0) * 0.031).collect();
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        let more = [Activation::Elu(-0.5), Activation::Elu(0.7), Activation::Celu(0.6)];
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
    }
}
