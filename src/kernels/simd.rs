//! Which vector instructions the processor has, found once at run time. AVX2 with FMA and AVX-512 give the same bits, see `tiles`;
//! processors without fused multiply-adds round products apart.

use std::sync::atomic::{AtomicU8, Ordering};

/// What the processor offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// AVX-512 (foundation, double and quad words, vector lengths), and AVX2 and FMA.
    Avx512,
    /// AVX2 and FMA, and conversions of half precision.
    Avx2,
    /// The target's baseline.
    Other,
}

/// The processor's level, in one look.
#[inline]
pub fn level() -> Level {
    /// 0 until it is known.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        1 => Level::Avx512,
        2 => Level::Avx2,
        3 => Level::Other,
        _ => {
            let level = find();
            let number = match level {
                Level::Avx512 => 1,
                Level::Avx2 => 2,
                Level::Other => 3,
            };
            KNOWN.store(number, Ordering::Relaxed);
            level
        }
    }
}

#[cold]
fn find() -> Level {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
    {
        let wide = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl");
        return if wide { Level::Avx512 } else { Level::Avx2 };
    }
    Level::Other
}

/// Runs `f` compiled for the processor's vector registers. `f` must be a loop over slices that the compiler can vectorise;
/// no multiplication and addition are fused, so its bits are those of the baseline.
#[inline(always)]
pub fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: the features have been found.
        Level::Avx512 => return unsafe { avx512(f) },
        // SAFETY: the features have been found.
        Level::Avx2 => return unsafe { avx2(f) },
        Level::Other => {}
    }
    f()
}

/// [`vectorised`] for loops over rows of `width`; for short rows the baseline, whose narrow registers leave fewer values over.
#[inline(always)]
pub fn vectorised_rows<R>(width: usize, f: impl FnOnce() -> R) -> R {
    if width < 64 { f() } else { vectorised(f) }
}

/// A loop over slices that [`run`] compiles for the processor's vector registers: for bodies too large for the compiler to
/// inline a closure. `run` must be `#[inline(always)]`, and all that its loop calls.
pub trait Loop {
    /// What it gives.
    type Output;

    /// Runs it.
    fn run(self) -> Self::Output;
}

/// Runs a loop with the widest vector registers; as [`vectorised`], it changes no bit.
#[inline]
pub fn run<L: Loop>(work: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    match level() {
        // SAFETY: the features have been found.
        Level::Avx512 => return unsafe { run_avx512(work) },
        // SAFETY: the features have been found.
        Level::Avx2 => return unsafe { run_avx2(work) },
        Level::Other => {}
    }
    work.run()
}

// SAFETY: the caller has found the features; nothing else is unsafe.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
unsafe fn run_avx512<L: Loop>(work: L) -> L::Output {
    work.run()
}

// SAFETY: the caller has found the features; nothing else is unsafe.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<L: Loop>(work: L) -> L::Output {
    work.run()
}

// SAFETY: the caller has found the features; nothing else is unsafe.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
unsafe fn avx512<R>(f: impl FnOnce() -> R) -> R {
    f()
}

// SAFETY: the caller has found the features; nothing else is unsafe.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Asks the processor to bring values near that will be read soon, those in `range` as far as there are any. For reads that jump
/// about too much for it to foresee them; changes nothing but time.
#[inline(always)]
pub fn fetch<T>(values: &[T], range: std::ops::Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        /// Bytes that come together.
        const LINE: usize = 64;
        let range = range.start.min(values.len())..range.end.min(values.len());
        for line in values[range].chunks((LINE / size_of::<T>().max(1)).max(1)) {
            // SAFETY: the address is that of a value; fetching it reads nothing and cannot fail.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, range);
}
