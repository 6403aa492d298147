//! Transcendental functions of f32 without branches, so that loops over slices run in vector registers.
//!
//! Only IEEE operations, none fused: every processor and every position in a slice gives the same bits. The tests hold each
//! function against double precision over the whole range and assert the bounds named here (in units in the last place,
//! ulp). The polynomials are minimax fits (Remez's exchange) to the functions named beside them, rounded to f32.

/// e^x − 1 = r + r²·q(r) on |r| ≤ ln 2 / 2, relative error 2⁻³².
const EXP: [f32; 6] = [0.5, 0.166_666_67, 0.041_666_463, 0.008_333_286, 0.001_393_367_5, 0.000_199_076_22];
/// artanh(s) = s + s³·q(s²) on s ≤ 1/3, relative error 2⁻³¹.
const ARTANH: [f32; 5] = [0.333_333_34, 0.199_998_48, 0.142_964_05, 0.108_500_205, 0.116_268_91];
/// (a + 2)·Φ(−a)·e^(a²/2) on 0 ≤ a ≤ 14.6 as a polynomial of (a − 2) / (a + 2), relative error 2⁻²⁵.
const TAIL: [f32; 11] = [
    0.672_408,
    -0.331_404_57,
    0.028_798_4,
    0.036_721_66,
    -0.000_483_223_5,
    -0.006_751_994_6,
    -0.001_890_717_3,
    0.000_885_245,
    0.000_724_679_3,
    2.991_409_4e-5,
    -7.689_693e-5,
];

/// ln 2 in two parts (Cody, Waite 1980): n·LN2_HIGH is exact for the exponents n of f32.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;

/// 1.5·2²³: added to a value below 2²², it rounds to the nearest integer, which the lowest bits then hold.
const ROUND: f32 = 12_582_912.0;

/// c₀ + c₁x + c₂x² + …
#[inline(always)]
fn polynomial<const N: usize>(c: [f32; N], x: f32) -> f32 {
    let mut sum = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum * x + c[i];
    }
    sum
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// v·2ⁿ with a single rounding, also where the result is subnormal.
#[inline(always)]
fn scaled(v: f32, n: i32) -> f32 {
    let half = n >> 1;
    v * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// p and n with e^(x + low) = (1 + p)·2ⁿ and |p| < 0.42, for a small `low` and |x| < 10⁵.
#[inline(always)]
fn reduced(x: f32, low: f32) -> (f32, i32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = ((x - n * LN2_HIGH) - n * LN2_LOW) + low;
    let p = r + r * r * polynomial(EXP, r);
    (p, shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32)
}

/// `v` in [low, high]; NaN stays NaN.
#[inline(always)]
fn within(v: f32, low: f32, high: f32) -> f32 {
    let v = if v < low { low } else { v };
    if v > high { high } else { v }
}

/// eˣ, 1 ulp, subnormal results included.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these bounds the result is 0 or infinite.
    let (p, n) = reduced(within(x, -104.0, 89.0), 0.0);
    scaled(1.0 + p, n)
}

/// eˣ, 1 ulp, and 0 where that is subnormal: many processors take a hundred times as long for such results.
#[inline(always)]
pub fn exp_or_zero(x: f32) -> f32 {
    const LEAST: f32 = -87.3;
    let (p, n) = reduced(within(x, LEAST, 89.0), 0.0);
    let y = scaled(1.0 + p, n);
    if x < LEAST { 0.0 } else { y }
}

/// eˣ − 1, 2 ulp, also near 0.
#[inline(always)]
pub fn exp_m1(x: f32) -> f32 {
    let (p, n) = reduced(within(x, -20.0, 89.0), 0.0);
    // Half of it, as 2¹²⁸ is not a number of f32.
    let s = power_of_two(n.wrapping_sub(1));
    (2.0 * (s * p + (s - 0.5))).copysign(x)
}

/// tanh x = −e / (e + 2) with e = exp(−2|x|) − 1, 3 ulp.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp_m1(-2.0 * x.abs());
    (e / (e + 2.0)).copysign(x)
}

/// 1 / (1 + e⁻ˣ), 3 ulp: of e^±x the one that does not overflow.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// ln(1 + eˣ) = max(x, 0) + 2 artanh(e / (2 + e)) with e = e^−|x|, 3 ulp.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    let s = e / (2.0 + e);
    let w = s * s;
    let log = 2.0 * (s + s * w * polynomial(ARTANH, w));
    (if x < 0.0 { 0.0 } else { x }) + log
}

