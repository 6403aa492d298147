//! Moments in bf16: which optimizers take them, and what memory they need.

use super::{MomentStorage, Optimizer};
use crate::bf16::Bf16;
use crate::error::{Error, Result};
use crate::tensor::Float;

/// Whether an optimizer's moments are stored in bf16: as it asks for, where that is possible at all.
pub(super) fn is_bf16<T: Float>(optimizer: &dyn Optimizer<T>) -> bool {
    let asked = optimizer.options().moment_storage == MomentStorage::Bf16;
    asked && is_single::<T>() && !optimizer.whole_parameters()
}

/// Checks that it is something for weights of `T`, and for the rule.
pub(super) fn check_storage<T: Float>(optimizer: &dyn Optimizer<T>) -> Result<()> {
    if optimizer.options().moment_storage == MomentStorage::AsWeights {
        return Ok(());
    }
    let refused = |why: String, hint: &str| {
        let expected = format!("AsWeights {why}");
        Err(Error::argument(optimizer.name(), "moment_storage", expected, "Bf16", hint))
    };
    if !is_single::<T>() {
        let why = format!("for weights in {}, as bf16 has the range of f32", T::NAME);
        return refused(why, "build the model in f32, or leave moment_storage out");
    }
    if optimizer.whole_parameters() {
        return refused(
            "here, as the rule goes through whole parameters".into(),
            "leave it out, or take another optimizer, such as Adam",
        );
    }
    match optimizer.check_bf16_moments() {
        Ok(()) => Ok(()),
        Err(why) => refused(format!("here, as {why}"), "leave it out, or take another optimizer, such as Adam"),
    }
}

pub(super) fn is_single<T: Float>() -> bool {
    size_of::<T>() == size_of::<f32>()
}

