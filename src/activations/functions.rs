//! The functions, each beside its derivative: f(z), and below it f'(z) from y = f(z) where y determines it, else from z.
//!
//! Names, constants and the slopes at kinks (that of the left side, 0 for ReLU) follow `keras.activations`.

use crate::kernels::rows;
use crate::kernels::simd::{self, Loop};
use crate::tensor::Float;

/// A function of one value and its derivative.
pub(super) trait Function<T: Float>: Copy {
    /// Whether the derivative is taken from z instead of y.
    const FROM_INPUT: bool;

    fn f(self, z: T) -> T;

    fn df(self, a: T) -> T;
}

/// `Name(factor): f(z) => …, df(y) => …`, where `df(z)` says that the derivative is taken from z. Closures would do, could they
/// be forced inline into the loops that `simd::run` compiles.
macro_rules! function {
    ($name:ident: f($z:ident) => $f:expr, df($a:ident) => $df:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl<T: Float> Function<T> for $name {
            const FROM_INPUT: bool = matches!(stringify!($a).as_bytes(), b"z");

            #[inline(always)]
            fn f(self, $z: T) -> T {
                $f
            }

            #[inline(always)]
            fn df(self, $a: T) -> T {
                $df
            }
        }
    };
    ($name:ident($factor:ident): f($z:ident) => $f:expr, df($a:ident) => $df:expr) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name<T>(pub T);

        impl<T: Float> Function<T> for $name<T> {
            const FROM_INPUT: bool = matches!(stringify!($a).as_bytes(), b"z");

            #[inline(always)]
            fn f(self, $z: T) -> T {
                let $name($factor) = self;
                $f
            }

            #[inline(always)]
            fn df(self, $a: T) -> T {
                let $name($factor) = self;
                $df
            }
        }
    };
}

/// 0 for `false`, 1 for `true`.
#[inline(always)]
fn step<T: Float>(on: bool) -> T {
    if on { T::one() } else { T::zero() }
}

/// `z` in [low, high]; NaN stays NaN.
#[inline(always)]
fn clamp<T: Float>(z: T, low: f64, high: f64) -> T {
    if z < T::of(low) {
        T::of(low)
    } else if z > T::of(high) {
        T::of(high)
    } else {
        z
    }
}

/// −∞ as the least number, whose product with 0 is 0.
#[inline(always)]
fn not_below<T: Float>(z: T) -> T {
    if z < T::min_value() { T::min_value() } else { z }
}

/// ±∞ as the greatest and the least number.
#[inline(always)]
fn finite<T: Float>(z: T) -> T {
    if z > T::max_value() { T::max_value() } else { not_below(z) }
}

function! {
    Relu:
        f(z) => if z < T::zero() { T::zero() } else { z },
        df(y) => step(y > T::zero())
}

function! {
    Relu6:
        f(z) => clamp(z, 0.0, 6.0),
        df(y) => step(y > T::zero() && y < T::of(6.0))
}

function! {
    LeakyRelu(slope):
        f(z) => if z > T::zero() { z } else { slope * z },
        df(y) => if y > T::zero() { T::one() } else { slope }
}

// y has the sign of z only for factors above 0.
function! {
    LeakyReluBelow0(slope):
        f(z) => LeakyRelu(slope).f(z),
        df(z) => if z > T::zero() { T::one() } else { slope }
}

function! {
    Elu(alpha):
        f(z) => if z > T::zero() { z } else { alpha * z.fast_exp_m1() },
        df(y) => if y > T::zero() { T::one() } else { y + alpha }
}

function! {
    EluBelow0(alpha):
        f(z) => Elu(alpha).f(z),
        df(z) => if z > T::zero() { T::one() } else { alpha * z.fast_exp() }
}

function! {
    Celu(alpha):
        f(z) => if z > T::zero() { z } else { alpha * (z / alpha).fast_exp_m1() },
        df(y) => if y > T::zero() { T::one() } else { y / alpha + T::one() }
}

pub(super) const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
pub(super) const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

