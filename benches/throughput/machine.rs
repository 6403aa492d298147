//! What the machine can do at most, to hold the kernels against: multiply-adds on registers alone, and reading memory.

use std::hint::black_box;
use std::time::Instant;

/// Multiply-adds a second of each of some threads at the same time, times two, in GFLOP/s of f32; NaN for processors that the loop is
/// not written for.
pub fn peak(threads: usize) -> f64 {
    const STEPS: usize = 200_000;
    let mut best = f64::INFINITY;
    let mut operations = f64::NAN;
    for _ in 0..5 {
        let start = Instant::now();
        on_threads(threads, |_| _ = black_box(operations_of(STEPS)));
        best = best.min(start.elapsed().as_secs_f64());
        operations = operations_of(0);
    }
    threads as f64 * operations * STEPS as f64 / best * 1e-9
}

/// Gigabytes a second that some threads read together from these values.
pub fn read(threads: usize, values: &[f32]) -> f64 {
    let bytes = size_of_val(values) as f64;
    let rounds = (1e8 / bytes).clamp(1.0, 1e4) as usize;
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        for _ in 0..rounds {
            on_threads(threads, |i| {
                let part = values.len() / threads;
                let sum = sum(&values[i * part..(i + 1) * part]);
                _ = black_box(sum);
            });
        }
        best = best.min(start.elapsed().as_secs_f64() / rounds as f64);
    }
    bytes / best * 1e-9
}

/// Calls `f` with each number on a thread of its own, the last on the caller's.
fn on_threads(threads: usize, f: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for i in 1..threads {
            let f = &f;
            scope.spawn(move || f(i));
        }
        f(0);
    });
}

/// Sixty-four sums side by side, so that the latency of an addition does not limit.
fn sum(values: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn wide(values: &[f32]) -> f32 {
        let mut sums = [0.0; 64];
        for chunk in values.chunks_exact(64) {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum += *value;
            }
        }
        sums.iter().sum()
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the feature has been found.
        return unsafe { wide(values) };
    }
    values.iter().sum()
}

/// Runs so many steps and gives the floating-point operations of a step.
fn operations_of(steps: usize) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        /// Chains of multiply-adds, more than their latency takes.
        const CHAINS: usize = 12;

        macro_rules! chains {
            ($name:ident, $features:literal, $v:ident, $set:ident, $fma:ident, $register:ident) => {
                #[target_feature(enable = $features)]
                fn $name(steps: usize) {
                    let mut sums = [$set(black_box(0.1)); CHAINS];
                    let (a, b) = ($set(black_box(0.5)), $set(black_box(0.25)));
                    for _ in 0..steps {
                        for sum in &mut sums {
                            *sum = $fma(a, b, *sum);
                            // SAFETY: no instruction; it keeps the compiler from taking steps together.
                            unsafe { std::arch::asm!("/* {0} */", inout($register) * sum, options(nomem, nostack)) };
                        }
                    }
                    black_box(sums);
                }
            };
        }
        chains!(chains512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, zmm_reg);
        chains!(chains2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, ymm_reg);
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature has been found.
            unsafe { chains512(steps) };
            return (CHAINS * 16 * 2) as f64;
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the features have been found.
            unsafe { chains2(steps) };
            return (CHAINS * 8 * 2) as f64;
        }
    }
    let _ = steps;
    f64::NAN
}
