//! The element types: `f32` and `f64`.

use std::fmt::{Debug, Display, LowerExp};
use std::iter::Sum;
use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

use crate::state::Element;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// How many whole numbers from 0 on a type tells apart: 2²⁴ for `f32`, 2⁵³ for `f64`.
pub(crate) fn whole_numbers<T: Float>() -> u64 {
    (2.0 / T::epsilon().as_f64()) as u64
}

/// An element type of tensors: `f32` (the default everywhere) or `f64`.
///
/// The only place that knows both; everything else is written once for `T: Float`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an element type",
    note = "elements are f32 or f64; class numbers become a tensor with `Tensor::from_labels`"
)]
pub trait Float:
    num_traits::Float
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + Default
    + Debug
    + Display
    + LowerExp
    + Send
    + Sync
    + Element
    + sealed::Sealed
    + 'static
{
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest value to an `f64`.
    fn of(value: f64) -> Self;

    /// The value as `f64`, exactly.
    fn as_f64(self) -> f64;

    /// The complementary Gauss error function, 1 − erf.
    fn erfc(self) -> Self;

    /// eˣ as [`crate::kernels::math`] has it, like those below: for f32 without branches, for f64 the standard library's.
    #[doc(hidden)]
    fn fast_exp(self) -> Self;

    #[doc(hidden)]
    fn fast_exp_or_zero(self) -> Self;

    #[doc(hidden)]
    fn fast_exp_m1(self) -> Self;

    #[doc(hidden)]
    fn fast_tanh(self) -> Self;

    #[doc(hidden)]
    fn fast_sigmoid(self) -> Self;

    #[doc(hidden)]
    fn fast_softplus(self) -> Self;

    /// The standard normal's distribution function and density.
    #[doc(hidden)]
    fn fast_normal(self) -> (Self, Self);

    /// C = A·B + beta·C with strides in elements (m×k times k×n), on the calling thread.
    ///
    /// # Safety
    /// Every element that the sizes and strides address must lie in its allocation, and `c` must not overlap `a` or `b`.
    #[doc(hidden)]
    #[allow(clippy::too_many_arguments)]
    unsafe fn gemm(
        m: usize,
        k: usize,
        n: usize,
        a: *const Self,
        a_strides: [isize; 2],
        b: *const Self,
        b_strides: [isize; 2],
        beta: Self,
        c: *mut Self,
        c_strides: [isize; 2],
    );
}

/// −1, 0 or 1; NaN stays NaN.
pub(crate) fn sign<T: Float>(v: T) -> T {
    if v == T::zero() { T::zero() } else { v.signum() }
}

macro_rules! float {
    ($t:ident, $gemm:ident, $erfc:ident, $math:path) => {
        impl Float for $t {
            const NAME: &'static str = stringify!($t);

            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $t
            }

            #[inline(always)]
            fn as_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn erfc(self) -> Self {
                libm::$erfc(self)
            }

            #[inline(always)]
            fn fast_exp(self) -> Self {
                use $math as math;
                math::exp(self)
            }

            #[inline(always)]
            fn fast_exp_or_zero(self) -> Self {
                use $math as math;
                math::exp_or_zero(self)
            }

            #[inline(always)]
            fn fast_exp_m1(self) -> Self {
                use $math as math;
                math::exp_m1(self)
            }

            #[inline(always)]
            fn fast_tanh(self) -> Self {
                use $math as math;
                math::tanh(self)
            }

            #[inline(always)]
            fn fast_sigmoid(self) -> Self {
                use $math as math;
                math::sigmoid(self)
            }

            #[inline(always)]
            fn fast_softplus(self) -> Self {
                use $math as math;
                math::softplus(self)
            }

            #[inline(always)]
            fn fast_normal(self) -> (Self, Self) {
                use $math as math;
                math::normal(self)
            }

            #[inline]
            unsafe fn gemm(
                m: usize,
                k: usize,
                n: usize,
                a: *const Self,
                [rsa, csa]: [isize; 2],
                b: *const Self,
                [rsb, csb]: [isize; 2],
                beta: Self,
                c: *mut Self,
                [rsc, csc]: [isize; 2],
            ) {
                #[cfg(target_arch = "x86_64")]
                if csc == 1 && (beta == 0.0 || beta == 1.0) && [rsa, csa, rsb, csb, rsc].iter().all(|s| *s >= 0) {
                    let [ra, ca, rb, cb, rc] = [rsa, csa, rsb, csb, rsc].map(|s| s as usize);
                    // SAFETY: the caller's promise is the callee's.
                    if unsafe { super::tiles::product([m, k, n], a, [ra, ca], b, [rb, cb], beta == 1.0, c, rc) } {
                        return;
                    }
                }
                // SAFETY: the caller's promise is the callee's.
                unsafe { matrixmultiply::$gemm(m, k, n, 1.0, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc) }
            }
        }
    };
}

float!(f32, sgemm, erfcf, super::math);
float!(f64, dgemm, erfc, super::math::double);
