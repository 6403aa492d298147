//! Which vector instructions the processor has, found once at run time. No result depends on it, see `tiles`.

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