/// Φ(x) and φ(x), the standard normal's distribution function and density, 5 and 3 ulp.
///
/// Φ(−a) = e^(−a²/2)·R(a), with R as a polynomial of (a − 2) / (a + 2) over a + 2, the form of Shepherd and Laframboise 1981
/// for erfc; a² is taken with the part that rounding loses (Dekker 1971), which the tail would magnify a hundred times.
#[inline(always)]
pub fn normal(x: f32) -> (f32, f32) {
    let a = within(x.abs(), 0.0, 14.5);
    let square = a * a;
    let high = f32::from_bits(a.to_bits() & 0xffff_f000);
    let lost = (high * high - square) + (a + high) * (a - high);
    let (p, n) = reduced(-0.5 * square, -0.5 * lost);
    let inverse = 1.0 / (a + 2.0);
    let tail = polynomial(TAIL, 1.0 - 4.0 * inverse) * inverse;
    let tail = scaled((1.0 + p) * tail, n);
    let density = scaled((1.0 + p) * 0.398_942_3, n);
    (if x > 0.0 { 1.0 - tail } else { tail }, density)
}

/// The same functions of f64, from the standard library and libm.
pub mod double {
    /// eˣ.
    #[inline(always)]
    pub fn exp(x: f64) -> f64 {
        x.exp()
    }

    /// eˣ, and 0 where that is subnormal.
    #[inline(always)]
    pub fn exp_or_zero(x: f64) -> f64 {
        if x < -708.3 { 0.0 } else { x.exp() }
    }

    /// eˣ − 1.
    #[inline(always)]
    pub fn exp_m1(x: f64) -> f64 {
        x.exp_m1()
    }

    /// tanh x.
    #[inline(always)]
    pub fn tanh(x: f64) -> f64 {
        x.tanh()
    }

    /// 1 / (1 + e⁻ˣ).
    #[inline(always)]
    pub fn sigmoid(x: f64) -> f64 {
        let e = (-x.abs()).exp();
        (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
    }

    /// ln(1 + eˣ).
    #[inline(always)]
    pub fn softplus(x: f64) -> f64 {
        (if x < 0.0 { 0.0 } else { x }) + (-x.abs()).exp().ln_1p()
    }

    use std::f64::consts::FRAC_1_SQRT_2;

    /// Φ(x), by erfc where 1 + erf would cancel, and φ(x).
    #[inline(always)]
    pub fn normal(x: f64) -> (f64, f64) {
        let u = x * FRAC_1_SQRT_2;
        let density = (-u * u).exp() * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
        (0.5 * libm::erfc(-u), density)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance in units in the last place of f32 at the true value; infinite where one is NaN and the other is not.
    fn ulp(value: f32, truth: f64) -> f64 {
        if value.is_nan() || truth.is_nan() {
            return if value.is_nan() && truth.is_nan() { 0.0 } else { f64::INFINITY };
        }
        if f64::from(value) == truth || value == truth as f32 {
            return 0.0;
        }
        let exponent = truth.abs().log2().floor().clamp(-126.0, 127.0);
        (f64::from(value) - truth).abs() / (exponent - 23.0).exp2()
    }

    /// Every 1,499th number of f32 and the edges.
    fn check(name: &str, f: impl Fn(f32) -> f32, truth: impl Fn(f64) -> f64, bound: f64) {
        let edges =
            [0.0, 1.0, 88.722_84, 88.722_83, 89.0, 103.972_08, 103.972_07, 104.0, 14.5, f32::MAX, f32::INFINITY];
        let all = (0..=u32::MAX).step_by(1499).map(f32::from_bits).chain(edges).chain(edges.map(|v| -v));
        let (mut worst, mut at) = (0.0, 0.0);
        for x in all.chain([f32::NAN, f32::MIN_POSITIVE, 1e-45]) {
            let distance = ulp(f(x), truth(f64::from(x)));
            if distance > worst {
                (worst, at) = (distance, x);
            }
        }
        println!("{name}: {worst:.3} ulp at {at:e}");
        assert!(worst <= bound, "{name}({at:e}) = {:e} is {worst} ulp off", f(at));
    }

    #[test]
    fn bounds() {
        check("exp", exp, f64::exp, 1.0);
        check("exp_m1", exp_m1, f64::exp_m1, 2.0);
        check("tanh", tanh, f64::tanh, 3.0);
        check("sigmoid", sigmoid, double::sigmoid, 3.0);
        check("softplus", softplus, double::softplus, 3.0);
        check("normal cdf", |x| normal(x).0, |x| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2), 5.0);
        let density = |x: f64| (-0.5 * x * x).exp() * 0.398_942_280_401_432_7;
        check("normal density", |x| normal(x).1, density, 3.0);
    }

    #[test]
    fn signs_of_zero() {
        for f in [exp_m1, tanh] {
            assert!(f(-0.0).is_sign_negative() && f(0.0).is_sign_positive());
        }
    }
}
