//! Which vector instructions the processor has, found once at run time, and loops compiled for each of them.
//!
//! No result depends on it: element-wise code is plain multiplication and addition, which every width rounds alike, and
//! fused multiply-adds appear in matrix products only, see `tiles`.

/// What the processor offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// AVX-512 (foundation, double and quad words, vector lengths).
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// The target's baseline.
    Other,
}

/// The processor's level; a cached look-up.
#[inline]
pub fn level() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
        {
            return Level::Avx512;
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
    }
    Level::Other
}

/// Runs `f` compiled for the processor's vector instructions. `f` should be a short loop, so that it is compiled into each
/// version; the functions that it calls should be `#[inline(always)]`.
///
/// ```
/// use gradus::kernels::simd;
/// let mut x = [1.0f32, 2.0, 3.0];
/// simd::dispatch(|| x.iter_mut().for_each(|v| *v *= 2.0));
/// assert_eq!(x, [2.0, 4.0, 6.0]);
/// ```
#[inline]
pub fn dispatch<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
        fn avx512<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        match level() {
            // SAFETY: the features have been found.
            Level::Avx512 => return unsafe { avx512(f) },
            // SAFETY: the features have been found.
            Level::Avx2 => return unsafe { avx2(f) },
            Level::Other => {}
        }
    }
    f()
}
