//! What values are multiplied by to be whole numbers.

/// 1/d; 0 where that is infinite, as the values are then below all that a scale in half precision tells from zero.
#[inline(always)]
pub fn inverse(d: f32) -> f32 {
    let inverse = 1.0 / d;
    if inverse.is_finite() { inverse } else { 0.0 }
}