function! {
    Selu:
        f(z) => if z > T::zero() { T::of(SELU_SCALE) * z } else { T::of(SELU_SCALE * SELU_ALPHA) * z.fast_exp_m1() },
        df(y) => if y > T::zero() { T::of(SELU_SCALE) } else { y + T::of(SELU_SCALE * SELU_ALPHA) }
}

// Φ(z) + z·φ(z)
function! {
    Gelu:
        f(z) => not_below(z) * z.fast_normal().0,
        df(z) => {
            let (cdf, density) = z.fast_normal();
            cdf + finite(z) * density
        }
}

const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
const GELU_CUBE: f64 = 0.044_715;

/// u = √(2/π)(z + c z³)
#[inline(always)]
fn gelu_inner<T: Float>(z: T) -> T {
    T::of(SQRT_2_OVER_PI) * (z + T::of(GELU_CUBE) * z * z * z)
}

// (1 + tanh u)/2 + z/2·(1 − tanh² u)·u'
function! {
    GeluTanh:
        f(z) => T::of(0.5) * not_below(z) * (T::one() + gelu_inner(z).fast_tanh()),
        df(z) => {
            // Beyond, tanh u is ±1, and u' may overflow.
            let z = clamp(z, -100.0, 100.0);
            let t = gelu_inner(z).fast_tanh();
            let slope = T::of(SQRT_2_OVER_PI) * (T::one() + T::of(3.0 * GELU_CUBE) * z * z);
            T::of(0.5) * ((T::one() + t) + z * (T::one() - t * t) * slope)
        }
}

// σ + zσ(1 − σ)
function! {
    Silu:
        f(z) => not_below(z) * z.fast_sigmoid(),
        df(z) => {
            let s = z.fast_sigmoid();
            s * (T::one() + finite(z) * (T::one() - s))
        }
}

/// tanh(ln(1 + eᶻ)) = (n² + 2n) / (n² + 2n + 2) with n = eᶻ, above 0 with both sides over n².
#[inline(always)]
fn tanh_softplus<T: Float>(z: T) -> T {
    let (one, two) = (T::one(), T::of(2.0));
    let e = (-z.abs()).fast_exp();
    let (top, rest) = if z < T::zero() { (e * (e + two), two) } else { (one + two * e, two * e * e) };
    top / (top + rest)
}

// t + zσ(1 − t²), t = tanh softplus z
function! {
    Mish:
        f(z) => not_below(z) * tanh_softplus(z),
        df(z) => {
            let t = tanh_softplus(z);
            t + finite(z) * z.fast_sigmoid() * (T::one() - t * t)
        }
}

function! {
    Sigmoid:
        f(z) => z.fast_sigmoid(),
        df(y) => y * (T::one() - y)
}

// 1 − σ = 1 − e^y
function! {
    LogSigmoid:
        f(z) => -(-z).fast_softplus(),
        df(y) => -y.fast_exp_m1()
}

function! {
    Tanh:
        f(z) => z.fast_tanh(),
        df(y) => T::one() - y * y
}

function! {
    TanhShrink:
        f(z) => z - z.fast_tanh(),
        df(z) => z.fast_tanh().powi(2)
}

function! {
    SoftCap(cap):
        f(z) => cap * (z / cap).fast_tanh(),
        df(y) => T::one() - (y / cap) * (y / cap)
}

function! {
    HardTanh:
        f(z) => clamp(z, -1.0, 1.0),
        df(y) => step(y > -T::one() && y < T::one())
}

function! {
    HardSigmoid:
        f(z) => clamp(z + T::of(3.0), 0.0, 6.0) / T::of(6.0),
        df(y) => if y > T::zero() && y < T::one() { T::of(1.0 / 6.0) } else { T::zero() }
}

function! {
    HardSilu:
        f(z) => not_below(z) * HardSigmoid.f(z),
        df(z) => {
            let inside = z > T::of(-3.0) && z < T::of(3.0);
            HardSigmoid.f(z) + if inside { z / T::of(6.0) } else { T::zero() }
        }
}

