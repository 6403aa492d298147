//! What holds for every rule, for the tests of the rules.

use super::{Optimizer, OptimizerOptions, OptimizerState};
use crate::kernels::random::{Key, Purpose};
use crate::params::Params;
use crate::tensor::{Float, Shape};

/// Equal up to rounding.
pub fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-12, "{got}, expected {expected}");
}

/// A kernel `[rows, columns]` and a bias, in ±1.
fn params<T: Float>(rows: usize, columns: usize) -> Params<T> {
    let key = Key::new(3, Purpose::Data);
    let values: Vec<T> = (0..(rows + 1) * columns).map(|i| T::of(2.0 * key.unit(i as u64) - 1.0)).collect();
    let (kernel, bias) = values.split_at(rows * columns);
    let mut params = Params::new();
    params.push("kernel", Shape::from([rows, columns]), kernel, true, true).unwrap();
    params.push("bias", Shape::from([columns]), bias, true, false).unwrap();
    params
}

/// The weights, a kernel of one row, after one step.
pub fn first_step(optimizer: &dyn Optimizer<f64>, w: &[f64], g: &[f64]) -> Vec<f64> {
    let mut params = Params::new();
    params.push("kernel", Shape::from([1, w.len()]), w, true, true).unwrap();
    let mut state = OptimizerState::new(optimizer, &params);
    assert!(state.step(optimizer, &mut params, &mut g.to_vec()));
    params.values().to_vec()
}

/// A minimum is found; gradients of any size move the weights, or the step says that it failed and changes nothing; decay spares the bias; steps take no memory; threads change no bit.
pub fn check_rule<O: Optimizer<f32> + Optimizer<f64> + OptimizerOptions + Clone>(optimizer: &O) {
    settings_pass(optimizer);
    converges(optimizer);
    decay_spares_biases(optimizer);
    gradients_of_any_size::<f32>(optimizer, &[1e-37, 1e-30, 1e-20, 1e20, 1e30, 1e38]);
    gradients_of_any_size::<f64>(optimizer, &[1e-300, 1e-200, 1e-30, 1e30, 1e200, 1e308]);
    #[cfg(feature = "parallel")]
    bits_are_equal_over_threads(optimizer);
}

fn settings_pass(optimizer: &(impl Optimizer<f32> + Optimizer<f64>)) {
    Optimizer::<f64>::check(optimizer).unwrap();
    Optimizer::<f64>::options(optimizer).check("test").unwrap();
}

/// Σ aᵢ/2 (wᵢ − bᵢ)² with curvatures from 0.5 to 2.5 falls to a hundredth.
fn converges(optimizer: &impl Optimizer<f64>) {
    let mut params = params::<f64>(3, 2);
    let mut state = OptimizerState::new(optimizer, &params);
    let target = |i: usize| 0.3 * (i as f64 - 4.0);
    let curvature = |i: usize| 0.5 + 0.25 * i as f64;
    let loss = |w: &[f64]| w.iter().enumerate().map(|(i, w)| curvature(i) * (w - target(i)).powi(2)).sum::<f64>();
    let start = loss(params.values());
    let held: Vec<_> = state.moments.iter().map(|m| m.as_ptr()).collect();
    let mut g = vec![0.0; params.len()];
    for _ in 0..600 {
        for (i, (g, w)) in g.iter_mut().zip(params.values()).enumerate() {
            *g = curvature(i) * (w - target(i));
        }
        assert!(state.step(optimizer, &mut params, &mut g));
    }
    assert_eq!(held, state.moments.iter().map(|m| m.as_ptr()).collect::<Vec<_>>());
    let end = loss(params.values());
    assert!(end < 0.01 * start, "{optimizer:?}: {start} to {end}");
}