/// The values of `T` that take as much memory as so many weights with their moments and their average.
pub(crate) fn room<T: Float>(optimizer: &dyn Optimizer<T>, weights: usize) -> usize {
    let size = if is_bf16(optimizer) { size_of::<Bf16>() } else { size_of::<T>() };
    let moments = weights.saturating_mul(optimizer.moments().len() * size).div_ceil(size_of::<T>());
    let copies = 1 + usize::from(optimizer.options().ema_momentum.is_some());
    weights.saturating_mul(copies).saturating_add(moments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::random::{Key, Purpose};
    use crate::optimizers::*;
    use crate::params::Params;
    use crate::tensor::Shape;

    /// A kernel of so many weights in ±1.
    fn params<T: Float>(n: usize) -> Params<T> {
        let key = Key::new(3, Purpose::Data);
        let values: Vec<T> = (0..n as u64).map(|i| T::of(2.0 * key.unit(i) - 1.0)).collect();
        let mut params = Params::new();
        params.push("kernel", Shape::from([1, n]), &values, true, true).unwrap();
        params
    }

    /// Gradients of a step: noise of a size of its own for each weight, around a mean of its own; a tenth of it from step 400 on.
    fn gradients<T: Float>(n: usize, step: u64) -> Vec<T> {
        let of = |i: u64| {
            let size = 10f64.powi((i % 7) as i32 - if step < 400 { 4 } else { 5 });
            let noise = Key::new(5, Purpose::Data).with(step).unit(i) * 2.0 - 1.0;
            size * (noise + 0.3 * ((i % 5) as f64 - 2.0))
        };
        (0..n as u64).map(|i| T::of(of(i))).collect()
    }

    fn wide(stored: &[Bf16]) -> Vec<f64> {
        stored.iter().map(|v| f64::from(v.to_f32())).collect()
    }

    /// Mean and standard deviation of a/b − 1.
    fn deviation(a: &[f64], b: &[f64]) -> [f64; 2] {
        let d: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b - 1.0).collect();
        let mean = d.iter().sum::<f64>() / d.len() as f64;
        let variance = d.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / d.len() as f64;
        [mean, variance.sqrt()]
    }

    /// Over 1000 steps of Adam with β₂ 0.999, against f64 with the same gradients: the mean of squares has the noise that rounding gives and
    /// no bias, and the weights have gone as far. With plain rounding it stands still: it would be far off.
    #[test]
    fn a_thousand_steps_next_to_double_precision() {
        const N: usize = 7000;
        let stored = Adam::default().moment_storage(MomentStorage::Bf16);
        let exact = Adam::default();
        let (mut w, mut w64) = (params::<f32>(N), params::<f64>(N));
        let start = w64.values().to_vec();
        let (mut state, mut state64) = (OptimizerState::new(&stored, &w), OptimizerState::new(&exact, &w64));
        // β₁ and β₂ as they are; rounded to the nearest in each step.
        let mut plain = vec![0.0f32; N];
        for step in 0..1000 {
            let mut g = gradients::<f32>(N, step);
            for (v, g) in plain.iter_mut().zip(&g) {
                *v = Bf16::stochastic(*v + (g * g - *v) * 0.001, 0x8000).to_f32();
            }
            assert!(state.step(&stored, &mut w, &mut g));
            assert!(state64.step(&exact, &mut w64, &mut gradients(N, step)));
        }
        assert!(state.moments.is_empty() && state.bf16_moments.len() == 2);
        let v = wide(&state.bf16_moments[1]);
        let [bias, noise] = deviation(&v, &state64.moments[1]);
        // A standard deviation of 4 % at this step, whose mean over 7000 weights has one of 0.05 %.
        assert!(bias.abs() < 0.004, "bias {bias}");
        assert!(noise > 0.01 && noise < 0.08, "noise {noise}");
        let stalled = deviation(&plain.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), &state64.moments[1]);
        assert!(stalled[0].abs() > 0.4, "plain rounding would do: {stalled:?}");
        // The first moment changes sign: against its root of the mean of squares.
        let m = wide(&state.bf16_moments[0]);
        let error: Vec<f64> = m.iter().zip(&state64.moments[0]).map(|(a, b)| (a - b).powi(2)).collect();
        let square = |m: &[f64], class: usize| m.iter().skip(class).step_by(7).map(|m| m * m).sum::<f64>();
        for class in 0..7 {
            let error: f64 = error.iter().skip(class).step_by(7).sum();
            let share = (error / square(&state64.moments[0], class)).sqrt();
            assert!(share < 0.02, "first moment of class {class}: {share}");
        }
        // Weights that have gone some way on average have gone as far.
        for (i, ((w, w64), start)) in w.values().iter().zip(w64.values()).zip(&start).enumerate() {
            if i % 5 != 2 {
                let (gone, exact) = (f64::from(*w) - start, w64 - start);
                assert!((gone / exact - 1.0).abs() < 0.1, "weight {i} has gone {gone}, expected {exact}");
            }
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        fn refusal<T: Float>(optimizer: impl Optimizer<T> + OptimizerOptions) -> String {
            let optimizer = optimizer.moment_storage(MomentStorage::Bf16);
            let error = OptimizerState::<T>::check(&optimizer).map_err(|error| error.to_string());
            error.err().unwrap_or_default()
        }
        let taken: [String; 8] = [
            refusal::<f32>(Adam::default()),
            refusal::<f32>(AdamW::default()),
            refusal::<f32>(Nadam::default()),
            refusal::<f32>(Lion::default()),
            refusal::<f32>(Sgd::default().momentum(0.9)),
            refusal::<f32>(RmsProp::default()),
            refusal::<f32>(RmsProp::default().momentum(0.9)),
            refusal::<f32>(Adadelta::default()),
        ];
        assert!(taken.iter().all(String::is_empty), "{taken:?}");
        assert_eq!(
            refusal::<f64>(Adam::default()),
            "adam: moment_storage must be AsWeights for weights in f64, as bf16 has the range of f32, got Bf16; \
             build the model in f32, or leave moment_storage out"
        );
        assert_eq!(
            refusal::<f32>(Adagrad::default()),
            "adagrad: moment_storage must be AsWeights here, as a sum that only grows keeps every rounding error, got Bf16; \
             leave it out, or take another optimizer, such as Adam"
        );
        for (message, name, why) in [
            (refusal::<f32>(Ftrl::default()), "ftrl", "only grows"),
            (refusal::<f32>(Adam::default().amsgrad(true)), "adam", "amsgrad"),
            (refusal::<f32>(AdamW::default().amsgrad(true)), "adamw", "amsgrad"),
            (refusal::<f32>(Adamax::default()), "adamax", "maximum"),
            (refusal::<f32>(RmsProp::default().centered(true)), "rmsprop", "variance"),
            (refusal::<f32>(Sgd::default()), "sgd", "no moments"),
            (refusal::<f32>(Muon::default()), "muon", "whole parameters"),
            (refusal::<f32>(Adafactor::default()), "adafactor", "whole parameters"),
        ] {
            assert!(message.starts_with(&format!("{name}: moment_storage must be AsWeights here, as ")), "{message}");
            assert!(message.contains(why), "{message}");
        }
        assert!(OptimizerState::<f64>::check(&Adafactor::default()).is_ok());
    }

    #[test]
    fn memory_of_half_the_moments() {
        let stored = AdamW::default().moment_storage(MomentStorage::Bf16);
        assert_eq!((room::<f32>(&AdamW::default(), 1001), room::<f32>(&stored, 1001)), (3003, 2002));
        assert_eq!(room::<f32>(&stored.ema(0.9), 10), 30);
        let lion = Lion::default().moment_storage(MomentStorage::Bf16);
        assert_eq!((room::<f32>(&lion, 11), room::<f32>(&Sgd::default(), 11)), (17, 11));
    }

    /// Every rule that takes it, with clipping, decay, an average: finite, of the same bits for any number of threads, another seed others.
    #[test]
    #[cfg(feature = "parallel")]
    fn bits_are_equal_over_threads() {
        fn check(optimizer: impl Optimizer<f32> + OptimizerOptions) {
            let optimizer = optimizer.moment_storage(MomentStorage::Bf16).clipvalue(0.4).weight_decay(0.1).ema(0.9);
            let after = |threads: usize, seed: u64| {
                let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut w = params::<f32>(100_003);
                let mut state = OptimizerState::new(&optimizer, &w);
                state.seed = seed;
                for step in 0..3 {
                    let mut g = gradients::<f32>(w.len(), step);
                    assert!(pool.install(|| state.step(&optimizer, &mut w, &mut g)));
                }
                assert!(w.values().iter().all(|w| w.is_finite()));
                let moments = state.bf16_moments.iter().flatten().map(|v| u32::from(v.to_bits()));
                w.values().iter().map(|w| w.to_bits()).chain(moments).collect::<Vec<_>>()
            };
            let one = after(1, 7);
            for threads in [2, 3, 4] {
                assert!(one == after(threads, 7), "{optimizer:?} depends on the number of threads");
            }
            assert!(one != after(2, 8));
        }
        check(Adam::default());
        check(AdamW::default());
        check(Nadam::default());
        check(Lion::default());
        check(Sgd::default().momentum(0.9));
        check(RmsProp::default().momentum(0.9));
        check(Adadelta::default());
    }

    /// Gradients whose squares overflow fail the step, and the moments of that part begin anew, as with moments in f32.
    #[test]
    fn moments_that_overflow_begin_anew() {
        for storage in [MomentStorage::AsWeights, MomentStorage::Bf16] {
            let optimizer = Adam::default().moment_storage(storage);
            let mut w = params::<f32>(600);
            let before = w.values().to_vec();
            let mut state = OptimizerState::new(&optimizer, &w);
            let mut g = vec![0.25f32; 600];
            g[300] = 1e30;
            assert!(!state.step(&optimizer, &mut w, &mut g));
            let moved = |range: std::ops::Range<usize>| {
                w.values()[range.clone()].iter().zip(&before[range]).all(|(a, b)| a != b)
            };
            assert!(moved(0..256) && moved(512..600) && w.values()[256..512] == before[256..512]);
            let moments: Vec<Vec<f64>> = match storage {
                MomentStorage::AsWeights => {
                    state.moments.iter().map(|m| m.iter().map(|&m| m.into()).collect()).collect()
                }
                MomentStorage::Bf16 => state.bf16_moments.iter().map(|m| wide(m)).collect(),
            };
            assert!(moments.iter().all(|m| m[256..512].iter().all(|&m| m == 0.0) && m[255] > 0.0 && m[512] > 0.0));
            g[300] = 0.25;
            assert!(state.step(&optimizer, &mut w, &mut g));
        }
    }
}