// σ(z) = 1 − e^−y
function! {
    Softplus:
        f(z) => z.fast_softplus(),
        df(y) => -(-y).fast_exp_m1()
}

function! {
    Softsign:
        f(z) => finite(z) / (T::one() + finite(z).abs()),
        df(z) => T::one() / ((T::one() + z.abs()) * (T::one() + z.abs()))
}

/// From here on z² + 4 and z², z² + 1 and z² are one number.
const STRAIGHT: f64 = 1e9;

// For z < 0 the equal form without cancellation. z = y − 1/y, so dy/dz = 1 / (1 + 1/y²).
function! {
    Squareplus:
        f(z) => {
            let inner = clamp(z, -STRAIGHT, STRAIGHT);
            let root = (inner * inner + T::of(4.0)).sqrt();
            let bent = if z < T::zero() { T::of(2.0) / (root - inner) } else { T::of(0.5) * (inner + root) };
            if z > inner {
                z
            } else if z < inner {
                -T::one() / z
            } else {
                bent
            }
        },
        df(y) => {
            let square = clamp(y, 0.0, STRAIGHT).powi(2);
            square / (square + T::one())
        }
}

function! {
    Exponential:
        f(z) => z.fast_exp(),
        df(y) => y
}

struct Each<'a, T, F>(&'a mut [T], F);

impl<T: Float, F: Function<T>> Loop for Each<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for v in self.0 {
            *v = self.1.f(*v);
        }
    }
}

/// y = f(z) in place.
pub(super) fn each<T: Float>(z: &mut [T], f: impl Function<T>) {
    simd::run(Each(z, f));
}

struct Times<'a, T, F>(&'a [T], &'a mut [T], F);

impl<T: Float, F: Function<T>> Loop for Times<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (g, &a) in self.1.iter_mut().zip(self.0) {
            *g *= self.2.df(a);
        }
    }
}

/// dz = dy·f'(z) in place of dy.
pub(super) fn times<T: Float, F: Function<T>>(z: &[T], y: &[T], dy: &mut [T], f: F) {
    simd::run(Times(if F::FROM_INPUT { z } else { y }, dy, f));
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

/// yᵢ = eᶻⁱ / Σ eᶻʲ in place. A row of −∞ alone, or with +∞, has no limit and gives NaN.
pub(super) fn softmax<T: Float>(z: &mut [T], width: usize) {
    by_rows(SoftmaxRows(z, width), width);
}

/// dzᵢ = yᵢ(dyᵢ − Σ dy·y) in place of dy.
pub(super) fn softmax_gradient<T: Float>(y: &[T], dy: &mut [T], width: usize) {
    for (y, dy) in y.chunks_exact(width.max(1)).zip(dy.chunks_exact_mut(width.max(1))) {
        let dot: T = y.iter().zip(&*dy).map(|(&y, &g)| y * g).sum();
        dy.iter_mut().zip(y).for_each(|(g, &y)| *g = y * (*g - dot));
    }
}

struct LogSoftmaxRows<'a, T>(&'a mut [T], usize);

impl<T: Float> Loop for LogSoftmaxRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.0.chunks_exact_mut(self.1.max(1)) {
            // (z − max) − ln Σ e^(z − max): the sum of max and logarithm would lose the logarithm to a large max.
            let top = rows::largest(row);
            let log = rows::exp_sum(row, top).ln();
            row.iter_mut().for_each(|v| *v = (*v - top) - log);
        }
    }
}

/// yᵢ = zᵢ − ln Σ eᶻʲ in place.
pub(super) fn log_softmax<T: Float>(z: &mut [T], width: usize) {
    by_rows(LogSoftmaxRows(z, width), width);
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

/// dzᵢ = dyᵢ − softmaxᵢ·Σ dy in place of dy.
pub(super) fn log_softmax_gradient<T: Float>(y: &[T], dy: &mut [T], width: usize) {
    by_rows(LogSoftmaxGradient(y, dy, width), width);
}

fn by_rows(work: impl Loop<Output = ()>, width: usize) {
    if width < rows::SHORT { work.run() } else { simd::run(work) }
}