fn gradients_of_any_size<T: Float>(optimizer: &(impl Optimizer<T> + OptimizerOptions + Clone), sizes: &[f64]) {
    let pattern = [0.6, -0.3, 0.1, 0.9, -1.0, 0.2, 0.3, -0.4];
    let step = |optimizer: &dyn Optimizer<T>, mut g: Vec<T>| {
        let mut params = params::<T>(3, 2);
        let before = params.values().to_vec();
        let mut state = OptimizerState::new(optimizer, &params);
        let done = state.step(optimizer, &mut params, &mut g);
        assert!(state.moments.iter().flatten().chain(params.values()).all(|v| v.is_finite()));
        // Rules that see whole parameters fail for some and move others.
        if !done && !optimizer.whole_parameters() {
            assert_eq!(params.values(), before, "{optimizer:?}");
            let mut fresh = state.moments.iter().zip(optimizer.moments());
            assert!(fresh.all(|(m, start)| m.iter().all(|v| *v == T::of(start))), "{optimizer:?}");
        }
        (done, params.values().to_vec())
    };
    let norm = |g: &[f64]| g.iter().map(|v| v * v).sum::<f64>().sqrt();
    let (kernel, bias, all) = (norm(&pattern[..6]), norm(&pattern[6..]), norm(&pattern));
    for &size in sizes {
        let scaled = |by: &dyn Fn(usize) -> f64| -> Vec<T> { (0..8).map(|i| T::of(pattern[i] * by(i))).collect() };
        let g = || scaled(&|_| size);
        step(optimizer, g());
        let limited = |clipped: &dyn Optimizer<T>, by: &dyn Fn(usize) -> f64| {
            let (done, w) = step(clipped, g());
            let (_, expected) = step(optimizer, scaled(by));
            assert!(done, "{clipped:?} at {size:e}");
            for (w, e) in w.iter().zip(expected) {
                let bound = T::epsilon().as_f64().sqrt() * 0.1;
                assert!((w.as_f64() - e.as_f64()).abs() < bound, "{clipped:?} at {size:e}: {w}, expected {e}");
            }
        };
        let length = |norm: f64| if size > 1.0 { norm.recip() } else { size };
        limited(&optimizer.clone().clipnorm(1.0), &|i| length(if i < 6 { kernel } else { bias }));
        limited(&optimizer.clone().global_clipnorm(1.0), &|_| length(all));
        let value = |i: usize| if size > 1.0 { pattern[i].abs().recip() } else { size };
        limited(&optimizer.clone().clipvalue(1.0), &value);
    }
}

fn decay_spares_biases<O: Optimizer<f64> + OptimizerOptions + Clone>(optimizer: &O) {
    let after = |optimizer: O| {
        let mut params = params::<f64>(3, 2);
        let mut g: Vec<f64> = (0..params.len()).map(|i| 0.1 * (i as f64 - 3.7)).collect();
        OptimizerState::new(&optimizer, &params).step(&optimizer, &mut params, &mut g);
        params.values().to_vec()
    };
    let plain = after(optimizer.clone().weight_decay(0.0));
    let decayed = after(optimizer.clone().weight_decay(0.3));
    assert_eq!(plain[6..], decayed[6..], "{optimizer:?} decays a bias");
    assert!((0..6).all(|i| plain[i] != decayed[i]), "{optimizer:?} does not decay the kernel");
    let all = after(optimizer.clone().weight_decay(0.3).decay_all(true));
    assert!((0..8).all(|i| plain[i] != all[i]), "{optimizer:?} does not decay everything");
}

#[cfg(feature = "parallel")]
fn bits_are_equal_over_threads(optimizer: &impl Optimizer<f32>) {
    let after = |threads: usize| {
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut params = params::<f32>(401, 501);
        let mut state = OptimizerState::new(optimizer, &params);
        let key = Key::new(4, Purpose::Data);
        for step in 0..3 {
            let n = params.len() as u64;
            let mut g: Vec<f32> = (0..n).map(|i| key.unit(step * n + i) as f32 - 0.5).collect();
            pool.install(|| state.step(optimizer, &mut params, &mut g));
        }
        params.values().iter().map(|w| w.to_bits()).collect::<Vec<_>>()
    };
    let one = after(1);
    for threads in [2, 3, 4] {
        assert!(one == after(threads), "{optimizer:?} depends on the number of threads");
    }
}
