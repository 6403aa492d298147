//! Parts of equations that several losses share; slices are one row.

use super::options::Options;
pub(crate) use crate::kernels::float::sign;
pub(crate) use crate::kernels::rows::exp_into;
use crate::tensor::Float;

/// Keras's fuzz factor.
pub(crate) const EPSILON: f64 = 1e-7;

/// (1/n) Σ f(y, ŷ), also where the sum alone would overflow; NaN for rows of different lengths.
pub(crate) fn mean_of<T: Float>(y_true: &[T], y_pred: &[T], f: impl Fn(T, T) -> T) -> T {
    if y_true.len() != y_pred.len() {
        return T::nan();
    }
    let n = T::of(y_pred.len() as f64);
    let each = || y_true.iter().zip(y_pred).map(|(&t, &p)| f(t, p));
    let sum: T = each().sum();
    if sum.is_infinite() { each().map(|v| v / n).sum() } else { sum / n }
}

/// dŷ = scale·f'(y, ŷ)/n, the gradient of [`mean_of`].
pub(crate) fn mean_gradient<T: Float>(y_true: &[T], y_pred: &[T], scale: T, dy: &mut [T], df: impl Fn(T, T) -> T) {
    if y_true.len() != y_pred.len() {
        return dy.fill(T::nan());
    }
    let scale = scale / T::of(y_pred.len() as f64);
    for ((d, &t), &p) in dy.iter_mut().zip(y_true).zip(y_pred) {
        *d = scale * df(t, p);
    }
}

/// `v` kept in [low, high]; NaN stays NaN.
pub(crate) fn clip<T: Float>(v: T, low: T, high: T) -> T {
    if v < low {
        low
    } else if v > high {
        high
    } else {
        v
    }
}

/// A hinge's label: 0 counts as −1.
pub(crate) fn margin_label<T: Float>(t: T) -> T {
    if t == T::zero() { -T::one() } else { t }
}

/// γ·v^(γ−1), the derivative of v^γ; 0 where it has none.
pub(crate) fn power_slope<T: Float>(v: T, gamma: T) -> T {
    if gamma == T::zero() || v <= T::zero() { T::zero() } else { gamma * v.powf(gamma - T::one()) }
}

/// The position that a class number names, if it is whole and below the number of classes.
pub(crate) fn class_number<T: Float>(v: T, classes: usize) -> Option<usize> {
    let v = v.as_f64();
    (v >= 0.0 && v < classes as f64 && v.fract() == 0.0).then_some(v as usize)
}

/// Σ yᵢ·(ln Σ eᶻ − zᵢ) + c·(ln Σ eᶻ)², and into `dy` scale·(p·(Σy + 2c·ln Σ eᶻ) − y) with p = softmax(z); each exponential is computed
/// once. A class number out of range gives NaN, and so do logits without a softmax: +∞, or −∞ alone.
pub(crate) fn softmax_crossentropy<T: Float>(
    y_true: &[T],
    z: &[T],
    (options, z_loss): (&Options, f64),
    scale: T,
    dy: Option<&mut [T]>,
) -> T {
    let n = z.len();
    let mut dy = dy.and_then(|dy| dy.get_mut(..n));
    let (top, sum) = exp_into(z, dy.as_deref_mut());
    let log_sum = sum.ln();
    let cost = |i: usize| log_sum - (z[i] - top);
    // c·(ln Z)² and its derivative by ln Z
    let (whole, slope) = match z_loss {
        0.0 => (T::zero(), T::zero()),
        c => (T::of(c) * (top + log_sum).powi(2), T::of(2.0 * c) * (top + log_sum)),
    };
    if y_true.len() != n && options.label_smoothing == 0.0 {
        let Some(class) = y_true.first().and_then(|class| class_number(*class, n)) else {
            dy.into_iter().for_each(|dy| dy.fill(T::zero()));
            return T::nan();
        };
        if let Some(dy) = dy {
            let factor = (T::one() + slope) / sum;
            let own = dy[class] * factor - T::one();
            dy.iter_mut().for_each(|d| *d = scale * (*d * factor));
            dy[class] = scale * own;
        }
        return cost(class) + whole;
    }
    let target = |i| options.class_target(y_true, n, i);
    if let Some(dy) = dy {
        let factor = ((0..n).map(target).sum::<T>() + slope) / sum;
        for (i, d) in dy.iter_mut().enumerate() {
            *d = scale * (*d * factor - target(i));
        }
    }
    (0..n).map(|i| expected(target(i), || cost(i))).sum::<T>() + whole
}

/// y·cost, 0 for what never happens, however costly.
#[inline(always)]
pub(crate) fn expected<T: Float>(y: T, cost: impl FnOnce() -> T) -> T {
    if y == T::zero() { T::zero() } else { y * cost() }
}

/// Σp of a row and a divisor of its values and of the sum, 1 unless the sum would overflow or vanish.
pub(crate) fn scaled_sum<T: Float>(p: &[T]) -> [T; 2] {
    let sum: T = p.iter().copied().sum();
    if sum.is_nan() || sum.abs() >= T::min_positive_value() && sum.is_finite() {
        return [T::one(), sum];
    }
    let top = p.iter().fold(T::zero(), |m, v| if v.abs() > m { v.abs() } else { m });
    if top == T::zero() || top.is_infinite() {
        return [T::one(), sum];
    }
    [top, p.iter().map(|&p| p / top).sum()]
}

/// The gradient of a function of q = p/Σp whose derivative by qᵢ is `dq(i, qᵢ)`: dp = scale·(dq − Σ dq·q)/Σp.
pub(crate) fn through_sum<T: Float>(p: &[T], scale: T, dy: &mut [T], dq: impl Fn(usize, T) -> T) {
    let [top, sum] = scaled_sum(p);
    let mut dot = T::zero();
    for (i, (d, &p)) in dy.iter_mut().zip(p).enumerate() {
        let q = p / top / sum;
        *d = dq(i, q);
        dot += *d * q;
    }
    dy.iter_mut().for_each(|d| *d = scale * (*d - dot) / top / sum);
}
